// Which link carries the page: the websocket, or plain HTTP while websockets are blocked on the way.
import type { Connection } from "../state/types";
import { address, getJson } from "./http";
import type { FrameEvent, Link, Runner, RunnerEvents } from "./link";
import { PlainLink } from "./plain";
import { Relay } from "./relay";
import { WebsocketLink } from "./websocket";

const FAILURES = 2; // Handshakes in a row that fail while plain HTTP answers.
const TRY_AGAIN_MS = 60_000;

interface Ear {
  heard: (event: FrameEvent) => void;
  missed: () => void;
  stop: () => void;
}

export class Chooser implements Link {
  private live: WebsocketLink;
  private plain: PlainLink | null = null;
  private trial: WebsocketLink | null = null; // While plain HTTP is used: is a websocket to be had again?
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly relays = new Set<Relay>();
  private readonly ears = new Set<Ear>();
  private doubts = 0;
  private ended = false;

  constructor(private readonly tell: (connection: Connection) => void) {
    this.live = this.websocket();
    this.live.begin();
  }

  open(events: RunnerEvents): Runner {
    return this.add(new Relay(this.link, events, (relay) => this.relays.delete(relay)));
  }

  attach(id: string, events: RunnerEvents): Runner {
    return this.add(new Relay(this.link, events, (relay) => this.relays.delete(relay), id));
  }

  hear(heard: (event: FrameEvent) => void, missed: () => void): () => void {
    const ear = { heard, missed, stop: this.link.hear(heard, missed) };
    this.ears.add(ear);
    return () => {
      this.ears.delete(ear);
      ear.stop();
    };
  }

  rows(): "up" | "down" {
    return this.link.rows();
  }

  /** The person does not want to wait for the next attempt. */
  now(): void {
    if (this.plain) this.attempt();
    else this.live.wake();
  }

  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
    for (const link of [this.live, this.plain, this.trial]) link?.end();
  }

  private get link(): Link {
    return this.plain ?? this.live;
  }

  private add(relay: Relay): Relay {
    this.relays.add(relay);
    return relay;
  }

  private websocket(): WebsocketLink {
    const url = new URL("live", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const link: WebsocketLink = new WebsocketLink(
      {
        connection: (connection) => {
          if (connection.state === "live") this.doubts = 0;
          if (link === this.live && !this.plain) this.tell(connection);
          else if (link === this.trial && connection.state === "live") this.back(link);
        },
        failed: () => {
          if (link === this.trial) this.rest();
          else if (!this.plain) void this.doubt();
        },
      },
      url.href,
    );
    return link;
  }

  /** Websockets fail: is it they, or is nobody there at all? */
  private async doubt(): Promise<void> {
    try {
      await getJson(address("healthz"));
      this.doubts += 1;
    } catch {
      this.doubts = 0; // Nobody: the websocket goes on trying.
    }
    if (this.live.isUp) this.doubts = 0; // It was only just starting.
    if (this.doubts < FAILURES || this.ended || this.plain) return;
    this.doubts = 0;
    this.plain = new PlainLink((connection) => this.tell(connection));
    this.plain.begin();
    this.move(this.plain);
    this.live.end();
    this.rest();
  }

  private rest(): void {
    this.trial?.end();
    this.trial = null;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.attempt(), TRY_AGAIN_MS);
  }

  private attempt(): void {
    this.trial?.end();
    this.trial = this.websocket();
    this.trial.begin();
  }

  /** A websocket can be had again. */
  private back(link: WebsocketLink): void {
    const before = this.plain;
    [this.live, this.plain, this.trial] = [link, null, null];
    clearTimeout(this.timer);
    this.tell({ state: "live" });
    this.move(link);
    before?.end();
  }

  private move(to: Link): void {
    for (const relay of [...this.relays]) relay.move(to);
    for (const ear of this.ears) {
      ear.stop();
      ear.stop = to.hear(ear.heard, ear.missed);
      ear.missed(); // What came in between nobody has told.
    }
  }
}
