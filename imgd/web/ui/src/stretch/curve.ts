// The daemon's curves, from a value's place between black and white (0..1) to its grey (0..1): the same formulas.
import type { Level } from "../state/types";

export const STRETCHES = ["mtf", "linear", "sqrt", "log", "asinh", "power"] as const;
export type Stretch = (typeof STRETCHES)[number];

export const STRETCH_NAMES: Record<Stretch, string> = {
  mtf: "Midtones", linear: "Linear", sqrt: "Sqrt", log: "Log", asinh: "Asinh", power: "Power",
};

/** A stretch as the page calls it. */
export function stretchName(stretch: string): string {
  return STRETCHES.find((each) => each === stretch) ? STRETCH_NAMES[stretch as Stretch] : stretch;
}

export const MID_MIN = 0.0001;
export const MID_MAX = 0.9999;
const LOG_DEPTH = 1000;
const ASINH_DEPTH = 10;

export interface Curve {
  stretch: string;
  power: number;
}

/** Bend t by the midtone transfer function: `mid` becomes 1/2. */
export function midtone(mid: number, t: number): number {
  return ((mid - 1) * t) / ((2 * mid - 1) * t - mid);
}

/** Bend t before the midtone does. */
export function stretched({ stretch, power }: Curve, t: number): number {
  switch (stretch) {
    case "sqrt":
      return Math.sqrt(t);
    case "log":
      return Math.log1p(LOG_DEPTH * t) / Math.log1p(LOG_DEPTH);
    case "asinh":
      return Math.asinh(ASINH_DEPTH * t) / Math.asinh(ASINH_DEPTH);
    case "power":
      return t ** power;
    default:
      return t;
  }
}

/** The t that is bent to y. */
export function unstretched({ stretch, power }: Curve, y: number): number {
  switch (stretch) {
    case "sqrt":
      return y * y;
    case "log":
      return Math.expm1(y * Math.log1p(LOG_DEPTH)) / LOG_DEPTH;
    case "asinh":
      return Math.sinh(y * Math.asinh(ASINH_DEPTH)) / ASINH_DEPTH;
    case "power":
      return y ** (1 / power);
    default:
      return y;
  }
}

/** The grey, 0..1, of a value in data units. */
export function grey(curve: Curve, level: Level, value: number): number {
  const span = level.white - level.black;
  const t = span > 0 ? clamp((value - level.black) / span, 0, 1) : value < level.black ? 0 : 1;
  return midtone(level.mid, stretched(curve, t));
}

/** The value in data units that is drawn as middle grey: where the midtone's handle stands. */
export function valueOfMid(curve: Curve, level: Level): number {
  return level.black + unstretched(curve, level.mid) * (level.white - level.black);
}

/** The midtone that draws this value as middle grey. */
export function midOfValue(curve: Curve, { black, white }: Level, value: number): number {
  const t = white > black ? clamp((value - black) / (white - black), 0, 1) : 0.5;
  return clamp(stretched(curve, t), MID_MIN, MID_MAX);
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
