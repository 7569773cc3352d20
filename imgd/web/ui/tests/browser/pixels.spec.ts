// The colours on screen are what the values of a known frame say, however it is seen.
import { describe, expect, test } from "vitest";
import { benchOfKnown, closes, opens, SIZES, until, type Size, type Watched } from "./rig";
import { cameraTold, comesTo, fitted, goesTo, pressTool, seenAt, stageOf, unlike, type Camera, type Point, type Rgb, type Stage } from "./hands";
import { BLOCKS, blocksSeen, grey, isRight, LOOK, sizeOf, WHITE } from "./blocks";

const stand = benchOfKnown();

async function opensBlocks(size: Size, more = ""): Promise<{ watched: Watched; stage: Stage }> {
  const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}${more}`, size);
  await watched.shows(BLOCKS);
  return { watched, stage: await stageOf(watched) };
}

describe.each(SIZES)("$name", (size) => {
  test("fitted", async () => {
    const { watched, stage } = await opensBlocks(size);
    await isRight(watched, stand.truth, fitted(sizeOf(stand.truth.blocks), stage), stage, 48);
    await watched.keeps("pixels-fitted");
    await closes(watched);
  });

  test("turned by quarters, and mirrored as it is seen then", async () => {
    const { watched, stage } = await opensBlocks(size);
    const plane = sizeOf(stand.truth.blocks);
    for (const turn of [90, 180, 270]) {
      await pressTool(watched, /^Turn by a quarter/);
      await isRight(watched, stand.truth, fitted(plane, stage, turn), stage, 48);
      await watched.keeps(`pixels-turned-${turn}`);
    }
    await pressTool(watched, /^Flip/); // What is seen: left and right change places. Mirrored first it is turned the other way.
    await isRight(watched, stand.truth, fitted(plane, stage, 90, true), stage, 48);
    await pressTool(watched, /^Turn by a quarter/);
    await isRight(watched, stand.truth, fitted(plane, stage, 180, true), stage, 48);
    await watched.keeps("pixels-mirrored-turned");
    await closes(watched);
  });

  test("1:1 and 2:1: each pixel a square of one and of two, also turned and mirrored", async () => {
    const { watched, stage } = await opensBlocks(size);
    await pressTool(watched, /^1:1/);
    await watched.page.getByText("100 %", { exact: true }).waitFor();
    const camera = { ...fitted(sizeOf(stand.truth.blocks), stage), scale: 1 / stage.dpr };
    await isRight(watched, stand.truth, camera, stage, 30);
    await edgeIsSharp(watched, camera, stage);
    await watched.keeps("pixels-1-1");
    await watched.page.keyboard.press("2");
    await watched.page.getByText("200 %", { exact: true }).waitFor();
    const twice = { ...camera, scale: 2 / stage.dpr };
    await isRight(watched, stand.truth, twice, stage, 6);
    await edgeIsSharp(watched, twice, stage);
    await pressTool(watched, /^Flip/);
    await pressTool(watched, /^Turn by a quarter/);
    await isRight(watched, stand.truth, { ...twice, turn: 90, flip: true }, stage, 6);
    await watched.keeps("pixels-2-1");
    await closes(watched);
  });

  test("where a link says", async () => {
    const at = { x: 250, y: 420, scale: 1.5, turn: 180, flip: false };
    const { watched, stage } = await opensBlocks(size, `&at=${at.x},${at.y},${at.scale}&turned=180`);
    await isRight(watched, stand.truth, at, stage, 6);
    expect(cameraTold(watched)).toEqual(at);
    await watched.keeps("pixels-linked");
    await closes(watched);
  });

  test("inverted; cut; in the colours of a map, chosen in the panel", async () => {
    const { watched, stage } = await opensBlocks(size, "&invert=1");
    const camera = fitted(sizeOf(stand.truth.blocks), stage);
    await isRight(watched, stand.truth, camera, stage, 48, (value) => grey(WHITE - value));
    await watched.keeps("pixels-inverted");
    await goesTo(watched, `#frame=${BLOCKS}&cut=10000,30000&stretch=linear`);
    await isRight(watched, stand.truth, camera, stage, 48, (value) => grey(Math.max(0, value - 10_000) * 2.5));
    await goesTo(watched, `#frame=${BLOCKS}&${LOOK}&panel=stretch`);
    await watched.page.getByRole("combobox", { name: "Colour map" }).selectOption("viridis");
    const smaller = await stageOf(watched);
    // matplotlib's viridis at 0, 0.5 and 0.94.
    const wanted = new Map<number, Rgb>([[0, [68, 1, 84]], [25_000, [33, 145, 140]], [47_000, [215, 226, 25]]]);
    const blocks = blocksSeen(stand.truth, fitted(sizeOf(stand.truth.blocks), smaller), smaller).filter(({ value }) => wanted.has(value));
    expect(blocks.length).toBe(3);
    await comesTo(watched, blocks.map(({ place }) => place), blocks.map(({ value }) => wanted.get(value)!), 8);
    await watched.keeps("pixels-viridis");
    await closes(watched);
  });

  test("bad pixels have the colour of bad ones", async () => {
    const ref = "known/floats.fits";
    const watched = await opens(stand.service, `#frame=${ref}&cut=-1,1&stretch=linear&bad=00ff00`, size);
    await watched.shows(ref);
    const stage = await stageOf(watched);
    const camera = fitted([300, 200], stage);
    // x 71..80, y 51..60 in FITS pixels are bad; y counts from the foot. Beside them the ramp has its own grey.
    const at = (x: number, y: number): Point => seenAt(camera, stage, [x - 0.5, 200 - y + 0.5]);
    const value = (x: number, y: number): number => -1 + (2 * ((y - 1) * 300 + x - 1)) / (300 * 200 - 1);
    const level = (x: number, y: number): Rgb => {
      const each = Math.round((255 * (value(x, y) + 1)) / 2);
      return [each, each, each];
    };
    await comesTo(watched, [at(75, 55), at(73, 58)], [[0, 255, 0], [0, 255, 0]], 20);
    await comesTo(watched, [at(30, 30), at(150, 150), at(280, 190), at(75, 100)], [level(30, 30), level(150, 150), level(280, 190), level(75, 100)]);
    await watched.keeps("pixels-bad");
    await closes(watched);
  });

  test("rows that are missing of a truncated frame have the colour of bad ones, and it is said", async () => {
    const ref = "known/truncated.fits";
    const watched = await opens(stand.service, `#frame=${ref}&${LOOK}&bad=ff0000`, size);
    await watched.shows(ref);
    const stage = await stageOf(watched);
    const camera = fitted(sizeOf(stand.truth.blocks), stage);
    const at = (x: number, y: number): Point => seenAt(camera, stage, [x, stand.truth.truncated.of - y]);
    await comesTo(watched, [at(150, 50), at(150, 150), at(650, 225)], [grey(1000), grey(9000), grey(22_000)]);
    await comesTo(watched, [at(150, 280), at(450, 400), at(650, 590)], [[255, 0, 0], [255, 0, 0], [255, 0, 0]], 20);
    await expect.poll(() => watched.page.getByRole("note").first().innerText(), { timeout: 10_000 }).toMatch(/truncated.*250 of 600 rows/);
    await watched.keeps("pixels-truncated");
    await closes(watched);
  });
});

