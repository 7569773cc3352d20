// Where the labels of a grid stand: at the edge of what is seen, one for each line, none over another.
import type { GridLine, Mesh } from "./grid_lines";

export interface Box {
  x: number; // its upper left corner
  y: number;
  width: number;
  height: number;
}

export interface Label extends Box {
  text: string;
  axis: 0 | 1;
}

type Edge = "left" | "right" | "top" | "bottom";
const HEIGHT = 14;
/** Meridians mostly leave at the top, parallels at the left (tools are at the foot); turned and polar views differ. */
const PREFERRED: readonly [readonly Edge[], readonly Edge[]] = [
  ["top", "bottom", "left", "right"],
  ["left", "right", "top", "bottom"],
];

export function gridLabels(mesh: Mesh, lines: readonly GridLine[], widthOf: (text: string) => number, taken: readonly Box[]): Label[] {
  const occupied: Box[] = [...taken];
  const labels: Label[] = [];
  for (const line of lines) {
    const width = widthOf(line.text);
    const places = PREFERRED[line.axis].flatMap((edge) => ends(mesh, line.pieces, edge).map(([x, y]) => placed(mesh, edge, x, y, width)));
    const [x, y] = line.pieces;
    if (!places.length && x !== undefined && y !== undefined) places.push({ x: x + 3, y: y - HEIGHT, width, height: HEIGHT });
    const place = places.find((box) => !occupied.some((other) => overlap(box, other)));
    if (!place) continue;
    occupied.push(place);
    labels.push({ ...place, text: line.text, axis: line.axis });
  }
  return labels;
}

/** Where a line reaches an edge. */
function ends(mesh: Mesh, pieces: readonly number[], edge: Edge): [number, number][] {
  const found: [number, number][] = [];
  for (let at = 0; at + 1 < pieces.length; at += 2) {
    const [x, y] = [pieces[at]!, pieces[at + 1]!];
    const off = edge === "left" || edge === "right" ? x - mesh[edge] : y - mesh[edge];
    if (Math.abs(off) < 1e-6) found.push([x, y]);
  }
  return found;
}

function placed(mesh: Mesh, edge: Edge, x: number, y: number, width: number): Box {
  const free = (at: number, low: number, high: number) => Math.max(low, Math.min(high, at));
  const left = edge === "left" ? x + 4 : edge === "right" ? x - width - 4 : x + 4;
  const top = edge === "top" ? y + 2 : edge === "bottom" ? y - HEIGHT - 2 : y - HEIGHT - 1;
  return {
    x: free(left, mesh.left + 2, Math.max(mesh.left + 2, mesh.right - width - 2)),
    y: free(top, mesh.top + 2, Math.max(mesh.top + 2, mesh.bottom - HEIGHT - 2)),
    width,
    height: HEIGHT,
  };
}

export function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.width + 4 && b.x < a.x + a.width + 4 && a.y < b.y + b.height && b.y < a.y + a.height;
}
