// The real daemon, real frames, and Debian's Chromium; whatever is started here is ended here.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type CDPSession, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";
import { asksPython, copiesFrames, exposes, pause, Service, temporary as temporaryUnnoted, until, type Truth } from "./service";
import type {} from "./stand";

export { asksPython, exposes, pause, Service, until, type Truth };

const PICTURES = process.env["IMGD_TEST_PICTURES"] ?? new URL("../../../../../tests/viewer/pictures", import.meta.url).pathname;
// The last list of these that Chromium is given is the one that holds: Playwright's own, and what draws the address bar,
// which nobody sees, in a process for each window: that cost more than our page.
const FEATURES_OFF = [
  "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "LensOverlay",
  "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints",
  "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch",
  "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup",
];
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", `--disable-features=${FEATURES_OFF.join(",")}`,
  "--disable-site-isolation-trials", // There is one site only: the blank page before ours needs no process of its own.
];

export interface Size {
  name: string;
  width: number;
  height: number;
  touch: boolean;
}

export const SIZES: readonly Size[] = [
  { name: "1400x900", width: 1400, height: 900, touch: false },
  { name: "390x844", width: 390, height: 844, touch: true },
];

// ---- frames

const folders: string[] = [];

/** A temporary folder; it is removed by `bench` at the end. */
export function temporary(): string {
  const folder = temporaryUnnoted();
  folders.push(folder);
  return folder;
}

/** The known frames, copied into a folder of the caller's, and what is known of them. */
export function knownFrames(into: string): Truth {
  return copiesFrames(inject("frames"), into);
}

// ---- the browser

/** A page that is watched: what it says on the console, and where it goes. */
export class Watched {
  readonly complaints: string[] = [];
  readonly elsewhere: string[] = [];
  /** Complaints that the test provokes: a 404, a daemon that is away; and that canvases are read, which the page never does. */
  readonly expected: RegExp[] = [/willReadFrequently/];

  constructor(readonly page: Page, readonly context: BrowserContext, readonly size: Size, url: string) {
    const origin = new URL(url).host;
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`not caught: ${error.message}`));
    page.on("request", (request) => this.goes(request.url(), origin));
    page.on("websocket", (socket) => this.goes(socket.url(), origin));
  }

  private goes(url: string, origin: string): void {
    const { protocol, host } = new URL(url);
    if (!["blob:", "data:"].includes(protocol) && host !== origin) this.elsewhere.push(url);
  }

  /** Nothing was complained of, and nobody else was asked. */
  isQuiet(): void {
    expect(this.elsewhere, "requests to other hosts").toEqual([]);
    expect(this.complaints.filter((text) => !this.expected.some((each) => each.test(text))), "the browser's console").toEqual([]);
  }

  private session: Promise<CDPSession> | undefined;

  /** Keep a picture of the page, as it is now; by the browser's own hand, which takes a third of what Playwright's does. */
  async keeps(name: string): Promise<void> {
    const session = await (this.session ??= this.context.newCDPSession(this.page));
    const { data } = await session.send("Page.captureScreenshot", { format: "png", optimizeForSpeed: true });
    mkdirSync(PICTURES, { recursive: true });
    writeFileSync(join(PICTURES, `${name}-${this.size.name}.png`), data, "base64");
  }

  /** Wait until a frame's picture is on screen, sharp. */
  async shows(ref: string, limitMs = 20_000): Promise<void> {
    const there = this.page.locator(`[data-shown="${ref}"][data-complete="true"]`).first();
    await there.waitFor({ timeout: limitMs }).catch(async (error: unknown) => {
      const panes = await this.page.locator(".pane").evaluateAll((all) => all.map((pane) => JSON.stringify((pane as HTMLElement).dataset)));
      throw new Error(`${ref} is not shown: ${panes.join(" ")} ${this.page.url()} ${(await this.page.getByRole("alert").allInnerTexts()).join(" ")}`, { cause: error });
    });
  }

  /** The colour of the picture at a place of the stage, CSS pixels from its upper left corner. */
  async colourAt(x: number, y: number): Promise<[number, number, number]> {
    return (await this.colours([[x, y]]))[0]!;
  }

  /** The colours that are painted at these places of the stage. */
  async colours(places: readonly (readonly [number, number])[]): Promise<[number, number, number][]> {
    return await this.page.evaluate((asked) => {
      const canvas = document.querySelector<HTMLCanvasElement>("canvas.picture");
      if (!canvas) throw new Error("there is no picture");
      const ratio = canvas.width / canvas.clientWidth;
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const pen = copy.getContext("2d", { willReadFrequently: true })!; // The page's own canvas stays as fast as it is.
      pen.drawImage(canvas, 0, 0);
      return asked.map(([x, y]) => [...pen.getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data.slice(0, 3)] as [number, number, number]);
    }, places.map(([x, y]) => [x, y] as const));
  }
}

let browser: Browser | undefined;
const opened: BrowserContext[] = [];
const services: Service[] = [];

/** Have a browser for the tests of this file, and end everything after them. */
export function bench(): void {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return;
    mkdirSync(PICTURES, { recursive: true });
    const pages = opened.flatMap((context) => context.pages());
    for (const [at, page] of pages.entries()) await page.screenshot({ path: join(PICTURES, `failed-${task.name.replaceAll(/\W+/g, "-").slice(0, 60)}-${at}.png`) }).catch(() => undefined);
    for (const context of opened.splice(0)) await context.close(); // The next test begins with nobody there.
  });
  afterAll(async () => {
    for (const context of opened.splice(0)) await context.close();
    await browser?.close();
    for (const service of services.splice(0)) await service.end();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
}

/** Have a browser, and the daemon that serves the known frames as the root `known` to all who only look: filled in when the tests begin. */
export function benchOfKnown(): { service: { url: string }; truth: Truth } {
  const stand = {} as { service: { url: string }; truth: Truth };
  bench();
  beforeAll(async () => {
    const answer = await fetch(inject("stand"));
    const url = await answer.text();
    if (!answer.ok) throw new Error(url);
    stand.service = { url };
    stand.truth = knownFrames(join(temporary(), "known"));
  });
  return stand;
}

export async function serves(roots: string[], ...flags: string[]): Promise<Service> {
  const service = new Service(roots, flags);
  services.push(service);
  return await service.start();
}

/** Open the page; `hash` is the deep link. Each page is a browser of its own: nothing is remembered. */
export async function opens(service: { url: string }, hash: string, size: Size): Promise<Watched> {
  const context = await browser!.newContext({
    viewport: { width: size.width, height: size.height }, hasTouch: size.touch, isMobile: size.touch, deviceScaleFactor: size.touch ? 2 : 1,
    permissions: ["clipboard-read", "clipboard-write"], acceptDownloads: true,
  });
  opened.push(context);
  context.setDefaultTimeout(15_000);
  const watched = new Watched(await context.newPage(), context, size, service.url);
  await watched.page.goto(`${service.url}${hash}`);
  return watched;
}

/** Close it, having seen that it was quiet. */
export async function closes(watched: Watched): Promise<void> {
  watched.isQuiet();
  opened.splice(opened.indexOf(watched.context), 1);
  await watched.context.close();
}
