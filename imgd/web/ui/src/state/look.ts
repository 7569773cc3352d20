// What of a look goes from one frame to another: which pixels are shown is of each frame alone, and three pairs of
// levels are for colour only.
import type { Look, Pane } from "./types";

export type Changes = Record<string, string | null>;

/** Parameters that say which pixels of a file are shown. */
export const WHICH_PIXELS: ReadonlySet<string> = new Set(["hdu", "plane", "rgb"]);
/** Parameters that belong to one frame: no other is given them. */
const OF_ONE_FRAME: ReadonlySet<string> = new Set([...WHICH_PIXELS, "color"]);
/** Levels: for another frame's pixels they are found anew, unless somebody keeps them. */
const LEVELS: ReadonlySet<string> = new Set(["cut", "levels", "mid"]);

function pick<T>(of: Readonly<Record<string, T>>, wanted: (name: string) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(of).filter(([name]) => wanted(name)));
}

/** What other frames may have of a look, or of changes of one. */
export function sharedOf<T>(look: Readonly<Record<string, T>>): Record<string, T> {
  return pick(look, (name) => !OF_ONE_FRAME.has(name));
}

/** What they may not have. */
export function ownOf(look: Look): Look {
  return pick(look, (name) => OF_ONE_FRAME.has(name));
}

/** What the next frame begins with where nobody keeps the levels. */
export function withoutLevels(look: Look): Look {
  return pick(sharedOf(look), (name) => !LEVELS.has(name));
}

/** What a change of one pane is for the others; other pixels are chosen for one frame only, with all that goes with it. */
export function changesForOthers(changes: Changes): Changes {
  const chosen = Object.entries(changes).some(([name, value]) => value !== null && WHICH_PIXELS.has(name));
  return chosen ? {} : sharedOf(changes);
}

/** Levels of three channels for a frame of one: those of green, which has most of the light. Null: there are none of three. */
export function greenOnly<T extends string | null>(look: Readonly<Record<string, T>>): Record<string, T | string> | null {
  const cut = look.cut?.split(",") ?? [];
  const mid = look.mid?.split(",") ?? [];
  if (cut.length !== 6 && mid.length !== 3) return null;
  return { ...look, ...(cut.length === 6 && { cut: cut.slice(2, 4).join(",") }), ...(mid.length === 3 && { mid: mid.slice(1, 2).join(",") }) };
}

/** How many channels a pane's picture has; null: it is not known yet. */
export function channelsOf({ shown, ref, following }: Pane): number | null {
  return following || shown?.ref === ref ? (shown?.levels?.levels.length ?? null) : null;
}

/** With levels that a frame of so many channels can have. */
export function fitting<T extends string | null>(look: Readonly<Record<string, T>>, channels: number | null): Readonly<Record<string, T | string>> {
  return channels === 1 ? (greenOnly(look) ?? look) : look;
}

/** Looks that came from another frame: whether that had as many channels is seen only when the daemon refuses. */
const carried = new WeakSet<Look>();

export function carry(look: Look): Look {
  carried.add(look);
  return look;
}

/** What to show a frame with instead, when it was refused with what it had from another one; null: nothing else. */
export function insteadOf({ look, following }: Pane): Look | null {
  return following || carried.has(look) ? greenOnly(look) : null;
}
