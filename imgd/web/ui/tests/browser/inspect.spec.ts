// What is known of a frame and of its run; and what is taken away: pictures, pixels, a link, a command line.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fitted, press, seenAt, stageOf, type Point } from "./hands";
import { asksPython, bench, closes, knownFrames, opens, serves, SIZES, temporary, until, type Service, type Truth, type Watched } from "./rig";

const [SKY, BLOCKS, CUT] = ["known/sky.fits", "known/blocks.fits", "known/truncated.fits"];
const BLOCKS_SIZE: Point = [800, 600];

bench();
let service: Service;
let truth: Truth;
let folder = "";

beforeAll(async () => {
  folder = join(temporary(), "known");
  truth = knownFrames(folder);
  service = await serves([`known=${folder}`]);
});

describe.each(SIZES)("looking into a frame at $name", (size) => {
  test("the header with its comments and units, and a search over it", async () => {
    const watched = await opens(service, `#frame=${SKY}&panel=header`, size);
    await watched.shows(SKY);
    const cards = watched.page.getByRole("region", { name: "Header cards" });
    const search = watched.page.getByRole("searchbox", { name: "Search the header" });
    await search.fill("crval1");
    const card = cards.getByRole("listitem").filter({ hasText: "CRVAL1" });
    await card.getByText("0.05 deg", { exact: true }).waitFor(); // astropy writes [deg] into the comment.
    await card.getByText("Coordinate value at reference point").waitFor();
    expect(await cards.getByRole("listitem").filter({ hasText: "EXPTIME" }).count(), "other cards").toBe(0);
    if (size.touch) await card.locator(".keyword").tap(); // The buttons are there while the card is pointed at, or was tapped.
    else await card.hover();
    await press(watched, card.getByRole("button", { name: "Copy the value of CRVAL1" }));
    await until(async () => (await clipboard(watched)) === "0.05", "the value is on the clipboard");
    await watched.keeps("inspect-header");
    await search.fill("nothing of this kind");
    await watched.page.getByText("Nothing in this header matches.").waitFor();
    await closes(watched);
  });

  test("the steps of the run; at the second look they were there already", async () => {
    const frame = `known/second-${size.name}.fits`;
    asksPython("import shutil, sys; shutil.copy(*sys.argv[1:])", join(folder, "sky.fits"), join(folder, `second-${size.name}.fits`));
    const watched = await opens(service, `#frame=${frame}&panel=run`, size);
    await watched.shows(frame);
    const steps = watched.page.getByRole("list", { name: "Steps" }).getByRole("listitem");
    await watched.page.getByRole("heading", { name: /^Turn \d+: completed/ }).waitFor();
    const names = await steps.locator(".step-name").allTextContents();
    expect(names).toContain("tiles");
    expect((await steps.locator(".step-told").allTextContents()).some((each) => / ms|\d s/.test(each)), "times are told").toBe(true);
    await watched.keeps("inspect-run");
    await closes(watched);
    const again = await opens(service, `#frame=${frame}&panel=run`, size);
    await again.shows(frame);
    await again.page.getByRole("heading", { name: /^Turn \d+: completed/ }).waitFor();
    await again.page.getByText("cached", { exact: false }).first().waitFor();
    const told = await again.page.getByRole("list", { name: "Steps" }).getByRole("listitem").locator(".step-told").allTextContents();
    expect(told.filter((each) => each.startsWith("cached")).length, told.join(" | ")).toBeGreaterThan(0);
    await again.keeps("inspect-run-again");
    await closes(again);
  });

  test("of a frame that is cut short its rows are shown, and the console says so", async () => {
    const watched = await opens(service, `#frame=${CUT}&panel=run`, size);
    await watched.shows(CUT);
    const { rows, of } = truth.truncated;
    await watched.page.getByRole("list", { name: "What the runner says" }).getByText(new RegExp(`truncated: ${rows} of ${of} rows`)).waitFor();
    await watched.page.getByRole("note").filter({ hasText: "truncated" }).waitFor({ state: size.touch ? "attached" : "visible" });
    const stage = await stageOf(watched);
    const camera = fitted(BLOCKS_SIZE, stage);
    const [missing, there] = await watched.colours([seenAt(camera, stage, [750, 50]), seenAt(camera, stage, [750, 550])]);
    expect(missing, "rows that are not there").toEqual([0, 0, 0]);
    expect(there?.[0], "rows that are there").toBeGreaterThan(20);
    await watched.keeps("inspect-truncated");
    await closes(watched);
  });

  test("the pixels that are taken away are the frame's, with its header and the cutout's own place in the sky", async () => {
    const watched = await opens(service, `#frame=${SKY}&at=1000,750,2`, size);
    await watched.shows(SKY);
    await openMenu(watched);
    const path = await saved(watched, "FITS");
    const program = `
import json, sys
from astropy.io import fits
from astropy.wcs import WCS
cut, whole = fits.open(sys.argv[1])[0], fits.open(sys.argv[2])[0]
here = WCS(cut.header).all_pix2world([[1, 1]], 1)[0]
x, y = WCS(whole.header).all_world2pix([here], 1)[0]
left, low = round(x) - 1, round(y) - 1
rows, columns = cut.data.shape
print(json.dumps({"same": bool((whole.data[low:low + rows, left:left + columns] == cut.data).all()), "shape": [columns, rows],
    "corner": [left, low], "object": cut.header["OBJECT"], "off": abs(x - round(x)) + abs(y - round(y))}))`;
    const found = JSON.parse(asksPython(program, path, join(folder, "sky.fits"))) as { same: boolean; shape: Point; corner: Point; object: string; off: number };
    const stage = await stageOf(watched);
    expect(found).toMatchObject({ same: true, object: "Known field" });
    expect(found.off, "the sky is where it was").toBeLessThan(1e-3);
    for (const [at, side] of [stage.width, stage.height].entries()) expect(Math.abs((found.shape[at] ?? 0) - side / 2), "what is seen").toBeLessThanOrEqual(2);
    expect(Math.abs(found.corner[0] - (1000 - stage.width / 4))).toBeLessThanOrEqual(2);
    await watched.keeps("inspect-take-away");
    await closes(watched);
  });

  test("the picture is saved as it is on the screen", async () => {
    const watched = await opens(service, `#frame=${BLOCKS}&hide=scalebar,minimap&cut=0,47000&stretch=linear`, size);
    await watched.shows(BLOCKS);
    await openMenu(watched);
    const path = await saved(watched, "As on the screen (PNG)");
    const { places, colours } = await blocksSeen(watched);
    const stage = await stageOf(watched);
    expect(await differences(path, places.map(([x, y]) => [x / stage.width, y / stage.height]), colours), "from the screen").toBeLessThanOrEqual(2);
    await watched.keeps("inspect-saved");
    await closes(watched);
  });

  test("the copied link opens the same view, and the copied curl line fetches it", async () => {
    const watched = await opens(service, `#frame=${BLOCKS}&hide=scalebar,minimap&cut=1000,40000&stretch=asinh&map=viridis&panel=header&turned=90`, size);
    await watched.shows(BLOCKS);
    const { colours, stage, camera, sources } = await blocksSeen(watched, 90);
    await openMenu(watched);
    await press(watched, watched.page.getByRole("button", { name: "Link to this view" }));
    await until(async () => (await clipboard(watched)).startsWith(service.url), "the link is on the clipboard");
    const link = await clipboard(watched);
    await press(watched, watched.page.getByRole("button", { name: "curl line of the picture" }));
    await until(async () => (await clipboard(watched)).startsWith("curl "), "the line is on the clipboard");
    const line = await clipboard(watched);
    const there = join(temporary(), "taken");
    mkdirSync(there);
    const done = spawnSync("sh", ["-c", line], { cwd: there, encoding: "utf8" });
    expect(done.status, `${line}: ${done.stderr}`).toBe(0);
    const [width, height] = [600 * camera.scale, 800 * camera.scale]; // Turned by a quarter.
    const [left, top] = [(stage.width - width) / 2, (stage.height - height) / 2];
    const parts = sources.map((source) => seenAt(camera, stage, source)).map(([x, y]): Point => [(x - left) / width, (y - top) / height]);
    expect(await differences(join(there, "blocks-view.png"), parts, colours), "from the screen").toBeLessThanOrEqual(4);
    await closes(watched);
    const again = await opens({ url: link.split("#")[0] ?? "" }, `#${link.split("#")[1] ?? ""}`, size);
    await again.shows(BLOCKS);
    const seen = await blocksSeen(again, 90);
    expect(seen.colours).toEqual(colours);
    await again.page.getByRole("region", { name: "Header cards" }).waitFor();
    await again.keeps("inspect-link");
    await closes(again);
  });
});

