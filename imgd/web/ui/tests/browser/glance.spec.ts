// A very large frame is seen coarse first, and the page says so, until the exact picture is there.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { WebSocketRoute } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { fitted, JPEG, seenAt, stageOf, unlike, type Point, type Rgb } from "./hands";
import { asksPython, bench, closes, opens, serves, SIZES, temporary, until, type Service, type Size, type Watched } from "./rig";

const PLANE: Point = [16384, 12288]; // Larger than what is made at once.
const SQUARE_PX = 1024;
const LOOK = "stretch=linear&cut=0,65535";
const WORDS = "Coarse: from some of the rows. The exact picture is coming.";
const [TILE, GLANCE] = [2, 3]; // Kinds of binary frames.
const GLANCE_OFF = 20; // Grey levels: it is encoded small, and of some of the rows.

/** Squares on the ground: where they begin, and the values of their even and odd rows, by FITS pixels. */
const SQUARES = [
  [2048, 2048, 65535, 65535],
  [12288, 9216, 49152, 49152],
  [12288, 2048, 0, 0],
  [2048, 9216, 0, 32768], // Of one row in several it is one or the other; exact it is between them.
] as const;
const GROUND = 32768; // Of what was never written: a hole of the file.
const FRAME = `
import sys
import numpy as np
name, width, height, side, ground = sys.argv[1], *map(int, sys.argv[2:6])
cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": width, "NAXIS2": height, "BZERO": ground, "BSCALE": 1}
header = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in cards.items()) + "END".ljust(80)
with open(name, "wb") as frame:
    frame.write(header.ljust(2880).encode())
    for square in sys.argv[6:]:
        left, bottom, *values = map(int, square.split(","))
        rows = [np.full(side, value - ground, ">i2").tobytes() for value in values]
        for row in range(side):
            frame.seek(2880 + 2 * ((bottom + row) * width + left))
            frame.write(rows[row % 2])
    frame.truncate(-(-(2880 + 2 * width * height) // 2880) * 2880)  # What was not written takes no place on the disk.
`;

const FRAMES_MAX = 3; // A glance that a loaded machine does not make soon is left out: then another frame is opened.

let service: Service;
let folder: string;
bench();
beforeAll(async () => {
  folder = join(temporary(), "large");
  mkdirSync(folder);
  service = await serves([folder]);
});

/** Write a frame that nobody has opened yet; gives its name. */
function another(name: string): string {
  const file = join(folder, `${name}.fits`);
  asksPython(FRAME, file, ...[...PLANE, SQUARE_PX, GROUND].map(String), ...SQUARES.map((each) => each.join(",")));
  return `large/${name}.fits`;
}

/** What the daemon sends is kept back from its first tile on, until it is let through; nothing else is changed. */
class Holding {
  readonly kinds: number[] = [];
  private readonly waiting: (() => void)[] = [];
  private holds: boolean;

  constructor(holds: boolean) {
    this.holds = holds;
  }

  connect(page: WebSocketRoute): void {
    const daemon = page.connectToServer();
    daemon.onMessage((message) => {
      if (typeof message !== "string") this.kinds.push(message[1]!);
      if (this.holds && (this.waiting.length || this.kinds.includes(TILE))) this.waiting.push(() => page.send(message));
      else page.send(message);
    });
  }

  letThrough(): void {
    this.holds = false;
    for (const send of this.waiting.splice(0)) send();
  }
}

async function opensLarge(frame: string, size: Size, holding: Holding): Promise<Watched> {
  const watched = await opens(service, "docs", size);
  await watched.page.routeWebSocket(/\/live$/, (socket) => holding.connect(socket));
  await watched.page.goto(`${service.url}#frame=${frame}&${LOOK}`);
  return watched;
}

