// Black, mid and white by hand, and the daemon's ways to find them: what is on screen is what they say.
import { describe, expect, test } from "vitest";
import { BLOCKS, isRight, LOOK, sizeOf, WHITE } from "./blocks";
import { drags, fitted, press, seenAt, stageOf, told, type Point, type Rgb } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Watched } from "./rig";

const stand = benchOfKnown();

interface Level {
  black: number;
  white: number;
  mid: number;
}

/** The daemon's curves as its documents tell them, from 0..1 to 0..1. */
const CURVES: Record<string, (t: number) => number> = {
  Linear: (t) => t,
  Sqrt: Math.sqrt,
  Log: (t) => Math.log1p(1000 * t) / Math.log1p(1000),
  Asinh: (t) => Math.asinh(10 * t) / Math.asinh(10),
  Power: (t) => t * t,
};

function greyBy({ black, white, mid }: Level, curve: (t: number) => number = (t) => t): (value: number) => Rgb {
  return (value) => {
    const t = curve(Math.min(1, Math.max(0, (value - black) / (white - black))));
    const level = Math.round((255 * (mid - 1) * t) / ((2 * mid - 1) * t - mid)) || 0;
    return [level, level, level];
  };
}

/** The levels that the address line tells. */
function levelTold(watched: Watched): Level {
  const [black = NaN, white = NaN] = told(watched, "cut").split(",").map(Number);
  return { black, white, mid: Number(told(watched, "mid") || 0.5) };
}

/** All blocks are as the levels say. */
async function isAs(watched: Watched, level: Level, curve?: (t: number) => number): Promise<void> {
  const stage = await stageOf(watched);
  await isRight(watched, stand.truth, fitted(sizeOf(stand.truth.blocks), stage), stage, 48, greyBy(level, curve));
}

/** The levels that the daemon finds for a look, asked of it by HTTP. */
async function found(look: string): Promise<Level> {
  const answer = await fetch(`${stand.service.url}tile?${["frame=" + BLOCKS, look, "level=0&x=0&y=0"].filter(Boolean).join("&")}`);
  const levels = answer.headers.get("X-Imgd-Levels");
  if (!levels) throw new Error(`${answer.status}: no levels of ${look}`);
  return (JSON.parse(levels) as { levels: Level[] }).levels[0]!;
}

const handle = (watched: Watched, name: string) => watched.page.getByRole("slider", { name, exact: true });

/** Drag a handle by so many pixels; gives how many data units a pixel of the plot stands for. */
async function dragsHandle(watched: Watched, name: string, by: number): Promise<number> {
  const slider = handle(watched, name);
  await slider.scrollIntoViewIfNeeded();
  const [box, plot] = [await slider.boundingBox(), await watched.page.locator(".handles").boundingBox()];
  if (!box || !plot) throw new Error("there is no handle");
  const [low, high] = [await slider.getAttribute("aria-valuemin"), await slider.getAttribute("aria-valuemax")].map(Number);
  const x = box.x + box.width / 2;
  const y = box.y + (name === "Midtone" ? 11 : box.height - 14);
  await drags(watched, [x, y], [x + by, y]);
  return (high! - low!) / plot.width;
}

/** Wait until the address line tells where a handle is by now: while it is dragged it tells of places on the way. */
async function isTold(watched: Watched, name: "Black level" | "White level" | "Midtone"): Promise<void> {
  const slider = handle(watched, name);
  await until(async () => {
    const level = levelTold(watched);
    if (name === "Midtone") return Number(level.mid.toPrecision(3)) === Number(/midtone (\S+)/.exec((await slider.getAttribute("aria-valuetext")) ?? "")?.[1]);
    const [value, now] = [name === "Black level" ? level.black : level.white, Number(await slider.getAttribute("aria-valuenow"))];
    return Math.abs(value - now) <= WHITE / 10_000;
  }, `the link tells where "${name}" is`);
}

