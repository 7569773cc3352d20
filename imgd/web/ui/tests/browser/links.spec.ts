// The address line holds what is seen: reloaded, gone back to, sent to somebody, or written wrongly.
import { describe, expect, test } from "vitest";
import { BLOCKS, isRight, LOOK, sizeOf } from "./blocks";
import { fitted, goesTo, press, stageOf, told, type Point, type Rgb } from "./hands";
import { benchOfKnown, closes, opens, SIZES, until, type Watched } from "./rig";

const SKY = "known/sky.fits";

const stand = benchOfKnown();

/** The colours of the stage at many places. */
async function seen(watched: Watched): Promise<Rgb[]> {
  const { width, height } = await stageOf(watched);
  const places = Array.from({ length: 400 }, (_, at): Point => [((at % 20) + 0.5) * (width / 20), (Math.floor(at / 20) + 0.5) * (height / 20)]);
  return await watched.colours(places);
}

/** The colours of the stage once the camera of the link is the one that is seen by: the zoom is told, and two looks agree. */
async function seenBy(watched: Watched, scale: number): Promise<Rgb[]> {
  await watched.page.getByText(`${Math.round(100 * scale * (watched.size.touch ? 2 : 1))} %`, { exact: true }).waitFor();
  let last = await seen(watched);
  const so = async (): Promise<boolean> => {
    const before = last;
    last = await seen(watched);
    return String(last) === String(before);
  };
  await until(so, "the stage is still");
  return last;
}

/** Wait until the stage has the colours it had before, at all those places. */
async function isSeenAgain(watched: Watched, before: readonly Rgb[]): Promise<void> {
  let others = NaN;
  const so = async (): Promise<boolean> => {
    const now = await seen(watched);
    others = before.filter((colour, at) => String(colour) !== String(now[at])).length + Math.abs(before.length - now.length);
    return others === 0;
  };
  await until(so, "the same picture as before").catch((error: unknown) => {
    throw new Error(`${String(error)}; ${others} of ${before.length} places differ, at ${hashOf(watched)}`, { cause: error });
  });
}

const hashOf = (watched: Watched): string => new URL(watched.page.url()).hash;

