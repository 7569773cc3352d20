// Where north and east are on the stage, and how long round lengths are there.
import { fromStage, toFits, toStage, fromFits, type Point } from "../picture/geometry";
import type { Camera, Geometry } from "../state/types";
import { lieAt, type Lie } from "./sky";
import type { SkyGrid } from "./answers";
import { angleText } from "./words";

export interface Size {
  width: number;
  height: number;
}

/** FITS pixels to CSS pixels of the stage, and back, for one camera. */
export interface Chart {
  geometry: Geometry;
  camera: Camera;
  stage: Size;
}

export function fitsToStage({ geometry, camera, stage }: Chart, point: Point): Point {
  return toStage(camera, stage, fromFits(geometry, point));
}

export function stageToFits({ geometry, camera, stage }: Chart, point: Point): Point {
  return toFits(geometry, fromStage(camera, stage, point));
}

/** The same for many points: the camera is worked out once. */
export function placer(chart: Chart, direction: typeof fitsToStage): (point: Point) => Point {
  const [origin, alongX, alongY] = [direction(chart, { x: 0, y: 0 }), direction(chart, { x: 1, y: 0 }), direction(chart, { x: 0, y: 1 })];
  const [a, b, c, d] = [alongX.x - origin.x, alongX.y - origin.y, alongY.x - origin.x, alongY.y - origin.y];
  return ({ x, y }) => ({ x: origin.x + a * x + c * y, y: origin.y + b * x + d * y });
}

/** How the sky lies at the centre of the stage, or of what is seen of the plane there. */
export function lieOf(chart: Chart, grid: SkyGrid): Lie | null {
  const centre = stageToFits(chart, { x: chart.stage.width / 2, y: chart.stage.height / 2 });
  const { width, height } = chart.geometry;
  return lieAt(grid, { x: clamp(centre.x, 1, width), y: clamp(centre.y, 1, height) });
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** Unit vectors on the stage (y down) towards north and east; null where the sky has no two directions there. */
export function compassOf(chart: Chart, { east, north }: Lie): { north: Point; east: Point } | null {
  const determinant = east.x * north.y - east.y * north.x;
  if (Math.abs(determinant) < 1e-9 * Math.hypot(east.x, east.y) * Math.hypot(north.x, north.y)) return null;
  // The inverse matrix: FITS pixels for an arc second to the north, and to the east.
  const northwards = onStage(chart, { x: -east.y / determinant, y: east.x / determinant });
  const eastwards = onStage(chart, { x: north.y / determinant, y: -north.x / determinant });
  return { north: unit(northwards), east: unit(eastwards) };
}

function onStage(chart: Chart, by: Point): Point {
  const from = fitsToStage(chart, { x: 0, y: 0 });
  const to = fitsToStage(chart, by);
  return { x: to.x - from.x, y: to.y - from.y };
}

function unit({ x, y }: Point): Point {
  const length = Math.hypot(x, y);
  return { x: x / length, y: y / length };
}

/** Arc seconds of one CSS pixel along the stage's width. */
export function arcsecAcross(chart: Chart, { east, north }: Lie): number {
  const from = stageToFits(chart, { x: 0, y: 0 });
  const to = stageToFits(chart, { x: 1, y: 0 });
  const by = { x: to.x - from.x, y: to.y - from.y };
  return Math.hypot(by.x * east.x + by.y * east.y, by.x * north.x + by.y * north.y);
}

const ARC = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 72000, 108000, 216000];

/** The longest round length of at most `most` CSS pixels. `each`: units of one CSS pixel. */
export function roundLength(each: number, most: number, arc: boolean): number {
  const limit = each * most;
  if (arc && limit >= 1) return ARC.findLast((length) => length <= limit) ?? 1;
  const power = 10 ** Math.floor(Math.log10(limit));
  return ([5, 2, 1].find((digit) => digit * power <= limit) ?? 1) * power;
}

export interface Bar {
  width: number; // CSS pixels
  text: string;
}

/** The bar: arc seconds where the sky is known, else pixels of the plane. */
export function scaleBar(chart: Chart, lie: Lie | null, most: number): Bar {
  const each = lie ? arcsecAcross(chart, lie) : 1 / chart.camera.scale;
  const length = roundLength(each, most, lie !== null);
  const text = lie ? angleText(length) : `${Number(length.toPrecision(3))} px`;
  return { width: length / each, text };
}
