// What is said over the websocket, as this page uses the daemon's own types of it.
import type { FrameEvent } from "./link";
import type { FrameEvent as ToldEvent, OfEvents, OfRunner, Question as Asked, Reply } from "./schema";

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

/** A question; its id is given when it is asked. */
export type Question = WithoutId<Asked>;
export type Told = OfRunner | OfEvents;
export type { AskPart as Part, Greeting, OfEvents, OfRunner, Reply, RunAnswer, RunnerState, TilesDocument } from "./schema";

export function isReply(message: Reply | Told): message is Reply {
  return "id" in message;
}

/** An event as the page hears it; null if it is about no frame. */
export function eventOf(told: ToldEvent): FrameEvent | null {
  const { id, at, type, root, path, frame, hdu } = told;
  if (!frame || root === undefined || path === undefined) return null;
  const fields = Object.entries(hdu ?? {}).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  return { id, at, type, root, path, frame, hdu: Object.fromEntries(fields) };
}
