// Coarse pictures that are shown until the tiles are there.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Glances } from "../../src/picture/glances";
import { isCovered, paint, stretched } from "../../src/picture/painter";
import { Picture } from "../../src/picture/picture";
import { PATIENCE_MS } from "../../src/picture/swap";
import { TileStore, type Decoded } from "../../src/picture/tiles";
import type { Link, Runner, RunnerEvents, Tile } from "../../src/protocol/link";
import { activePane, changePane, newPane, openFrame, useStore } from "../../src/state/store";
import type { Facts, Look } from "../../src/state/types";
import { fakePage } from "./fake_socket";

const GEOMETRY = { width: 1024, height: 512, topDown: true };
const STAGE = { width: 512, height: 256 };
const CAMERA = { x: 512, y: 256, scale: 0.5, turn: 0, flip: false, fitted: true } as const;
const GRID = { level: 1, left: 0, top: 0, right: 2, bottom: 1 };
const FACTS = { format: "fits", hdus: [{ index: 0, kind: "image", shape: [512, 1024], top_down: true }], default_hdu: 0, warnings: [], whole: true } as unknown as Facts;

class Bitmap implements Decoded {
  closed = false;
  constructor(readonly text: string, readonly width: number, readonly height: number) {}
  close(): void {
    this.closed = true;
  }
}

interface Encoded {
  body: Uint8Array<ArrayBuffer>;
  width: number;
  height: number;
}

const decode = ({ body, width, height }: Encoded): Promise<Bitmap> => {
  const text = new TextDecoder().decode(body);
  return text === "broken" ? Promise.reject(new Error("no picture")) : Promise.resolve(new Bitmap(text, width, height));
};
const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const glanceOf = (text = "glance") => ({ width: 256, height: 128, type: "image/jpeg", body: bytes(text) });
const tileAt = (level: number, column: number): Tile => ({ level, column, row: 0, width: 256, height: 256, type: "image/jpeg", body: bytes(`${level} ${column}`) });
const decoded = (): Promise<void> => new Promise((done) => setImmediate(done));

describe("glances", () => {
  test("are there once they are decoded, and closed when they are forgotten", async () => {
    const changed = vi.fn();
    const glances = new Glances(decode, changed);
    void glances.put("a", glanceOf());
    expect([glances.of("a"), changed.mock.calls.length]).toEqual([null, 0]);
    await decoded();
    const bitmap = glances.of("a")!;
    expect([bitmap.text, glances.of("b"), changed.mock.calls.length]).toEqual(["glance", null, 1]);
    glances.forget("a");
    expect([glances.of("a"), bitmap.closed, glances.any]).toEqual([null, true, false]);
  });

  test("that were forgotten while they were decoded are never told of", async () => {
    const changed = vi.fn();
    const glances = new Glances(decode, changed);
    void glances.put("a", glanceOf());
    glances.forget("a");
    await decoded();
    expect([glances.of("a"), changed.mock.calls.length]).toEqual([null, 0]);
  });

  test("that are no pictures are none, and a newer one takes an older one's place", async () => {
    const glances = new Glances(decode, () => undefined);
    void glances.put("a", glanceOf("broken"));
    void glances.put("b", glanceOf("one"));
    await decoded();
    const one = glances.of("b")!;
    void glances.put("b", glanceOf("two"));
    await decoded();
    expect([glances.of("a"), glances.of("b")?.text, one.closed]).toEqual([null, "two", true]);
  });

  test("of other pictures are let go", async () => {
    const glances = new Glances(decode, () => undefined);
    for (const name of ["a", "b", "c"]) void glances.put(name, glanceOf(name));
    await decoded();
    glances.keep(["a", undefined, "c"]);
    expect(["a", "b", "c"].map((name) => glances.of(name)?.text)).toEqual(["a", undefined, "c"]);
  });
});

