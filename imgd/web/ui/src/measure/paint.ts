// What the overlay's canvas shows: grid, stars, compass, scale bar, marks.
import type { Point } from "../picture/geometry";
import type { SkyAnswer, Star } from "./answers";
import { compassOf, fitsToStage, placer, scaleBar, type Chart, type Size } from "./compass";
import { gridLabels, type Box } from "./grid_labels";
import { gridLines, meshOf } from "./grid_lines";
import type { Lie } from "./sky";

/** The page's colours as they are now: night mode changes them. */
export interface Colours {
  ground: string;
  text: string;
  accent: string;
  plot: string;
  wrong: string;
}

export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return { ground: read("ground"), text: read("text"), accent: read("accent"), plot: read("plot"), wrong: read("wrong") };
}

const FONT = "12px system-ui, sans-serif";
const LEFT = 14;
const ARROW = 26;
const BAR_PX = 160;

/** Where nothing else is written: the scale bar, and the compass above it. */
export function cornersOf({ height }: Size): { bar: Box; compass: Box } {
  const low = height - 16;
  return { bar: { x: 0, y: low - 18, width: BAR_PX + 20, height: 34 }, compass: { x: 0, y: low - 114, width: 92, height: 96 } };
}

export function paintText(context: CanvasRenderingContext2D, text: string, x: number, y: number, colours: Colours, colour: string): void {
  context.font = FONT;
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = colours.ground;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

/** Strokes twice, the first time wider and dark: it is seen on bright and on dark pixels. */
export function strokeTwice(context: CanvasRenderingContext2D, colours: Colours, colour: string, width = 1.5): void {
  context.globalAlpha = 0.6;
  context.strokeStyle = colours.ground;
  context.lineWidth = width + 2;
  context.stroke();
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

export function paintGrid(context: CanvasRenderingContext2D, chart: Chart, sky: SkyAnswer, colours: Colours, taken: readonly Box[]): void {
  const mesh = meshOf(chart, sky);
  if (!mesh) return;
  const lines = gridLines(mesh, sky);
  context.beginPath();
  for (const { pieces } of lines) {
    for (let at = 0; at + 3 < pieces.length; at += 4) {
      context.moveTo(pieces[at]!, pieces[at + 1]!);
      context.lineTo(pieces[at + 2]!, pieces[at + 3]!);
    }
  }
  for (const [colour, width, alpha] of [[colours.ground, 2.5, 0.45], [colours.plot, 1.1, 0.85]] as const) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
  context.globalAlpha = 1;
  context.font = FONT;
  context.textBaseline = "top";
  for (const { text, x, y } of gridLabels(mesh, lines, (text) => context.measureText(text).width, taken)) {
    paintText(context, text, x, y + 1, colours, colours.plot);
  }
}

export const STAR_PX_MIN = 4;

/** Twice the half-flux radius around a star, in CSS pixels; never too small to be seen, nor as large as a nebula around it. */
export function starRadius(star: Star, scale: number): number {
  return Math.max(star.saturated ? STAR_PX_MIN + 3 : STAR_PX_MIN, 2 * Math.min(star.hfr ?? star.fwhm / 2, star.fwhm) * scale);
}

/** The stars that are drawn: the brightest of those in view, no more than leave the picture to be seen. */
export function starsInView(chart: Chart, stars: readonly Star[]): { star: Star; at: Point }[] {
  const { width, height } = chart.stage;
  const most = Math.max(40, (width * height) / 1600);
  const seen: { star: Star; at: Point }[] = [];
  const place = placer(chart, fitsToStage);
  for (const star of stars) {
    const at = place(star);
    if (at.x < -30 || at.y < -30 || at.x > width + 30 || at.y > height + 30) continue;
    seen.push({ star, at });
    if (seen.length >= most) break;
  }
  return seen;
}

/** Saturated stars are dashed; what is no whole star (blended, cut, sharper than a star) is fainter. */
export function paintStars(context: CanvasRenderingContext2D, chart: Chart, stars: readonly Star[], colours: Colours): void {
  const seen = starsInView(chart, stars);
  for (const kind of ["odd", "plain", "saturated"] as const) {
    context.beginPath();
    for (const { star, at } of seen) {
      if (kindOf(star) !== kind) continue;
      const radius = starRadius(star, chart.camera.scale);
      context.moveTo(at.x + radius, at.y);
      context.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    }
    context.setLineDash(kind === "saturated" ? [5, 3] : []);
    if (kind === "odd") strokeFaint(context, colours.accent);
    else strokeTwice(context, colours, kind === "saturated" ? colours.wrong : colours.accent, kind === "saturated" ? 2 : 1.2);
  }
  context.setLineDash([]);
}

function kindOf({ saturated, flags }: Star): "odd" | "plain" | "saturated" {
  return saturated ? "saturated" : flags.length ? "odd" : "plain";
}

function strokeFaint(context: CanvasRenderingContext2D, colour: string): void {
  context.globalAlpha = 0.5;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.stroke();
  context.globalAlpha = 1;
}

/** North and east where the sky is known; else the directions of x and y, which are called so. */
export function paintCompass(context: CanvasRenderingContext2D, chart: Chart, lie: Lie | null, colours: Colours, at: Point): void {
  const sky = lie && compassOf(chart, lie);
  const flat = compassOf(chart, { east: { x: 1, y: 0 }, north: { x: 0, y: 1 } });
  const arrows = sky ?? flat;
  if (!arrows) return;
  context.beginPath();
  for (const { x, y } of [arrows.north, arrows.east]) {
    const tip = { x: at.x + x * ARROW, y: at.y + y * ARROW };
    context.moveTo(at.x, at.y);
    context.lineTo(tip.x, tip.y);
    context.lineTo(tip.x - 6 * x + 4 * y, tip.y - 6 * y - 4 * x);
    context.moveTo(tip.x, tip.y);
    context.lineTo(tip.x - 6 * x - 4 * y, tip.y - 6 * y + 4 * x);
  }
  strokeTwice(context, colours, colours.text);
  context.textAlign = "center";
  context.textBaseline = "middle";
  const names = sky ? ["N", "E"] : ["y", "x"];
  for (const [index, { x, y }] of [arrows.north, arrows.east].entries()) {
    paintText(context, names[index] ?? "", at.x + x * (ARROW + 10), at.y + y * (ARROW + 10), colours, colours.text);
  }
  context.textAlign = "left";
}

export function paintBar(context: CanvasRenderingContext2D, chart: Chart, lie: Lie | null, colours: Colours, { y: top }: Box): void {
  const { width, text } = scaleBar(chart, lie, Math.min(BAR_PX, chart.stage.width / 3));
  const y = top + 18;
  context.beginPath();
  context.moveTo(LEFT, y - 5);
  context.lineTo(LEFT, y);
  context.lineTo(LEFT + width, y);
  context.lineTo(LEFT + width, y - 5);
  strokeTwice(context, colours, colours.text);
  context.textBaseline = "alphabetic";
  paintText(context, text, LEFT + 5, y - 5, colours, colours.text);
}

export function paintFound(context: CanvasRenderingContext2D, at: Point, words: string, colours: Colours): void {
  context.beginPath();
  context.arc(at.x, at.y, 14, 0, 2 * Math.PI);
  for (const [x, y] of [[1, 0], [0, 1], [-1, 0], [0, -1]] as const) {
    context.moveTo(at.x + 8 * x, at.y + 8 * y);
    context.lineTo(at.x + 22 * x, at.y + 22 * y);
  }
  strokeTwice(context, colours, colours.accent);
  context.textBaseline = "middle";
  paintText(context, words, at.x + 20, at.y - 14, colours, colours.accent);
}

export function paintProbe(context: CanvasRenderingContext2D, at: Point, colours: Colours): void {
  context.beginPath();
  context.arc(at.x, at.y, 5, 0, 2 * Math.PI);
  strokeTwice(context, colours, colours.wrong, 2);
}
