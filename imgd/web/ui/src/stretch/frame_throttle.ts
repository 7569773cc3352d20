// What follows the hand: at most one call for each picture of the screen, always with the newest argument.

export interface Throttled<T> {
  (value: T): void;
  /** Do at once what waits. */
  flush(): void;
  /** Do not do what waits. */
  drop(): void;
}

export function oncePerFrame<T>(
  call: (value: T) => void,
  later: (done: () => void) => number = (done) => requestAnimationFrame(done),
  never: (id: number) => void = (id) => cancelAnimationFrame(id),
): Throttled<T> {
  let waiting: { value: T } | null = null;
  let id = 0;
  const run = () => {
    const next = waiting;
    waiting = null;
    if (next) call(next.value);
  };
  const throttled = (value: T) => {
    if (!waiting) id = later(run);
    waiting = { value };
  };
  return Object.assign(throttled, {
    drop: () => {
      if (waiting) never(id);
      waiting = null;
    },
    flush: () => {
      if (waiting) never(id);
      run();
    },
  });
}
