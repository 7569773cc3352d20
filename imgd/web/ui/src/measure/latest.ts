// Asking while the hand moves: one question in flight, the newest wish next; a slow answer that nobody wants is aborted.
import { Refusal } from "../protocol/http";
import type { Trouble } from "../state/types";

export interface Asked<T> {
  /** The newest answer; it stays while the next one is on its way. */
  answer: T | null;
  asking: boolean;
  trouble: Trouble | null;
}

export const NOTHING: Asked<never> = { answer: null, asking: false, trouble: null };
const PATIENCE_MS = 400;

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Refusal) return error.trouble;
  return { status: 0, title: "It went wrong", text: error instanceof Error ? error.message : "" };
}

/** `ask` raises what went wrong; `told` hears of every change. */
export class Latest<Wish, Answer> {
  private state: Asked<Answer> = NOTHING;
  private running: { wish: Wish; since: number; controller: AbortController } | null = null;
  private next: Wish | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly ask: (wish: Wish, signal: AbortSignal) => Promise<Answer>,
    private readonly told: (state: Asked<Answer>, answered?: Wish) => void,
  ) {}

  want(wish: Wish): void {
    if (!this.running) return this.begin(wish);
    if (this.running.wish === wish) {
      this.next = null;
      return;
    }
    this.next = wish;
    clearTimeout(this.timer);
    const { since, controller } = this.running;
    this.timer = setTimeout(() => this.next !== null && controller.abort(), Math.max(0, since + PATIENCE_MS - Date.now()));
  }

  /** Nothing is wanted any more; what was answered is forgotten. */
  end(): void {
    clearTimeout(this.timer);
    this.next = null;
    this.running?.controller.abort();
    this.running = null;
    this.state = NOTHING;
  }

  private begin(wish: Wish): void {
    const running = { wish, since: Date.now(), controller: new AbortController() };
    this.running = running;
    this.tell({ ...this.state, asking: true, trouble: null });
    this.ask(wish, running.controller.signal).then(
      (answer) => this.finished(running, { answer, trouble: null }),
      (error: unknown) => this.finished(running, running.controller.signal.aborted ? {} : { answer: null, trouble: troubleOf(error) }),
    );
  }

  private finished(running: { wish: Wish }, found: Partial<Asked<Answer>>): void {
    if (this.running !== running) return; // It was ended.
    clearTimeout(this.timer);
    this.running = null;
    const { next } = this;
    this.next = null;
    this.tell({ ...this.state, ...found, asking: next !== null }, running.wish);
    if (next !== null) this.begin(next);
  }

  private tell(state: Asked<Answer>, answered?: Wish): void {
    this.state = state;
    this.told(state, answered);
  }
}
