// Levels as the panel handles them: read from the look and from what the last run used, and written back as `cut` and `mid`.
import type { Level, Levels, Look } from "../state/types";
import { clamp, midOfValue, valueOfMid, MID_MAX, MID_MIN, type Curve } from "./curve";

export type Handle = "black" | "mid" | "white";
/** Which channels a handle is of: all of them together, or one of red, green and blue. */
export type Channel = "all" | 0 | 1 | 2;
export type Changes = Record<string, string | null>;

export const CHANNELS = ["Red", "Green", "Blue"] as const;

export function curveOf(look: Look): Curve {
  const power = Number(look.power);
  return { stretch: look.stretch ?? "mtf", power: power > 0 ? power : 2 };
}

/** Whether the channels of a colour picture have one black and one white. */
export function linked(look: Look): boolean {
  return look.neutral === "1" || look.link === "1";
}

function numbers(text: string | undefined): number[] {
  const found = (text ?? "").split(",").map(Number);
  return text && found.every(Number.isFinite) ? found : [];
}

/** The levels asked for: what the look says itself, else what the last run found. One, or one for each of `count` channels. */
export function levelsOf(look: Look, used: Levels | null): Level[] {
  const ran = used?.levels ?? [];
  const cut = numbers(look.cut);
  const mids = numbers(look.mid);
  const count = ran.length || (cut.length === 6 || mids.length === 3 ? 3 : 1);
  const neutralMid = cut.length > 0 || curveOf(look).stretch !== "mtf" ? 0.5 : null;
  return Array.from({ length: count }, (_, at) => {
    const before = ran[at] ?? { black: 0, white: 1, mid: 0.5 };
    const low = cut.length === 6 ? cut[2 * at] : cut[0];
    const high = cut.length === 6 ? cut[2 * at + 1] : cut[1];
    // Levels that a neutral background has moved apart stay as the run has them: their mean is what was asked for.
    const given = low !== undefined && high !== undefined;
    return {
      black: given ? low : before.black,
      white: given ? high : before.white,
      mid: mids[mids.length === 3 ? at : 0] ?? neutralMid ?? before.mid,
    };
  });
}

/** What the handles of a channel show; of all channels together the mean. */
export function levelOf(levels: readonly Level[], channel: Channel): Level {
  if (channel !== "all" && levels[channel]) return levels[channel];
  const mean = (of: keyof Level) => levels.reduce((sum, level) => sum + level[of], 0) / (levels.length || 1);
  if (levels.length === 1 && levels[0]) return levels[0];
  return { black: mean("black"), white: mean("white"), mid: mean("mid") };
}

/** One level with a handle at another value; black stays below white, and the midtone's handle between them. */
export function moveHandle(level: Level, handle: Handle, value: number, curve: Curve): Level {
  const least = Math.max(Math.abs(level.black), Math.abs(level.white), 1e-30) * 1e-9;
  if (handle === "black") return { ...level, black: Math.min(value, level.white - least) };
  if (handle === "white") return { ...level, white: Math.max(value, level.black + least) };
  return { ...level, mid: midOfValue(curve, level, value) };
}

/** The value that a handle stands at. */
export function valueAt(level: Level, handle: Handle, curve: Curve): number {
  return handle === "mid" ? valueOfMid(curve, level) : level[handle];
}

/** All levels after a handle of `channel` was put to `value`: channels that are not linked keep their distances. */
export function afterMove(levels: readonly Level[], channel: Channel, handle: Handle, value: number, look: Look): Level[] {
  const curve = curveOf(look);
  const before = levelOf(levels, channel);
  const after = moveHandle(before, handle, value, curve);
  if (levels.length === 1 || linked(look)) return levels.map(() => after);
  if (channel !== "all") return levels.map((level, at) => (at === channel ? after : level));
  if (handle === "mid") {
    return levels.map((level) => ({ ...level, mid: clamp((level.mid * after.mid) / before.mid, MID_MIN, MID_MAX) }));
  }
  const by = after[handle] - before[handle];
  return levels.map((level) => moveHandle(level, handle, level[handle] + by, curve));
}

/** The look's changes that ask for these levels, whatever chose them before. */
export function changesOf(levels: readonly Level[], look: Look): Changes {
  const together = levels.length === 1 || linked(look);
  const told = together ? [levelOf(levels, "all")] : levels;
  return {
    levels: null,
    cut: told.map(({ black, white }) => `${number(black)},${number(white)}`).join(","),
    mid: told.map(({ mid }) => number(clamp(mid, MID_MIN, MID_MAX))).join(","),
  };
}

/** A number as the daemon reads it: no more digits than a picture of floats can tell. */
export function number(value: number): string {
  return String(Number(value.toPrecision(9)));
}

export const LEVEL_KINDS: readonly { value: string; label: string }[] = [
  { value: "auto", label: "Auto" },
  { value: "zscale", label: "zscale" },
  { value: "0.0005,0.9995", label: "99.9 %" },
  { value: "0.0025,0.9975", label: "99.5 %" },
  { value: "0.005,0.995", label: "99 %" },
  { value: "0.01,0.99", label: "98 %" },
  { value: "0.025,0.975", label: "95 %" },
  { value: "0,1", label: "Min – max" },
];

/** Which of the ways above is in force; "cut": levels given by hand. */
export function kindOf(look: Look): string {
  return look.cut !== undefined ? "cut" : (look.levels ?? "auto");
}

/** Have the daemon find the levels by one of those ways. */
export function askLevels(kind: string): Changes {
  return { cut: null, mid: null, levels: kind === "auto" ? null : kind };
}

/** Of one plane, and never taken back by a reset. */
const WHICH_PLANE = new Set(["hdu", "plane", "rgb", "rows", "flip", "turn"]);

/** Back to the daemon's defaults, of the same plane. */
export function resetOf(look: Look): Changes {
  return Object.fromEntries(Object.keys(look).filter((name) => !WHICH_PLANE.has(name)).map((name) => [name, null]));
}
