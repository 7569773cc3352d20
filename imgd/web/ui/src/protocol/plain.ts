// The link by plain HTTP, where websockets cannot be had: runs are asked for, tiles are fetched, events come by a stream.
import type { Connection, Trouble } from "../state/types";
import type { FrameEvent, Link, Runner, RunnerEvents } from "./link";
import { address, getJson } from "./http";
import { PlainEvents } from "./plain_events";
import { PlainRunner } from "./plain_runner";

const AGAIN_MS = 3000;

export class PlainLink implements Link {
  private readonly runners = new Set<PlainRunner>();
  private readonly ears = new Set<{ heard: (event: FrameEvent) => void; missed: () => void }>();
  private readonly events: PlainEvents;
  private order: "up" | "down" = "up";
  private answers = true;
  private probing: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly connection: (connection: Connection) => void) {
    this.events = new PlainEvents({
      heard: (event) => this.heard(event),
      missed: () => this.missed(),
      answers: (yes) => (yes ? this.hears(true, "") : this.probe("the daemon does not answer")), // Streams break anyway.
    });
  }

  begin(): void {
    this.connection({ state: "http" });
    this.events.begin();
  }

  open(events: RunnerEvents): Runner {
    const runner = new PlainRunner(
      { rows: (order) => (this.order = order), silent: (trouble: Trouble) => this.hears(false, trouble.title) },
      events,
    );
    this.runners.add(runner);
    const close = runner.close.bind(runner);
    runner.close = () => {
      this.runners.delete(runner);
      close();
    };
    return runner;
  }

  attach(_id: string, events: RunnerEvents): Runner {
    const text = "pictures of other tabs come by a websocket, which is blocked on the way";
    queueMicrotask(() => events.refused({ status: 0, title: "Not without a websocket", text }));
    return new PlainRunner({ rows: () => undefined, silent: () => undefined }, events);
  }

  hear(heard: (event: FrameEvent) => void, missed: () => void): () => void {
    const ear = { heard, missed };
    this.ears.add(ear);
    return () => this.ears.delete(ear);
  }

  rows(): "up" | "down" {
    return this.order;
  }

  end(): void {
    clearTimeout(this.probing);
    this.events.end();
    for (const runner of [...this.runners]) runner.close();
  }

  private heard(event: FrameEvent): void {
    for (const runner of [...this.runners]) runner.heard(event);
    for (const ear of this.ears) ear.heard(event);
  }

  private missed(): void {
    for (const runner of [...this.runners]) runner.missed();
    for (const ear of this.ears) ear.missed();
  }

  /** Whether the daemon is there: when it is there again, all is asked for anew. */
  private hears(answers: boolean, words: string): void {
    clearTimeout(this.probing);
    if (!answers) {
      this.connection({ state: "lost", again_at: Date.now() + AGAIN_MS, words });
      this.probing = setTimeout(() => this.probe(words), AGAIN_MS);
    } else if (!this.answers) {
      this.connection({ state: "http" });
      for (const runner of [...this.runners]) runner.again();
    }
    this.answers = answers;
  }

  private probe(words: string): void {
    getJson(address("healthz")).then(
      () => this.hears(true, ""),
      () => this.hears(false, words),
    );
  }
}
