// What is measured is right: a line's profile, statistics of shapes, stars on a known field, the sky, and what is copied.
import { readFileSync } from "node:fs";
import type { Locator } from "playwright-core";
import { describe, expect, test } from "vitest";
import { drags, fitted, press, seenAt, stageOf, type Camera, type Point, type Stage } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Watched } from "./rig";

const [SKY, RAMP] = ["known/sky.fits", "known/ramp.fits"];
const ARCSEC_A_PIXEL = 0.8;
const RING_DEGREES = 15; // A circle is looked at all around, so often.

const stand = benchOfKnown();

describe.each(SIZES)("measuring at $name", (size) => {
  test("the profile of a known line, as a plot and as CSV", async () => {
    const watched = await opens(stand.service, `#frame=${RAMP}&panel=measure&tool=line&shape=line,11,21,110,21`, size);
    await watched.shows(RAMP);
    const part = watched.page.getByRole("region", { name: "Profile" });
    await part.getByRole("img", { name: "Values along the line, 100 points" }).waitFor();
    const rows = await csvOf(watched, part.getByRole("button", { name: "CSV" }));
    expect(rows.length).toBe(100);
    for (const { x, y, value } of rows) expect(value, `at ${x}, ${y}`).toBeCloseTo(3 * Number(x) - 2 * Number(y), 6);
    expect(rows[0]).toMatchObject({ distance_px: 0, x: 11, y: 21, value: -9 });
    expect(rows.at(-1)).toMatchObject({ x: 110, y: 21, value: 288 });
    const [left, right] = await plotHeights(watched);
    expect(left, "the line of the plot rises").toBeGreaterThan(right + 50);
    await watched.keeps("measure-profile");
    await closes(watched);
  });

  test("a line that is dragged is measured where it was drawn", async () => {
    const watched = await opens(stand.service, `#frame=${RAMP}&panel=measure&tool=line`, size);
    await watched.shows(RAMP);
    const stage = await stageOf(watched);
    const camera = fitted([500, 400], stage);
    const at = (x: number, y: number): Point => onPage(stage, seenAt(camera, stage, [x, y]));
    await drags(watched, at(100, 100), at(400, 200));
    const part = watched.page.getByRole("region", { name: "Profile" });
    await part.getByRole("img", { name: /^Values along the line/ }).waitFor();
    const wanted = [100.5, 300.5, 400.5, 200.5];
    const line = (): number[] => /shape=line,([^&]*)/.exec(watched.page.url())?.[1]?.split(",").map(Number) ?? [];
    await until(() => line().length === 4 && line().every((each, at) => Math.abs(each - (wanted[at] ?? 0)) < 1.5 / camera.scale), "the line is in the address");
    await until(async () => (await part.innerText()).includes("316"), "it is measured as it is now"); // Its length: hypot(300, 100).
    const rows = await csvOf(watched, part.getByRole("button", { name: "CSV" }));
    for (const { x, y, value } of rows) expect(value, `at ${x}, ${y}`).toBeCloseTo(3 * Number(x) - 2 * Number(y), 3);
    await watched.keeps("measure-drawn");
    await closes(watched);
  });

  test.each(["rect", "circle"] as const)("the statistics of a %s are numpy's", async (kind) => {
    const { numbers, ...figures } = stand.truth.shapes[kind];
    const watched = await opens(stand.service, `#frame=${SKY}&panel=measure&tool=${kind}&shape=${kind},${numbers.join(",")}`, size);
    await watched.shows(SKY);
    const part = watched.page.getByRole("region", { name: "Statistics of the shape" });
    for (const [name, wanted] of Object.entries(figures)) {
      const told = Number(await part.getByRole("row", { name: new RegExp(`^${name} [\\d-]`) }).first().locator("td").textContent());
      expect(Math.abs(told - wanted) / Math.abs(wanted), `${name}: ${told}, not ${wanted}`).toBeLessThan(name === "Sigma" ? 1e-3 : 1e-6);
    }
    await press(watched, part.getByRole("button", { name: "Copy" }));
    await until(async () => (await clipboard(watched)).includes(`Pixels\t${figures.Pixels}`), "the figures are on the clipboard");
    await watched.keeps(`measure-${kind}`);
    await closes(watched);
  });

  test("circles are drawn around the stars of a known field, and their medians are told", async () => {
    const watched = await opens(stand.service, `#frame=${SKY}&panel=measure&show=stars&hide=minimap,scalebar&at=1000,750,1`, size);
    await watched.shows(SKY);
    const part = watched.page.getByRole("region", { name: "Stars", exact: true });
    await part.getByRole("row", { name: `Found ${stand.truth.sky.stars.length}` }).waitFor();
    const told = (name: string) => part.getByRole("row", { name: new RegExp(`^${name}`) }).locator("td").textContent();
    const fwhm = Number.parseFloat((await told("Median FWHM")) ?? "");
    expect(Math.abs(fwhm - 2.3548 * 2.2), `median FWHM ${fwhm}`).toBeLessThan(0.15);
    expect(await told("Median FWHM"), "in arc seconds as well").toContain(`${(fwhm * ARCSEC_A_PIXEL).toFixed(1)}`);
    const hfr = Number.parseFloat((await told("Median HFR")) ?? "");
    expect(Math.abs(hfr - 1.1774 * 2.2), `median HFR ${hfr}`).toBeLessThan(0.25);
    const stage = await stageOf(watched);
    const camera: Camera = { x: 1000, y: 750, scale: 1, turn: 0, flip: false };
    const seen = stand.truth.sky.stars.map(([x, y]) => seenAt(camera, stage, [x - 0.5, 1500.5 - y])).filter(([x, y]) => x > 30 && y > 30 && x < stage.width - 30 && y < stage.height - 90);
    expect(seen.length, "stars in sight").toBeGreaterThan(size.touch ? 0 : 5);
    const rings = await ringsAt(watched, seen);
    for (const [at, ring] of rings.entries()) {
      expect(ring, `a circle around ${seen[at]?.join(", ")}`).not.toBeNull();
      expect(Math.hypot(ring?.dx ?? 99, ring?.dy ?? 99), `its centre is off by ${ring?.dx}, ${ring?.dy}`).toBeLessThan(1);
      expect(Math.abs((ring?.radius ?? 0) - 2 * hfr), `its radius ${ring?.radius}`).toBeLessThan(1.2);
    }
    const [nowhere] = await ringsAt(watched, [[stage.width / 2, (seen[0]?.[1] ?? 0) + 60]]);
    expect(nowhere, "no circle where there is no star").toBeNull();
    await watched.keeps("measure-stars");
    await closes(watched);
  });

  test("grid and compass where the header has a sky; without one the directions are x and y", async () => {
    const watched = await opens(stand.service, `#frame=${SKY}&show=grid,compass&hide=minimap&panel=measure`, size);
    await watched.shows(SKY);
    await until(async () => (await drawnPixels(watched)) > 1500, "a grid is drawn");
    await watched.page.getByRole("region", { name: "Find a position" }).waitFor();
    await watched.keeps("measure-grid");
    const withGrid = await drawnPixels(watched);
    await watched.page.locator("body").press("g");
    await until(async () => (await drawnPixels(watched)) < withGrid / 2, "the grid goes");
    await closes(watched);
    const plain = await opens(stand.service, `#frame=${RAMP}&show=grid,compass&hide=minimap&panel=measure`, size);
    await plain.shows(RAMP);
    await plain.page.getByRole("region", { name: "Stars", exact: true }).waitFor();
    await until(async () => (await drawnPixels(plain)) > 20, "scale bar and compass are drawn");
    expect(await drawnPixels(plain), "no grid").toBeLessThan(withGrid / 2);
    expect(await plain.page.getByRole("region", { name: "Find a position" }).count()).toBe(0);
    expect(await plain.page.locator("body").innerText()).not.toMatch(/\b(RA|Dec)\b/);
    await plain.keeps("measure-no-sky");
    await closes(plain);
  });

  test("the scale bar is as long as it says", async () => {
    for (const [frame, scale] of [[SKY, 0.5], [RAMP, 2]] as const) {
      const watched = await opens(stand.service, `#frame=${frame}&hide=minimap&at=${frame === SKY ? "1000,750" : "250,200"},${scale}`, size);
      await watched.shows(frame);
      const lengths = await barOf(watched);
      const each = frame === SKY ? ARCSEC_A_PIXEL / scale : 1 / scale;
      const most = Math.min(160, (await stageOf(watched)).width / 3);
      const round = (frame === SKY ? [1, 2, 5, 10, 20, 30, 60, 120, 300] : [1, 2, 5, 10, 20, 50, 100]).findLast((length) => length / each <= most) ?? 0;
      expect(Math.abs(lengths - round / each), `${lengths} px for ${round}`).toBeLessThan(3.5);
      await watched.keeps(`measure-bar-${frame === SKY ? "sky" : "pixels"}`);
      await closes(watched);
    }
  });

  test("position and value under the cursor are copied", async () => {
    const watched = await opens(stand.service, `#frame=${SKY}&at=1000,750,2&hide=minimap`, size);
    await watched.shows(SKY);
    const [x, y, value] = stand.truth.sky.values[1] ?? [0, 0, 0];
    const stage = await stageOf(watched);
    const there = onPage(stage, seenAt({ x: 1000, y: 750, scale: 2, turn: 0, flip: false }, stage, [x - 0.5, 1500.5 - y]));
    if (size.touch) await watched.page.touchscreen.tap(...there);
    else await watched.page.mouse.move(...there);
    const readout = watched.page.getByRole("group", { name: "Under the cursor" });
    await readout.getByText(String(value)).first().waitFor();
    if (size.touch) await press(watched, readout.getByRole("button", { name: "Copy position and value" }));
    else await watched.page.locator("body").press("Shift+C");
    await until(async () => (await clipboard(watched)) !== "", "something is on the clipboard");
    const [cx, cy, cv, ra, dec] = (await clipboard(watched)).split("\t");
    expect([Math.abs(Number(cx) - x) <= 0.5, Math.abs(Number(cy) - y) <= 0.5, Number.parseFloat(cv ?? "")]).toEqual([true, true, value]);
    expect(ra).toMatch(/^00[:h ]/);
    expect(dec).toMatch(/^\+?41[:° ]/);
    await watched.keeps("measure-copied");
    await closes(watched);
  });
});

