// A websocket that is played by the test, and a page around it.
import { vi } from "vitest";

export class FakeSocket {
  static all: FakeSocket[] = [];
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  sent: Record<string, unknown>[] = [];
  closed = false;

  constructor(readonly address: string) {
    FakeSocket.all.push(this);
  }

  static get last(): FakeSocket {
    return this.all.at(-1)!;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
  }

  say(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  bytes(data: ArrayBuffer): void {
    this.onmessage?.({ data });
  }

  /** The questions asked since the last look. */
  asked(): Record<string, unknown>[] {
    return this.sent.splice(0);
  }

  /** Open it and answer its hello. */
  greet(more: object = {}): void {
    this.onopen?.();
    const hello = this.sent.shift()!;
    this.say({ ...HELLO, id: hello.id, ...more });
  }

  break(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

export const HELLO = { op: "hello", session: "ws1", version: 2, resume: "SECRET", resumed: false, limits: {}, rows: "up", runners: [] };

export function stateOf(more: object = {}): Record<string, unknown> {
  return {
    runner: "R", number: 7, view: "frame=a/b.fits", frame: "a/b.fits", follow: null, results: [], viewport: null, paused: false,
    pending: false, pending_frame: null, skipped: 0, turn: 0, running: false, sessions: 1, ...more,
  };
}

/** What of a page the link needs; `happen` says that something happened to it. */
export function fakePage(): { happen: (type: string) => void } {
  const target = new EventTarget();
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  vi.stubGlobal("document", Object.assign(target, { hidden: false, baseURI: "http://daemon/prefix/" }));
  return { happen: (type) => target.dispatchEvent(new Event(type)) };
}

/** Bytes of a frame, field by field. */
export function frameBytes(fields: Partial<Record<"version" | "kind" | "format" | "level" | "runner" | "turn" | "column" | "row" | "width" | "height" | "length" | "body", number>> = {}): ArrayBuffer {
  const { version = 1, kind = 2, format = 1, level = 3, runner = 7, turn = 1, column = 4, row = 5, width = 256, height = 100, body = 6 } = fields;
  const buffer = new ArrayBuffer(32 + body);
  const view = new DataView(buffer);
  [version, kind, format, level].forEach((value, at) => view.setUint8(at, value));
  [runner, turn, column, row, width, height, fields.length ?? body].forEach((value, at) => view.setUint32(4 + 4 * at, value, true));
  for (let at = 0; at < body; at++) view.setUint8(32 + at, at + 1);
  return buffer;
}
