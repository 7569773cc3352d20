// Measures the page in Chromium, before a daemon that runs already: node speed.ts '{"url":...}' prints one JSON object.
// cold: frames that nobody has asked for yet; times are from the click in the list to the sharp picture on screen.
import { chromium, type Browser, type Page } from "playwright-core";

interface Asked {
  url: string;
  start: string; // a small frame that is shown first
  cold: string[];
  pan: string;
  changes: number;
  seconds: number;
}

interface Taken {
  first: number;
  complete: number;
}

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const REST_MS = 400; // A person between two looks.

async function page(browser: Browser, hash: string): Promise<Page> {
  const made = await (await browser.newContext({ viewport: { width: 1400, height: 900 } })).newPage();
  await made.addInitScript(() => {
    for (const kind of ["click", "keydown"]) addEventListener(kind, (event) => Object.assign(window, { acted: event.timeStamp }), true);
  });
  await made.goto(hash);
  return made;
}

async function shown(of: Page, ref: string): Promise<void> {
  await of.locator(`[data-shown="${ref}"][data-complete="true"]`).first().waitFor({ timeout: 60_000 });
}

/** How long after the last click or key the picture of `ref` was on screen: something of it, and all of it. */
async function taken(of: Page, ref: string): Promise<Taken> {
  const found = await of.waitForFunction(
    (wanted) => {
      const acted = (window as unknown as { acted: number }).acted;
      const since = (name: string): number | undefined =>
        performance.getEntriesByName(name).find((each) => each.startTime > acted && (each as PerformanceMark).detail?.ref === wanted)?.startTime;
      const [first, complete] = [since("imgd:first"), since("imgd:complete")];
      return complete === undefined ? null : { first: (first ?? complete) - acted, complete: complete - acted };
    },
    ref,
    { timeout: 60_000, polling: 20 },
  );
  return (await found.jsonValue()) as Taken;
}

async function clicks(browser: Browser, asked: Asked): Promise<Taken[]> {
  const at = await page(browser, `${asked.url}#frame=${asked.start}&list=1`);
  await shown(at, asked.start);
  const all: Taken[] = [];
  for (const ref of asked.cold) {
    await at.waitForTimeout(REST_MS);
    await at.locator("aside.list button.frame").filter({ hasText: ref.split("/").at(-1)! }).first().click();
    all.push(await taken(at, ref));
  }
  await at.context().close();
  return all;
}

async function changes(browser: Browser, asked: Asked): Promise<number[]> {
  const at = await page(browser, `${asked.url}#frame=${asked.pan}&panel=stretch`);
  await shown(at, asked.pan);
  const black = at.getByRole("slider", { name: /black/i }).first();
  await black.waitFor({ timeout: 20_000 });
  await at.waitForTimeout(1000);
  await black.focus();
  const all: number[] = [];
  for (let number = 0; number < asked.changes; number++) {
    await at.keyboard.press("ArrowRight");
    all.push((await taken(at, asked.pan)).complete);
    await at.waitForTimeout(REST_MS);
  }
  await at.context().close();
  return all;
}

async function pans(browser: Browser, asked: Asked): Promise<{ fps: number; worst: number; tiles: number }> {
  const at = await page(browser, `${asked.url}#frame=${asked.pan}`);
  await shown(at, asked.pan);
  await at.keyboard.press("1");
  await at.waitForTimeout(1500);
  await at.evaluate(() => {
    const frames: number[] = [];
    Object.assign(window, { frames });
    const tick = (now: number): void => {
      frames.push(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  const before = await tilesMade(asked.url);
  const began = performance.now();
  for (let drag = 0; performance.now() - began < asked.seconds * 1000; drag++) {
    // In a widening spiral: always on to where nobody has been.
    const side = Math.floor(Math.sqrt(4 * drag + 1) - 1) % 4;
    const [dx, dy] = [[-40, 0], [0, -24], [40, 0], [0, 24]][side]!;
    await at.mouse.move(700 - 15 * dx!, 400 - 15 * dy!);
    await at.mouse.down();
    for (let step = -14; step <= 15; step++) await at.mouse.move(700 + dx! * step, 400 + dy! * step);
    await at.mouse.up();
  }
  const frames = (await at.evaluate(() => (window as unknown as { frames: number[] }).frames)).filter((_, index) => index > 0);
  const gaps = frames.slice(1).map((now, index) => now - frames[index]!);
  const tiles = (await tilesMade(asked.url)) - before;
  await at.context().close();
  return { fps: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0), worst: Math.max(...gaps), tiles };
}

async function tilesMade(url: string): Promise<number> {
  const text = await (await fetch(`${url}metrics`)).text();
  return Number(/^imgd_desk_tiles_made_total (.*)$/m.exec(text)?.[1] ?? NaN);
}

const asked = JSON.parse(process.argv[2] ?? "{}") as Asked;
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
try {
  const cold = await clicks(browser, asked);
  const hot = await clicks(browser, asked);
  console.log(JSON.stringify({ cold, hot, changes: await changes(browser, asked), pan: await pans(browser, asked) }));
} finally {
  await browser.close();
}
