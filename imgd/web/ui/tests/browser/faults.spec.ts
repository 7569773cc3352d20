// What goes wrong is told in words, with a way to go on; what was on screen stays there.
import { copyFileSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { press, type Rgb } from "./hands";
import { asksPython, bench, closes, exposes, knownFrames, opens, pause, serves, SIZES, temporary, until, type Service, type Watched } from "./rig";

const BLOCKS = "known/blocks.fits";
const AWAY = [/WebSocket connection to .* failed/, /Failed to load resource: net::ERR_/];
const REFUSED = (status: number) => new RegExp(`Failed to load resource: the server responded with a status of ${status}`);

/** A frame that takes its time. */
const NOISE = `
import sys
import numpy as np
from astropy.io import fits
noise = np.random.default_rng(1).integers(900, 1200, (5000, 6000), np.uint16)
fits.PrimaryHDU(noise).writeto(sys.argv[1])`;

bench();
let service: Service;
let [folder, live, ready] = ["", "", ""];
let full: Service | null = null;
let slow = ""; // The folder with the frame that takes its time, when it is made.

beforeAll(async () => {
  const parent = temporary();
  [folder, live, ready] = [join(parent, "known"), join(parent, "live"), join(parent, "ready")];
  knownFrames(folder);
  for (const size of SIZES) mkdirSync(join(live, size.name), { recursive: true });
  exposes(ready, Array.from({ length: 8 }, (_, at) => `n${at}.fits`), 1);
  service = await serves([`known=${folder}`, `live=${live}`]);
});

beforeEach(async () => {
  if (!service.isUp) await service.start();
});

afterEach(async () => {
  await full?.end();
  full = null;
});

let next = 0;

function comes(to: string): string {
  const name = `n${next++}.fits`;
  renameSync(join(ready, name), join(live, to, name));
  return `live/${to}/${name}`;
}

describe.each(SIZES)("what goes wrong at $name", (size) => {
  test("the daemon is killed and comes again: the picture stays, and the page goes on by itself", async () => {
    const first = comes(size.name);
    const watched = await opens(service, `#follow=live/${size.name}&list=${size.touch ? 0 : 1}`, size);
    watched.expected.push(...AWAY);
    await watched.shows(first);
    await service.end("SIGKILL");
    await watched.page.locator(".connection.lost").waitFor({ state: "attached" });
    await watched.page.getByText("Lost", { exact: false }).first().waitFor({ state: "attached" });
    await watched.page.getByRole("button", { name: "Try now" }).waitFor();
    expect(await watched.page.locator("[data-shown]").first().getAttribute("data-shown")).toBe(first);
    expect(Math.min(...(await greys(watched))), "the picture while nobody is there").toBeGreaterThan(20);
    await watched.keeps("faults-away");
    const whileAway = comes(size.name);
    await service.start();
    await watched.page.locator(".connection.live").waitFor({ state: "attached", timeout: 40_000 });
    await watched.shows(whileAway);
    const last = comes(size.name);
    await watched.shows(last);
    if (!size.touch) await watched.page.locator(".list button.frame").filter({ hasText: last.split("/").at(-1) ?? "" }).first().waitFor();
    await watched.keeps("faults-back");
    await closes(watched);
  });

  test("of a single frame the same picture is there again, and can be changed", async () => {
    const watched = await opens(service, `#frame=${BLOCKS}&cut=0,47000&stretch=linear`, size);
    watched.expected.push(...AWAY);
    await watched.shows(BLOCKS);
    const before = await greys(watched);
    await service.end("SIGKILL");
    await watched.page.getByRole("button", { name: "Try now" }).waitFor();
    await service.start();
    await press(watched, watched.page.getByRole("button", { name: "Try now" })).catch(() => undefined); // It may have come back by itself.
    await watched.page.locator(".connection.live").waitFor({ state: "attached", timeout: 40_000 });
    await watched.shows(BLOCKS);
    expect(await greys(watched)).toEqual(before);
    await watched.page.locator("body").press("i");
    await until(async () => (await greys(watched)).every((each, at) => Math.abs(255 - each - (before[at] ?? 0)) <= 4), "it is inverted");
    await watched.keeps("faults-there-again");
    await closes(watched);
  });

  test("a broken frame: words, the picture before stays; mended, it is shown", async () => {
    const name = `broken-${size.name}.fits`;
    copyFileSync(join(folder, "broken.fits"), join(folder, name));
    const watched = await opens(service, `#frame=${BLOCKS}`, size);
    await watched.shows(BLOCKS);
    await goes(watched, `#frame=known/${name}`);
    const alert = await wrong(watched, /./);
    expect((await alert.innerText()).length, "words").toBeGreaterThan(30);
    expect(await watched.page.locator("[data-shown]").first().getAttribute("data-shown"), "the picture before").toBe(BLOCKS);
    await watched.keeps("faults-broken");
    copyFileSync(join(folder, "ramp.fits"), join(folder, name));
    await again(watched);
    await watched.shows(`known/${name}`);
    await watched.keeps("faults-mended");
    await closes(watched);
  });

  test("a frame that is cut short is shown as far as it goes, and said to be", async () => {
    const watched = await opens(service, "#frame=known/truncated.fits&panel=header", size);
    await watched.shows("known/truncated.fits");
    await watched.page.getByText(/not whole/).first().waitFor();
    await watched.keeps("faults-truncated");
    await closes(watched);
  });

  test("a link to a frame that is not there: words; it is shown when it comes", async () => {
    const name = `later-${size.name}.fits`;
    const watched = await opens(service, `#frame=known/${name}`, size);
    watched.expected.push(REFUSED(404));
    await wrong(watched, /not|no /i);
    await watched.keeps("faults-not-there");
    await again(watched);
    await wrong(watched, /not|no /i);
    copyFileSync(join(folder, "ramp.fits"), join(folder, `.${name}`));
    renameSync(join(folder, `.${name}`), join(folder, name));
    await watched.shows(`known/${name}`);
    expect(await watched.page.locator(".trouble").count(), "words that are true no more").toBe(0);
    await closes(watched);
  });

  test("a frame that is taken away under the page: the picture stays, and changing it is answered in words", async () => {
    const name = `gone-${size.name}.fits`;
    copyFileSync(join(folder, "ramp.fits"), join(folder, name));
    const watched = await opens(service, `#frame=known/${name}`, size);
    watched.expected.push(REFUSED(404));
    await watched.shows(`known/${name}`);
    rmSync(join(folder, name));
    await watched.page.locator("body").press("i");
    await wrong(watched, /not|no |gone/i);
    expect(await watched.page.locator("[data-shown]").first().getAttribute("data-shown")).toBe(`known/${name}`);
    await watched.keeps("faults-gone");
    await closes(watched);
  });

  test("a server with too much to do: words, and it works when it has time again", async () => {
    if (!slow) {
      slow = join(temporary(), "slow");
      knownFrames(slow);
      asksPython(NOISE, join(slow, "large.fits"));
    }
    full = await serves([`known=${slow}`], "--queue-max", "1", "--workers", "1", "--describe-pause-s", "0");
    const watched = await opens(full, `#frame=${BLOCKS}`, size);
    watched.expected.push(REFUSED(503));
    await watched.shows(BLOCKS);
    const busy = crowds(full.url);
    const [refused, before] = await refusedFrame(watched);
    expect(await watched.page.locator("[data-shown]").first().getAttribute("data-shown"), "the picture before").toBe(before);
    await watched.keeps("faults-full");
    await busy.end();
    await until(async () => (await full?.figure("imgd_engine_jobs")) === 0, "the daemon has time");
    await again(watched);
    await watched.shows(refused);
    await closes(watched);
  });

  test("no room for another websocket: it goes by HTTP; no room for another picture: words beside the first", async () => {
    full = await serves([`known=${folder}`], "--sessions-max", "1", "--runners-max", "1");
    const first = await opens(full, `#frame=${BLOCKS}&pane=frame%3Dknown%2Framp.fits&layout=side&panel=compare`, size);
    await first.shows(BLOCKS);
    const alert = await wrong(first, /runners_max|pictures|many|limit/i);
    expect(await alert.innerText()).toMatch(/Try again/);
    await first.keeps("faults-no-more-pictures");
    const second = await opens(full, `#frame=${BLOCKS}`, size);
    second.expected.push(/WebSocket connection to .* failed/);
    await second.shows(BLOCKS);
    await second.page.getByText("By HTTP").waitFor({ state: "attached" });
    await second.keeps("faults-no-more-sessions");
    await closes(second);
    await closes(first);
  });
});

async function goes({ page }: Watched, hash: string): Promise<void> {
  await page.evaluate((to) => (location.hash = to), hash);
}

/** The words on the stage. */
async function wrong({ page }: Watched, words: RegExp) {
  const alert = page.getByRole("main").getByRole("alert").filter({ hasText: words }).first();
  await alert.waitFor({ timeout: 30_000 });
  return alert;
}

async function again(watched: Watched): Promise<void> {
  await press(watched, watched.page.getByRole("main").getByRole("alert").getByRole("button", { name: "Try again" }).first());
}

/** Greys at some places of the stage. */
async function greys(watched: Watched): Promise<number[]> {
  const box = await watched.page.locator("canvas.picture").first().boundingBox();
  const [width, height] = [box?.width ?? 0, box?.height ?? 0];
  const places = [0.31, 0.43, 0.57, 0.71].flatMap((x) => [0.44, 0.56].map((y) => [x * width, y * height] as const));
  return (await watched.colours(places)).map(([red]: Rgb) => red);
}

/** Go to frames until one is refused, as one may slip in: it, and the one that is shown still. */
async function refusedFrame(watched: Watched): Promise<[refused: string, before: string]> {
  const pane = watched.page.locator("[data-shown]").first();
  const frames = ["bayer", "ramp", "floats", "cube", "sky", "blocks"].map((name) => `known/${name}.fits`);
  for (let turn = 0; turn < 24; turn++) {
    const frame = frames[turn % frames.length] ?? BLOCKS;
    const before = (await pane.getAttribute("data-shown")) ?? "";
    await goes(watched, `#frame=${frame}&stretch=${turn < frames.length ? "log" : "sqrt"}`);
    const alert = watched.page.getByRole("main").getByRole("alert").filter({ hasText: /full|busy/i }).first();
    await until(async () => (await alert.isVisible()) || ((await pane.getAttribute("data-shown")) === frame && (await pane.getAttribute("data-complete")) === "true"), `${frame} is shown or refused`, 30_000);
    if (await alert.isVisible()) return [frame, before];
  }
  throw new Error("nothing was refused");
}

/** Many ask a small daemon at once, again and again, until `end`. */
function crowds(url: string): { end: () => Promise<void> } {
  const stop = new AbortController();
  const one = async (number: number): Promise<void> => {
    for (let turn = 0; !stop.signal.aborted; turn++) {
      const answer = await fetch(`${url}stats?frame=known/large.fits&region=${number},${turn % 900},5000,4000`, { signal: stop.signal }).catch(() => null);
      await answer?.arrayBuffer().catch(() => undefined);
      if (answer?.status === 503) await pause(5);
    }
  };
  const all = [1, 2, 3, 4, 5, 6].map(one);
  return {
    end: async () => {
      stop.abort();
      await Promise.all(all);
    },
  };
}
