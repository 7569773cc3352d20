// Where things are: picture pixels, FITS pixels, and CSS pixels of the stage.
import type { Camera, Facts, Geometry, Hdu, Look } from "../state/types";

export interface Point {
  x: number;
  y: number;
}

/** The HDU that a look shows. */
export function shownHdu(facts: Facts, look: Look): Hdu | null {
  if (look.rgb) return facts.hdus.find((hdu) => hdu.index === Number(look.rgb!.split(":")[0])) ?? null;
  const index = look.hdu === undefined ? facts.default_hdu : look.hdu === "mosaic" ? -1 : Number(look.hdu);
  return facts.hdus.find((hdu) => hdu.index === index) ?? null;
}

export function geometryOf(hdu: Hdu, look: Look, rows: "up" | "down"): Geometry {
  const [height = 1, width = 1] = hdu.shape.slice(-2);
  const asked = look.rows === "up" || look.rows === "down" ? look.rows : rows;
  return { width, height, topDown: hdu.top_down ?? asked === "down" };
}

/** FITS pixels (1 at the centre of the first one stored) of a place in the picture. */
export function toFits({ height, topDown }: Geometry, { x, y }: Point): Point {
  return { x: x + 0.5, y: (topDown ? y : height - y) + 0.5 };
}

export function fromFits({ height, topDown }: Geometry, { x, y }: Point): Point {
  return { x: x - 0.5, y: topDown ? y - 0.5 : height - (y - 0.5) };
}

/** The camera as it is, with a fitted one worked out. */
export function resolved(camera: Camera, geometry: Geometry, stage: { width: number; height: number }): Camera {
  if (!camera.fitted) return camera;
  const across = camera.turn % 180 !== 0;
  const [width, height] = across ? [geometry.height, geometry.width] : [geometry.width, geometry.height];
  const scale = Math.min(stage.width / width, stage.height / height) || 1;
  return { ...camera, x: geometry.width / 2, y: geometry.height / 2, scale };
}

/** The matrix (a, b, c, d, e, f of a canvas) from picture pixels to CSS pixels of the stage. `camera` is resolved. */
export function matrixOf(camera: Camera, stage: { width: number; height: number }): [number, number, number, number, number, number] {
  const quarter = camera.turn / 90;
  const cos = [1, 0, -1, 0][quarter]!;
  const sin = [0, 1, 0, -1][quarter]!;
  const mirror = camera.flip ? -1 : 1;
  const s = camera.scale;
  const [a, b, c, d] = [s * cos * mirror, s * sin * mirror, -s * sin, s * cos]; // Mirrored first, then turned.
  return [a, b, c, d, stage.width / 2 - a * camera.x - c * camera.y, stage.height / 2 - b * camera.x - d * camera.y];
}

export function toStage(camera: Camera, stage: { width: number; height: number }, { x, y }: Point): Point {
  const [a, b, c, d, e, f] = matrixOf(camera, stage);
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

export function fromStage(camera: Camera, stage: { width: number; height: number }, { x, y }: Point): Point {
  const [a, b, c, d, e, f] = matrixOf(camera, stage);
  const inverse = 1 / (a * d - b * c);
  return { x: (d * (x - e) - c * (y - f)) * inverse, y: (a * (y - f) - b * (x - e)) * inverse };
}
