// Which source pixels are seen on the stage.
import { fromStage, resolved } from "../picture/geometry";
import type { Camera, Geometry, Shape } from "../state/types";

/** A rectangle of source pixels as `region=` has it: counted from 0 at the first pixel stored. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

const NEARLY = 1e-6; // A corner this near to a pixel's edge is on it: sums of fractions are not exact.

/** The part of the plane that is seen, as whole pixels; null when the stage shows none of it. */
export function visibleRegion(camera: Camera, geometry: Geometry, stage: { width: number; height: number }): Region | null {
  const seen = resolved(camera, geometry, stage);
  const one = fromStage(seen, stage, { x: 0, y: 0 });
  const other = fromStage(seen, stage, { x: stage.width, y: stage.height });
  const left = Math.max(0, Math.floor(Math.min(one.x, other.x) + NEARLY));
  const right = Math.min(geometry.width, Math.ceil(Math.max(one.x, other.x) - NEARLY));
  const top = Math.max(0, Math.floor(Math.min(one.y, other.y) + NEARLY));
  const bottom = Math.min(geometry.height, Math.ceil(Math.max(one.y, other.y) - NEARLY));
  if (!(right > left && bottom > top)) return null;
  return { x: left, y: geometry.topDown ? top : geometry.height - bottom, width: right - left, height: bottom - top };
}

export function isWhole(region: Region, geometry: Geometry): boolean {
  return region.width === geometry.width && region.height === geometry.height;
}

/** As FITS has it: both ends counted, from 1. */
export function sectionOf({ x, y, width, height }: Region): string {
  return `[${x + 1}:${x + width},${y + 1}:${y + height}]`;
}

/** What a shape that was drawn encloses; of a line and of a shape beside the plane nothing. */
export function drawnRegion(shape: Shape | null, geometry: Geometry): Region | null {
  if (!shape || shape.kind === "line") return null;
  const [halfX, halfY] = shape.kind === "rect" ? [shape.width / 2, shape.height / 2] : [shape.radius, shape.radius];
  const clip = (low: number, high: number, most: number): [number, number] => [
    Math.max(0, Math.floor(low - 0.5 + NEARLY)), Math.min(most, Math.ceil(high - 0.5 - NEARLY)), // The first pixel's edge is at 0.5.
  ];
  const [left, right] = clip(shape.x - halfX, shape.x + halfX, geometry.width);
  const [low, high] = clip(shape.y - halfY, shape.y + halfY, geometry.height);
  return right > left && high > low ? { x: left, y: low, width: right - left, height: high - low } : null;
}

/** For the name of a file: which part it is of. */
export function regionWords(region: Region, geometry: Geometry): string {
  if (isWhole(region, geometry)) return "";
  return `x${region.x + 1}-${region.x + region.width}-y${region.y + 1}-${region.y + region.height}`;
}
