// A loupe of the raw pixels around the cursor, beside the pointer; with numbers where the picture is large already.
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useStore } from "../state/store";
import type { Camera } from "../state/types";
import { useVersion } from "./asking";
import { matrixOf, resolved, type Point } from "../picture/geometry";
import { greyOf } from "./levels_grey";
import { coloursOf } from "./paint";
import { boxes, useToldPlace, type Place } from "./place";
import { bayerLetter, planeKey, planesOf } from "./subject";
import { valueText } from "./words";
import "./magnifier.css";

const SIDE = 168; // CSS pixels
const CELL = 8;
const CELL_NUMBERS = SIDE / 5;
const NUMBERS_FROM = 4; // CSS pixels of one picture pixel
const GAP = 28;
const FINGER_GAP = 48;
const FINGER_STAYS_MS = 3000; // After it was lifted from the glass.

export function Magnifier() {
  const wanted = useStore((state) => state.overlays.magnifier);
  return wanted ? <Loupe /> : null;
}

function Loupe() {
  const place = useToldPlace();
  const version = useVersion(place?.shown ?? null);
  const stage = useStore((state) => state.stage);
  const camera = useStore((state) => state.camera);
  const canvas = useRef<HTMLCanvasElement>(null);
  const pointer = usePointer();
  useLayoutEffect(() => {
    const context = canvas.current && prepared(canvas.current);
    if (context && place) paint(context, place, version, resolved(camera, place.shown.geometry, stage));
  }, [place, version, camera, stage, pointer === null]);
  if (!place || !pointer) return null;
  return (
    <div className="magnifier" style={beside(pointer)} aria-hidden="true">
      <canvas ref={canvas} style={{ width: SIDE, height: SIDE }} />
    </div>
  );
}

interface Pointer extends Point {
  touch: boolean;
}

function usePointer(): Pointer | null {
  const [pointer, setPointer] = useState<Pointer | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (event: PointerEvent) => {
      clearTimeout(timer);
      const overPicture = event.target instanceof Element && event.target.closest(".pane") !== null;
      setPointer(overPicture ? { x: event.clientX, y: event.clientY, touch: event.pointerType !== "mouse" } : null);
    };
    const lifted = (event: PointerEvent) => {
      if (event.pointerType !== "mouse") timer = setTimeout(() => setPointer(null), FINGER_STAYS_MS);
    };
    const events = [["pointermove", heard], ["pointerdown", heard], ["pointerup", lifted], ["pointercancel", lifted]] as const;
    for (const [name, hear] of events) window.addEventListener(name, hear, { capture: true, passive: true });
    return () => {
      clearTimeout(timer);
      for (const [name, hear] of events) window.removeEventListener(name, hear, { capture: true });
    };
  }, []);
  return pointer;
}

/** Beside the pointer, on the side where there is room; above a finger, which would hide it. */
function beside({ x, y, touch }: Pointer): { left: number; top: number } {
  const [width, height] = [window.innerWidth, window.innerHeight];
  const gap = touch ? FINGER_GAP : GAP;
  if (touch) {
    const top = y - gap - SIDE;
    if (top >= 4) return { left: Math.max(4, Math.min(width - SIDE - 4, x - SIDE / 2)), top };
    return { left: x > width / 2 ? x - gap - SIDE : x + gap, top: 4 };
  }
  return {
    left: x + gap + SIDE > width - 8 ? x - gap - SIDE : x + gap,
    top: Math.max(4, Math.min(height - SIDE - 40, y - SIDE / 2)),
  };
}

function prepared(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const dpr = window.devicePixelRatio || 1;
  const side = Math.round(SIDE * dpr);
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context?.setTransform(dpr, 0, 0, dpr, 0, 0);
  context?.clearRect(0, 0, SIDE, SIDE);
  return context;
}

/** Cells lie as the picture's pixels do on the stage: turned and mirrored likewise. */
function paint(context: CanvasRenderingContext2D, place: Place, version: string, camera: Camera): void {
  const numbers = camera.scale >= NUMBERS_FROM;
  const cell = numbers ? CELL_NUMBERS : CELL;
  const half = Math.ceil(SIDE / cell / 2);
  const [a, b, c, d] = matrixOf(camera, { width: 0, height: 0 }).map((each) => Math.sign(Math.round((each / camera.scale) * 10)));
  const up = place.shown.geometry.topDown ? 1 : -1;
  const keys = planesOf(place.shown).map(({ plane }) => `${version}/${planeKey(plane)}`);
  for (let dy = -half; dy <= half; dy++) {
    for (let dx = -half; dx <= half; dx++) {
      const x = SIDE / 2 + cell * ((a ?? 0) * dx + (c ?? 0) * dy * up - 0.5);
      const y = SIDE / 2 + cell * ((b ?? 0) * dx + (d ?? 0) * dy * up - 0.5);
      paintCell(context, place, keys, { x: place.x + dx, y: place.y + dy }, { x, y, cell, numbers });
    }
  }
  const { accent, ground } = coloursOf(context.canvas);
  for (const [colour, width] of [[ground, 4], [accent, 1.5]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect((SIDE - cell) / 2, (SIDE - cell) / 2, cell, cell);
  }
}

interface Cell extends Point {
  cell: number;
  numbers: boolean;
}

function paintCell(context: CanvasRenderingContext2D, place: Place, keys: readonly string[], pixel: Point, at: Cell): void {
  const { geometry, levels, look } = place.shown;
  if (pixel.x < 1 || pixel.y < 1 || pixel.x > geometry.width || pixel.y > geometry.height) return;
  const values = keys.map((key) => boxes.value(key, pixel.x, pixel.y)?.value);
  if (values.some((value) => value === undefined)) return;
  const greys = values.map((value, band) => {
    const colour = "RGB".indexOf(bayerLetter(place.hdu.cfa, pixel.x, pixel.y) || "R");
    const level = levels?.levels[keys.length > 1 ? band : colour] ?? levels?.levels[0];
    return value === null || value === undefined || !level ? 0 : greyOf(Number(value), level, levels?.stretch ?? "mtf", look);
  });
  const [red = 0, green = red, blue = red] = greys;
  context.fillStyle = `rgb(${red},${green},${blue})`;
  context.fillRect(at.x, at.y, at.cell + 0.5, at.cell + 0.5);
  const first = values[0] ?? null;
  if (at.numbers || first === null) {
    context.font = at.numbers ? "11px system-ui, sans-serif" : "8px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = green > 128 ? "#000" : "#fff";
    context.fillText(first === null ? (at.numbers ? "bad" : "×") : cellText(first), at.x + at.cell / 2, at.y + at.cell / 2, at.cell - 2);
  }
}

function cellText(value: number | string): string {
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : valueText(value);
}
