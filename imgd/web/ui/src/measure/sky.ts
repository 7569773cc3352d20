// Sky positions between the nodes of the daemon's grid: unit vectors are interpolated, so that there is no seam at
// 0 or 360 degrees and no trouble at a pole.
import type { Point } from "../picture/geometry";
import type { SkyAnswer, SkyGrid } from "./answers";

export type Vector = readonly [number, number, number];
const RADIAN = 180 / Math.PI;

/** The unit vector at a FITS pixel; null outside the grid, or where the projection has none. */
export function vectorAt(grid: SkyGrid, { x, y }: Point): Vector | null {
  const { vectors } = grid;
  if (!vectors) return null;
  const found = blend(grid, x, y, vectors);
  return found && [found[0] ?? 0, found[1] ?? 0, found[2] ?? 0];
}

/** World coordinates at a FITS pixel, in the order of the axes; degrees for a celestial map. */
export function worldAt({ grid }: Pick<SkyAnswer, "grid">, point: Point): [number, number] | null {
  if (!grid) return null;
  if (!grid.vectors) {
    const found = blend(grid, point.x, point.y, grid.world);
    return found && [found[0] ?? 0, found[1] ?? 0];
  }
  const vector = vectorAt(grid, point);
  return vector && lonLat(vector);
}

export function lonLat([x, y, z]: Vector): [number, number] {
  const longitude = Math.atan2(y, x) * RADIAN;
  return [longitude < 0 ? longitude + 360 : longitude, Math.atan2(z, Math.hypot(x, y)) * RADIAN];
}

function blend(grid: SkyGrid, x: number, y: number, nodes: readonly (readonly number[] | null)[]): number[] | null {
  const { xs, ys } = grid;
  const column = cellOf(xs, x);
  const row = cellOf(ys, y);
  if (column < 0 || row < 0) return null;
  const corner = row * xs.length + column;
  const a = nodes[corner];
  const b = nodes[corner + 1];
  const c = nodes[corner + xs.length];
  const d = nodes[corner + xs.length + 1];
  if (!a || !b || !c || !d) return null;
  const u = (x - xs[column]!) / (xs[column + 1]! - xs[column]!);
  const v = (y - ys[row]!) / (ys[row + 1]! - ys[row]!);
  const mixed: number[] = [];
  for (let axis = 0; axis < a.length; axis++) {
    mixed.push((1 - v) * ((1 - u) * a[axis]! + u * b[axis]!) + v * ((1 - u) * c[axis]! + u * d[axis]!));
  }
  return mixed;
}

/** Which cell a coordinate is in; all but the last one have one width. -1: none. */
function cellOf(nodes: readonly number[], at: number): number {
  const first = nodes[0];
  const second = nodes[1];
  const last = nodes[nodes.length - 1];
  if (first === undefined || second === undefined || last === undefined || !(at >= first && at <= last)) return -1;
  return Math.min(nodes.length - 2, Math.floor((at - first) / (second - first)));
}

/** How the sky lies around a FITS pixel: arc seconds of one pixel to the east and north, along x and along y. */
export interface Lie {
  east: Point;
  north: Point;
}

export function lieAt(grid: SkyGrid, { x, y }: Point): Lie | null {
  const here = vectorAt(grid, { x, y });
  const alongX = difference(grid, { x: x - 0.5, y }, { x: x + 0.5, y });
  const alongY = difference(grid, { x, y: y - 0.5 }, { x, y: y + 0.5 });
  if (!here || !alongX || !alongY) return null;
  const [longitude, latitude] = lonLat(here).map((angle) => angle / RADIAN) as [number, number];
  const east: Vector = [-Math.sin(longitude), Math.cos(longitude), 0];
  const north: Vector = [
    -Math.sin(latitude) * Math.cos(longitude),
    -Math.sin(latitude) * Math.sin(longitude),
    Math.cos(latitude),
  ];
  const arcsec = RADIAN * 3600;
  return {
    east: { x: dot(alongX, east) * arcsec, y: dot(alongY, east) * arcsec },
    north: { x: dot(alongX, north) * arcsec, y: dot(alongY, north) * arcsec },
  };
}

function difference(grid: SkyGrid, from: Point, to: Point): Vector | null {
  const a = vectorAt(grid, from);
  const b = vectorAt(grid, to);
  return a && b && [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