const onPage = ({ left, top }: Stage, [x, y]: Point): [number, number] => [left + x, top + y];

async function clipboard({ page }: Watched): Promise<string> {
  return await page.evaluate(() => navigator.clipboard.readText());
}

/** The rows of the CSV that a button saves. */
async function csvOf({ page }: Watched, button: Locator): Promise<Record<string, number>[]> {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  const [head = "", ...lines] = readFileSync(await download.path(), "utf8").trim().split("\r\n");
  const names = head.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((cell, at) => [names[at] ?? "", Number(cell)])));
}

/** How far down the line of the profile is painted, near the left edge of the plot and near the right one. */
async function plotHeights({ page }: Watched): Promise<[number, number]> {
  return await page.evaluate(() => {
    const plot = document.querySelector<HTMLElement>(".plot");
    const canvas = plot?.querySelector("canvas");
    const over = plot?.querySelector<HTMLElement>(".u-over");
    const pen = canvas?.getContext("2d");
    if (!plot || !canvas || !over || !pen) throw new Error("there is no plot");
    const ratio = canvas.width / canvas.clientWidth;
    const probe = document.createElement("canvas").getContext("2d");
    if (!probe) throw new Error("no canvas");
    probe.fillStyle = getComputedStyle(plot).getPropertyValue("--plot").trim();
    probe.fillRect(0, 0, 1, 1);
    const wanted = probe.getImageData(0, 0, 1, 1).data;
    const heightAt = (part: number): number => {
      const { data, height, width } = pen.getImageData(Math.round((over.offsetLeft + over.clientWidth * part) * ratio) - 1, 0, 3, canvas.height);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const at = 4 * (y * width + x);
          if ((data[at + 3] ?? 0) > 150 && [0, 1, 2].every((band) => Math.abs((data[at + band] ?? 0) - (wanted[band] ?? 0)) < 40)) return y / ratio;
        }
      }
      throw new Error(`no line at ${part} of the plot`);
    };
    return [heightAt(0.05), heightAt(0.95)] as [number, number];
  });
}

