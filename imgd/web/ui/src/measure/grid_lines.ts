// Lines of equal right ascension and declination (or of any two axes) on the stage, found as contours on a mesh.
import { fitsToStage, placer, stageToFits, type Chart } from "./compass";
import type { SkyAnswer } from "./answers";
import { lonLat, vectorAt, worldAt, type Vector } from "./sky";
import { labelText, longitudeStep, latitudeStep, plainStep } from "./grid_steps";

export interface GridLine {
  axis: 0 | 1;
  value: number;
  text: string;
  /** x1, y1, x2, y2 of each piece, CSS pixels of the stage. */
  pieces: number[];
}

/** What is seen of the plane, and the sky at the nodes of a mesh over it. */
export interface Mesh {
  left: number;
  top: number;
  right: number;
  bottom: number;
  columns: number; // nodes across
  rows: number;
  vectors: (Vector | null)[] | null; // of a celestial map
  world: ([number, number] | null)[];
}

/** A function of the node: the line is where `f` is 0, and only where `g` is above 0. */
interface Field {
  f: Float64Array;
  g: Float64Array | null;
}

const CELL_PX = 16;
const APART_PX = 110;
const LINES_MAX = 80;

export function meshOf(chart: Chart, sky: SkyAnswer): Mesh | null {
  const { geometry, stage } = chart;
  const a = fitsToStage(chart, { x: 0.5, y: 0.5 });
  const b = fitsToStage(chart, { x: geometry.width + 0.5, y: geometry.height + 0.5 });
  const left = Math.max(0, Math.min(a.x, b.x));
  const top = Math.max(0, Math.min(a.y, b.y));
  const right = Math.min(stage.width, Math.max(a.x, b.x));
  const bottom = Math.min(stage.height, Math.max(a.y, b.y));
  if (!(right - left > 2 && bottom - top > 2) || !sky.grid) return null;
  const columns = Math.max(8, Math.ceil((right - left) / CELL_PX)) + 1;
  const rows = Math.max(8, Math.ceil((bottom - top) / CELL_PX)) + 1;
  const mesh: Mesh = { left, top, right, bottom, columns, rows, vectors: sky.grid.vectors ? [] : null, world: [] };
  const place = placer(chart, stageToFits);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = place({ x: xOf(mesh, column), y: yOf(mesh, row) });
      const inside = { x: within(at.x, geometry.width), y: within(at.y, geometry.height) };
      const vector = mesh.vectors && vectorAt(sky.grid, inside);
      mesh.vectors?.push(vector);
      mesh.world.push(mesh.vectors ? vector && lonLat(vector) : worldAt(sky, inside));
    }
  }
  return mesh;
}

/** The outermost nodes lie on the plane's border: rounding must not put them beyond it. */
function within(at: number, length: number): number {
  return Math.max(0.5, Math.min(length + 0.5, at));
}

function xOf(mesh: Mesh, column: number): number {
  return mesh.left + ((mesh.right - mesh.left) * column) / (mesh.columns - 1);
}

function yOf(mesh: Mesh, row: number): number {
  return mesh.top + ((mesh.bottom - mesh.top) * row) / (mesh.rows - 1);
}

export function gridLines(mesh: Mesh, sky: SkyAnswer): GridLine[] {
  const lines: GridLine[] = [];
  for (const axis of [0, 1] as const) {
    const { step, values } = mesh.vectors ? celestial(mesh, mesh.vectors, axis, sky.system === "equatorial") : linear(mesh, axis);
    for (const value of values.slice(0, LINES_MAX)) {
      const pieces = contour(mesh, fieldOf(mesh, axis, value));
      if (pieces.length) lines.push({ axis, value, text: labelText(sky, axis, value, step), pieces });
    }
  }
  return lines;
}

function celestial(mesh: Mesh, vectors: (Vector | null)[], axis: 0 | 1, hours: boolean): { step: number; values: number[] } {
  const known = vectors.filter((vector) => vector !== null);
  const across = median(gaps(mesh, vectors)); // degrees of one mesh cell
  if (!known.length || !(across > 0)) return { step: 1, values: [] };
  const cell = Math.min((mesh.right - mesh.left) / (mesh.columns - 1), (mesh.bottom - mesh.top) / (mesh.rows - 1));
  const wanted = (across / cell) * APART_PX;
  if (axis === 1) {
    const latitudes = known.map((vector) => lonLat(vector)[1]);
    const step = latitudeStep(wanted);
    return { step, values: multiples(least(latitudes), most(latitudes), step).filter((value) => Math.abs(value) < 90) };
  }
  const step = longitudeStep(wanted / Math.max(1e-6, median(known.filter((_, at) => at % 13 === 0).map(([x, y]) => Math.hypot(x, y)))), hours);
  return { step, values: longitudes(known, step) };
}

/** Multiples of `step` between the least and the greatest longitude, counted from the middle: 0 is no seam. */
function longitudes(known: readonly Vector[], step: number): number[] {
  const sum = known.reduce<Vector>((to, [x, y, z]) => [to[0] + x, to[1] + y, to[2] + z], [0, 0, 0]);
  const [middle] = lonLat(sum);
  const offsets = known.map((vector) => wrap(lonLat(vector)[0] - middle));
  const all = most(offsets) - least(offsets) > 300; // A pole is in it, or the whole sky.
  const values = all ? multiples(0, 360 - step / 2, step) : multiples(middle + least(offsets), middle + most(offsets), step);
  return values.map((value) => ((value % 360) + 360) % 360);
}

