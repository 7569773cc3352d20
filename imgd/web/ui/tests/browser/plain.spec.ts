// On the way to the daemon: websockets are blocked, or it serves below a path of a larger site.
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { Gate } from "./gate";
import { fitted, press, seenAt, stageOf, type Point, type Rgb } from "./hands";
import { bench, closes, exposes, knownFrames, opens, serves, SIZES, temporary, until, type Service, type Watched } from "./rig";

const BLOCKS = "known/blocks.fits";
const LOOK = "cut=0,47000&stretch=linear&hide=scalebar,minimap";

bench();
let service: Service;
let [live, ready] = ["", ""];
let gate: Gate | null = null;

beforeAll(async () => {
  const parent = temporary();
  [live, ready] = [join(parent, "live"), join(parent, "ready")];
  for (const size of SIZES) for (const way of ["plain", "prefix"]) mkdirSync(join(live, `${way}-${size.name}`), { recursive: true });
  exposes(ready, Array.from({ length: 12 }, (_, at) => `n${at}.fits`), 1);
  knownFrames(join(parent, "known"));
  service = await serves([`known=${join(parent, "known")}`, `live=${live}`]);
});

afterEach(async () => await gate?.end());

let next = 0;

/** Have a frame come to a folder; its name. */
function comes(folder: string): string {
  const name = `n${next++}.fits`;
  renameSync(join(ready, name), join(live, folder, name));
  return name;
}

describe.each(SIZES)("on the way to the daemon at $name", (size) => {
  test("without websockets everything goes by HTTP, and the page says so", async () => {
    gate = await Gate.before(service, { websockets: false });
    const watched = await opens(gate, `#frame=${BLOCKS}&${LOOK}`, size);
    watched.expected.push(/WebSocket connection to .* failed/);
    await watched.shows(BLOCKS);
    await blocksAreRight(watched, (value) => value);
    await watched.page.getByText("By HTTP").waitFor({ state: "attached" });
    expect(gate.upgrades).toBeGreaterThan(0);
    expect((await service.admin()).sessions, "no session").toEqual([]);
    await watched.keeps("plain-picture");
    await watched.page.locator("body").press("i");
    await blocksAreRight(watched, (value) => 255 - value);
    const name = comes(`plain-${size.name}`);
    await follows(watched, `plain-${size.name}`, name, 15_000);
    await watched.keeps("plain-follow");
    await closes(watched);
  });

  test("below a path everything works, by websocket", async () => {
    gate = await Gate.before(service, { prefix: "/scope/night" });
    const watched = await opens(gate, `#frame=${BLOCKS}&${LOOK}&panel=header`, size);
    await watched.shows(BLOCKS);
    await watched.page.locator(".connection.live").waitFor({ state: "attached" });
    expect((await service.admin()).sessions.length).toBe(1);
    await watched.page.getByRole("region", { name: "Header cards" }).getByText("OBJECT").first().waitFor();
    await watched.keeps("prefix-header");
    await watched.page.locator("body").press("h");
    await watched.page.getByRole("region", { name: "Header cards" }).waitFor({ state: "detached" });
    await watched.shows(BLOCKS);
    await blocksAreRight(watched, (value) => value);
    await watched.page.locator("body").press("i");
    await blocksAreRight(watched, (value) => 255 - value);
    await watched.page.locator("body").press("d");
    await press(watched, watched.page.locator(".list button.frame").filter({ hasText: "ramp.fits" }).first());
    await watched.shows("known/ramp.fits");
    await watched.page.locator("body").press("Shift+L");
    await until(async () => (await watched.page.evaluate(() => navigator.clipboard.readText())).startsWith(`${gate?.url}#`), "the link is ours");
    const name = comes(`prefix-${size.name}`);
    await follows(watched, `prefix-${size.name}`, name, 5000);
    expect(gate.asked.filter((path) => /^\/(img|tile)\?/.test(path)), "tiles come by the websocket").toEqual([]);
    await watched.keeps("prefix-follow");
    await closes(watched);
    await until(async () => (await service.admin()).sessions.length === 0, "the session has ended");
  });
});

/** A folder with a frame in it is followed, and another one comes. */
async function follows(watched: Watched, folder: string, first: string, limitMs: number): Promise<void> {
  await watched.page.evaluate((hash) => (location.hash = hash), `#follow=live/${folder}`);
  await watched.shows(`live/${folder}/${first}`);
  await watched.shows(`live/${folder}/${comes(folder)}`, limitMs);
}

/** The known blocks have their greys, whatever is between us and the daemon. */
async function blocksAreRight(watched: Watched, grey: (value: number) => number): Promise<void> {
  const stage = await stageOf(watched);
  const camera = fitted([800, 600], stage);
  const numbers = [0, 13, 26, 47];
  const places = numbers.map((number): Point => seenAt(camera, stage, [(number % 8) * 100 + 50, 600 - Math.floor(number / 8) * 100 - 50]));
  const wanted = numbers.map((number) => grey((255 * number) / 47));
  let seen: Rgb[] = [];
  try {
    await until(async () => (seen = await watched.colours(places)).every((colour, at) => colour.every((each) => Math.abs(each - (wanted[at] ?? 0)) <= 4)), "the greys of the blocks");
  } catch {
    expect(seen.map(([red]) => red), "the greys of the blocks").toEqual(wanted.map(Math.round));
  }
}
