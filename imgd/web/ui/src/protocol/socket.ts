// One websocket after the other to the daemon: questions and replies, noticing that it is dead, coming back.
import type { Connection, Trouble } from "../state/types";
import { readFrame, WrongFrame, type Frame } from "./frames";
import { isReply, type Greeting, type Question, type Reply, type RunnerState, type Told } from "./messages";
import { closedInWords, isForGood } from "./words";

const BACK_OFF_S = [0.5, 1, 2, 5, 10];
const LOOK_EVERY_MS = 2000;
const QUIET_MS = 20_000; // After that it is asked whether it is still there.
const SILENT_MS = 10_000; // A question, and not a word since: it is dead.
const REPLY_MS = 30_000; // Or it talks, but does not answer.
const WAKING_MS = 3000; // The same when somebody comes back to the page.
const HANDSHAKE_MS = 5000;
const PROTOCOL = 2;

/** Who is told what the daemon says. */
export interface Listener {
  /** It can be asked. `kept`: the runners that are still there, of a connection before. */
  ready(kept: readonly RunnerState[]): void;
  lost(): void;
  told(message: Told): void;
  frame(frame: Frame): void;
  connection(connection: Connection): void;
  /** A handshake has failed. */
  failed(): void;
}

interface Asked {
  question: Question;
  at: number;
  answered: (reply: Reply) => void;
  refused: (trouble: Trouble) => void;
}

type Maker = (address: string) => WebSocket;

export class Conversation {
  hello: Greeting | null = null;
  private socket: WebSocket | null = null;
  private before: WebSocket | null = null; // Thought dead; closed when the next one has taken over.
  private secret = ""; // In memory only: a copy of the tab must not have it.
  private isReady = false;
  private ids = 0;
  private asked = new Map<number, Asked>();
  private heardAt = 0;
  private begunAt = 0;
  private retries = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private look: ReturnType<typeof setInterval> | undefined;
  private ended = false;
  private stop = new AbortController();

  constructor(
    private readonly address: string,
    private readonly listener: Listener,
    private readonly make: Maker = (to) => new WebSocket(to),
  ) {}

  get ready(): boolean {
    return this.isReady;
  }

