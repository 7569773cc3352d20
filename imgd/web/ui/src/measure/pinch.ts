// Two fingers while a shape is being drawn: they move and zoom the picture, as they do without a tool.
import { fromStage, type Point } from "../picture/geometry";
import type { Camera } from "../state/types";
import type { Size } from "./compass";

export type Fingers = readonly [Point, Point];

/** The camera (resolved) after two fingers went from one pair of places to another. */
export function pinched(camera: Camera, stage: Size, from: Fingers, to: Fingers): Camera {
  const factor = apart(to) / Math.max(1, apart(from));
  const held = fromStage(camera, stage, middle(from));
  const zoomed = { ...camera, scale: Math.max(1e-3, Math.min(64, camera.scale * factor)), fitted: false };
  const now = fromStage(zoomed, stage, middle(to));
  return { ...zoomed, x: zoomed.x + held.x - now.x, y: zoomed.y + held.y - now.y };
}

function apart([a, b]: Fingers): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function middle([a, b]: Fingers): Point {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
