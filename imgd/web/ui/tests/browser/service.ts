// Frames of which everything is known, and the real daemon: started, asked, ended. Without the tests' own functions.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROJECT = process.env["IMGD_TEST_PROJECT"] ?? new URL("../../../../..", import.meta.url).pathname;
const PYTHON = process.env["IMGD_TEST_PYTHON"] ?? join(PROJECT, ".venv/bin/python");
const READY_LIMIT_MS = 200_000; // The first start on a machine compiles the kernels.

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

/** A temporary folder; whoever made it removes it. */
export function temporary(): string {
  const parent = process.env["IMGD_TEST_FOLDER"] ?? tmpdir();
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, "viewer-"));
}

/** Make the known frames in a folder, once for all files of tests; `copiesFrames` gives them to who changes them. */
export function makesFrames(folder: string): void {
  python("-m", "tests.viewer.known", join(folder, "known"));
}

/** The known frames that were made in `made`, copied into a folder of the caller's, and what is known of them. */
export function copiesFrames(made: string, into: string): Truth {
  cpSync(join(made, "known"), into, { recursive: true, preserveTimestamps: true });
  return JSON.parse(readFileSync(join(made, "truth.json"), "utf8")) as Truth;
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
