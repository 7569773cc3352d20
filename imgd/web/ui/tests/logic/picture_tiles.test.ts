// The tiles that are kept.
import { describe, expect, test } from "vitest";
import { decodedMax, TileStore, type Decoded } from "../../src/picture/tiles";
import { columnsFor } from "../../src/picture/columns";
import { beginRun, endRun, nowAt, withStep } from "../../src/picture/runs";
import type { Tile } from "../../src/protocol/link";

class Bitmap implements Decoded {
  closed = false;
  constructor(readonly text: string, readonly width = 256, readonly height = 256) {}
  close(): void {
    this.closed = true;
  }
}

const made: Bitmap[] = [];
let told: string[] = [];

function storeOf(bytesMax = 1e9, kept = 1024): TileStore<Bitmap> {
  made.length = 0;
  told = [];
  const decode = async ({ body }: Tile): Promise<Bitmap> => {
    await Promise.resolve();
    const text = new TextDecoder().decode(body);
    if (text === "broken") throw new Error("no picture");
    const bitmap = new Bitmap(text);
    made.push(bitmap);
    return bitmap;
  };
  return new TileStore(decode, (picture) => told.push(picture), bytesMax, kept);
}

function tileAt(column: number, text = "x", level = 0): Tile {
  return { level, column, row: 0, width: 256, height: 256, type: "image/jpeg", body: new TextEncoder().encode(text) };
}

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const at = (column: number, level = 0) => ({ level, column, row: 0 });
const ONE = 256 * 256 * 4;

describe("tiles", () => {
  test("are decoded when they come, and told of", async () => {
    const tiles = storeOf();
    tiles.put("a", tileAt(1));
    expect([tiles.has("a", at(1)), tiles.settled("a", at(1)), tiles.use("a", at(1))]).toEqual([true, false, null]);
    await rest();
    expect(tiles.use("a", at(1))?.text).toBe("x");
    expect([tiles.settled("a", at(1)), tiles.some("a"), tiles.some("b"), told]).toEqual([true, true, false, ["a"]]);
  });

  test("of other pictures are not mixed in, and levels are told coarsest first", async () => {
    const tiles = storeOf();
    tiles.put("a", tileAt(1));
    tiles.put("a", tileAt(0, "x", 4));
    await rest();
    expect(tiles.use("b", at(1))).toBeNull();
    expect(tiles.levels("a")).toEqual([4, 0]);
  });

  test("the same tile again is not decoded again; a newer one takes its place when it is decoded", async () => {
    const tiles = storeOf();
    const tile = tileAt(1, "old");
    tiles.put("a", tile);
    await rest();
    tiles.put("a", tile);
    await rest();
    expect(made.length).toBe(1);
    tiles.put("a", tileAt(1, "new"));
    expect(tiles.use("a", at(1))?.text).toBe("old");
    await rest();
    expect(tiles.use("a", at(1))?.text).toBe("new");
    expect([made[0]?.closed, tiles.bytes]).toEqual([true, ONE]);
  });

  test("a newer one that comes while the older one is decoded wins", async () => {
    const tiles = storeOf();
    tiles.put("a", tileAt(1, "old"));
    tiles.put("a", tileAt(1, "new"));
    await rest();
    expect([tiles.use("a", at(1))?.text, tiles.bytes]).toEqual(["new", ONE]);
  });

  test("the oldest bytes are forgotten, in the order in which they came", async () => {
    const tiles = storeOf(1e9, 3);
    for (const column of [1, 2, 3]) tiles.put("a", tileAt(column));
    tiles.put("a", tileAt(1));
    tiles.put("b", tileAt(9));
    await rest();
    expect([1, 2, 3].map((column) => tiles.has("a", at(column)))).toEqual([true, false, true]);
    expect([tiles.count, tiles.bytes]).toEqual([3, 3 * ONE]);
  });

  test("decoded ones are let go least recently used first, never those just painted, and are decoded again when wanted", async () => {
    const tiles = storeOf(2 * ONE);
    tiles.put("a", tileAt(1));
    tiles.put("a", tileAt(2));
    await rest();
    tiles.paint();
    tiles.use("a", at(1));
    tiles.put("a", tileAt(3));
    await rest();
    expect([tiles.bytes, tiles.settled("a", at(1)), tiles.settled("a", at(2))]).toEqual([2 * ONE, true, false]);
    expect(tiles.use("a", at(2))).toBeNull();
    await rest();
    expect(tiles.use("a", at(2))?.text).toBe("x");
  });

  test("one that cannot be decoded is waited for no more, and mended by a newer one", async () => {
    const tiles = storeOf();
    tiles.put("a", tileAt(1, "broken"));
    await rest();
    expect([tiles.settled("a", at(1)), tiles.use("a", at(1)), tiles.some("a")]).toEqual([true, null, false]);
    tiles.put("a", tileAt(1, "whole"));
    await rest();
    expect(tiles.use("a", at(1))?.text).toBe("whole");
  });

  test("nothing is left of a pane that is gone, nor of what was being decoded for it", async () => {
    const tiles = storeOf();
    tiles.put("a", tileAt(1));
    await rest();
    tiles.put("a", tileAt(2));
    tiles.clear();
    await rest();
    expect([tiles.count, tiles.bytes, made.every((bitmap) => bitmap.closed), tiles.has("a", at(1))]).toEqual([0, 0, true, false]);
  });

  test("little devices keep less", () => {
    expect([decodedMax(8, false), decodedMax(2, false), decodedMax(undefined, true)].map((each) => each / 2 ** 20)).toEqual([128, 48, 48]);
  });
});

describe("what is told of a run", () => {
  const news = { number: 0, step: "reduce", cached: false, joined: false, bytes: 0, ms: 0, from_ms: 0, to_ms: null };

  test("steps have the times at which the page heard of them", () => {
    let run = withStep(beginRun(1, "r", "a", 1000), { ...news, state: "start" }, 1005);
    expect(nowAt(run)).toBe("Reading the pixels");
    run = withStep(run, { ...news, state: "end", ms: 18 }, 1025);
    run = withStep(run, { ...news, number: 1, step: "tone", state: "end", ms: 4 }, 1030);
    expect(run.steps.map(({ from_ms, to_ms }) => [from_ms, to_ms])).toEqual([[5, 25], [26, 30]]);
    expect(endRun(run, "completed", 1031)).toMatchObject({ state: "completed", ended: 1031, trouble: null });
  });
});

test("panes side by side are as large as they can be", () => {
  expect([columnsFor(2, 1400, 800), columnsFor(2, 390, 700), columnsFor(4, 1400, 800), columnsFor(3, 1400, 500), columnsFor(1, 10, 10)]).toEqual([2, 1, 2, 3, 1]);
});