/** How many pixels of the drawing over the picture are painted. */
async function drawnPixels({ page }: Watched): Promise<number> {
  return await page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.drawing");
    const pen = canvas?.getContext("2d");
    if (!canvas || !pen) return 0;
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 3; at < data.length; at += 4) if ((data[at] ?? 0) > 60) count++;
    return count / devicePixelRatio ** 2;
  });
}

interface Ring {
  dx: number;
  dy: number;
  radius: number;
}

/** The circle that is drawn around each place: where its line is found in all directions; null where there is none. */
async function ringsAt({ page }: Watched, places: readonly Point[]): Promise<(Ring | null)[]> {
  return await page.evaluate(([all, degrees]) => {
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.drawing");
    const pen = canvas?.getContext("2d");
    if (!canvas || !pen) throw new Error("nothing is drawn");
    const ratio = canvas.width / canvas.clientWidth;
    const { data, width } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const ink = (x: number, y: number): number => data[4 * (Math.floor(y * ratio) * width + Math.floor(x * ratio)) + 3] ?? 0;
    return all.map(([x, y]) => {
      const found: [number, number][] = [];
      for (let turn = 0; turn < 360; turn += degrees) {
        const [cos, sin] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
        let [weight, sum] = [0, 0];
        for (let radius = 1; radius < 16; radius += 0.25) {
          const strength = Math.max(0, ink(x + radius * cos, y + radius * sin) - 100);
          weight += strength;
          sum += strength * radius;
        }
        if (weight) found.push([(sum / weight) * cos, (sum / weight) * sin]);
      }
      if (found.length < (0.9 * 360) / degrees) return null;
      // Seen from a place beside the centre the line is R + d cos(angle) away: of its points' mean only half is the offset.
      const offset = (at: 0 | 1): number => (2 * found.reduce((sum, each) => sum + each[at], 0)) / found.length;
      return { dx: offset(0), dy: offset(1), radius: found.reduce((sum, each) => sum + Math.hypot(...each), 0) / found.length };
    });
  }, [places, RING_DEGREES] as const);
}

/** The length of the scale bar: of the longest row of paint near the lower left corner, CSS pixels. */
async function barOf({ page }: Watched): Promise<number> {
  const read = async (): Promise<number> =>
    await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("canvas.drawing");
      const pen = canvas?.getContext("2d");
      if (!canvas || !pen) return 0;
      const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
      let longest = 0;
      for (let y = 0; y < height; y++) {
        let run = 0;
        for (let x = 0; x < width; x++) {
          run = (data[4 * (y * width + x) + 3] ?? 0) > 200 ? run + 1 : 0;
          longest = Math.max(longest, run);
        }
      }
      return longest / devicePixelRatio;
    });
  await until(async () => (await read()) > 30, "a scale bar");
  let before = 0;
  await until(async () => before === (before = await read()), "the scale bar stays");
  return before;
}
