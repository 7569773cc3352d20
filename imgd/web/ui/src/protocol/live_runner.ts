// A runner over the websocket: one question at a time; while its reply is outstanding only the newest wishes wait.
import type { Look, Trouble } from "../state/types";
import type { Frame } from "./frames";
import type { LogEntry, Runner, RunnerEvents, Subject, Viewport } from "./link";
import type { OfRunner, Reply, RunnerState } from "./messages";
import type { Accepted } from "./schema";
import { Shelf } from "./shelf";
import type { Conversation } from "./socket";
import { Turns } from "./turns";
import { drive, type Asking, type Order } from "./driving";
import { Looks, viewOf } from "./views";
import { NOTHING, partOf, wishOf, type Wish } from "./wish";

export class LiveRunner implements Runner {
  id = "";
  number = 0;
  private wish: Wish = NOTHING;
  private has: Wish | null = null; // What the daemon's runner shows; null: there is none.
  private readonly orders = new Set<Order>();
  private readonly unread = new Set<(entries: LogEntry[]) => void>(); // Consoles that are asked for.
  private readonly turns: Turns;
  private readonly shelf: Shelf;
  private readonly looks = new Looks();
  private busy = false;
  private stuck = false; // What was wished was refused; until something else is wished nothing is asked.
  private closed = false;
  private isBlank = false; // Paused before anything was shown: the first frame that comes is shown nevertheless.

  /** `attachTo`: the id of a runner of another session. `gone`: it is closed. */
  constructor(
    private readonly talk: Conversation,
    private readonly events: RunnerEvents,
    private readonly gone: () => void,
    private readonly attachTo = "",
  ) {
    this.turns = new Turns(events);
    this.shelf = new Shelf((turn, tile) => this.turns.tile(turn, tile));
  }

  // ---- what the page wishes

  show(subject: Subject, look: Look): void {
    this.want({ subject, look });
    this.talk.now();
  }

  change(look: Look): void {
    this.want({ look });
  }

  look(viewport: Viewport): void {
    this.want({ seen: viewport });
  }