function wrap(degrees: number): number {
  return degrees - 360 * Math.round(degrees / 360);
}

function linear(mesh: Mesh, axis: 0 | 1): { step: number; values: number[] } {
  const known = mesh.world.filter((world) => world !== null).map((world) => world[axis]);
  const [low, high] = [least(known), most(known)];
  const count = Math.max(2, Math.max(mesh.right - mesh.left, mesh.bottom - mesh.top) / APART_PX);
  if (!(high > low)) return { step: 1, values: [] };
  const step = plainStep((high - low) / count);
  return { step, values: multiples(low, high, step) };
}

function multiples(low: number, high: number, step: number): number[] {
  const values: number[] = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step && values.length <= 4 * LINES_MAX; n++) values.push(n * step);
  return values;
}

/** Angles between neighbours, degrees. */
function gaps(mesh: Mesh, vectors: (Vector | null)[]): number[] {
  const found: number[] = [];
  for (let node = 0; node + 1 < vectors.length; node += 7) {
    const [a, b] = [vectors[node], vectors[node + 1]];
    if (!a || !b || (node + 1) % mesh.columns === 0) continue;
    found.push((Math.hypot(b[0] - a[0], b[1] - a[1], b[2] - a[2]) * 180) / Math.PI);
  }
  return found;
}

/** A meridian is where y cos(a) - x sin(a) is 0, on that side of the poles where x cos(a) + y sin(a) is above 0. */
function fieldOf(mesh: Mesh, axis: 0 | 1, value: number): Field {
  const { vectors, world } = mesh;
  const f = new Float64Array(world.length).fill(NaN);
  if (!vectors || axis === 1) {
    for (let node = 0; node < f.length; node++) {
      const known = world[node];
      if (known) f[node] = known[axis] - value;
    }
    return { f, g: null };
  }
  const g = new Float64Array(world.length);
  const [cos, sin] = [Math.cos((value * Math.PI) / 180), Math.sin((value * Math.PI) / 180)];
  for (let node = 0; node < f.length; node++) {
    const known = vectors[node];
    if (!known) continue;
    f[node] = known[1] * cos - known[0] * sin;
    g[node] = known[0] * cos + known[1] * sin;
  }
  return { f, g };
}

interface Crossing {
  x: number;
  y: number;
  g: number;
}

/** Pieces of the line in each cell of the mesh, between the points where it crosses the cell's sides. */
function contour(mesh: Mesh, field: Field): number[] {
  const pieces: number[] = [];
  const { f } = field;
  for (let row = 0; row + 1 < mesh.rows; row++) {
    for (let column = 0; column + 1 < mesh.columns; column++) {
      const node = row * mesh.columns + column;
      const below = f[node]! < 0;
      if (below === f[node + 1]! < 0 && below === f[node + mesh.columns]! < 0 && below === f[node + mesh.columns + 1]! < 0) continue;
      const found: Crossing[] = [];
      for (const [x1, y1, x2, y2] of SIDES) {
        const at = crossing(mesh, field, column + x1, row + y1, column + x2, row + y2);
        if (at) found.push(at);
      }
      for (let pair = 0; pair + 1 < found.length; pair += 2) addPiece(pieces, found[pair]!, found[pair + 1]!);
    }
  }
  return pieces;
}

const SIDES = [[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]] as const;

function crossing(mesh: Mesh, { f, g }: Field, c1: number, r1: number, c2: number, r2: number): Crossing | null {
  const [a, b] = [r1 * mesh.columns + c1, r2 * mesh.columns + c2];
  const [fa, fb] = [f[a] ?? NaN, f[b] ?? NaN];
  if (!((fa < 0 && fb >= 0) || (fa >= 0 && fb < 0))) return null;
  const t = fa / (fa - fb);
  const [ga, gb] = g ? [g[a] ?? NaN, g[b] ?? NaN] : [1, 1];
  const [x1, y1, x2, y2] = [xOf(mesh, c1), yOf(mesh, r1), xOf(mesh, c2), yOf(mesh, r2)];
  return { x: x1 + t * (x2 - x1), y: y1 + t * (y2 - y1), g: ga + t * (gb - ga) };
}

function addPiece(pieces: number[], a: Crossing, b: Crossing): void {
  if (!(a.g > 0 || b.g > 0)) return;
  const [from, to] = a.g > 0 ? [a, b] : [b, a];
  const t = to.g > 0 ? 1 : from.g / (from.g - to.g); // It ends at the pole.
  pieces.push(from.x, from.y, from.x + t * (to.x - from.x), from.y + t * (to.y - from.y));
}

function least(values: readonly number[]): number {
  return values.reduce((low, value) => Math.min(low, value), Infinity);
}

function most(values: readonly number[]): number {
  return values.reduce((high, value) => Math.max(high, value), -Infinity);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
