// Frames open: from the list and from the strip, by finger, mouse and keys; the first picture comes by itself.
import { copyFileSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { press, told } from "./hands";
import { asksPython, bench, closes, knownFrames, opens, serves, SIZES, temporary, until, type Service, type Watched } from "./rig";

const REAL_MAX = 6; // Of each place's real frames, spread over them.

let service: Service;
let real: string[];
bench();
beforeAll(async () => {
  const folder = temporary();
  const [known, demo, others] = ["known", "demo", "real"].map((name) => join(folder, name));
  knownFrames(known!);
  asksPython("import sys; from cgi_worker.demo import main; sys.exit(main())", demo!, "--every", "0");
  mkdirSync(others!);
  real = copiesReal(others!);
  service = await serves([known!, demo!, others!]);
});

/** Put some of the real frames of this machine below a folder; gives their names. */
function copiesReal(folder: string): string[] {
  const told = asksPython("from tests.frames.real import real_frames; print(*real_frames(), sep='\\n')");
  const all = told.trim().split("\n");
  const some = [...all.filter((each) => each.includes("eso-midas")).filter(every), ...all.filter((each) => each.includes("drizzle")).filter(every)];
  return some.map((path, at) => {
    const name = `${at}-${basename(path)}`;
    copyFileSync(path, join(folder, name)); // A link would lead out of the root, and is not followed.
    return name;
  });
}

function every(_: string, at: number, all: string[]): boolean {
  return at % Math.ceil(all.length / REAL_MAX) === 0;
}

const rows = (watched: Watched) => watched.page.locator("aside.list button.frame");
const listIsOpen = async (watched: Watched): Promise<boolean> => (await watched.page.locator("aside.list").count()) > 0;

async function opensList(watched: Watched): Promise<void> {
  if (!(await listIsOpen(watched))) await press(watched, watched.page.getByRole("button", { name: /^List of frames/ }));
  await rows(watched).first().waitFor();
}

async function chooses(watched: Watched, name: string): Promise<void> {
  await opensList(watched);
  const search = watched.page.getByRole("searchbox", { name: "Search frames" });
  await search.fill(name);
  const row = rows(watched).filter({ hasText: name.split("/").at(-1)! });
  await until(async () => (await rows(watched).count()) === 1, `${name} is found`);
  await row.first().waitFor();
  await press(watched, row.first());
}

/** Something of a picture is on screen: many greys, not black. */
async function isNotBlack(watched: Watched): Promise<void> {
  const greys = await watched.page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.picture")!;
    const copy = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    const pen = copy.getContext("2d", { willReadFrequently: true })!;
    pen.drawImage(canvas, 0, 0, 64, 64);
    const { data } = pen.getImageData(0, 0, 64, 64);
    return [...new Set(Array.from({ length: 64 * 64 }, (_, at) => (data[at * 4 + 3] ? data[at * 4]! : 0)))];
  });
  expect(greys.length, `greys: ${greys.join(" ")}`).toBeGreaterThan(3);
}

