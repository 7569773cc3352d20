// The link by one websocket at `live`: runners, and events of frames (docs/live.md).
import type { Connection } from "../state/types";
import type { Frame } from "./frames";
import { Hearing } from "./hearing";
import type { FrameEvent, Link, Runner, RunnerEvents } from "./link";
import { LiveRunner } from "./live_runner";
import type { RunnerState, Told } from "./messages";
import { Conversation, type Listener } from "./socket";

/** Who wants to know how the connection is. */
export interface Watcher {
  connection(connection: Connection): void;
  /** A handshake has failed. */
  failed(): void;
}

export class WebsocketLink implements Link, Listener {
  private readonly talk: Conversation;
  private readonly hearing: Hearing;
  private readonly runners = new Set<LiveRunner>();
  private isFirst = true;

  constructor(
    private readonly watcher: Watcher,
    address: string,
    make?: (address: string) => WebSocket,
  ) {
    this.talk = new Conversation(address, this, make);
    this.hearing = new Hearing(this.talk);
  }

  begin(): void {
    this.talk.begin();
  }

  open(events: RunnerEvents): Runner {
    return this.add(events, "");
  }

  attach(id: string, events: RunnerEvents): Runner {
    return this.add(events, id);
  }

  hear(heard: (event: FrameEvent) => void, missed: () => void): () => void {
    return this.hearing.hear({ heard, missed });
  }

  rows(): "up" | "down" {
    return this.talk.hello?.rows ?? "up";
  }

  get isUp(): boolean {
    return this.talk.ready;
  }

  /** Try to connect now. */
  wake(): void {
    this.talk.wake();
  }

  end(): void {
    this.talk.end();
  }

  // ---- what the conversation tells

  ready(kept: readonly RunnerState[]): void {
    const isFirst = this.isFirst;
    this.isFirst = false;
    this.hearing.ready();
    for (const { runner } of kept) if (!this.byId(runner)) this.talk.close(runner); // Closed while it was lost.
    for (const runner of [...this.runners])
      runner.ready(
        kept.find((state) => state.runner === runner.id),
        isFirst,
      );
  }

  lost(): void {
    for (const runner of [...this.runners]) runner.lost();
  }

  told(message: Told): void {
    if ("runner" in message) this.byId(message.runner)?.told(message);
    else this.hearing.told(message);
  }

  frame(frame: Frame): void {
    for (const runner of this.runners) if (runner.number === frame.runner) return runner.frame(frame);
  }

  connection(connection: Connection): void {
    this.watcher.connection(connection);
  }

  failed(): void {
    this.watcher.failed();
  }

  private byId(id: string): LiveRunner | undefined {
    return [...this.runners].find((runner) => runner.id === id);
  }

  private add(events: RunnerEvents, id: string): Runner {
    const runner = new LiveRunner(this.talk, events, () => this.runners.delete(runner), id);
    this.runners.add(runner);
    if (id && this.talk.ready) runner.ready(undefined, true);
    return runner;
  }
}
