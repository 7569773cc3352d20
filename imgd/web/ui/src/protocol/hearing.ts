// Events of frames over the websocket: a cursor is kept, so that nothing is missed over a reconnect.
import type { FrameEvent } from "./link";
import { eventOf, type OfEvents, type Question } from "./messages";
import type { Conversation } from "./socket";

const TYPES = ["frame.arrived", "frame.rewritten", "frame.gone", "root.appeared", "root.vanished"];

interface Ear {
  heard: (event: FrameEvent) => void;
  missed: () => void;
}

export class Hearing {
  private readonly ears = new Set<Ear>();
  private epoch = "";
  private last = 0;
  private isSubscribed = false;

  constructor(private readonly talk: Conversation) {}

  hear(ear: Ear): () => void {
    this.ears.add(ear);
    this.subscribe();
    return () => this.ears.delete(ear);
  }

  ready(): void {
    this.isSubscribed = false;
    this.subscribe();
  }

  told(message: OfEvents): void {
    switch (message.op) {
      case "events":
        for (const { event } of message.events) {
          this.last = Math.max(this.last, event.id);
          this.event(event.type, eventOf(event));
        }
        return;
      case "live":
      case "head":
        return this.reach(message.head);
      case "missed":
        this.last = Math.max(this.last, message.to);
        return this.missed();
      case "reset":
        this.epoch = "";
        this.reach(message.head);
        return this.missed();
      case "progress":
    }
  }

  private subscribe(): void {
    if (!this.ears.size || this.isSubscribed || !this.talk.ready) return;
    this.isSubscribed = true;
    const since = this.epoch ? `${this.epoch}:${this.last}` : "";
    const question: Question = { op: "subscribe", ...(since && { since }), filters: [["type", "in", TYPES]] };
    this.talk.ask(
      question,
      (reply) => since || (reply.op === "subscribed" && this.reach(reply.head)),
      () => {
        this.epoch = ""; // A cursor that is refused: from now on, and what was in between is looked for.
        this.missed();
        if (since) this.ready();
      },
    );
  }

  private event(type: string, event: FrameEvent | null): void {
    if (type.startsWith("root.")) this.missed();
    if (!event) return;
    for (const ear of this.ears) ear.heard(event);
  }

  private missed(): void {
    for (const ear of this.ears) ear.missed();
  }

  /** Nothing up to this head is still to come. */
  private reach(head: string): void {
    const [epoch = "", id = "0"] = head.split(":");
    if (epoch && epoch === this.epoch) this.last = Math.max(this.last, Number(id));
    else if (epoch) [this.epoch, this.last] = [epoch, Number(id)];
  }
}
