// So many at a time: a turn is taken, and given back.

/** A turn to ask, of which there are only so many at a time; who waits longest is next. */
export class Gate {
  #going = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(private readonly most: () => number) {}

  /** Call `begin` when it is its turn; gives back what ends the turn, or the waiting. */
  enter(begin: () => void): () => void {
    let state: "waiting" | "going" | "over" = "waiting";
    const start = (): void => {
      state = "going";
      this.#going++;
      begin();
    };
    this.#waiting.push(start);
    this.open();
    return () => {
      if (state === "waiting") this.#waiting.splice(this.#waiting.indexOf(start), 1);
      if (state === "going") this.#going--;
      state = "over";
      this.open();
    };
  }

  /** Let in whom there is room for; a little later, as those who leave together shall not be let in one by one. */
  open(): void {
    queueMicrotask(() => this.#letIn());
  }

  #letIn(): void {
    while (this.#going < this.most()) {
      const next = this.#waiting.shift();
      if (!next) return;
      next();
    }
  }
}