async function clipboard({ page }: Watched): Promise<string> {
  return await page.evaluate(() => navigator.clipboard.readText());
}

async function openMenu(watched: Watched): Promise<void> {
  await watched.page.locator("body").press("Shift+S");
  await watched.page.getByRole("dialog", { name: "Take away" }).waitFor();
}

async function saved(watched: Watched, name: string): Promise<string> {
  const [download] = await Promise.all([watched.page.waitForEvent("download"), press(watched, watched.page.getByRole("button", { name, exact: true }))]);
  return await download.path();
}

/** The colours in the middle of some blocks, as they are on screen. */
async function blocksSeen(watched: Watched, turn = 0) {
  const stage = await stageOf(watched);
  const camera = fitted(BLOCKS_SIZE, stage, turn);
  const sources = [[50, 50], [350, 250], [750, 50], [150, 550], [650, 450]] as const;
  const places = sources.map((source) => seenAt(camera, stage, source));
  return { stage, camera, sources, places, colours: await watched.colours(places) };
}

/** How much a picture's colours differ most from these, at places given as parts of its width and height. */
async function differences(path: string, parts: readonly Point[], colours: readonly (readonly number[])[]): Promise<number> {
  const program = `
import json, sys
import PIL.Image
picture = PIL.Image.open(sys.argv[1]).convert("RGB")
width, height = picture.size
parts, colours = json.loads(sys.argv[2]), json.loads(sys.argv[3])
print(max(abs(a - b) for (x, y), wanted in zip(parts, colours) for a, b in zip(picture.getpixel((int(x * width), int(y * height))), wanted)))`;
  expect(readFileSync(path).subarray(1, 4).toString()).toBe("PNG");
  return Number(asksPython(program, path, JSON.stringify(parts), JSON.stringify(colours)));
}