/** Open new frames until one is seen coarse. */
async function opensCoarse(size: Size): Promise<{ frame: string; watched: Watched; holding: Holding }> {
  for (let at = 1; at <= FRAMES_MAX; at += 1) {
    const frame = another(`${size.name}-${at}`);
    const holding = new Holding(true);
    const watched = await opensLarge(frame, size, holding);
    await until(() => holding.kinds.length > 0, "something of it comes", 60_000);
    if (holding.kinds[0] === GLANCE) return { frame, watched, holding };
    holding.letThrough();
    await isExact(watched, frame);
    await closes(watched);
  }
  throw new Error(`${FRAMES_MAX} large frames were opened, and none was seen coarse`);
}

/** The grey in the middle of each square, and beside it on the ground. */
async function greys(watched: Watched): Promise<{ places: Point[]; seen: Rgb[] }> {
  const stage = await stageOf(watched);
  const at = (x: number, y: number): Point => seenAt(fitted(PLANE, stage), stage, [x, PLANE[1] - y]);
  const middle = SQUARE_PX / 2;
  const places = SQUARES.flatMap(([x, y]) => [at(x + middle, y + middle), at(x - middle, y + middle)]);
  return { places, seen: await watched.colours(places) };
}

function wanted(of: (even: number, odd: number) => number): Rgb[] {
  return SQUARES.flatMap(([, , even, odd]) => [of(even, odd), GROUND]).map((value) => [value / 257, value / 257, value / 257] as const);
}

async function isExact(watched: Watched, frame: string): Promise<void> {
  await watched.shows(frame, 60_000);
  const { places, seen } = await greys(watched);
  expect(unlike(places, seen, wanted((even, odd) => (even + odd) / 2), JPEG)).toEqual([]);
  expect(await watched.page.getByText(WORDS).count()).toBe(0);
  expect(await watched.page.locator('.pane[data-coarse="true"]').count()).toBe(0);
}

/** What the timeline says of the first picture, and of the one that was there to stay. */
async function marks(watched: Watched): Promise<(boolean | undefined)[]> {
  return await watched.page.evaluate(() =>
    ["imgd:first", "imgd:complete"].map((name) => (performance.getEntriesByName(name)[0] as PerformanceMark | undefined)?.detail?.coarse as boolean | undefined),
  );
}

describe.each(SIZES)("$name", (size) => {
  let opened = ""; // By the first test.

  test("a frame that takes long is seen coarse, and it is said; then exact, and it is not", async () => {
    const { frame, watched, holding } = await opensCoarse(size);
    const { page } = watched;
    await page.locator(`.pane[data-coarse="true"][data-shown="${frame}"]`).waitFor();
    const status = page.getByRole("status").filter({ hasText: WORDS });
    await status.waitFor();
    const stage = await stageOf(watched);
    const { places, seen } = await greys(watched);
    const even = wanted((value) => value).slice(0, 6);
    expect(unlike(places.slice(0, 6), seen.slice(0, 6), even, GLANCE_OFF), "a coarse picture of the same").toEqual([]);
    await until(() => holding.kinds.includes(TILE), "the tiles are made", 60_000);
    expect(holding.kinds.slice(0, 2)).toEqual([GLANCE, TILE]);
    expect(await page.locator(".pane").getAttribute("data-complete")).toBe("false");
    await watched.keeps("glance");
    holding.letThrough();
    await isExact(watched, frame);
    expect(await stageOf(watched), "nothing has moved").toEqual(stage);
    expect(holding.kinds.filter((kind) => kind === GLANCE)).toHaveLength(1);
    expect(await marks(watched)).toEqual([true, false]);
    await watched.keeps("glance-exact");
    await closes(watched);
    opened = frame;
  });

  test("opened again, it is exact at once", async () => {
    const holding = new Holding(false);
    expect(opened, "opened by the test before").not.toBe("");
    const watched = await opensLarge(opened, size, holding);
    await isExact(watched, opened);
    expect(new Set(holding.kinds)).toEqual(new Set([TILE]));
    expect(await marks(watched)).toEqual([false, false]);
    await closes(watched);
  });
});
