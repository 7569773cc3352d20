// The turns of one runner as the page is told of them: they only grow, and each has one end.
import type { Facts, Levels, Look, StepNews, Trouble } from "../state/types";
import type { Glance, RunnerEvents, Tile } from "./link";

/** A step as the daemon tells it. */
export type Step = Omit<StepNews, "from_ms" | "to_ms">;

export class Turns {
  private base = 0;
  private last = 0;
  private open = false;
  private began = 0;
  private starts = new Map<number, number>();

  constructor(private readonly events: RunnerEvents) {}

  /** Turns are counted from 1 again: another runner has taken the place of the one before. */
  restart(): void {
    this.cancelled(this.last - this.base, "superseded");
    this.base = this.last;
  }

  accepted(turn: number, run: string, frame: string, look: Look, version: string): void {
    this.cancelled(this.last - this.base, "superseded");
    this.last = Math.max(this.last, this.base + turn);
    this.open = true;
    this.began = performance.now();
    this.starts.clear();
    this.events.accepted(this.last, run, frame, look, version);
  }

  step(turn: number, step: Step): void {
    if (!this.is(turn)) return;
    const now = performance.now() - this.began;
    const from = this.starts.get(step.number) ?? (step.state === "end" ? Math.max(0, now - step.ms) : now);
    this.starts.set(step.number, from);
    this.events.step(this.last, { ...step, from_ms: from, to_ms: step.state === "end" ? now : null });
  }

  facts(turn: number, facts: Facts): void {
    if (this.is(turn)) this.events.facts(this.last, facts);
  }

  levels(turn: number, levels: Levels): void {
    if (this.is(turn)) this.events.levels(this.last, levels);
  }

  tile(turn: number, tile: Tile): void {
    if (this.is(turn)) this.events.tile(this.last, tile);
  }

  glance(turn: number, glance: Glance): void {
    if (this.is(turn)) this.events.glance(this.last, glance);
  }

  completed(turn: number, notes: string[]): void {
    if (this.closes(turn)) this.events.completed(this.last, notes);
  }

  /** A turn that was never accepted can fail as well: there is no such frame. */
  failed(turn: number, trouble: Trouble): void {
    this.open = false;
    this.last = Math.max(this.last, this.base + turn);
    this.events.failed(this.last, trouble);
  }

  cancelled(turn: number, why: string): void {
    if (this.closes(turn)) this.events.cancelled(this.last, why);
  }

  /** The link is gone, and with it what was under way. */
  lost(): void {
    this.cancelled(this.last - this.base, "disconnected");
  }

  private is(turn: number): boolean {
    return this.open && this.base + turn === this.last;
  }

  private closes(turn: number): boolean {
    const closes = this.is(turn);
    if (closes) this.open = false;
    return closes;
  }
}
