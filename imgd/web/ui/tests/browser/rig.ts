// The real daemon, real frames, and Debian's Chromium; whatever is started here is ended here.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";

const PROJECT = process.env["IMGD_TEST_PROJECT"] ?? new URL("../../../../..", import.meta.url).pathname;
const PYTHON = process.env["IMGD_TEST_PYTHON"] ?? join(PROJECT, ".venv/bin/python");
const PICTURES = process.env["IMGD_TEST_PICTURES"] ?? join(PROJECT, "tests/viewer/pictures");
const READY_LIMIT_MS = 200_000; // The first start on a machine compiles the kernels.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
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

export interface Truth {
  sky: { stars: [number, number][]; values: [number, number, number][]; world: [number, number, number, number][] };
  shapes: Record<"rect" | "circle", { numbers: number[] } & Record<"Pixels" | "Mean" | "Median" | "Sigma" | "Minimum" | "Maximum" | "Sum", number>>;
  blocks: { side_px: number; rows: number; columns: number; step: number };
  truncated: { rows: number; of: number };
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Wait until it is so; of what a page shows, a locator's own waiting is better. */
export async function until(so: () => Promise<boolean> | boolean, what: string, limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await so())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(20);
  }
}

// ---- frames

/** A temporary folder; it is removed by `bench` at the end. */
export function temporary(): string {
  const parent = process.env["IMGD_TEST_FOLDER"] ?? tmpdir();
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, "viewer-"));
}

let made: { frames: string; truth: Truth } | undefined;

/** The known frames, copied into a folder of the caller's, and what is known of them. */
export function knownFrames(into: string): Truth {
  if (!made) {
    const frames = join(temporary(), "frames");
    python("-m", "tests.viewer.known", frames);
    made = { frames, truth: JSON.parse(readFileSync(join(frames, "..", "truth.json"), "utf8")) as Truth };
  }
  cpSync(made.frames, into, { recursive: true, preserveTimestamps: true });
  return made.truth;
}

/** Have small frames arrive in a folder, as a camera writes them; their numbers go on from `number`. */
export function exposes(folder: string, names: string | readonly string[], number: number): void {
  python("-m", "tests.viewer.known", folder, "--one", ...[names].flat(), "--number", String(number));
}

/** Run a little Python; what it prints comes back. */
export function asksPython(program: string, ...args: string[]): string {
  return python("-c", program, ...args);
}

function python(...args: string[]): string {
  const done = spawnSync(PYTHON, args, { cwd: PROJECT, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${args.join(" ")}: ${done.stdout}${done.stderr}`);
  return done.stdout;
}

// ---- the daemon

/** The daemon's: its own settings are asked for by flags alone, and its events are kept in `folder`. */
function environment(folder: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("IMGD_"));
  return { ...Object.fromEntries(kept), PYTHONPATH: PROJECT, STATE_DIRECTORY: folder };
}

/** A daemon that serves; `restart` starts another one at the same address. */
export class Service {
  private process: ChildProcess | null = null;
  url = "";
  log = "";

  constructor(private readonly roots: string[], private readonly flags: string[] = [], private readonly folder = temporary()) {}

  async start(): Promise<this> {
    const port = this.url ? new URL(this.url).port : "0";
    const args = ["-c", "import sys; from imgd.cli import main; sys.exit(main())", "serve", ...this.roots, "--bind", `127.0.0.1:${port}`, ...this.flags];
    const child = spawn(PYTHON, args, { cwd: this.folder, env: environment(this.folder), stdio: ["ignore", "pipe", "pipe"] });
    this.process = child;
    child.stderr.on("data", (data: Buffer) => (this.log += data.toString()));
    let told = "";
    child.stdout.on("data", (data: Buffer) => (told += data.toString()));
    await until(() => child.exitCode !== null || /imgd serves (\S+)/.test(told), "the daemon listens", 30_000);
    this.url = /imgd serves (\S+)/.exec(told)?.[1] ?? "";
    if (!this.url) throw new Error(`the daemon did not start: ${this.log}`);
    await until(async () => (await fetch(`${this.url}readyz`)).ok, "the daemon is ready", READY_LIMIT_MS);
    return this;
  }

  get isUp(): boolean {
    return this.process !== null;
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await gone;
    clearTimeout(late);
  }

  /** What /admin says: sessions and runners. */
  async admin(): Promise<{ statistics: Record<string, number>; sessions: { name: string; runners: number[] }[]; runners: { number: number; view: string; running: boolean }[] }> {
    return (await (await fetch(`${this.url}admin`)).json()) as never;
  }

  /** One figure of /metrics; 0 if it is not there. */
  async figure(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}metrics`)).text();
    return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1] ?? 0);
  }
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

  /** Keep a picture of the page, as it is now. */
  async keeps(name: string): Promise<void> {
    mkdirSync(PICTURES, { recursive: true });
    await this.page.screenshot({ path: join(PICTURES, `${name}-${this.size.name}.png`) });
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
    if (made) rmSync(join(made.frames, ".."), { recursive: true, force: true });
  });
}

/** Have a browser, and a daemon that serves the known frames as the root `known`: filled in when the tests begin. */
export function benchOfKnown(): { service: Service; truth: Truth } {
  const stand = {} as { service: Service; truth: Truth };
  bench();
  beforeAll(async () => {
    const folder = join(temporary(), "known");
    stand.truth = knownFrames(folder);
    stand.service = await serves([folder]);
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
