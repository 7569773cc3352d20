// Where things are on the stage, worked out anew from what the page promises; and hands: a mouse, fingers, keys.
import type { CDPSession, Locator } from "playwright-core";
import { expect } from "vitest";
import { until, type Watched } from "./rig";

export type Rgb = readonly [number, number, number];
export type Point = readonly [number, number];

export interface Stage {
  left: number;
  top: number;
  width: number;
  height: number;
  dpr: number;
}

/** As the address line has it: the picture pixel at the stage's centre, CSS pixels for one of the picture. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
  turn: number;
  flip: boolean;
}

export const JPEG = 3; // Grey levels that the encoding may be off in the middle of an even area.

/** Where the stage is on the screen, in CSS pixels. */
export async function stageOf(watched: Watched): Promise<Stage> {
  return await watched.page.evaluate(() => {
    const canvas = document.querySelector("canvas.picture");
    if (!canvas) throw new Error("there is no picture");
    const { left, top } = canvas.getBoundingClientRect();
    return { left, top, width: canvas.clientWidth, height: canvas.clientHeight, dpr: devicePixelRatio };
  });
}

/** The camera that shows all of a plane. */
export function fitted([width, height]: Point, stage: Stage, turn = 0, flip = false): Camera {
  const [across, down] = turn % 180 ? [height, width] : [width, height];
  return { x: width / 2, y: height / 2, scale: Math.min(stage.width / across, stage.height / down), turn, flip };
}

/** Where a place of the picture (0, 0 is its upper left corner) is seen on the stage: mirrored first, then turned clockwise. */
export function seenAt({ x, y, scale, turn, flip }: Camera, stage: Stage, [px, py]: Point): Point {
  const [dx, dy] = [(flip ? x - px : px - x) * scale, (py - y) * scale];
  const [sx, sy] = turn === 90 ? [-dy, dx] : turn === 180 ? [-dx, -dy] : turn === 270 ? [dy, -dx] : [dx, dy];
  return [stage.width / 2 + sx, stage.height / 2 + sy];
}

/** Whether a place is on the stage, and not within so many pixels of its edge. */
export function isSeen(stage: Stage, [x, y]: Point, margin = 1): boolean {
  return x >= margin && y >= margin && x < stage.width - margin && y < stage.height - margin;
}

/** What is not within the tolerance, in words. */
export function unlike(places: readonly Point[], seen: readonly Rgb[], wanted: readonly Rgb[], tolerance: number): string[] {
  return seen.flatMap((colour, at) =>
    colour.every((each, band) => Math.abs(each - (wanted[at]?.[band] ?? NaN)) <= tolerance)
      ? []
      : [`at ${places[at]?.map((each) => each.toFixed(1)).join(",")}: ${colour.join(",")}, not ${wanted[at]?.join(",")}`],
  );
}

/** Wait until these places of the stage have these colours. */
export async function comesTo(watched: Watched, places: readonly Point[], wanted: readonly Rgb[], tolerance = JPEG, limitMs = 10_000): Promise<void> {
  expect(places.length, "places that are looked at").toBeGreaterThan(0);
  let wrong: string[] = [];
  try {
    await until(async () => !(wrong = unlike(places, await watched.colours(places), wanted, tolerance)).length, "the colours", limitMs);
  } catch {
    expect(wrong, "colours on the stage").toEqual([]);
  }
}

/** Change the address line, as who pastes another link into it. */
export async function goesTo(watched: Watched, hash: string): Promise<void> {
  await watched.page.evaluate((next) => void (location.hash = next), hash);
}

/** What the address line says of a parameter; "" if nothing. */
export function told(watched: Watched, name: string): string {
  const found = new URL(watched.page.url()).hash.slice(1).split("&").find((part) => part.startsWith(`${name}=`));
  return decodeURIComponent(found?.slice(name.length + 1) ?? "");
}

/** The camera that the address line tells; null: the whole plane is seen. */
export function cameraTold(watched: Watched): Camera | null {
  const [x, y, scale] = told(watched, "at").split(",").map(Number);
  if (x === undefined || y === undefined || scale === undefined) return null;
  return { x, y, scale, turn: Number(told(watched, "turned") || 0), flip: told(watched, "mirrored") === "1" };
}

/** Wait until the address line tells a camera of which this is so, and the picture is there. */
export async function looksWhere(watched: Watched, ref: string, so: (camera: Camera | null) => boolean, what: string): Promise<Camera | null> {
  try {
    await until(() => so(cameraTold(watched)), what);
  } catch (error) {
    throw new Error(`${String(error)}; it is ${new URL(watched.page.url()).hash}`, { cause: error });
  }
  await watched.shows(ref);
  return cameraTold(watched);
}

export const near = (a: number, b: number, by: number): boolean => Math.abs(a - b) <= by;

// ---- hands

/** Press a button: by finger where there is a touch screen. */
export async function press(watched: Watched, what: Locator): Promise<void> {
  if (watched.size.touch) await what.tap();
  else await what.click();
}

/** A tool of the bar over the stage; where room is short it is behind the one that opens its group. */
export async function pressTool(watched: Watched, name: string | RegExp, group?: string): Promise<void> {
  const tool = watched.page.locator(".toolbar").getByRole("button", { name });
  if (group && !(await tool.isVisible())) await press(watched, watched.page.locator(".toolbar .opener").and(watched.page.getByRole("button", { name: group, exact: true })));
  await press(watched, tool);
}

/** Fingers, as the glass tells of them. Places are CSS pixels of the page. */
export class Fingers {
  private constructor(private readonly session: CDPSession) {}

  static async of(watched: Watched): Promise<Fingers> {
    return new Fingers(await watched.context.newCDPSession(watched.page));
  }

  private async tell(type: "touchStart" | "touchMove" | "touchEnd", points: readonly Point[]): Promise<void> {
    await this.session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id, radiusX: 8, radiusY: 8, force: 1 })) });
  }

  async tap(at: Point, times = 1): Promise<void> {
    for (let time = 0; time < times; time++) {
      await this.tell("touchStart", [at]);
      await this.tell("touchEnd", []);
    }
  }

  /** Move fingers from some places to others, and lift them. */
  async move(from: readonly Point[], to: readonly Point[], steps = 12): Promise<void> {
    await this.tell("touchStart", from);
    for (let step = 1; step <= steps; step++) {
      await this.tell("touchMove", from.map(([x, y], at) => [x + (((to[at]?.[0] ?? x) - x) * step) / steps, y + (((to[at]?.[1] ?? y) - y) * step) / steps] as const));
    }
    await this.tell("touchEnd", []);
  }
}

/** Drag by what the device has: a mouse, or a finger. */
export async function drags(watched: Watched, from: Point, to: Point): Promise<void> {
  if (watched.size.touch) return await (await Fingers.of(watched)).move([from], [to]);
  const { mouse } = watched.page;
  await mouse.move(...from);
  await mouse.down();
  await mouse.move(...to, { steps: 12 });
  await mouse.up();
}
