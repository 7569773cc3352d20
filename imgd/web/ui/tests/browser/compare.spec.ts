// Two frames are compared: blinking without a word to the daemon, by steps, side by side with one camera and one look.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { drags, press, pressTool, type Rgb } from "./hands";
import { asksPython, bench, closes, exposes, opens, serves, SIZES, temporary, until, type Service, type Watched } from "./rig";

const [FIRST, SECOND] = ["pair/one.fits", "pair/two.fits"]; // The bar of each is elsewhere: columns 71 to 90, and 131 to 150, of rows 101 to 140.
const HASH = `#frame=${FIRST}&pane=frame%3D${encodeURIComponent(SECOND)}`;
const [BAR_ONE, BAR_TWO] = [[80, 300 - 120], [140, 300 - 120]] as const;

bench();
let service: Service;

beforeAll(async () => {
  const folder = join(temporary(), "pair");
  exposes(folder, "one.fits", 1);
  exposes(folder, "two.fits", 4);
  const program = `
import sys
import numpy as np
from astropy.io import fits
noise = np.random.default_rng(2).normal(0, 20, (3, 300, 400))
fits.PrimaryHDU((noise + np.array([500, 1000, 1500]).reshape(3, 1, 1)).astype(np.float32)).writeto(sys.argv[1])`;
  asksPython(program, join(folder, "cube.fits"));
  service = await serves([`pair=${folder}`]);
});

describe.each(SIZES)("comparing at $name", (size) => {
  test("two frames blink, and nothing is asked while they do", async () => {
    const watched = await opens(service, `${HASH}&layout=blink&panel=compare`, size);
    const { page } = watched;
    const told: string[] = [];
    page.on("request", (request) => told.push(request.url()));
    page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => told.push(String(payload))));
    await page.reload(); // So that the socket is heard from its beginning.
    for (const ref of [FIRST, SECOND]) await page.locator(`[data-shown="${ref}"][data-complete="true"]`).waitFor({ state: "attached" });
    const seen = new Set<string>();
    await until(async () => seen.add(await shownNow(watched)).size === 2, "both are seen in turn");
    const made = await service.figure("imgd_live_runs_begun_total");
    const before = told.length;
    const turns = await changesOf(watched, 6);
    expect(told.slice(before).filter((each) => /"(run|set|viewport|open)"|\/(img|tile)\?/.test(each)), "what was asked while it blinked").toEqual([]);
    expect(await service.figure("imgd_live_runs_begun_total"), "runs").toBe(made);
    expect(told.some((each) => each.includes('"open"')), "what the socket says is heard").toBe(true);
    for (const turn of turns) expect(turn.colours.map(isBright)).toEqual(turn.shown === FIRST ? [true, false] : [false, true]);
    expect(turns.map(({ shown }) => shown === FIRST)).toEqual(turns.map((_, at) => (at % 2 === 0) === (turns[0]?.shown === FIRST)));
    await watched.keeps("compare-blink");
    await closes(watched);
  });

  test("blinking stands still, and a key steps", async () => {
    const watched = await opens(service, `${HASH}&layout=blink`, size);
    for (const ref of [FIRST, SECOND]) await watched.page.locator(`[data-shown="${ref}"][data-complete="true"]`).waitFor({ state: "attached" });
    if (size.touch) await press(watched, watched.page.locator(".toolbar .play").getByRole("button", { name: "Play or pause" }));
    else await watched.page.locator("body").press("Space");
    const at = await shownNow(watched);
    const after = await Promise.race([changesOf(watched, 1), new Promise((done) => setTimeout(done, 1500))]); // Three beats of its pace.
    expect(after, "it stands still").toBeUndefined();
    await watched.page.locator("body").press(".");
    await until(async () => (await shownNow(watched)) !== at, "the other one after a step");
    await watched.page.locator("body").press(".");
    await until(async () => (await shownNow(watched)) === at, "the first one after another step");
    await watched.keeps("compare-still");
    await closes(watched);
  });

  test("side by side they are moved, zoomed and stretched together", async () => {
    const watched = await opens(service, `${HASH}&layout=side`, size);
    const { page } = watched;
    for (const ref of [FIRST, SECOND]) await watched.shows(ref);
    await watched.keeps("compare-side");
    for (const [ref, bar] of [[FIRST, BAR_ONE], [SECOND, BAR_TWO]] as const) expect(isBright(await sourceColour(watched, ref, bar)), ref).toBe(true);
    await pressTool(watched, "1:1, one pixel on one of the screen");
    for (const ref of [FIRST, SECOND]) await watched.shows(ref);
    const box = await page.locator(`[data-shown="${FIRST}"]`).boundingBox();
    const [x, y] = [(box?.x ?? 0) + (box?.width ?? 0) / 2, (box?.y ?? 0) + (box?.height ?? 0) / 2];
    await drags(watched, [x, y], [x + 60, y - 40]);
    await until(() => /at=/.test(page.url()), "the camera is in the address");
    for (const ref of [FIRST, SECOND]) await watched.shows(ref);
    for (const [ref, bar] of [[FIRST, BAR_ONE], [SECOND, BAR_TWO]] as const) {
      await until(async () => isBright(await sourceColour(watched, ref, bar)), `the bar of ${ref} where the common camera has it`);
    }
    const camera = /at=([^&]*)/.exec(page.url())?.[1]?.split(",").map(Number) ?? [];
    expect(camera[0], "moved from the middle of the plane").not.toBeCloseTo(200, 0);
    await page.locator("body").press("i");
    for (const [ref, bar] of [[FIRST, BAR_ONE], [SECOND, BAR_TWO]] as const) {
      await until(async () => !isBright(await sourceColour(watched, ref, bar)), `${ref} is inverted`);
    }
    await watched.keeps("compare-side-moved");
    await closes(watched);
  });

  test("linked looks: a frame gets what fits it, and neither another one's plane nor its three pairs of levels", async () => {
    const cube = "pair/cube.fits";
    const watched = await opens(service, `#frame=${cube}&color=rgb&pane=frame%3D${encodeURIComponent(FIRST)}&layout=side&panel=stretch`, size);
    const { page } = watched;
    const other = (): string => /pane=([^&]*)/.exec(page.url())?.[1] ?? "";
    for (const ref of [cube, FIRST]) await watched.shows(ref);
    await page.getByRole("slider", { name: "White level" }).press("ArrowLeft");
    await until(() => /cut=([-\d.e]+,){5}/.test(page.url()), "three pairs of levels for the colour picture");
    await until(() => /cut%3D[-\d.e]+%2C[-\d.e]+(%26|$)/.test(other().replaceAll(",", "%2C")), "one for the other one");
    for (const ref of [cube, FIRST]) await watched.shows(ref);
    await page.getByRole("combobox", { name: "Colours" }).selectOption("mono");
    await until(() => /color=mono/.test(page.url()), "one channel");
    expect(other()).not.toContain("color");
    for (const ref of [cube, FIRST]) await watched.shows(ref);
    expect(await page.getByRole("alert").filter({ hasText: /\S/ }).allInnerTexts()).toEqual([]);
    await watched.keeps("compare-linked");
    await closes(watched);
  });

  test("one alone again: the others' runners are closed", async () => {
    const watched = await opens(service, `${HASH}&layout=side&panel=compare`, size);
    for (const ref of [FIRST, SECOND]) await watched.shows(ref);
    expect((await service.admin()).runners.length).toBe(2);
    await press(watched, watched.page.getByRole("button", { name: "One", exact: true }));
    await until(async () => (await service.admin()).runners.length === 1, "one runner");
    await watched.shows(FIRST);
    expect(await watched.page.locator("[data-pane]").count()).toBe(1);
    await watched.keeps("compare-one");
    await closes(watched);
    await until(async () => (await service.admin()).runners.length === 0, "no runner");
  });
});

