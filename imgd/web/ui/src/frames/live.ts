// What the daemon tells of frames, for the list and the strip.
import type { FrameEvent } from "../protocol/link";
import { frames } from "./frames";

const FRESH_MS = 4000;
const fresh = new Map<string, number>(); // Frames that have just come, to be seen as such.

/** A frame has come, was rewritten, or is gone. */
export function heardFrame(event: FrameEvent): void {
  if (!event.type.startsWith("frame.")) return;
  if (event.type === "frame.arrived") {
    const now = performance.now();
    for (const [ref, at] of fresh) if (now - at > FRESH_MS) fresh.delete(ref);
    fresh.set(event.frame.ref, now);
  }
  frames.news();
}

/** Some were not told: look for ourselves. */
export function missedFrames(): void {
  frames.news();
}

export function isFresh(ref: string): boolean {
  const at = fresh.get(ref);
  return at !== undefined && performance.now() - at < FRESH_MS;
}
