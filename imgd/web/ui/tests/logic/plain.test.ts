import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Chooser } from "../../src/protocol/chooser";
import type { Link, RunnerEvents } from "../../src/protocol/link";
import { tilesOf } from "../../src/protocol/places";
import { PlainLink } from "../../src/protocol/plain";
import { boxOf } from "../../src/protocol/shelf";
import type { Connection, Facts } from "../../src/state/types";
import { fakePage, FakeSocket, stateOf } from "./fake_socket";

const HDU = { index: 0, kind: "image", shape: [900, 1400], top_down: null };
const FACTS = { format: "fits", hdus: [HDU], default_hdu: 0, warnings: [], whole: true } as unknown as Facts;
const LEVELS = { levels: [{ black: 1, white: 2, mid: 0.5 }], stretch: "mtf", kind: "auto" };

/** A stream of events that the test plays. */
class FakeStream extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly CLOSED = 2;
  static last: FakeStream;
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly address: string) {
    super();
    FakeStream.last = this;
  }
  close(): void {
    this.readyState = 2;
  }
  say(type: string, data: unknown, lastEventId = ""): void {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId }));
  }
}

let asked: { url: URL; body: unknown; signal: AbortSignal | null }[];
let answer: (url: URL, body: unknown) => unknown;
let connections: Connection[];
let ended: { end(): void }[];

class Status {
  constructor(readonly status: number, readonly title: string) {}
}

function usual(url: URL, body: unknown): unknown {
  const path = url.pathname.replace("/prefix/", "");
  if (path.endsWith("tiles.json")) return { width: 1400, height: 900, tile_size: 256, levels: 4, version: "v1" };
  if (path === "runs" && body) return { run: "r2", rows: "down", steps: [STEP], result: { frame: "a/b.fits", notes: ["cut"], levels: LEVELS } };
  if (path === "runs") return { run: "r1", rows: "down", steps: [], result: { frame: "a/b.fits", notes: [], facts: FACTS } };
  if (path === "frames") return { entries: [{ ref: "a/new", kind: "dir" }, { ref: "a/z.fits", kind: "frame" }] };
  if (path === "events") return { cursor: "e:1", live: true, events: [] };
  if (path === "healthz") return { status: "ok" };
  return null;
}

const STEP = { number: 0, step: "reduce", cached: true, joined: false, bytes: 9, ms: 0 };

beforeEach(() => {
  vi.useFakeTimers();
  fakePage();
  asked = [];
  answer = usual;
  connections = [];
  ended = [];
  FakeSocket.all = [];
  vi.stubGlobal("EventSource", FakeStream);
  vi.stubGlobal("fetch", async (to: string, { signal = null, body }: { signal?: AbortSignal | null; body?: string } = {}) => {
    const url = new URL(to);
    const asking = { url, body: body === undefined ? undefined : (JSON.parse(body) as unknown), signal };
    asked.push(asking);
    await Promise.resolve();
    signal?.throwIfAborted();
    const found = await answer(url, asking.body);
    signal?.throwIfAborted();
    const status = found instanceof Status ? found.status : 200;
    const json = found instanceof Status ? { title: found.title, detail: "why" } : found;
    return { ok: status === 200, status, headers: new Headers(), json: async () => json, arrayBuffer: async () => new ArrayBuffer(4) };
  });
});