const isBright = ([red]: Rgb): boolean => red > 200;

async function shownNow({ page }: Watched): Promise<string> {
  return (await page.locator("[data-pane]:not(.away)").first().getAttribute("data-shown")) ?? "";
}

interface Turn {
  shown: string;
  colours: Rgb[];
}

/** What is on screen after each change of the pane that is seen: the colours where the two bars are. */
async function changesOf({ page }: Watched, count: number): Promise<Turn[]> {
  return await page.evaluate(async ([most, places]) => {
    const seen = (): HTMLElement | null => document.querySelector("[data-pane]:not(.away)");
    const turns: Turn[] = [];
    for (let before = seen(); turns.length < most; ) {
      await new Promise(requestAnimationFrame);
      const now = seen();
      if (!now || now === before) continue;
      before = now;
      const canvas = now.querySelector<HTMLCanvasElement>("canvas.picture");
      const pen = canvas?.getContext("2d");
      if (!canvas || !pen) throw new Error("there is no picture");
      const scale = Math.min(canvas.width / 400, canvas.height / 300);
      const colours = places.map(([x, y]) => [...pen.getImageData(canvas.width / 2 + (x - 200) * scale, canvas.height / 2 + (y - 150) * scale, 1, 1).data.slice(0, 3)] as unknown as Rgb);
      turns.push({ shown: now.dataset["shown"] ?? "", colours });
    }
    return turns;
  }, [count, [BAR_ONE, BAR_TWO]] as const);
}

/** The colour of a picture pixel of a frame, where the camera of the address line has it. */
async function sourceColour({ page }: Watched, ref: string, [px, py]: readonly [number, number]): Promise<Rgb> {
  return await page.evaluate(([wanted, x, y]) => {
    const canvas = document.querySelector<HTMLCanvasElement>(`[data-shown="${wanted}"] canvas.picture`);
    const pen = canvas?.getContext("2d");
    if (!canvas || !pen) throw new Error("there is no picture");
    const told = /at=([^&]*)/.exec(location.hash)?.[1]?.split(",").map(Number);
    const [cx = 200, cy = 150, scale = Math.min(canvas.clientWidth / 400, canvas.clientHeight / 300)] = told ?? [];
    const at = [canvas.clientWidth / 2 + (x - cx) * scale, canvas.clientHeight / 2 + (y - cy) * scale].map((each) => Math.floor(each * devicePixelRatio));
    return [...pen.getImageData(at[0] ?? 0, at[1] ?? 0, 1, 1).data.slice(0, 3)] as unknown as Rgb;
  }, [ref, px, py] as const);
}