describe("painting", () => {
  /** What is drawn, in order: the text of each and where it begins. */
  async function painted(tiles: readonly Tile[], glance: Bitmap | null): Promise<{ drawn: unknown[][]; whole: boolean }> {
    const store = new TileStore(decode, () => undefined, 1e9);
    for (const tile of tiles) store.put("a", tile);
    await decoded();
    const drawn: unknown[][] = [];
    let at: number[] = [];
    const ignored = (): void => undefined;
    const context = {
      canvas: STAGE, clearRect: ignored, save: ignored, restore: ignored, beginPath: ignored, rect: ignored, clip: ignored,
      setTransform: (...matrix: number[]) => (at = matrix), drawImage: ({ text }: Bitmap) => drawn.push([text, ...at]),
    };
    const scene = { picture: "a", glance, geometry: GEOMETRY, camera: CAMERA, stage: STAGE, dpr: 1 };
    const { whole } = paint(context as never, store as never, scene as never);
    return { drawn, whole };
  }

  const glance = new Bitmap("glance", 256, 128);

  test("a glance lies over all of the plane, below every tile", async () => {
    const { drawn, whole } = await painted([tileAt(2, 0), tileAt(1, 1)], glance);
    expect(drawn).toEqual([["glance", 2, 0, 0, 2, 0, 0], ["2 0", 2, 0, 0, 2, 0, 0], ["1 1", 1, 0, 0, 1, 256, 0]]);
    expect(whole).toBe(false);
  });

  test("alone it is something, but not the whole", async () => {
    expect(await painted([], glance)).toEqual({ drawn: [["glance", 2, 0, 0, 2, 0, 0]], whole: false });
  });

  test("where all tiles are there it is not painted", async () => {
    const { drawn, whole } = await painted([tileAt(1, 0), tileAt(1, 1)], glance);
    expect([drawn.map(([text]) => text), whole]).toEqual([["1 0", "1 1"], true]);
  });

  test("turned and mirrored it lies as the tiles do", () => {
    const turned = [0, 0.5, -0.5, 0, 256, 0] as const;
    expect(stretched(turned, { x: 0, y: 0, width: 1024, height: 512 }, 256, 128)).toEqual([0, 2, -2, 0, 256, 0]);
  });

  test("tiles of one level lie over all that is seen, or they do not", async () => {
    const store = new TileStore(decode, () => undefined, 1e9);
    store.put("a", tileAt(1, 0));
    store.put("b", tileAt(2, 0));
    store.put("c", tileAt(0, 0));
    await decoded();
    expect(["a", "b", "c"].map((picture) => isCovered(store, picture, GRID))).toEqual([false, true, false]);
    store.put("a", tileAt(1, 1));
    expect(isCovered(store, "a", GRID)).toBe(false); // It is not decoded yet.
    await decoded();
    expect(isCovered(store, "a", GRID)).toBe(true);
    expect(isCovered(store, "b", { level: 1, left: 1, top: 0, right: 3, bottom: 1 })).toBe(false);
  });
});

