// Which planes of which frame a picture is of, as the questions name them.
import { address, planeOf } from "../protocol/http";
import { shownHdu } from "../picture/geometry";
import type { Hdu, Shown } from "../state/types";

export interface PlaneName {
  frame: string;
  hdu?: string;
  plane?: string;
}

type Pictured = Pick<Shown, "ref" | "look" | "facts">;

/** The plane that is measured; of a picture made of three, that of the channel: 0 is red. */
export function mainPlane(shown: Pictured, channel = 0): PlaneName {
  const planes = planesOf(shown);
  return (planes[channel] ?? planes[0])?.plane ?? { frame: shown.ref, ...planeOf(shown.look) };
}

export const COLOURS = ["red", "green", "blue"] as const;

/** The colour that a channel of a picture made of three planes is seen in; "" of a picture of one plane. */
export function colourOf(shown: Pictured, channel: number): string {
  return planesOf(shown).length > 1 ? (COLOURS[channel] ?? COLOURS[0]) : "";
}

/** Which plane of the file that is, for people: "the red plane (HDU 1, plane 0)"; "" of a picture of one plane. */
export function planeWords(shown: Pictured, channel: number): string {
  const colour = colourOf(shown, channel);
  if (!colour) return "";
  const { hdu, plane } = mainPlane(shown, channel);
  const where = [hdu !== undefined && `HDU ${hdu}`, plane !== undefined && `plane ${plane}`].filter(Boolean).join(", ");
  return `the ${colour} plane${where && ` (${where})`}`;
}

/** The planes that a picture shows: one, or red, green and blue. */
export function planesOf(shown: Pictured): { plane: PlaneName; letter: string }[] {
  const { look, ref } = shown;
  const letters = ["R", "G", "B"];
  if (look.rgb) {
    return look.rgb.split(",").slice(0, 3).map((part, at) => {
      const [hdu = "0", plane = "0"] = part.split(":");
      return { plane: { frame: ref, hdu, plane }, letter: letters[at] ?? "" };
    });
  }
  const hdu = shownHdu(shown.facts, look);
  if (hdu?.rgb && look.plane === undefined && (look.color ?? "auto") !== "mono") {
    return letters.map((letter, at) => ({ plane: { frame: ref, ...planeOf(look), plane: String(at) }, letter }));
  }
  return [{ plane: { frame: ref, ...planeOf(look) }, letter: "" }];
}

export function ask(path: string, plane: PlaneName, query: Record<string, string | number | undefined> = {}): string {
  return address(path, { frame: plane.frame, hdu: plane.hdu, plane: plane.plane, ...query });
}

/** What tells one plane's answers from another's. */
export function planeKey({ frame, hdu, plane }: PlaneName): string {
  return `${frame}?${hdu ?? ""}:${plane ?? ""}`;
}

/** The address of a frame's sky grid, and whether there is one: nothing is called a sky position without it. */
export function skyAddress(shown: Shown | null): string | null {
  if (!shown || !shownHdu(shown.facts, shown.look)?.has_wcs) return null;
  const { frame, hdu } = mainPlane(shown);
  return address("wcs", { frame, hdu });
}

/** The colour of a Bayer frame's pixel: the pattern begins at the first pixel stored. */
export function bayerLetter(cfa: string | null, x: number, y: number): string {
  return cfa?.[2 * ((y - 1) & 1) + ((x - 1) & 1)] ?? "";
}

/** Whether a value counts as saturated, where the daemon has not said it of this very pixel. */
export function saturated(hdu: Hdu, value: number): boolean {
  if (hdu.saturate !== null) return value >= hdu.saturate;
  if (!hdu.stored || hdu.stored.startsWith("f")) return false;
  const bits = 8 * Number(hdu.stored.slice(1));
  const highest = hdu.stored.startsWith("u") ? 2 ** bits - 1 : 2 ** (bits - 1) - 1;
  return value >= highest * hdu.bscale + hdu.bzero;
}

/** Why a pixel has no value, as far as the facts tell it. `plane`: of a cube, whose planes lie one after the other. */
export function whyBad(hdu: Hdu, plane: number, y: number): string {
  const height = hdu.shape.at(-2) ?? 1;
  if (plane * height + y > hdu.rows) return "missing: the file is cut short";
  return hdu.stored?.startsWith("f") ? "not a number" : "blank";
}