afterEach(() => {
  for (const each of ended) each.end();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function plain(): PlainLink {
  const link = new PlainLink((one) => connections.push(one));
  ended.push(link);
  link.begin();
  return link;
}

function listener(): { events: RunnerEvents; told: unknown[][] } {
  const told: unknown[][] = [];
  const names = ["opened", "accepted", "step", "facts", "levels", "tile", "completed", "failed", "cancelled", "following", "refused", "again"];
  const events = Object.fromEntries(names.map((name) => [name, (...more: unknown[]) => told.push([name, ...more])]));
  return { events: events as unknown as RunnerEvents, told };
}

function shows(link: Link, frame = "a/b.fits", fit: [number, number] = [1400, 900]): ReturnType<typeof listener> & { runner: ReturnType<Link["open"]> } {
  const heard = listener();
  const runner = link.open(heard.events);
  runner.show({ frame }, { stretch: "log" });
  runner.fit(...fit, 1);
  return { ...heard, runner };
}

const later = (ms = 200): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const names = (told: unknown[][]): unknown[] => told.map(([name]) => name);
const tilePaths = (): string[] => asked.flatMap(({ url }) => (url.pathname.endsWith(".jpg") ? [url.pathname + url.search] : []));

test("one turn: facts, a coarse tile, levels and steps, the tiles from the centre outwards, the end", async () => {
  const link = plain();
  const { told } = shows(link);
  await later();
  expect(connections).toEqual([{ state: "http" }]);
  expect(names(told).slice(0, 2)).toEqual(["accepted", "facts"]);
  expect(names(told).at(-1)).toBe("completed");
  expect(told[0]).toEqual(["accepted", 1, "r1", "a/b.fits", { stretch: "log" }, "v1"]);
  expect(told.at(-1)).toEqual(["completed", 1, ["cut"]]);
  expect(names(told).filter((name) => name === "tile")).toHaveLength(1 + 6 * 4);
  expect(told.filter(([name]) => name === "levels")).toEqual([["levels", 1, LEVELS]]);
  expect(tilePaths().slice(0, 2)).toEqual(["/prefix/tiles/a/b.fits/0/0/0.jpg?v=v1&stretch=log", "/prefix/tiles/a/b.fits/3/2/1.jpg?v=v1&stretch=log"]);
  const edge = told.find(([name, , tile]) => name === "tile" && (tile as { column: number }).column === 5 && (tile as { row: number }).row === 3);
  expect(edge![2]).toMatchObject({ level: 0, width: 1400 - 5 * 256, height: 900 - 3 * 256 });
  expect(link.rows()).toBe("down");
});

test("another part of the same picture: only tiles that are not here are asked for", async () => {
  const { runner, told } = shows(plain(), "a/b.fits", [350, 225]);
  await later();
  asked.length = 0;
  runner.look({ level: 2, box: [0, 0, 350, 225], dpr: 1 });
  await later();
  expect(asked).toEqual([]);
  expect(names(told).slice(-4)).toEqual(["accepted", "facts", "levels", "completed"]);
  runner.look({ level: 0, box: [0, 0, 200, 300], dpr: 1 });
  await later();
  expect(tilePaths()).toEqual(["/prefix/tiles/a/b.fits/3/0/0.jpg?v=v1&stretch=log", "/prefix/tiles/a/b.fits/3/0/1.jpg?v=v1&stretch=log"]);
});

test("what is not wanted any more is aborted, and its end is told", async () => {
  let open: (value: unknown) => void = () => undefined;
  answer = (url, body) => (url.pathname.endsWith(".jpg") ? new Promise((go) => (open = go)) : usual(url, body));
  const { runner, told } = shows(plain());
  await later();
  const tiles = asked.filter(({ url }) => url.pathname.endsWith(".jpg"));
  expect(tiles).toHaveLength(6);
  for (let at = 0; at < 5; at++) runner.change({ stretch: "linear", cut: `${at},9` });
  await later(1);
  expect(tiles.every(({ signal }) => signal?.aborted)).toBe(true);
  open(null);
  answer = usual;
  await later();
  expect(told.filter(([name]) => name === "accepted").map(([, turn, , , look]) => [turn, look])).toEqual([
    [1, { stretch: "log" }], [2, { stretch: "linear", cut: "4,9" }],
  ]);
  expect(told.filter(([name]) => name === "cancelled")).toEqual([["cancelled", 1, "superseded"]]);
  asked.length = 0;
  runner.close();
  await later();
  expect(asked).toEqual([]);
});

test("a frame that is rewritten meanwhile is asked for anew", async () => {
  let version = 1;
  answer = (url, body) => {
    if (url.pathname.endsWith("tiles.json")) return { ...(usual(url, body) as object), version: `v${version}` };
    if (url.pathname.endsWith(".jpg") && version === 1) return new Status(404, "Another version");
    return usual(url, body);
  };
  const { told } = shows(plain());
  await later(0);
  version = 2;
  await later();
  expect(told.filter(([name]) => name === "accepted").map((each) => each[5])).toEqual(["v1", "v2"]);
  expect(names(told)).not.toContain("failed");
  expect(names(told).at(-1)).toBe("completed");
});

test.each([[404, "No such frame"], [400, "Bad request"], [503, "Busy"]])("%i is told in words, and can be tried again", async (status, title) => {
  answer = () => new Status(status, title);
  const { runner, told } = shows(plain());
  await later();
  expect(told).toEqual([["failed", 1, { status, title, text: "why" }]]);
  answer = usual;
  runner.retry();
  await later();
  expect(names(told).at(-1)).toBe("completed");
});

test("a daemon that is gone is asked again, and all is shown anew when it is there", async () => {
  answer = () => Promise.reject(new TypeError("network"));
  const { told } = shows(plain());
  await later();
  expect(told).toEqual([["failed", 1, { status: 0, title: "The daemon does not answer", text: "" }]]);
  expect(connections.at(-1)).toMatchObject({ state: "lost", words: "The daemon does not answer" });
  answer = usual;
  await later(3200);
  expect(connections.at(-1)).toEqual({ state: "http" });
  expect([names(told)[1], names(told).at(-1)]).toEqual(["again", "completed"]);
});

test("a directory is followed by events; paused frames wait and are counted", async () => {
  const link = plain();
  const { events, told } = listener();
  const runner = link.open(events);
  runner.show({ follow: "a" }, {});
  runner.fit(100, 100, 1);
  await later();
  const frames = (): unknown[] => told.filter(([name]) => name === "accepted").map((each) => each[3]);
  expect(frames()).toEqual(["a/z.fits"]);
  runner.pause();
  for (const ref of ["a/1.fits", "a/2.fits", "a/sub/3.fits"])
    FakeStream.last.say("frame.arrived", { id: 1, at: "", type: "frame.arrived", root: "a", path: ref, frame: { ref, name: ref } });
  await later();
  expect(frames()).toEqual(["a/z.fits"]);
  expect(told.at(-1)).toEqual(["following", { dir: "a", paused: true, pending: "a/2.fits", skipped: 1 }]);
  runner.step();
  await later();
  expect(frames()).toEqual(["a/z.fits", "a/2.fits"]);
  runner.play();
  FakeStream.last.say("frame.arrived", { id: 1, at: "", type: "frame.arrived", root: "a", path: "", frame: { ref: "a/4.fits", name: "4" } });
  await later();
  expect(frames()).toEqual(["a/z.fits", "a/2.fits", "a/4.fits"]);
});

test("where streams are held up, events are asked for", async () => {
  let polls = 0;
  const event = { id: 5, at: "", type: "frame.gone", root: "a", path: "b", frame: { ref: "a/b", name: "b" } };
  answer = (url, body) => {
    if (!url.pathname.endsWith("events")) return usual(url, body);
    polls += 1;
    if (polls === 1) return { cursor: "e:4", live: true, events: [] };
    if (polls === 2) return { cursor: "e:5", live: true, events: [event], missed: [{ from: 1, to: 2 }] };
    return new Promise(() => undefined);
  };
  const heard: number[] = [];
  let missed = 0;
  plain().hear((each) => heard.push(each.id), () => missed++);
  await later(11_000);
  const since = asked.filter(({ url }) => url.pathname.endsWith("events")).map(({ url }) => [url.searchParams.get("since"), url.searchParams.get("wait")]);
  expect(since).toEqual([[null, "0"], ["e:4", "25"], ["e:5", "25"]]);
  expect([heard, missed]).toEqual([[5], 1]);
});

test("streams that are refused are no reason to take the daemon for lost", async () => {
  answer = (url, body) => (url.pathname.endsWith("events") ? new Status(503, "Busy") : usual(url, body));
  shows(plain());
  FakeStream.last.close();
  FakeStream.last.onerror?.();
  await later(30_000);
  expect(connections).toEqual([{ state: "http" }]);
});

test("pictures of other tabs need a websocket", async () => {
  const { events, told } = listener();
  plain().attach("R", events);
  await later();
  expect(told[0]![0]).toBe("refused");
});

test("which tiles a part needs", () => {
  const pixels = { width: 1000, height: 600, levels: 3 };
  expect(tilesOf({ level: 0, box: [-50, -50, 100, 100] }, false, pixels)).toEqual([{ level: 0, column: 0, row: 0 }]);
  expect(tilesOf({ level: 2, box: [0, 0, 250, 150] }, true, pixels)).toEqual([{ level: 2, column: 0, row: 0 }]);
  expect(tilesOf({ level: 1, box: [0, 0, 500, 300] }, true, pixels)).toHaveLength(1 + 2 * 2);
  expect(tilesOf({ level: 0, box: [5000, 0, 10, 10] }, true, pixels)).toEqual([{ level: 2, column: 0, row: 0 }]);
});

test("the level of a fitted picture is the nearest one, as the daemon finds it", () => {
  const frame = (across: number, down: number): Facts => ({ ...FACTS, hdus: [{ ...FACTS.hdus[0]!, shape: [down, across] }] });
  expect(boxOf({ fit: [1400, 900], dpr: 1 }, frame(9576, 6388), {})).toEqual({ level: 3, box: [0, 0, 1197, 799] });
  expect(boxOf({ fit: [900, 1400], dpr: 1 }, frame(9576, 6388), { turn: "90" })).toEqual({ level: 3, box: [0, 0, 799, 1197] });
  expect(boxOf({ fit: [1400, 900], dpr: 1 }, frame(10, 10), {})).toEqual({ level: 0, box: [0, 0, 10, 10] });
  expect(boxOf({ fit: [1400, 900], dpr: 1 }, { ...FACTS, default_hdu: null }, {})).toBe(null);
});

function chooser(): Chooser {
  vi.stubGlobal("WebSocket", FakeSocket);
  const link = new Chooser((one) => connections.push(one));
  ended.push(link);
  return link;
}

test("two handshakes fail while plain HTTP answers: plain HTTP it is, until a websocket can be had", async () => {
  const link = chooser();
  const { told } = shows(link);
  let missed = 0;
  link.hear(() => undefined, () => missed++);
  FakeSocket.last.break();
  await later(600);
  expect(connections.at(-1)!.state).toBe("lost");
  FakeSocket.last.break();
  await later(600);
  await later();
  expect(connections.at(-1)).toEqual({ state: "http" });
  expect([names(told).at(-1), missed]).toEqual(["completed", 1]);
  const before = FakeSocket.all.length;
  await later(61_000);
  expect(FakeSocket.all).toHaveLength(before + 1);
  FakeSocket.last.onopen?.();
  const [hello] = FakeSocket.last.asked();
  FakeSocket.last.say({ id: hello!.id, op: "hello", version: 2, resume: "S", runners: [] });
  await later();
  expect(connections.at(-1)).toEqual({ state: "live" });
  const [subscribe, open] = FakeSocket.last.asked();
  expect([subscribe!.op, open]).toMatchObject(["subscribe", { op: "open", view: "frame=a/b.fits&stretch=log", viewport: { fit: [1400, 900] } }]);
  FakeSocket.last.say({ id: open!.id, op: "opened", runner: "R", number: 7, state: stateOf() });
  FakeSocket.last.say({ op: "accepted", runner: "R", turn: 1, run: "r", frame: "a/b.fits", view: "", version: "v" });
  expect(told.at(-1)!.slice(0, 2)).toEqual(["accepted", 2]);
});

test("nobody answers at all: the websocket goes on trying", async () => {
  answer = () => Promise.reject(new TypeError("network"));
  chooser();
  for (let at = 0; at < 5; at++) {
    FakeSocket.last.break();
    await later(10_000);
  }
  expect(connections.at(-1)!.state).toBe("lost");
});

test("a daemon that is only just starting is no reason to leave the websocket", async () => {
  chooser();
  FakeSocket.last.break();
  await later(600);
  FakeSocket.last.greet();
  FakeSocket.last.break();
  await later(600);
  FakeSocket.last.break();
  await later(100);
  expect(connections.some(({ state }) => state === "http")).toBe(false);
});
