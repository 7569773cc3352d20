// From what a runner shows to what is wished: which question is next.
import type { Subject } from "./link";
import type { Question } from "./messages";
import { differences, nameOf } from "./views";
import { isSame, partOf, type Wish } from "./wish";

/** What is to be done once, whatever the runner shows. */
export type Order = "run" | "step" | "again";

export interface Asking {
  question: Question;
  /** What the runner shows when it is answered; null: what the answer says. */
  then: Wish | null;
  /** The wish has become another one by it. */
  wish?: Wish;
}

/** Find the next question that brings a runner nearer to the wish; "anew": it has to be opened anew. */
export function drive(runner: string, has: Wish, wish: Wish, orders: Set<Order>): Asking | "anew" | null {
  const frame = frameChange(has.subject, wish.subject);
  if (frame === "anew") return "anew";
  const changes = { ...differences(has.look, wish.look), ...frame };
  const part = wish.seen && !isSame(has.seen, wish.seen) ? partOf(wish.seen) : null;
  if (Object.keys(changes).length) {
    const then = { ...has, subject: wish.subject ?? has.subject, look: wish.look, seen: wish.seen ?? has.seen };
    return { question: { op: "set", runner, changes, ...(part && { viewport: part }) }, then };
  }
  const again = orders.delete("again");
  if (wish.seen && (part || again)) {
    const question: Question = { op: "viewport", runner, ...partOf(wish.seen), again };
    return { question, then: { ...has, look: wish.look, seen: wish.seen } };
  }
  if (wish.paused !== has.paused)
    return { question: { op: wish.paused ? "pause" : "play", runner }, then: { ...has, paused: wish.paused } };
  if (orders.delete("step"))
    return { question: { op: "step", runner }, then: { ...has, paused: true }, wish: { ...wish, paused: true } };
  return orders.delete("run") ? { question: { op: "run", runner }, then: has } : null;
}

/** What to set for another frame; "anew": it cannot be set. */
function frameChange(from: Subject | null, to: Subject | null): { frame?: string } | "anew" {
  if (!from || !to) return {};
  if ("follow" in to) return "follow" in from && from.follow === to.follow ? {} : "anew";
  if (!("frame" in from)) return "anew";
  if (from.frame === to.frame) return {};
  const name = nameOf(to.frame);
  return name === null ? "anew" : { frame: name };
}
