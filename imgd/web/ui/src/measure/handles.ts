// Shapes as they are drawn, moved and resized, in FITS pixels.
import type { Point } from "../picture/geometry";
import type { Shape, Tool } from "../state/types";

/** A place to take hold of; `at` names it: a line's "1" and "2", corners "00" to "11", a circle's "e" "n" "w" "s". */
export interface Handle extends Point {
  at: string;
}

const CORNERS = ["00", "10", "11", "01"];
const RIM: Record<string, Point> = { e: { x: 1, y: 0 }, n: { x: 0, y: 1 }, w: { x: -1, y: 0 }, s: { x: 0, y: -1 } };

/** The shape that a drag from one place to another draws. */
export function drawn(tool: Tool, from: Point, to: Point): Shape | null {
  if (tool === "line") return rounded({ kind: "line", x1: from.x, y1: from.y, x2: to.x, y2: to.y });
  if (tool === "circle") return rounded({ kind: "circle", ...from, radius: Math.hypot(to.x - from.x, to.y - from.y) });
  if (tool === "rect") return rectOf(from, to);
  return null;
}

/** A shape around a place, for those who do not drag; `size`: how far it reaches. */
export function placedAt(tool: Tool, { x, y }: Point, size: number): Shape | null {
  const reach = Math.max(2, Math.round(size));
  if (tool === "circle") return drawn(tool, { x, y }, { x: x + reach, y });
  return drawn(tool, { x: x - reach, y: tool === "line" ? y : y - reach }, { x: x + reach, y: tool === "line" ? y : y + reach });
}

/** Whole pixels, so that a rectangle's borders lie between pixels. */
function rectOf(a: Point, b: Point): Shape {
  const [left, right] = [Math.round(Math.min(a.x, b.x) - 0.5), Math.round(Math.max(a.x, b.x) - 0.5)];
  const [low, high] = [Math.round(Math.min(a.y, b.y) - 0.5), Math.round(Math.max(a.y, b.y) - 0.5)];
  const [width, height] = [Math.max(1, right - left), Math.max(1, high - low)];
  return { kind: "rect", x: left + 0.5 + width / 2, y: low + 0.5 + height / 2, width, height };
}

function rounded(shape: Shape): Shape {
  return Object.fromEntries(
    Object.entries(shape).map(([name, value]) => [name, typeof value === "number" ? Math.round(value * 100) / 100 : value]),
  ) as Shape;
}

/** Too small to be meant: a click, not a drag. */
export function isTiny(shape: Shape, least: number): boolean {
  if (shape.kind === "line") return Math.hypot(shape.x2 - shape.x1, shape.y2 - shape.y1) < least;
  return shape.kind === "circle" ? shape.radius < least : Math.max(shape.width, shape.height) < least;
}

export function handlesOf(shape: Shape): Handle[] {
  if (shape.kind === "line") {
    return [{ at: "1", x: shape.x1, y: shape.y1 }, { at: "2", x: shape.x2, y: shape.y2 }];
  }
  if (shape.kind === "circle") {
    return Object.entries(RIM).map(([at, { x, y }]) => ({ at, x: shape.x + x * shape.radius, y: shape.y + y * shape.radius }));
  }
  return CORNERS.map((at) => corner(shape, at));
}

function corner(shape: Extract<Shape, { kind: "rect" }>, at: string): Handle {
  return {
    at,
    x: shape.x + (at[0] === "0" ? -0.5 : 0.5) * shape.width,
    y: shape.y + (at[1] === "0" ? -0.5 : 0.5) * shape.height,
  };
}

/** The shape after one of its handles was brought somewhere. */
export function resized(shape: Shape, at: string, to: Point): Shape {
  if (shape.kind === "line") {
    return rounded(at === "1" ? { ...shape, x1: to.x, y1: to.y } : { ...shape, x2: to.x, y2: to.y });
  }
  if (shape.kind === "circle") {
    return rounded({ ...shape, radius: Math.max(0.5, Math.hypot(to.x - shape.x, to.y - shape.y)) });
  }
  const opposite = corner(shape, CORNERS[(CORNERS.indexOf(at) + 2) % 4] ?? "00");
  return rectOf(opposite, to);
}

export function moved(shape: Shape, by: Point): Shape {
  if (shape.kind === "line") {
    return rounded({ ...shape, x1: shape.x1 + by.x, y1: shape.y1 + by.y, x2: shape.x2 + by.x, y2: shape.y2 + by.y });
  }
  if (shape.kind === "rect") return { ...shape, x: half(shape.x + by.x), y: half(shape.y + by.y) };
  return rounded({ ...shape, x: shape.x + by.x, y: shape.y + by.y });
}

function half(value: number): number {
  return Math.round(value * 2) / 2;
}

/** How the daemon is asked about it. */
export function shapeNumbers(shape: Shape): string {
  if (shape.kind === "line") return `${shape.x1},${shape.y1},${shape.x2},${shape.y2}`;
  return shape.kind === "circle"
    ? `${shape.x},${shape.y},${shape.radius}`
    : `${shape.x},${shape.y},${shape.width},${shape.height}`;
}

/** What a screen reader says of it. */
export function shapeWords(shape: Shape): string {
  const n = (value: number) => String(Math.round(value * 10) / 10);
  if (shape.kind === "line") return `Line from ${n(shape.x1)}, ${n(shape.y1)} to ${n(shape.x2)}, ${n(shape.y2)}`;
  const centre = `at ${n(shape.x)}, ${n(shape.y)}`;
  return shape.kind === "circle"
    ? `Circle ${centre} of radius ${n(shape.radius)}`
    : `Rectangle ${centre}, ${n(shape.width)} by ${n(shape.height)}`;
}