describe.each(SIZES)("$name", (size) => {
  test("a link that is reloaded, or opened elsewhere, gives the same picture", async () => {
    const hash = `#frame=${SKY}&cut=750,1200&stretch=asinh&map=inferno&at=700.5,600.25,1.25&turned=90&mirrored=1&show=grid,compass&hide=minimap&panel=measure`;
    const watched = await opens(stand.service, hash, size);
    await watched.shows(SKY);
    const first = await seenBy(watched, 1.25);
    expect(new Set(first.map(String)).size, "there is something to be seen").toBeGreaterThan(20);
    expect(hashOf(watched)).toBe(hash);
    await watched.keeps("links-before");
    await watched.page.reload();
    await watched.shows(SKY);
    await isSeenAgain(watched, first);
    expect(hashOf(watched)).toBe(hash);
    await watched.page.getByRole("tab", { name: "Measure", selected: true }).waitFor();
    await watched.keeps("links-after");
    await closes(watched);
    const elsewhere = await opens(stand.service, hash, size);
    await elsewhere.shows(SKY);
    await isSeenAgain(elsewhere, first);
    await closes(elsewhere);
  });

  test("what is done by hand is in the link", async () => {
    const watched = await opens(stand.service, `#frame=${SKY}`, size);
    await watched.shows(SKY);
    for (const key of ["1", "r", "x", "i", "l", "w", "m"]) await watched.page.keyboard.press(key);
    await until(() => told(watched, "at") !== "" && told(watched, "panel") === "measure", "the link is written");
    await watched.page.getByText("100 %", { exact: true }).waitFor();
    await until(() => Math.abs(Number(told(watched, "at").split(",")[2]) - 1 / (size.touch ? 2 : 1)) < 1e-5, "at 100 %");
    await watched.shows(SKY);
    expect([told(watched, "turned"), told(watched, "mirrored"), told(watched, "invert"), told(watched, "show")]).toEqual(["270", "1", "1", "stars"]);
    expect(told(watched, "stretch")).toBe("linear");
    const before = await seenBy(watched, size.touch ? 0.5 : 1);
    await watched.page.reload();
    await watched.shows(SKY);
    await isSeenAgain(watched, before);
    await watched.keeps("links-by-hand");
    await closes(watched);
  });

  test("back and forward go from frame to frame", async () => {
    const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}`, size);
    await watched.shows(BLOCKS);
    await goesTo(watched, `#frame=${SKY}`);
    await watched.shows(SKY);
    await watched.page.keyboard.press("d");
    const row = watched.page.locator("aside.list button.frame").filter({ hasText: "ramp.fits" });
    await press(watched, row);
    await watched.shows("known/ramp.fits");
    await until(() => told(watched, "frame") === "known/ramp.fits", "the link is written");
    await watched.page.goBack();
    await watched.shows(SKY);
    await watched.page.goBack();
    await watched.shows(BLOCKS);
    const stage = await stageOf(watched);
    await isRight(watched, stand.truth, fitted(sizeOf(stand.truth.blocks), stage), stage, 48);
    await watched.page.goForward();
    await watched.shows(SKY);
    await watched.keeps("links-forward");
    await closes(watched);
  });

  test("a link's place is kept between frames of different sizes, back and forward too", async () => {
    const [sky, ramp] = [`#frame=${SKY}&at=700.5,600.25,1.25`, "#frame=known/ramp.fits&at=100,90,4"];
    const watched = await opens(stand.service, sky, size);
    await watched.shows(SKY);
    const first = await seenBy(watched, 1.25);
    await goesTo(watched, ramp);
    await watched.shows("known/ramp.fits");
    const second = await seenBy(watched, 4);
    for (const [go, ref, hash, picture] of [["goBack", SKY, sky, first], ["goForward", "known/ramp.fits", ramp, second]] as const) {
      await watched.page[go]();
      await watched.shows(ref);
      await isSeenAgain(watched, picture);
      await watched.page.waitForTimeout(400); // By then the address line would have been written anew.
      expect(hashOf(watched)).toBe(hash);
    }
    await watched.keeps("links-places");
    await watched.page.keyboard.press("d");
    await press(watched, watched.page.locator("aside.list button.frame").filter({ hasText: "sky.fits" }));
    await watched.shows(SKY);
    await until(() => told(watched, "frame") === SKY && told(watched, "at") === "", "a frame of another size that is opened by hand is fitted");
    await closes(watched);
  });

  test("a link that leads beside the plane shows all of it", async () => {
    const watched = await opens(stand.service, "#frame=known/ramp.fits&at=100000,100000,1", size);
    await watched.shows("known/ramp.fits");
    await until(() => told(watched, "at") === "", "it is fitted");
    expect(new Set((await seen(watched)).map(String)).size, "there is something to be seen").toBeGreaterThan(20);
    await watched.keeps("links-beside");
    await watched.page.keyboard.press("1");
    await until(() => told(watched, "at") !== "", "keys move it");
    await closes(watched);
  });

  test("a link with several pictures", async () => {
    const other = encodeURIComponent(`frame=known/ramp.fits&stretch=linear`);
    const watched = await opens(stand.service, `#frame=${BLOCKS}&${LOOK}&pane=${other}&active=1&layout=side`, size);
    await watched.shows(BLOCKS);
    await watched.shows("known/ramp.fits");
    expect(await watched.page.locator(".pane:visible").count()).toBe(2);
    expect(await watched.page.locator(".pane.active").getAttribute("data-shown")).toBe("known/ramp.fits");
    const stage = await stageOf(watched);
    const camera = fitted(sizeOf(stand.truth.blocks), stage);
    await isRight(watched, stand.truth, { ...camera }, stage, 48);
    await watched.keeps("links-side");
    await watched.page.reload();
    await watched.shows("known/ramp.fits");
    await watched.shows(BLOCKS);
    await closes(watched);
  });

  test("a link that makes no sense: words, and a way on", async () => {
    const watched = await opens(stand.service, "#frame=%%%20nowhere/%E0%A4%A.fits&at=a,b,c&turned=45&show=nothing&panel=none&pane&layout=five&shape=blob,1&zzz", size);
    await watched.page.getByRole("alert").filter({ hasText: /\S/ }).first().waitFor();
    expect(await watched.page.getByRole("alert").filter({ hasText: /\S/ }).first().innerText()).toMatch(/[a-z]{3}/);
    await watched.keeps("links-nonsense");
    await goesTo(watched, `#frame=${BLOCKS}&cut=black,white&stretch=very`);
    await until(async () => /cut|stretch/.test(await watched.page.getByRole("alert").filter({ hasText: /\S/ }).first().innerText()), "which parameter is wrong");
    await watched.keeps("links-wrong-look");
    await goesTo(watched, `#frame=${BLOCKS}&${LOOK}`);
    await watched.shows(BLOCKS);
    await expect.poll(() => watched.page.getByRole("alert").filter({ hasText: /\S/ }).allInnerTexts(), { timeout: 10_000 }).toEqual([]);
    const stage = await stageOf(watched);
    await isRight(watched, stand.truth, fitted(sizeOf(stand.truth.blocks), stage), stage, 48);
    watched.expected.push(/status of 40[04]/);
    await closes(watched);
  });
});
