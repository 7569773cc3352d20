// Paints the tiles of one picture: coarse ones first, finer ones over them, all over the glance, on whole device pixels, so that there are
// no seams between them at any zoom.
import { matrixOf, type Point } from "./geometry";
import { countOf, gridFor, gridIn, placesOf, TILE_PX, topLevel } from "./levels";
import type { Grid, Size } from "./levels";
import type { Decoded, Place, TileStore } from "./tiles";
import type { Camera, Geometry } from "../state/types";

type Matrix = readonly [number, number, number, number, number, number];

export interface Scene {
  picture: string;
  glance: ImageBitmap | null; // All of the plane, until the tiles are there.
  geometry: Geometry;
  camera: Camera; // resolved
  stage: Size;
  dpr: number;
}

/** Picture pixels to device pixels, moved by less than a pixel so that the picture's pixels lie on the screen's. */
export function deviceMatrix({ camera, stage, dpr }: Pick<Scene, "camera" | "stage" | "dpr">): Matrix {
  const [a, b, c, d, e, f] = matrixOf(camera, stage);
  return [a * dpr, b * dpr, c * dpr, d * dpr, Math.round(e * dpr), Math.round(f * dpr)];
}

/** The matrix that puts a tile of so many pixels on whole device pixels. */
export function tileMatrix(matrix: Matrix, { level, column, row }: Place, width: number, height: number): Matrix {
  const step = 2 ** level;
  const part = { x: column * TILE_PX * step, y: row * TILE_PX * step, width: width * step, height: height * step };
  return stretched(matrix, part, width, height);
}

/** The matrix that puts so many pixels over a part of the plane, from whole device pixels to whole ones. */
export function stretched([a, b, c, d, e, f]: Matrix, part: Point & Size, width: number, height: number): Matrix {
  const at = (px: number, py: number) => [Math.round(a * px + c * py + e), Math.round(b * px + d * py + f)] as const;
  const origin = at(part.x, part.y);
  const right = at(part.x + part.width, part.y);
  const below = at(part.x, part.y + part.height);
  return [
    (right[0] - origin[0]) / width,
    (right[1] - origin[1]) / width,
    (below[0] - origin[0]) / height,
    (below[1] - origin[1]) / height,
    origin[0],
    origin[1],
  ];
}

/** Paint what there is. Tells the tiles that belong there, and whether all of them were painted. */
export function paint(context: CanvasRenderingContext2D, tiles: TileStore<ImageBitmap>, scene: Scene): { grid: Grid | null; whole: boolean } {
  const { picture, geometry, camera, stage, dpr } = scene;
  const matrix = deviceMatrix(scene);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  const grid = gridFor(camera, stage, dpr, geometry);
  if (!grid) return { grid, whole: true };
  tiles.paint();
  context.save();
  clip(context, matrix, geometry);
  const whole = allSettled(tiles, picture, grid);
  if (!whole && scene.glance) paintGlance(context, scene.glance, matrix, geometry);
  if (!whole)
    for (const level of underlays(tiles.levels(picture), grid.level)) {
      const under = gridIn(level, camera, stage, geometry);
      if (under && countOf(under) <= 600) paintGrid(context, tiles, scene, matrix, under);
    }
  paintGrid(context, tiles, scene, matrix, grid);
  context.restore();
  return { grid, whole };
}

/** Levels to be painted below the one that belongs there: the coarser ones, then finer ones that are at hand. */
function underlays(there: number[], level: number): number[] {
  const finer = there.filter((each) => each < level && each >= level - 2).sort((a, b) => a - b);
  return [...there.filter((each) => each > level), ...finer];
}

/** The same of a picture that is not painted yet: tiles of it that were let go are decoded again. */
export function allReady(tiles: TileStore<ImageBitmap>, picture: string, grid: Grid): boolean {
  for (const place of placesOf(grid)) tiles.use(picture, place);
  return allSettled(tiles, picture, grid);
}

/** Whether tiles lie over all of it that is seen, be they coarser than those that belong there. */
export function isCovered(tiles: TileStore<Decoded>, picture: string, grid: Grid): boolean {
  return tiles.levels(picture).some((level) => level >= grid.level && allSettled(tiles, picture, coarser(grid, level)));
}

/** The tiles of a coarser level in which all of these are. */
function coarser({ level, left, top, right, bottom }: Grid, to: number): Grid {
  const times = 2 ** (to - level);
  return { level: to, left: Math.floor(left / times), top: Math.floor(top / times), right: Math.ceil(right / times), bottom: Math.ceil(bottom / times) };
}

function paintGlance(context: CanvasRenderingContext2D, glance: ImageBitmap, matrix: Matrix, { width, height }: Size): void {
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "low";
  context.setTransform(...stretched(matrix, { x: 0, y: 0, width, height }, glance.width, glance.height));
  context.drawImage(glance, 0, 0);
}

function allSettled(tiles: TileStore<Decoded>, picture: string, grid: Grid): boolean {
  for (const place of placesOf(grid)) if (!tiles.settled(picture, place)) return false;
  return true;
}

function paintGrid(context: CanvasRenderingContext2D, tiles: TileStore<ImageBitmap>, { picture, camera, dpr }: Scene, matrix: Matrix, grid: Grid): void {
  context.imageSmoothingEnabled = camera.scale * dpr < 1 || grid.level > 0; // Pixels are crisp from 100 % up.
  context.imageSmoothingQuality = "low";
  for (const place of placesOf(grid)) {
    const bitmap = tiles.use(picture, place);
    if (!bitmap) continue;
    context.setTransform(...tileMatrix(matrix, place, bitmap.width, bitmap.height));
    context.drawImage(bitmap, 0, 0);
  }
}

/** The last pixels of a coarse level may stand for more than there is of the plane: these parts are not shown. */
function clip(context: CanvasRenderingContext2D, [a, b, c, d, e, f]: Matrix, { width, height }: Size): void {
  const [x0, y0] = [e, f];
  const [x1, y1] = [Math.round(a * width + c * height + e), Math.round(b * width + d * height + f)];
  context.beginPath();
  context.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  context.clip();
}

/** All of the plane in one tile, for the minimap; null if it is not there. */
export function wholeTile(tiles: TileStore<ImageBitmap>, picture: string, geometry: Geometry): ImageBitmap | null {
  return tiles.use(picture, { level: topLevel(geometry), column: 0, row: 0 });
}
