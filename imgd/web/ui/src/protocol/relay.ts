// A runner as the page has it, whichever link carries it at the moment: what was wished goes along to the next one.
import type { Look } from "../state/types";
import type { Link, LogEntry, Runner, RunnerEvents, Subject, Viewport } from "./link";

export class Relay implements Runner {
  private inner: Runner;
  private subject: Subject | null = null;
  private wished: Look = {};
  private seen: ((runner: Runner) => void) | null = null;
  private paused = false;
  private base = 0; // Turns go on counting where the link before has stopped.
  private last = 0;

  constructor(
    link: Link,
    private readonly events: RunnerEvents,
    private readonly gone: (relay: Relay) => void,
    private readonly attachTo = "",
  ) {
    this.inner = this.opened(link);
  }

  /** Another link carries it from now on. */
  move(link: Link): void {
    this.inner.close();
    this.base = this.last;
    this.inner = this.opened(link);
    this.events.again();
    if (this.paused) this.inner.pause();
    if (this.subject) this.inner.show(this.subject, this.wished);
    this.seen?.(this.inner);
  }

  show(subject: Subject, look: Look): void {
    [this.subject, this.wished] = [subject, look];
    this.inner.show(subject, look);
  }

  change(look: Look): void {
    this.wished = look;
    this.inner.change(look);
  }

  look(viewport: Viewport): void {
    this.see((runner) => runner.look(viewport));
  }

  fit(width: number, height: number, dpr: number): void {
    this.see((runner) => runner.fit(width, height, dpr));
  }

  retry(): void {
    this.inner.retry();
  }

  play(): void {
    this.paused = false;
    this.inner.play();
  }

  pause(): void {
    this.paused = true;
    this.inner.pause();
  }

  step(): void {
    this.paused = true;
    this.inner.step();
  }

  log(since: number): Promise<LogEntry[]> {
    return this.inner.log(since);
  }

  close(): void {
    this.gone(this);
    this.inner.close();
  }

  private see(how: (runner: Runner) => void): void {
    this.seen = how;
    how(this.inner);
  }

  private opened(link: Link): Runner {
    const events = this.counted();
    return this.attachTo ? link.attach(this.attachTo, events) : link.open(events);
  }

  /** The same events, with turns that only grow. */
  private counted(): RunnerEvents {
    const base = this.base;
    const { events } = this;
    const at = (turn: number): number => (this.last = Math.max(this.last, base + turn));
    return {
      opened: (id) => events.opened(id),
      accepted: (turn, run, frame, look, version) => events.accepted(at(turn), run, frame, look, version),
      step: (turn, news) => events.step(at(turn), news),
      facts: (turn, facts) => events.facts(at(turn), facts),
      levels: (turn, levels) => events.levels(at(turn), levels),
      tile: (turn, tile) => events.tile(at(turn), tile),
      glance: (turn, glance) => events.glance(at(turn), glance),
      completed: (turn, notes) => events.completed(at(turn), notes),
      failed: (turn, trouble) => events.failed(at(turn), trouble),
      cancelled: (turn, why) => events.cancelled(at(turn), why),
      following: (state) => events.following(state),
      refused: (trouble) => events.refused(trouble),
      again: () => events.again(),
    };
  }
}
