// What the page wants of one runner: the newest wish of each kind.
import type { Look } from "../state/types";
import type { Subject, Viewport } from "./link";
import type { Part, RunnerState } from "./messages";
import { lookOf } from "./views";

/** What of a picture is to be seen. */
export type Seen = { fit: readonly [number, number]; dpr: number } | Viewport;

export interface Wish {
  subject: Subject | null;
  look: Look;
  seen: Seen | null;
  paused: boolean;
}

export const NOTHING: Wish = { subject: null, look: {}, seen: null, paused: false };

export function isSame(one: Seen | null, other: Seen | null): boolean {
  return JSON.stringify(one && partOf(one)) === JSON.stringify(other && partOf(other));
}

/** How the daemon is asked for it; of all of a picture a glance is taken, too. */
export function partOf(seen: Seen): Part {
  if ("fit" in seen) return { fit: [...seen.fit], dpr: seen.dpr, glance: true };
  return { level: seen.level, box: [...seen.box], dpr: seen.dpr };
}

/** What a runner shows already, by what the daemon says of it. */
export function wishOf(state: RunnerState): Wish {
  const { viewport, follow, frame, view, paused } = state;
  const subject: Subject | null = follow !== null ? { follow } : frame !== null ? { frame } : null;
  return { subject, look: lookOf(view), seen: viewport && seenOf(viewport), paused };
}

function seenOf({ level, box, fit, dpr }: NonNullable<RunnerState["viewport"]>): Seen | null {
  if (fit) return { fit, dpr };
  return box && { level: level ?? 0, box, dpr };
}
