// Events of frames by plain HTTP: a stream, and where streams are held up on the way, asking again and again.
import { address, getJson } from "./http";
import type { FrameEvent } from "./link";
import { eventOf } from "./messages";
import type { FrameEvent as Told } from "./schema";

const TYPES = ["frame.arrived", "frame.rewritten", "frame.gone", "root.appeared", "root.vanished"];
const WAIT_S = 25;
const REST_MS = 250; // Between two questions, whoever answers them at once.
const AGAIN_MS = 3000;
const OPEN_MS = 10_000; // A stream that has said nothing by then is held up.

/** Who hears, and who is told that the daemon answers, or does not. */
export interface Ears {
  heard(event: FrameEvent): void;
  missed(): void;
  answers(yes: boolean): void;
}

interface Polled {
  cursor: string;
  events: Told[];
  missed?: unknown;
  reset?: boolean;
}

export class PlainEvents {
  private stream: EventSource | null = null;
  private cursor = "";
  private readonly ended = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly ears: Ears) {}

  begin(): void {
    const filters = JSON.stringify([["type", "in", TYPES]]);
    const stream = (this.stream = new EventSource(address("events", { filters, since: this.cursor || undefined })));
    stream.onopen = () => {
      clearTimeout(this.timer);
      this.ears.answers(true);
    };
    stream.onerror = () => {
      this.ears.answers(false);
      if (stream.readyState === EventSource.CLOSED) this.poll();
    };
    for (const type of TYPES) stream.addEventListener(type, (event) => this.event(event));
    for (const type of ["missed", "reset"]) stream.addEventListener(type, () => this.ears.missed());
    this.timer = setTimeout(() => stream.readyState === EventSource.CONNECTING && this.poll(), OPEN_MS);
  }

  end(): void {
    this.ended.abort();
    clearTimeout(this.timer);
    this.stream?.close();
  }

  private event(event: MessageEvent<string>): void {
    if (event.lastEventId) this.cursor = event.lastEventId;
    this.tell(JSON.parse(event.data) as Told);
  }

  private tell(told: Told): void {
    const event = eventOf(told);
    if (told.type.startsWith("root.")) this.ears.missed();
    else if (event) this.ears.heard(event);
  }

  /** No stream can be had: ask for what has come, again and again. */
  private poll(): void {
    this.stream?.close();
    clearTimeout(this.timer);
    if (!this.ended.signal.aborted) void this.ask();
  }

  private async ask(): Promise<void> {
    const filters = JSON.stringify([["type", "in", TYPES]]);
    const query = { filters, since: this.cursor || undefined, wait: this.cursor ? WAIT_S : 0 };
    try {
      const found = await getJson<Polled>(address("events", query), this.ended.signal);
      this.cursor = found.cursor;
      this.ears.answers(true);
      if (found.missed || found.reset) this.ears.missed();
      for (const event of found.events) this.tell(event);
      this.timer = setTimeout(() => this.poll(), REST_MS);
    } catch {
      if (this.ended.signal.aborted) return;
      this.ears.answers(false);
      this.timer = setTimeout(() => this.poll(), AGAIN_MS);
    }
  }
}