  begin(): void {
    addEventListener("online", () => this.wake(), { signal: this.stop.signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.wake(), { signal: this.stop.signal });
    this.look = setInterval(() => this.check(), LOOK_EVERY_MS);
    this.listener.connection({ state: "connecting" });
    this.connect();
  }

  /** Say goodbye: nothing is kept for us. */
  end(): void {
    this.ended = true;
    this.stop.abort();
    clearTimeout(this.retry);
    clearInterval(this.look);
    for (const socket of [this.socket, this.before]) if (socket) silence(socket).close();
    this.socket = this.before = null;
    if (this.isReady) this.lose();
  }

  /** Ask; it must be ready. When the connection is lost neither of both is called. */
  ask(question: Question, answered: (reply: Reply) => void, refused: (trouble: Trouble) => void): void {
    const id = ++this.ids;
    this.asked.set(id, { question, at: performance.now(), answered, refused });
    this.socket?.send(JSON.stringify({ id, ...question }));
  }

  /** Let go of a runner; nothing is to be heard of it any more. */
  close(runner: string): void {
    if (this.isReady) this.ask({ op: "close", runner }, ignore, ignore);
  }

  /** Connect at once, if it is lost. */
  now(): void {
    if (this.ended || this.socket) return;
    this.retries = 0;
    this.connect();
  }

  /** Somebody is at the page again: connect at once, or see soon whether it is dead. */
  wake(): void {
    this.now();
    if (this.isReady && performance.now() - this.heardAt > WAKING_MS) {
      const since = performance.now();
      this.ask({ op: "ping" }, ignore, ignore);
      setTimeout(() => this.isReady && this.heardAt < since && this.abandon(), WAKING_MS);
    }
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.begunAt = performance.now();
    const socket = (this.socket = this.make(this.address));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.greet();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.hear(event.data);
    socket.onclose = (event) => this.closed(event.code, event.reason);
  }

  /** A new session can be used at once; whether an old one is there again the reply tells. */
  private greet(): void {
    this.heardAt = performance.now();
    const resume = this.secret;
    this.ask(
      { op: "hello", ...(resume && { resume }) },
      (reply) => reply.op === "hello" && this.greeted(reply, resume !== ""),
      (trouble) => this.giveUp(`${trouble.title}: ${trouble.text}`),
    );
    if (!resume) this.begins([]);
  }

  private greeted(hello: Greeting, wasKnown: boolean): void {
    if (hello.version !== PROTOCOL) return this.giveUp("the daemon is of another version: reload this page");
    this.hello = hello;
    this.secret = hello.resume;
    this.retries = 0;
    this.listener.connection({ state: "live" });
    if (this.before) silence(this.before).close();
    this.before = null;
    if (wasKnown) this.begins(hello.runners);
  }

  private begins(kept: readonly RunnerState[]): void {
    this.isReady = true;
    this.listener.ready(kept);
  }

  private hear(data: string | ArrayBuffer): void {
    this.heardAt = performance.now();
    try {
      if (typeof data !== "string") this.listener.frame(readFrame(data));
      else this.read(JSON.parse(data) as Reply | Told);
    } catch (error) {
      if (!(error instanceof WrongFrame || error instanceof SyntaxError)) throw error;
      this.giveUp(`the daemon sent ${error instanceof WrongFrame ? error.message : "what is no JSON"}: reload this page`);
    }
  }

  private read(message: Reply | Told): void {
    if (!isReply(message)) return this.listener.told(message);
    const asked = message.id === null ? undefined : this.asked.get(message.id);
    if (!asked) return;
    this.asked.delete(message.id as number);
    if (message.op === "error") {
      const what = message.parameter && message.parameter !== "message" ? `${message.parameter}: ` : "";
      asked.refused({ status: message.status, title: message.title, text: what + message.detail });
    } else asked.answered(message);
  }

  /** Now and then: is it still there? */
  private check(): void {
    const now = performance.now();
    if (this.socket && !this.isReady && now - this.begunAt > HANDSHAKE_MS) return this.abandon();
    if (!this.isReady) return;
    const waits = [...this.asked.values()];
    const isSilent = waits.some((each) => now - Math.max(each.at, this.heardAt) > SILENT_MS);
    if (isSilent || waits.some((each) => now - each.at > REPLY_MS)) this.abandon();
    else if (now - this.heardAt > QUIET_MS && !waits.length) this.ask({ op: "ping" }, ignore, ignore);
  }

  /** It is dead, though nobody has said so. It is not closed: that would be a goodbye, and nothing would be kept. */
  private abandon(): void {
    if (!this.socket) return;
    silence(this.socket);
    if (this.before) silence(this.before).close();
    this.before = this.socket;
    this.closed(0, "");
  }

  private closed(code: number, reason: string): void {
    const wasUp = this.isReady;
    this.socket = null;
    this.lose();
    if (isForGood(code)) return this.waitFor(Infinity, closedInWords(code, reason));
    const wait = (BACK_OFF_S[Math.min(this.retries++, BACK_OFF_S.length - 1)] ?? 10) * 1000;
    this.waitFor(wait, closedInWords(wasUp ? code : 0, reason));
    if (!wasUp) this.listener.failed();
  }

  private giveUp(words: string): void {
    if (this.socket) silence(this.socket).close();
    this.socket = null;
    this.lose();
    this.waitFor(Infinity, words);
  }

  private lose(): void {
    this.asked.clear();
    if (!this.isReady) return;
    this.isReady = false;
    this.listener.lost();
  }

  private waitFor(wait: number, words: string): void {
    if (this.ended) return;
    this.listener.connection({ state: "lost", again_at: Date.now() + wait, words });
    if (wait !== Infinity) this.retry = setTimeout(() => this.connect(), wait);
  }
}

function ignore(): void {}

function silence(socket: WebSocket): WebSocket {
  socket.onopen = socket.onmessage = socket.onclose = null;
  return socket;
}
