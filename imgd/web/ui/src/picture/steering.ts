// Between the store's camera and OpenSeadragon's viewport, and what moves make of a camera.
import { FITTED } from "../state/store";
import { fromStage } from "./geometry";
import type { Size } from "./levels";
import type { Point } from "./geometry";
import type { Camera, Geometry } from "../state/types";

/** OpenSeadragon's measures: the plane is 1 wide; at zoom 1 the plane's width is the stage's. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export function toViewport({ x, y, scale }: Camera, { width }: Geometry, stage: Size): View {
  return { x: x / width, y: y / width, zoom: (scale * width) / stage.width };
}

/** OpenSeadragon turns first and mirrors then; the camera mirrors first. */
export function degreesOf({ turn, flip }: Camera): number {
  return flip ? (360 - turn) % 360 : turn;
}

export function toCamera({ x, y, zoom }: View, camera: Camera, { width }: Geometry, stage: Size): Camera {
  return { ...camera, x: x * width, y: y * width, scale: (zoom * stage.width) / width };
}

/** The same place, but for rounding errors. */
export function same(a: Camera | null, b: Camera | null): boolean {
  if (!a || !b) return false;
  const near = 1e-6 / Math.max(a.scale, 1e-12); // Of a CSS pixel.
  return Math.abs(a.x - b.x) < near && Math.abs(a.y - b.y) < near && Math.abs(a.scale / b.scale - 1) < 1e-9;
}

/** All of the plane, turned and mirrored as before. */
export function fitted({ turn, flip }: Camera): Camera {
  return { ...FITTED, turn, flip };
}

/** Moved by fractions of the stage, as it is seen: to the right and down. */
export function panned(camera: Camera, stage: Size, dx: number, dy: number): Camera {
  const centre = fromStage(camera, stage, { x: stage.width * (0.5 + dx), y: stage.height * (0.5 + dy) });
  return { ...camera, ...centre };
}

/** Turned clockwise, or mirrored left and right, as it is seen. */
export function turned({ turn, flip }: Camera, move: { kind: "turn"; by: number } | { kind: "flip" }): Pick<Camera, "turn" | "flip"> {
  if (move.kind === "turn") return { turn: quarter(turn + move.by), flip };
  return { turn: quarter(-turn), flip: !flip }; // Mirrored as seen: after the turn, so the turn goes the other way round.
}

function quarter(degrees: number): Camera["turn"] {
  return ((((degrees % 360) + 360) % 360) as Camera["turn"]);
}

/**
 * What a double click does: 100 % with the place under the pointer staying there; null, at 100 % or nearer: all of it.
 * `place`: what is under the pointer, in picture pixels; `at`: the pointer on the stage.
 */
export function doubled(camera: Camera, fitted: boolean, place: Point, at: Point, stage: Size, dpr: number): Camera | null {
  if (!fitted && camera.scale * dpr >= 0.999) return null;
  return held({ ...camera, scale: 1 / dpr, fitted: false }, place, at, stage);
}

/** Moved so that a place of the picture is seen at a point of the stage. */
export function held(camera: Camera, place: Point, at: Point, stage: Size): Camera {
  const there = fromStage(camera, stage, at);
  return { ...camera, x: camera.x + place.x - there.x, y: camera.y + place.y - there.y };
}