describe("the picture of a pane", () => {
  let events: RunnerEvents;
  let picture: Picture;
  let stops: (() => void)[];
  let made: Bitmap[];
  const pane = () => activePane(useStore.getState());
  const seen = () => ({ shown: pane().shown?.ref ?? null, coarse: pane().coarse });

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    fakePage();
    vi.stubGlobal("matchMedia", () => ({ matches: false }));
    vi.stubGlobal("screen", { width: 512, height: 256 });
    vi.stubGlobal("devicePixelRatio", 1);
    vi.stubGlobal("cancelAnimationFrame", () => undefined);
    made = [];
    vi.stubGlobal("createImageBitmap", async (blob: Blob) => {
      made.push(new Bitmap(await blob.text(), 256, 128));
      return made.at(-1);
    });
    useStore.setState({ panes: [newPane(1)], active: 1, stage: STAGE });
    const runner = Object.fromEntries(["show", "change", "look", "fit", "retry", "close"].map((name) => [name, vi.fn()])) as unknown as Runner;
    const link = { rows: () => "up", open: (to: RunnerEvents) => ((events = to), runner) } as unknown as Link;
    picture = new Picture(1, link);
    stops = [useStore.subscribe((state) => state.panes, () => picture.take(pane()))];
  });

  afterEach(() => {
    for (const stop of stops) stop();
    picture.close();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  function begins(turn: number, ref = "a/b.fits", version = "v", look = {}): void {
    if (pane().ref !== ref || JSON.stringify(pane().look) !== JSON.stringify(look)) openFrame(ref, look);
    events.accepted(turn, "run", ref, look, version);
    events.facts(turn, FACTS);
  }

  const held = (): number => made.filter(({ text, closed }) => text === "glance" && !closed).length;

  async function glances(turn: number): Promise<void> {
    events.glance(turn, glanceOf());
    for (let at = 0; at < 5; at++) await decoded();
  }

  async function tiles(turn: number, ...some: Tile[]): Promise<void> {
    for (const tile of some) events.tile(turn, tile);
    for (let at = 0; at < 5; at++) await decoded();
  }

  test("is seen by its glance at once, and it is said, until tiles lie over it", async () => {
    begins(1);
    expect(seen()).toEqual({ shown: null, coarse: false });
    await glances(1);
    expect(seen()).toEqual({ shown: "a/b.fits", coarse: true });
    await tiles(1, tileAt(1, 0));
    expect(seen().coarse).toBe(true);
    await tiles(1, tileAt(1, 1));
    expect(seen()).toEqual({ shown: "a/b.fits", coarse: false });
    expect(picture.tiles.count).toBe(2);
  });

  test("keeps the one before for a while", async () => {
    begins(1);
    await tiles(1, tileAt(1, 0), tileAt(1, 1));
    events.completed(1, []);
    begins(2, "a/c.fits");
    await glances(2);
    expect(seen()).toEqual({ shown: "a/b.fits", coarse: false });
    vi.advanceTimersByTime(PATIENCE_MS + 5);
    expect(seen()).toEqual({ shown: "a/c.fits", coarse: true });
  });

  test.each<[string, (turn: number) => void]>([
    ["failed", (turn) => events.failed(turn, { status: 500, title: "", text: "" })],
    ["cancelled", (turn) => events.cancelled(turn, "disconnected")],
    ["completed without its tiles", (turn) => events.completed(turn, [])],
  ])("has none any more when its turn has %s", async (_, ends) => {
    begins(1);
    await glances(1);
    ends(1);
    expect(seen()).toEqual({ shown: "a/b.fits", coarse: false });
    begins(2);
    expect(seen().coarse).toBe(false);
  });

  test("keeps it while another turn of the same picture takes the place of the first", async () => {
    begins(1);
    await glances(1);
    events.cancelled(1, "superseded");
    begins(2);
    expect(seen().coarse).toBe(true);
    events.completed(2, []);
    expect(seen().coarse).toBe(false);
  });

  test("of another frame, look or version never has it", async () => {
    begins(1);
    await glances(1);
    const others: [string, string, Look][] = [["a/c.fits", "v", {}], ["a/c.fits", "w", {}], ["a/c.fits", "w", { map: "heat" }]];
    let turn = 1;
    for (const other of others) {
      events.cancelled(turn, "superseded");
      begins(++turn, ...other);
      await tiles(turn, tileAt(1, 0));
      vi.advanceTimersByTime(PATIENCE_MS + 5);
      expect(seen()).toEqual({ shown: "a/c.fits", coarse: false });
      await glances(turn);
      expect([seen().coarse, held()]).toEqual([true, 1]);
    }
    events.cancelled(turn, "superseded");
    begins(++turn, "a/c.fits", "w");
    vi.advanceTimersByTime(PATIENCE_MS + 5);
    expect([seen().coarse, held()], "back at what was seen coarse before").toEqual([false, 0]);
  });

  test("that is overtaken before it was seen leaves nothing behind", async () => {
    for (let turn = 1; turn < 9; turn += 1) {
      begins(turn, `a/${turn}.fits`);
      await glances(turn);
      events.cancelled(turn, "superseded");
      expect(held()).toBeLessThan(3);
    }
    expect(seen()).toEqual({ shown: "a/1.fits", coarse: true });
  });

  test("takes none of an older turn, and none that is decoded too late", async () => {
    begins(1);
    events.cancelled(1, "superseded");
    begins(2, "a/c.fits");
    await glances(1);
    expect([seen(), held()]).toEqual([{ shown: null, coarse: false }, 0]);
    events.glance(2, glanceOf());
    events.failed(2, { status: 500, title: "", text: "" });
    for (let at = 0; at < 5; at++) await decoded();
    expect(seen()).toEqual({ shown: null, coarse: false });
  });

  test("is no blinking one, and the pane that is closed has none", async () => {
    begins(1);
    await glances(1);
    expect(pane().run?.state).toBe("running");
    changePane(1, { ref: null });
    expect(pane().coarse).toBe(false);
  });
});
