// Which planes a frame has, and which of them a look shows.
import { shownHdu } from "../picture/geometry";
import type { Facts, Hdu, Look } from "../state/types";
import type { Changes } from "./levels";

export const MOSAIC = -1;

/** HDUs that can be shown. */
export function images(facts: Facts): Hdu[] {
  return facts.hdus.filter((hdu) => hdu.reason === null && hdu.shape.length >= 2 && hdu.stored !== null);
}

export function nameOf(hdu: Hdu): string {
  const title = hdu.index === MOSAIC ? "Mosaic" : `${hdu.index}${hdu.name ? ` ${hdu.name}` : ""}`;
  return `${title} · ${sizeOf(hdu.shape)}`;
}

/** A shape as people say it: across first. */
export function sizeOf(shape: readonly number[]): string {
  return [...shape].reverse().join(" × ");
}

/** How many planes an HDU has. */
export function planesOf(hdu: Hdu): number {
  return hdu.shape.slice(0, -2).reduce((product, side) => product * side, 1);
}

/** Show another HDU: what was chosen for the pixels of this one is not for that one. */
export function showHdu(index: number): Changes {
  return { hdu: index === MOSAIC ? "mosaic" : String(index), plane: null, rgb: null, cut: null, mid: null, color: null };
}

/** Ways to make colours that a frame allows. */
export function colours(hdu: Hdu): { value: string; label: string }[] {
  const found = [{ value: "auto", label: "Automatic" }, { value: "mono", label: "One channel" }];
  if (hdu.cfa) found.push({ value: "bayer", label: `Bayer ${hdu.cfa}` });
  if (planesOf(hdu) === 3) found.push({ value: "rgb", label: "Planes as red, green, blue" });
  return found;
}

/** Whether the planes are shown one by one, and not as one colour picture. */
export function onePlane(hdu: Hdu, look: Look): boolean {
  const asColour = look.color === "rgb" || (hdu.rgb && (look.color ?? "auto") === "auto");
  return !look.rgb && planesOf(hdu) > 1 && !asColour;
}

/** Planes of one size as red, green and blue. */
export function composed(places: readonly { hdu: number; plane: number }[]): Changes {
  return {
    rgb: places.map(({ hdu, plane }) => `${hdu}:${plane}`).join(","),
    hdu: null, plane: null, color: null, map: null, cut: null, mid: null,
  };
}

/** The places that a look composes, or a first proposal: the first three planes of the shown HDU's size. */
export function placesOf(facts: Facts, look: Look): { hdu: number; plane: number }[] {
  if (look.rgb) {
    return look.rgb.split(",").map((part) => {
      const [hdu = 0, plane = 0] = part.split(":").map(Number);
      return { hdu, plane };
    });
  }
  const size = (hdu: Hdu) => hdu.shape.slice(-2).join();
  const shown = shownHdu(facts, look);
  const alike = images(facts).filter((hdu) => hdu.index !== MOSAIC && shown && size(hdu) === size(shown));
  const planes = alike.flatMap((hdu) => Array.from({ length: Math.min(planesOf(hdu), 3) }, (_, plane) => ({ hdu: hdu.index, plane })));
  return [0, 1, 2].map((at) => planes[Math.min(at, planes.length - 1)] ?? { hdu: shown?.index ?? 0, plane: 0 });
}

/** Whether a composition is worth offering: more than one plane there is. */
export function composable(facts: Facts): boolean {
  return images(facts).filter((hdu) => hdu.index !== MOSAIC).reduce((count, hdu) => count + planesOf(hdu), 0) > 1;
}
