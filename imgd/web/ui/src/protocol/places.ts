// Which tiles a part of a picture needs, when nobody lists them for us.
import type { Box } from "./shelf";

const TILE_PX = 256;

export interface Place {
  level: number;
  column: number;
  row: number;
}

export interface Pixels {
  width: number;
  height: number;
  levels: number;
}

/** The tiles that a box touches, those nearest to its centre first; before them, if `coarse`, one that shows all. */
export function tilesOf({ level, box: [x, y, width, height] }: Box, coarse: boolean, pixels: Pixels): Place[] {
  const found: Place[] = [];
  const across = Math.ceil(Math.ceil(pixels.width / 2 ** level) / TILE_PX);
  const down = Math.ceil(Math.ceil(pixels.height / 2 ** level) / TILE_PX);
  const right = Math.min(across, Math.ceil((x + width) / TILE_PX));
  const bottom = Math.min(down, Math.ceil((y + height) / TILE_PX));
  for (let row = Math.max(0, Math.floor(y / TILE_PX)); row < bottom; row++)
    for (let column = Math.max(0, Math.floor(x / TILE_PX)); column < right; column++) found.push({ level, column, row });
  const [cx, cy] = [(x + width / 2) / TILE_PX - 0.5, (y + height / 2) / TILE_PX - 0.5];
  const far = (place: Place): number => (place.column - cx) ** 2 + (place.row - cy) ** 2;
  found.sort((one, other) => far(one) - far(other));
  const top = pixels.levels - 1;
  return coarse && top > level ? [{ level: top, column: 0, row: 0 }, ...found] : found;
}

export function sizeOf({ level, column, row }: Place, { width, height }: Pixels): { width: number; height: number } {
  const [across, down] = [Math.ceil(width / 2 ** level), Math.ceil(height / 2 ** level)];
  return { width: Math.min(TILE_PX, across - column * TILE_PX), height: Math.min(TILE_PX, down - row * TILE_PX) };
}
