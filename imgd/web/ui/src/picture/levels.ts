// Which tiles are needed: the level of the pyramid, and the tiles of it that the stage shows.
import { fromStage } from "./geometry";
import type { Camera } from "../state/types";
import type { Viewport } from "../protocol/link";

export const TILE_PX = 256;
/** Of one viewport, as the daemon bounds it (`viewport_tiles_max`). */
export const TILES_MAX = 400;

/** A tile's pixel may be a little larger than a device pixel (9 %): what is just short of a level needs no finer one. */
const SLACK = 0.125; // Of a level.

export interface Size {
  width: number;
  height: number;
}

/** Tiles of one level: columns and rows from the first to before the end. */
export interface Grid {
  level: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function countOf(grid: Grid): number {
  return (grid.right - grid.left) * (grid.bottom - grid.top);
}

/** Pixels of a level: halvings, rounded up. */
export function levelSize(plane: Size, level: number): Size {
  const step = 2 ** level;
  return { width: Math.ceil(plane.width / step), height: Math.ceil(plane.height / step) };
}

/** The level where all of the plane is one tile. */
export function topLevel(plane: Size): number {
  return Math.max(0, Math.ceil(Math.log2(Math.max(plane.width, plane.height, 1) / TILE_PX)));
}

/** The coarsest level whose pixels are no larger than a device pixel; the pixels themselves from 100 % up. */
export function levelFor(devicePerPixel: number): number {
  return Math.max(0, Math.floor(Math.log2(1 / devicePerPixel) + SLACK));
}

/** So many device pixels the daemon is told that a picture fits in, as it takes the nearest level, and we the finer one. */
export function fitSize(stage: Size, camera: Camera, dpr: number): Size {
  const across = camera.turn % 180 !== 0;
  const times = dpr * 2 ** (0.5 - SLACK);
  const [width, height] = across ? [stage.height, stage.width] : [stage.width, stage.height];
  return { width: Math.max(1, Math.round(width * times)), height: Math.max(1, Math.round(height * times)) };
}

/** The part of the plane that is on the stage, in picture pixels; null: none of it. `camera` is resolved. */
export function seen(camera: Camera, stage: Size, plane: Size): { x0: number; y0: number; x1: number; y1: number } | null {
  const a = fromStage(camera, stage, { x: 0, y: 0 });
  const b = fromStage(camera, stage, { x: stage.width, y: stage.height });
  const x0 = Math.max(0, Math.min(a.x, b.x));
  const y0 = Math.max(0, Math.min(a.y, b.y));
  const x1 = Math.min(plane.width, Math.max(a.x, b.x));
  const y1 = Math.min(plane.height, Math.max(a.y, b.y));
  return x1 > x0 && y1 > y0 ? { x0, y0, x1, y1 } : null;
}

/** Whether nothing of the plane is on the stage. */
export function isBeside(camera: Camera, stage: Size, plane: Size): boolean {
  return !camera.fitted && stage.width > 0 && seen(camera, stage, plane) === null;
}

function gridAt(level: number, part: { x0: number; y0: number; x1: number; y1: number }): Grid {
  const side = TILE_PX * 2 ** level;
  const slack = 1e-6; // What is seen of a tile by a rounding error is not seen.
  const left = Math.floor(part.x0 / side + slack);
  const top = Math.floor(part.y0 / side + slack);
  return {
    level,
    left,
    top,
    right: Math.max(left + 1, Math.ceil(part.x1 / side - slack)),
    bottom: Math.max(top + 1, Math.ceil(part.y1 / side - slack)),
  };
}

/** The tiles that the stage shows, of the level that belongs there; coarser where they would be too many. */
export function gridFor(camera: Camera, stage: Size, dpr: number, plane: Size, tilesMax = TILES_MAX): Grid | null {
  const part = seen(camera, stage, plane);
  if (!part) return null;
  let level = Math.min(levelFor(camera.scale * dpr), Number.isFinite(plane.width) ? topLevel(plane) : 31);
  while (countOf(gridAt(level, part)) > tilesMax) level += 1;
  return gridAt(level, part);
}

/** The same part in tiles of another level. */
export function gridIn(level: number, camera: Camera, stage: Size, plane: Size): Grid | null {
  const part = seen(camera, stage, plane);
  return part && gridAt(level, part);
}

/** One tile more on each side, within the plane; as it is if these are too many. */
export function ringed(grid: Grid, plane: Size, tilesMax = TILES_MAX): Grid {
  const size = levelSize(plane, grid.level);
  const wider = {
    level: grid.level,
    left: Math.max(0, grid.left - 1),
    top: Math.max(0, grid.top - 1),
    right: Math.min(Math.ceil(size.width / TILE_PX), grid.right + 1),
    bottom: Math.min(Math.ceil(size.height / TILE_PX), grid.bottom + 1),
  };
  return countOf(wider) > tilesMax ? grid : wider;
}

/** What the daemon is asked for. */
export function viewportOf(grid: Grid, dpr: number): Viewport {
  const { left, top, right, bottom } = grid;
  return {
    level: grid.level,
    box: [left * TILE_PX, top * TILE_PX, (right - left) * TILE_PX, (bottom - top) * TILE_PX],
    dpr,
  };
}

export function* placesOf(grid: Grid): Generator<{ level: number; column: number; row: number }> {
  for (let row = grid.top; row < grid.bottom; row += 1)
    for (let column = grid.left; column < grid.right; column += 1) yield { level: grid.level, column, row };
}
