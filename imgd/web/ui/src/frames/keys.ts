// Keys that move within the list or the strip.

/** Where a key leads to; null: it is none of ours. */
export function keyTarget(
  event: { key: string; altKey: boolean; ctrlKey: boolean; metaKey: boolean },
  at: number,
  page: number,
  count: number,
  horizontal: boolean,
): number | null {
  if (event.altKey || event.ctrlKey || event.metaKey || !count) return null;
  const [back, on] = horizontal ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
  const to = { [back!]: at - 1, [on!]: at + 1, PageUp: at - page, PageDown: at + page, Home: 0, End: count - 1 }[event.key];
  return to === undefined ? null : Math.min(count - 1, Math.max(0, to));
}