describe.each(SIZES)("$name", (size) => {
  test("the first picture comes by itself", async () => {
    const watched = await opens(service, "", size);
    await watched.page.locator('[data-complete="true"]:not([data-shown=""])').first().waitFor();
    await isNotBlack(watched);
    await until(() => told(watched, "frame") !== "", "the link names it");
    await watched.keeps("open-by-itself");
    await closes(watched);
  });

  test("demo and known frames, from the list", async () => {
    const watched = await opens(service, "#frame=known/ramp.fits", size);
    await watched.shows("known/ramp.fits");
    await opensList(watched);
    await watched.keeps("open-list");
    for (const [root, name] of [["demo", "stars.fits"], ["known", "sky.fits"], ["known", "floats.fits"], ["known", "cube.fits"], ["known", "bayer.fits"]] as const) {
      await chooses(watched, `${root}/${name}`);
      await watched.shows(`${root}/${name}`);
      if (name !== "cube.fits" && name !== "bayer.fits") await isNotBlack(watched);
      expect(await listIsOpen(watched), "on a phone the list makes room for the picture").toBe(!size.touch);
    }
    await watched.keeps("open-from-list");
    await closes(watched);
  });

  test("real frames", async () => {
    expect(real.length).toBeGreaterThan(6);
    const watched = await opens(service, "#frame=known/ramp.fits", size);
    await watched.shows("known/ramp.fits");
    for (const name of real) {
      await watched.page.evaluate((next) => void (location.hash = `#frame=real/${next}`), encodeURIComponent(name));
      const shown = watched.page.locator(`[data-shown="real/${encodeURIComponent(name)}"][data-complete="true"]`);
      const wrong = watched.page.getByRole("alert").filter({ hasText: /\S/ });
      await shown.or(wrong).first().waitFor({ timeout: 30_000 });
      if (await wrong.count()) expect(await wrong.first().innerText(), `${name}: a table, not a picture`).toMatch(/no image|image|table|spectr/i);
      await watched.keeps(`open-real-${name}`);
    }
    watched.expected.push(/status of 422/);
    await closes(watched);
  });

  test("from the strip, and the next and previous by buttons and keys", async () => {
    const watched = await opens(service, "#frame=known/sky.fits&strip=1", size);
    const { page } = watched;
    await watched.shows("known/sky.fits");
    const items = page.locator(".strip button");
    await items.first().waitFor();
    await page.locator(".strip img").first().waitFor();
    await watched.keeps("open-strip");
    const item = page.getByRole("button", { name: /^ramp\.fits/ });
    await item.scrollIntoViewIfNeeded();
    await press(watched, item);
    await watched.shows("known/ramp.fits");
    expect(await item.getAttribute("aria-current")).toBe("true");
    // By name the frames of a folder stand in the order of the alphabet.
    await opensList(watched);
    await page.getByRole("combobox", { name: "Order" }).selectOption("name");
    await page.getByRole("searchbox", { name: "Search frames" }).fill("known");
    await until(async () => (await rows(watched).first().innerText()).includes("bayer"), "in order");
    await press(watched, rows(watched).filter({ hasText: "blocks.fits" }));
    await watched.shows("known/blocks.fits");
    await page.locator("body").press("Escape");
    await press(watched, page.getByRole("button", { name: /^Previous frame/ }));
    await watched.shows("known/bayer.fits");
    await press(watched, page.getByRole("button", { name: /^Next frame/ }));
    await watched.shows("known/blocks.fits");
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("ArrowLeft");
    await watched.shows("known/bayer.fits");
    await page.keyboard.press("j");
    await watched.shows("known/blocks.fits");
    await watched.keeps("open-next");
    watched.expected.push(/status of 422/); // The broken frame has no thumbnail.
    await closes(watched);
  });

  test("a row that is pressed while the list becomes another one is the one that opens", async () => {
    const watched = await opens(service, "#frame=known/ramp.fits", size);
    const { page } = watched;
    await watched.shows("known/ramp.fits");
    await opensList(watched);
    await page.getByRole("combobox", { name: "Order" }).selectOption("name");
    await until(async () => (await rows(watched).first().innerText()).includes("demo"), "in order");
    let answers = (): void => undefined;
    const pressed = new Promise<void>((done) => (answers = done));
    await page.route("**/catalogue?*search=known*", async (route) => {
      await pressed;
      await route.continue();
    });
    const asked = page.waitForRequest((request) => request.url().includes("search=known"));
    await page.getByRole("searchbox", { name: "Search frames" }).fill("known");
    await asked; // No other answer is awaited any more.
    const row = rows(watched).filter({ hasText: "blocks.fits" });
    await row.scrollIntoViewIfNeeded();
    const place = (await row.boundingBox())!;
    await page.mouse.move(place.x + place.width / 2, place.y + place.height / 2);
    await page.mouse.down();
    const answered = page.waitForResponse((answer) => answer.url().includes("search=known"));
    answers();
    await (await answered).finished();
    await page.evaluate(() => new Promise((done) => setTimeout(done, 200)));
    expect(await row.boundingBox(), "where the row is while it is pressed").toEqual(place);
    await page.mouse.up();
    await watched.shows("known/blocks.fits");
    await opensList(watched);
    await until(async () => (await rows(watched).first().innerText()).includes("bayer"), "the other list is there");
    await closes(watched);
  });

  test("search by what the header says", async () => {
    const watched = await opens(service, "#frame=known/ramp.fits", size);
    const { page } = watched;
    await watched.shows("known/ramp.fits");
    await opensList(watched);
    const search = page.getByRole("searchbox", { name: "Search frames" });
    const finds = async (words: string, names: string[]): Promise<void> => {
      await search.fill(words);
      let found: string[] = [];
      await until(async () => {
        found = (await rows(watched).locator(".name").allInnerTexts()).sort();
        return JSON.stringify(found) === JSON.stringify([...names].sort());
      }, `${words} finds ${names.join(", ")}`, 20_000).catch((error: unknown) => {
        throw new Error(`${String(error)}; it finds ${found.join(", ")}`);
      });
    };
    await finds("known FILTER=Ha", ["sky.fits"]);
    await finds('OBJECT="Known field"', ["sky.fits"]);
    await finds("known EXPTIME>=30", ["sky.fits", "ramp.fits"]);
    await finds("known EXPTIME<30", ["blocks.fits"]);
    await finds("blocks", ["blocks.fits"]);
    await watched.keeps("open-search");
    await finds("nothing-is-called-so", []);
    await page.getByText("No frame matches").waitFor();
    await search.fill("EXPTIME>=much");
    await page.getByRole("alert").filter({ hasText: /\S/ }).first().waitFor();
    await watched.keeps("open-search-wrong");
    watched.expected.push(/status of 400/);
    await closes(watched);
  });
});
