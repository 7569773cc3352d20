// What is under the cursor: the value that the file has, and the position that astropy finds.
import { describe, expect, test } from "vitest";
import { goesTo, stageOf, told, type Point } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Size, type Watched } from "./rig";

const SKY = "known/sky.fits";
const HEIGHT = 1500;
const SCALE = 8;
const PIXEL_ARCSEC = 0.8;

const stand = benchOfKnown();

const readout = (watched: Watched) => watched.page.locator(".readout");
const linkTo = (ref: string, height: number, [x, y]: Point, aside = 0): string => `#frame=${ref}&at=${x - 0.5 - aside / SCALE},${height - y + 0.5},${SCALE}`;
let aside = 40; // CSS pixels from the centre, to and fro: two taps at one place would be a double one.

/** Look at a FITS pixel of a frame from near, and point at it. */
async function pointsAt(watched: Watched, ref: string, height: number, at: Point): Promise<void> {
  aside = -aside;
  await goesTo(watched, linkTo(ref, height, at, aside));
  await watched.shows(ref);
  const { left, top, width, height: tall } = await stageOf(watched);
  const [x, y] = [left + width / 2 + aside, top + tall / 2];
  if (watched.size.touch) await watched.page.touchscreen.tap(x, y);
  else {
    await watched.page.mouse.move(x + 3, y + 3);
    await watched.page.mouse.move(x, y);
  }
  await readout(watched).getByText(/x\s*\d/).first().waitFor();
}

async function opensAt(size: Size, ref: string): Promise<Watched> {
  const watched = await opens(stand.service, `#frame=${ref}`, size);
  await watched.shows(ref);
  return watched;
}

/** Wait until the readout says this. */
async function says(watched: Watched, words: RegExp): Promise<void> {
  let text = "";
  await until(async () => words.test((text = (await readout(watched).innerText()).replace(/\s+/g, " "))), `${String(words)} in the readout`).catch((error: unknown) => {
    throw new Error(`${String(error)}; it says: ${text}`);
  });
}

describe.each(SIZES)("$name", (size) => {
  test("values are those of the file, positions those of astropy", async () => {
    const watched = await opensAt(size, SKY);
    for (const [x, y, value] of stand.truth.sky.values) {
      await pointsAt(watched, SKY, HEIGHT, [x, y]);
      await says(watched, new RegExp(`x ${x}\\.0 y ${y}\\.0 ${value} adu`));
    }
    await watched.keeps("readout-value");
    await closes(watched);
  });

  test("the sky position is astropy's, to a tenth of a pixel", async () => {
    const watched = await opensAt(size, SKY);
    let degrees = false;
    for (const [x, y, ra, dec] of stand.truth.sky.world) {
      await pointsAt(watched, SKY, HEIGHT, [x, y]);
      await says(watched, /RA .* Dec /);
      const sky = readout(watched).getByRole("button", { name: /RA/ });
      if (!degrees) {
        await sky.focus(); // By keyboard, so that the pointer stays where it points.
        await watched.page.keyboard.press("Enter");
        degrees = true;
      }
      let off = NaN;
      await until(async () => {
        const [, a, d] = /RA\s*(-?[\d.]+)°\s*Dec\s*(-?[\d.]+)°/.exec(await readout(watched).innerText()) ?? [];
        const [east, north] = [((Number(a) - ra + 540) % 360) - 180, Number(d) - dec];
        off = Math.hypot(east * Math.cos((dec * Math.PI) / 180), north) * 3600;
        return off <= 0.1 * PIXEL_ARCSEC;
      }, `${ra}, ${dec} at ${x}, ${y}`).catch((error: unknown) => {
        throw new Error(`${String(error)}; off by ${off} arc seconds`);
      });
    }
    await watched.keeps("readout-sky");
    await closes(watched);
  });

  test("0 shows 0, bad shows bad, and nothing speaks of the sky without a map of it", async () => {
    const ref = "known/floats.fits";
    const watched = await opensAt(size, ref);
    await pointsAt(watched, ref, 200, [101, 101]);
    await says(watched, /x 101\.0 y 101\.0 0$/);
    await watched.keeps("readout-zero");
    await pointsAt(watched, ref, 200, [75, 55]);
    await says(watched, /x 75\.0 y 55\.0 bad/);
    await watched.keeps("readout-bad");
    await pointsAt(watched, ref, 200, [300, 200]);
    await says(watched, /x 300\.0 y 200\.0 1$/);
    await goesTo(watched, `${linkTo(ref, 200, [101, 101])}&panel=measure&show=grid,compass`);
    await watched.page.getByRole("tab", { name: "Measure", selected: true }).waitFor();
    await until(async () => told(watched, "panel") === "measure", "the panel is open");
    const body = await watched.page.locator("body").innerText();
    expect(body).not.toMatch(/\bRA\b|\bDec\b|\bα\b|\bδ\b/);
    await watched.keeps("readout-no-sky");
    await closes(watched);
  });

  test("rows that a truncated frame lacks are bad", async () => {
    const ref = "known/truncated.fits";
    const watched = await opensAt(size, ref);
    await pointsAt(watched, ref, stand.truth.truncated.of, [150, 50]);
    await says(watched, / 1000$/);
    await pointsAt(watched, ref, stand.truth.truncated.of, [150, 400]);
    await says(watched, / bad/);
    await watched.keeps("readout-truncated");
    await closes(watched);
  });

  test("the magnifier shows the pixels around the cursor", async () => {
    const ref = "known/blocks.fits";
    const watched = await opens(stand.service, `#frame=${ref}&cut=0,50000&stretch=linear&show=magnifier`, size);
    await watched.shows(ref);
    await goesTo(watched, `#frame=${ref}&cut=0,50000&stretch=linear&show=magnifier&at=401,350,1`);
    await until(() => told(watched, "at").startsWith("401,350"), "it is there");
    const { left, top, width, height } = await stageOf(watched);
    const [x, y] = [left + width / 2, top + height / 2];
    if (size.touch) await watched.page.touchscreen.tap(x, y);
    else {
      await watched.page.mouse.move(x + 4, y);
      await watched.page.mouse.move(x, y);
    }
    const loupe = watched.page.locator(".magnifier canvas");
    await loupe.waitFor();
    // Left of x = 400 there is block 19, right of it block 20: 97 and 102 as greys. The cursor is on the first or second column of the right one.
    const greys = async (): Promise<number[]> =>
      await loupe.evaluate((canvas: HTMLCanvasElement) => {
        const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
        const pen = copy.getContext("2d", { willReadFrequently: true })!;
        pen.drawImage(canvas, 0, 0);
        const ratio = canvas.width / canvas.clientWidth;
        return [[20, 100], [150, 100]].map(([x, y]) => pen.getImageData(x! * ratio, y! * ratio, 1, 1).data[0]!);
      });
    await until(async () => {
      const [one = -1, other = -1] = await greys();
      return Math.abs(one - 97) <= 1 && Math.abs(other - 102) <= 1;
    }, "the greys of blocks 19 and 20").catch(async (error: unknown) => {
      throw new Error(`${String(error)}; they are ${(await greys()).join(" and ")}`);
    });
    await watched.keeps("readout-magnifier");
    await closes(watched);
  });
});