  fit(width: number, height: number, dpr: number): void {
    this.want({ seen: { fit: [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))], dpr } });
  }

  play(): void {
    this.want({ paused: false });
  }

  pause(): void {
    this.want({ paused: true });
  }

  step(): void {
    this.order("step");
  }

  retry(): void {
    this.shelf.clear();
    this.order("again");
    this.talk.now();
  }

  log(since: number): Promise<LogEntry[]> {
    return new Promise((resolve) => {
      if (!this.has || !this.talk.ready) return resolve([]);
      const told = (entries: LogEntry[]): void => {
        this.unread.delete(told);
        resolve(entries);
      };
      this.unread.add(told);
      const answered = (reply: Reply): void => told(reply.op === "log" ? reply.entries : []);
      this.talk.ask({ op: "log", runner: this.id, since }, answered, () => told([]));
    });
  }

  close(): void {
    this.closed = true;
    if (this.has) this.talk.close(this.id);
    if (!this.busy) this.gone(); // Else when it is known what was opened.
  }

  // ---- what becomes of the connection

  /** The daemon can be asked; `kept`: it has this runner still. */
  ready(kept: RunnerState | undefined, isFirst: boolean): void {
    this.stuck = false;
    if (kept) {
      this.hold(kept);
      if (kept.paused && kept.turn) this.orders.add("run"); // What was on its way is sent again.
    } else {
      this.has = null;
      this.turns.restart();
      this.shelf.clear();
    }
    if (!isFirst) this.events.again();
    this.push();
  }

  lost(): void {
    this.busy = false;
    this.turns.lost();
    for (const told of this.unread) told([]);
    if (this.closed) this.gone();
  }

  // ---- what the daemon tells

  told(message: OfRunner): void {
    if (this.closed) return;
    switch (message.op) {
      case "accepted":
        return this.accepted(message);
      case "step": {
        const { number, step, state, cached, joined, bytes, ms } = message;
        return this.turns.step(message.turn, { number, step, state, cached, joined, bytes, ms });
      }
      case "facts":
        this.turns.facts(message.turn, message.document);
        return this.shelf.replay(message.document, this.looks.of(this.shelf.view));
      case "levels":
        return this.turns.levels(message.turn, message.document);
      case "completed":
        return this.turns.completed(message.turn, message.result.notes);
      case "failed":
        return this.turns.failed(message.turn, { status: message.code, title: message.title, text: message.text });
      case "cancelled":
        return this.turns.cancelled(message.turn, message.why);
      case "following":
        return this.following(message.pending, message.skipped);
      case "changed":
        return this.changed(message.state);
      case "closed":
        this.has = null;
        return this.refuse({ status: 0, title: "The daemon has closed this picture", text: message.why });
      case "histogram":
    }
  }

  private accepted({ turn, view, version, run, frame }: Accepted): void {
    this.shelf.begin(turn, view, version, this.has?.seen ?? null);
    this.turns.accepted(turn, run, frame, this.looks.of(view), version);
  }

  frame(frame: Frame): void {
    if (this.closed || frame.kind === "picture") return;
    const { level, column, row, width, height, type, body } = frame;
    if (frame.kind === "glance") return this.turns.glance(frame.turn, { width, height, type, body }); // The shelf has tiles only.
    const tile = { level, column, row, width, height, type, body };
    this.shelf.keep(frame.turn, tile);
    this.turns.tile(frame.turn, tile);
  }

  private following(pending: string | null, skipped: number): void {
    const subject = this.has?.subject;
    if (pending !== null && this.isBlank) {
      this.isBlank = false;
      this.order("step");
    }
    if (this.has && subject && "follow" in subject)
      this.events.following({ dir: subject.follow, paused: this.has.paused, pending, skipped });
  }

  /** Another session that holds it as well has driven it: that is what is wished now. */
  private changed(state: RunnerState): void {
    if (this.busy) return; // What we have asked comes after it.
    const before = this.has;
    const has = this.hold(state);
    if (before && before.look !== has.look) this.wish = { ...this.wish, look: has.look };
    this.wish = { ...this.wish, subject: has.subject, seen: has.seen, paused: has.paused };
    if (state.follow !== null) this.following(state.pending_frame, state.skipped);
  }

  // ---- from the wish to what is there

  private want(wish: Partial<Wish>): void {
    this.wish = { ...this.wish, ...wish };
    this.stuck = false;
    queueMicrotask(() => this.push()); // What is wished together is asked together.
  }

  private order(order: Order): void {
    this.orders.add(order);
    this.want({});
  }

  private push(): void {
    if (this.busy || this.stuck || this.closed || !this.talk.ready) return;
    const next = this.has ? this.driving(this.has) : this.opening();
    if (!next) return;
    this.busy = true;
    this.wish = next.wish ?? this.wish;
    this.talk.ask(next.question, (reply) => this.answered(reply, next.then), (trouble) => this.refuse(trouble));
  }

  private answered(reply: Reply, then: Wish | null): void {
    this.busy = false;
    if (reply.op === "opened" || reply.op === "attached") {
      this.hold(reply.state);
      this.turns.restart();
      if (this.closed) return this.close();
      this.isBlank = reply.op === "opened" && reply.state.paused && reply.state.follow !== null;
      this.events.opened(reply.runner);
    }
    if (this.closed) return this.gone();
    if (then) this.has = then;
    if ("state" in reply) {
      this.looks.remember(reply.state.view, (then ?? this.has)?.look);
      if (reply.state.follow !== null) this.following(reply.state.pending_frame, reply.state.skipped);
    }
    if (reply.op === "attached" && !then) this.wish = { ...wishOf(reply.state), seen: this.wish.seen };
    this.push();
  }

  private refuse(trouble: Trouble): void {
    this.busy = false;
    if (this.closed) return this.gone();
    if (trouble.status === 404) this.has = null; // There is no such runner any more.
    this.stuck = true;
    this.orders.clear();
    if (!this.has) this.turns.lost(); // Else what it runs goes on: nothing has changed.
    this.events.refused(trouble);
  }

  private opening(): Asking | null {
    const { subject, look, seen, paused } = this.wish;
    if (this.attachTo) return { question: { op: "attach", runner: this.attachTo }, then: null };
    if (!subject || !seen) return null;
    this.orders.clear();
    const view = viewOf("frame" in subject ? subject.frame : null, look);
    const follow = "follow" in subject ? { follow: subject.follow } : {};
    const results: ["facts", "levels", "picture"] = ["facts", "levels", "picture"];
    return { question: { op: "open", view, ...follow, results, paused, viewport: partOf(seen) }, then: this.wish };
  }

  private driving(has: Wish): Asking | null {
    const next = drive(this.id, has, this.wish, this.orders);
    return next === "anew" ? this.reopen() : next;
  }

  private reopen(): Asking | null {
    this.talk.close(this.id);
    this.has = null;
    this.id = "";
    this.number = 0;
    this.shelf.clear();
    return this.opening();
  }

  private hold(state: RunnerState): Wish {
    this.id = state.runner;
    this.number = state.number;
    const found = wishOf(state);
    return (this.has = { ...found, look: this.looks.of(state.view) });
  }
}