describe.each(SIZES)("$name", (size) => {
  test("handles that are dragged change the picture", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}&panel=stretch`, size);
    await watched.shows(BLOCKS);
    await handle(watched, "Black level").waitFor();
    const black = 60 * (await dragsHandle(watched, "Black level", 60));
    await until(() => Math.abs(levelTold(watched).black - black) < black / 20, "black is where it was dragged to");
    await isTold(watched, "Black level");
    expect(levelTold(watched).white).toBe(WHITE);
    await isAs(watched, levelTold(watched));
    await watched.keeps("levels-black");
    const white = WHITE - 80 * (await dragsHandle(watched, "White level", -80));
    await until(() => Math.abs(levelTold(watched).white - white) < white / 20, "white is where it was dragged to");
    await isTold(watched, "White level");
    await isAs(watched, levelTold(watched));
    await dragsHandle(watched, "Midtone", -40);
    await until(() => levelTold(watched).mid < 0.45, "the midtone is lower");
    await isTold(watched, "Midtone");
    await isAs(watched, levelTold(watched));
    await watched.keeps("levels-dragged");
    await closes(watched);
  });

  test("handles that are moved by keys and numbers change the picture", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}&panel=stretch`, size);
    await watched.shows(BLOCKS);
    const black = handle(watched, "Black level");
    const [low, high] = [Number(await black.getAttribute("aria-valuemin")), Number(await black.getAttribute("aria-valuemax"))];
    await black.focus();
    for (let step = 0; step < 10; step++) await watched.page.keyboard.press("ArrowRight");
    await until(() => Math.abs(levelTold(watched).black - (high - low) / 10) < 2, "ten hundredths of the plot");
    await isAs(watched, levelTold(watched));
    await watched.page.keyboard.press("Shift+ArrowLeft");
    await until(() => Math.abs(levelTold(watched).black - (high - low) * 0.099) < 2, "a thousandth back");
    expect(Number(await black.getAttribute("aria-valuenow"))).toBeCloseTo(levelTold(watched).black, 0);
    const white = watched.page.getByLabel("White", { exact: true });
    await white.fill("20000");
    await white.press("Enter");
    await until(() => levelTold(watched).white === 20_000, "white is what was typed");
    await isAs(watched, levelTold(watched));
    await watched.keeps("levels-typed");
    await black.focus();
    await watched.page.keyboard.press("Delete");
    const auto = await found("stretch=linear");
    await until(() => Math.abs(levelTold(watched).black - auto.black) < 1, "black is where the daemon puts it");
    await isAs(watched, levelTold(watched));
    await closes(watched);
  });

  test("auto, zscale, quantiles and reset", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&cut=0,${WHITE}&panel=stretch`, size);
    await watched.shows(BLOCKS);
    const { page } = watched;
    await press(watched, page.getByRole("button", { name: "zscale" }));
    await until(() => told(watched, "levels") === "zscale" && told(watched, "cut") === "", "zscale is asked for");
    await isAs(watched, await found("levels=zscale"));
    await watched.keeps("levels-zscale");
    await press(watched, page.getByRole("button", { name: "Auto", exact: true }));
    await until(() => told(watched, "levels") === "", "auto is asked for");
    await isAs(watched, await found(""));
    await watched.keeps("levels-auto");
    await page.getByRole("combobox", { name: "Levels" }).selectOption("0.025,0.975");
    const quantiles = await found("levels=0.025,0.975");
    await isAs(watched, quantiles);
    expect(Math.abs(quantiles.black - 1000)).toBeLessThan(20); // Of 48 blocks 2.5 % are between the first and the second.
    await press(watched, page.getByRole("checkbox", { name: "Invert" }));
    await press(watched, page.getByRole("button", { name: "Reset", exact: true }));
    await until(() => told(watched, "invert") === "" && told(watched, "levels") === "", "all is reset");
    await isAs(watched, await found(""));
    await closes(watched);
  });

  test("kinds of stretch", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&cut=0,${WHITE}&panel=stretch`, size);
    await watched.shows(BLOCKS);
    for (const [name, curve] of Object.entries(CURVES)) {
      await press(watched, watched.page.getByRole("button", { name, exact: true }));
      await isAs(watched, { black: 0, white: WHITE, mid: 0.5 }, curve);
      await watched.keeps(`levels-${name.toLowerCase()}`);
    }
    await closes(watched);
  });

  test("colours have levels of their own, or one for all", async () => {
    const ref = "known/bayer.fits"; // Red is 100, green 200 and 300, blue 400, everywhere.
    const watched = await opens(stand.service, `#frame=${ref}&cut=0,500,0,500,0,500&mid=0.5,0.5,0.5&stretch=linear&panel=stretch`, size);
    await watched.shows(ref);
    const stage = await stageOf(watched);
    const camera = fitted([600, 400], stage);
    // Green differs from pixel to pixel, and JPEG tells colours of several together: the mean of an even area is looked at.
    const [x, y] = seenAt(camera, stage, [301, 207]);
    const places = Array.from({ length: 256 }, (_, at): Point => [x - 24 + 3 * (at % 16), y - 24 + 3 * Math.floor(at / 16)]);
    const isOf = async (red: number, green: number, blue: number): Promise<void> => {
      let seen: number[] = [];
      const so = async (): Promise<boolean> => {
        const all = await watched.colours(places);
        seen = [0, 1, 2].map((band) => all.reduce((sum, colour) => sum + colour[band]!, 0) / all.length);
        return [red, green, blue].every((each, band) => Math.abs(each - seen[band]!) <= 6);
      };
      await until(so, `red ${red}, green ${green} and blue ${blue}`).catch((error: unknown) => {
        throw new Error(`${String(error)}, but ${seen.join()}`);
      });
    };
    await isOf(51, 128, 204);
    const { page } = watched;
    await press(watched, page.getByRole("group", { name: "Channel that the handles are of" }).getByRole("button", { name: "Red" }));
    const white = page.getByLabel("White", { exact: true });
    await white.fill("200");
    await white.press("Enter");
    await isOf(128, 128, 204);
    await until(() => told(watched, "cut") === "0,200,0,500,0,500", "red alone has another white");
    await watched.keeps("levels-red");
    await press(watched, page.getByRole("checkbox", { name: "Linked" }));
    await until(() => told(watched, "link") === "1" && told(watched, "cut") === "0,400", "one white: the mean of the three");
    await isOf(64, 159, 251); // What would be above white of blue is lost.
    expect(await page.getByRole("group", { name: "Channel that the handles are of" }).count()).toBe(0);
    await watched.keeps("levels-linked");
    await closes(watched);
  });

  test("settings are kept for the next frame if that is wanted, and only then", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}&panel=stretch`, size);
    await watched.shows(BLOCKS);
    const { page } = watched;
    await press(watched, page.getByRole("checkbox", { name: "For the next frame" }));
    await page.getByRole("button", { name: "Next frame" }).or(page.getByRole("button", { name: "Previous frame" })).locator("visible=true").first().waitFor();
    const goes = async (): Promise<void> => {
      const before = told(watched, "frame");
      const next = page.getByRole("button", { name: "Next frame" });
      await until(async () => (await next.isEnabled()) || (await page.getByRole("button", { name: "Previous frame" }).isEnabled()), "there is a neighbour");
      await press(watched, (await next.isEnabled()) ? next : page.getByRole("button", { name: "Previous frame" }));
      await until(() => told(watched, "frame") !== before, "another frame");
    };
    await goes();
    expect(told(watched, "cut")).toBe(`0,${WHITE}`);
    await page.getByRole("checkbox", { name: "For the next frame" }).uncheck();
    await goes();
    expect(told(watched, "cut")).toBe("");
    await watched.keeps("levels-kept");
    watched.expected.push(/status of 422/); // One of the frames is a broken one.
    await closes(watched);
  });
});