/** Between two blocks there is one edge, on whole device pixels: nothing lies between the two greys. */
async function edgeIsSharp(watched: Watched, camera: Camera, stage: Stage): Promise<void> {
  const { side_px, columns, rows, step } = stand.truth.blocks;
  const [column, row] = [columns / 2, rows / 2 - 1]; // The edge at the centre of the plane, half way up a block.
  const y = (rows - 1 - row + 0.5) * side_px;
  const pixel = 1 / stage.dpr;
  const [x] = seenAt(camera, stage, [column * side_px, y]);
  const down = Math.min(Math.max(seenAt(camera, stage, [0, y])[1], 2), stage.height - 2);
  const edge = Math.round(x * stage.dpr);
  const places = Array.from({ length: 16 }, (_, at): Point => [(edge - 8 + at + 0.5) * pixel, down]);
  const number = row * columns + column;
  const [left, right] = [grey((number - 1) * step)[0], grey(number * step)[0]];
  const wanted = places.map((_, at): Rgb => (at < 8 ? [left, left, left] : [right, right, right]));
  let greys: number[] = [];
  const wrong = async (): Promise<string[]> => {
    const seen = await watched.colours(places);
    greys = seen.map(([each]) => each);
    return unlike(places, seen, wanted, 3);
  };
  // The last of a zoom may still be under way when its number is told already.
  await until(async () => !(await wrong()).length, "the edge is sharp").catch(() => undefined);
  const where = `${watched.page.url()} ${watched.complaints.join(" ")}`;
  expect(await wrong(), `an edge between ${left} and ${right}: ${greys.join(" ")} ${where}`).toEqual([]);
}
