// The grey of a value as the picture shows it; colour maps are left out.
import type { Level, Look } from "../state/types";
import { midtone, stretched } from "../stretch/curve";

/** 0..255: between black and white, by the picture's stretch and midtone. */
export function greyOf(value: number, { black, white, mid }: Level, stretch: string, look: Look): number {
  const place = white > black ? Math.max(0, Math.min(1, (value - black) / (white - black))) : value >= white ? 1 : 0;
  const bent = midtone(mid, stretched({ stretch, power: Number(look.power ?? 2) }, place));
  return Math.round(255 * (look.invert === "1" ? 1 - bent : bent));
}
