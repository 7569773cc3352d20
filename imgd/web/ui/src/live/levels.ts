// Levels that a picture was made with, as parameters: so that other frames are shown with the same ones.
import type { Levels, Look } from "../state/types";
import { changesOf, type Changes } from "../stretch/levels";

/** Parameters that show a frame of `channels` levels with these levels; null if none are known. */
export function asCut({ levels }: Levels, channels: number, look: Look): Changes | null {
  const one = levels.length === 3 ? levels[1] : levels[0]; // Green has most of the light.
  const given = levels.length === channels ? levels : one ? [one] : [];
  return given.length ? changesOf(given, look) : null;
}

export const AUTO_LEVELS = { cut: null, mid: null, levels: null };
