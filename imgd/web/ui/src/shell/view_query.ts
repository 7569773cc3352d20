// The address of what is seen: the same part of the same plane with the same look, flip and turn.
import { mainPlane } from "../measure/subject";
import { address } from "../protocol/http";
import type { Camera, Look, Shown } from "../state/types";
import { isWhole, type Region } from "./region";

export type PictureFormat = "png" | "jpeg" | "webp";
export type ExportFormat = "fits" | "png" | "tiff" | "npy";

/** No side of a picture in full resolution is longer: larger ones are made smaller to fit. */
export const SIDE_MAX = 12000;

const OUR_OWN = new Set(["frame", "region", "size", "format", "quality", "flip", "turn"]);

/** The address of a picture of `region`; `box`: fitted into so many pixels, else as many as the source has. */
export function pictureAddress(
  shown: Pick<Shown, "ref" | "look" | "geometry">, camera: Pick<Camera, "flip" | "turn">, region: Region,
  format: PictureFormat, box?: { width: number; height: number },
): string {
  return address("img", {
    frame: shown.ref,
    ...lookOfPart(shown.look, region, shown.geometry),
    region: isWhole(region, shown.geometry) ? undefined : regionText(region),
    flip: camera.flip ? "h" : undefined,
    turn: camera.turn || undefined,
    size: box ? `${Math.max(1, Math.round(box.width))},${Math.max(1, Math.round(box.height))}` : fullSize(region),
    format,
    quality: format === "jpeg" ? 95 : undefined,
  });
}

/** A part has the levels of the whole plane, as on the stage, unless they are said. */
function lookOfPart(look: Look, region: Region, geometry: Shown["geometry"]): Look {
  const kept = Object.fromEntries(Object.entries(look).filter(([name]) => !OUR_OWN.has(name)));
  return isWhole(region, geometry) || kept.levels_from !== undefined ? kept : { ...kept, levels_from: "plane" };
}

function fullSize(region: Region): string {
  return Math.max(region.width, region.height) > SIDE_MAX ? `${SIDE_MAX},${SIDE_MAX}` : "max";
}

/**
 * The address of the pixels themselves, as they are stored: neither stretched nor turned. Of a picture made of three
 * planes it is one of them: 0 is red.
 */
export function exportAddress(shown: Pick<Shown, "ref" | "look" | "geometry" | "facts">, channel: number, region: Region, format: ExportFormat): string {
  const { hdu, plane } = mainPlane(shown, channel);
  return address("export", {
    frame: shown.ref,
    hdu,
    plane,
    region: isWhole(region, shown.geometry) ? undefined : regionText(region),
    format,
  });
}

function regionText({ x, y, width, height }: Region): string {
  return `${x},${y},${width},${height}`;
}
