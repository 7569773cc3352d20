// A folder is followed: what comes is on screen at once; pause, step, play, what was left out, the trend, the list.
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { press } from "./hands";
import { bench, closes, exposes, opens, serves, SIZES, temporary, until, type Service, type Watched } from "./rig";

const COUNT = 14;
const WITHIN_MS = 1000;
const name = (number: number): string => `n${String(number).padStart(3, "0")}.fits`;

bench();
let service: Service;
let folder = "";
let ready = "";

beforeAll(async () => {
  const parent = temporary();
  [folder, ready] = [join(parent, "cam"), join(parent, "ready")];
  for (const size of SIZES) {
    mkdirSync(join(folder, size.name), { recursive: true });
    exposes(join(ready, size.name), Array.from({ length: COUNT }, (_, at) => name(at + 1)), 1);
  }
  service = await serves([`cam=${folder}`]);
});

describe.each(SIZES)("following a folder at $name", (size) => {
  const dir = `cam/${size.name}`;
  const ref = (number: number): string => `${dir}/${name(number)}`;
  const comes = (number: number): void => renameSync(join(ready, size.name, name(number)), join(folder, size.name, name(number)));
  let watched: Watched;

  test("a new frame is on screen within a second of its renaming", async () => {
    watched = await opens(service, `#follow=${dir}&panel=follow`, size);
    await watched.page.getByText(`Waiting for the first frame in ${size.name}`).waitFor();
    await watched.keeps("follow-waits");
    comes(1);
    await watched.shows(ref(1));
    const taken: number[] = [];
    for (let number = 2; number <= 6; number++) {
      const seen = seenAt(watched, ref(number));
      await seen.ready;
      const came = Date.now();
      comes(number);
      taken.push((await seen.at) - came);
    }
    taken.sort((one, other) => one - other);
    console.log(`${size.name}: from the rename to the sharp picture, ms: ${taken.join(", ")}`);
    expect(taken[2]).toBeLessThanOrEqual(WITHIN_MS);
    expect(taken[0]).toBeGreaterThan(0);
  });

  test("the trend gets a point for each, and the list has them by itself", async () => {
    const background = watched.page.getByRole("img", { name: /^Background of 6 frames: newest 10(5[89]|60)/ });
    await background.waitFor({ timeout: 20_000 });
    await watched.keeps("follow-trend");
    await watched.page.keyboard.press("d");
    const rows = watched.page.locator("aside.list button.frame, .list button.frame");
    await rows.filter({ hasText: name(6) }).first().waitFor();
    comes(7);
    await rows.filter({ hasText: name(7) }).first().waitFor({ timeout: 5000 });
    await watched.shows(ref(7));
    await watched.keeps("follow-list");
    await watched.page.keyboard.press("d");
    await watched.page.getByRole("img", { name: /^Background of 7 frames: newest 10(6[89]|70)/ }).waitFor({ timeout: 20_000 });
  });

  test("pause keeps the picture and counts what is left out; step shows the newest; play goes on", async () => {
    const { page } = watched;
    const panel = page.locator(".followed");
    await press(watched, panel.getByRole("button", { name: "Pause" }));
    await panel.getByText("Paused", { exact: false }).first().waitFor();
    for (const number of [8, 9]) {
      comes(number);
      await panel.getByText(name(number)).waitFor();
    }
    await panel.getByText("1 frame", { exact: true }).waitFor();
    expect(await page.locator("[data-shown]").first().getAttribute("data-shown"), "the picture while paused").toBe(ref(7));
    await watched.keeps("follow-paused");
    await press(watched, panel.getByRole("button", { name: "Step" }));
    await watched.shows(ref(9));
    await panel.getByText("nothing newer").waitFor();
    comes(10);
    await panel.getByText(name(10)).waitFor();
    expect(await page.locator("[data-shown]").first().getAttribute("data-shown"), "the picture after a step").toBe(ref(9));
    await press(watched, panel.getByRole("button", { name: "Play" }));
    await watched.shows(ref(10));
    comes(11);
    await watched.shows(ref(11));
  });

  test("the key of play and pause does the same", async () => {
    const panel = watched.page.locator(".followed");
    await watched.page.locator("body").press("Space");
    await panel.getByRole("button", { name: "Play" }).waitFor();
    await watched.keeps("follow-key");
    await watched.page.locator("body").press("Space");
    await panel.getByRole("button", { name: "Pause" }).waitFor();
  });

  test("the link is that of the folder: loaded again it follows, paused it stays paused", async () => {
    const { page } = watched;
    await until(() => page.url().includes(`follow=${dir}`) && !page.url().includes("paused"), "the folder is in the address, and that it plays");
    await page.reload();
    await watched.shows(ref(11));
    comes(12);
    await watched.shows(ref(12));
    await press(watched, page.locator(".followed").getByRole("button", { name: "Pause" }));
    await until(() => page.url().includes("paused=1"), "the pause is in the address");
    await page.reload();
    await watched.shows(ref(12));
    await page.locator(".followed").getByRole("button", { name: "Play" }).waitFor();
    comes(13);
    await page.locator(".followed").getByText(name(13)).waitFor();
    expect(await page.locator("[data-shown]").first().getAttribute("data-shown")).toBe(ref(12));
    await page.reload(); // A newer one is there now.
    await watched.shows(ref(12));
    await watched.keeps("follow-reloaded");
    await press(watched, page.locator(".followed").getByRole("button", { name: "Step" }));
    await watched.shows(ref(13));
    comes(14);
    await page.locator(".followed").getByText(name(14)).waitFor();
    await press(watched, page.locator(".followed").getByRole("button", { name: "Play" }));
    await watched.shows(ref(14));
    await closes(watched);
  });
});

/** When a frame is seen first, sharp, by the machine's clock. */
function seenAt({ page }: Watched, ref: string): { ready: Promise<unknown>; at: Promise<number> } {
  const ready = page.evaluate((wanted) => {
    const pane = document.querySelector<HTMLElement>("[data-pane]");
    const seen = new Promise<number>((done) => {
      const look = (): void => {
        if (pane?.dataset["shown"] !== wanted || pane.dataset["complete"] !== "true") return;
        watcher.disconnect();
        done(Date.now());
      };
      const watcher = new MutationObserver(look);
      if (pane) watcher.observe(pane, { attributes: true });
      look();
    });
    Object.assign(window, { seen });
  }, ref);
  return { ready, at: ready.then(() => page.evaluate(() => (window as unknown as { seen: Promise<number> }).seen)) };
}
