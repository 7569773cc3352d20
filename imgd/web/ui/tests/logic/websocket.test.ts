import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { RunnerEvents } from "../../src/protocol/link";
import { WebsocketLink } from "../../src/protocol/websocket";
import type { Connection, Facts } from "../../src/state/types";
import { fakePage, FakeSocket, frameBytes, stateOf } from "./fake_socket";

const HDU = { index: 0, kind: "image", shape: [6388, 9576], top_down: null };
const FACTS = { format: "fits", hdus: [HDU], default_hdu: 0, warnings: [], whole: true } as unknown as Facts;
const FIT = { fit: [1400, 900], dpr: 1 };

let link: WebsocketLink;
let page: ReturnType<typeof fakePage>;
let connections: Connection[];
let failures: number;

beforeEach(() => {
  vi.useFakeTimers();
  page = fakePage();
  FakeSocket.all = [];
  connections = [];
  failures = 0;
  const watcher = { connection: (one: Connection) => connections.push(one), failed: () => failures++ };
  link = new WebsocketLink(watcher, "ws://daemon/live", (to) => new FakeSocket(to) as unknown as WebSocket);
  link.begin();
});

afterEach(() => {
  link.end();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A runner's events, written down. */
function listener(): { events: RunnerEvents; told: unknown[][] } {
  const told: unknown[][] = [];
  const names = ["opened", "accepted", "step", "facts", "levels", "tile", "glance", "completed", "failed", "cancelled", "following", "refused", "again"];
  const events = Object.fromEntries(names.map((name) => [name, (...more: unknown[]) => told.push([name, ...more])]));
  return { events: events as unknown as RunnerEvents, told };
}

const soon = (): Promise<void> => Promise.resolve();

/** A runner that shows a frame, all of it. */
async function opened(): Promise<ReturnType<typeof listener> & { runner: ReturnType<WebsocketLink["open"]>; socket: FakeSocket }> {
  FakeSocket.last.greet();
  const heard = listener();
  const runner = link.open(heard.events);
  runner.show({ frame: "a/b.fits" }, {});
  runner.fit(1400, 900, 1);
  await soon();
  const socket = FakeSocket.last;
  const [open] = socket.asked();
  socket.say({ id: open!.id, op: "opened", runner: "R", number: 7, state: stateOf({ viewport: { level: null, box: null, ...FIT } }) });
  return { ...heard, runner, socket };
}

function accept(socket: FakeSocket, turn = 1, more: object = {}): void {
  const of = { runner: "R", turn };
  socket.say({ op: "accepted", ...of, run: "run", frame: "a/b.fits", view: "frame=a/b.fits", version: "v", ...more });
  socket.say({ op: "facts", ...of, document: FACTS });
}

function reply(socket: FakeSocket, question: Record<string, unknown>, more: object = {}): void {
  socket.say({ id: question.id, op: question.op, runner: "R", state: stateOf(more) });
}

test("what is wished before the socket is open is asked with hello, in one message", async () => {
  const runner = link.open(listener().events);
  runner.show({ frame: "a/%FF%20b.fits" }, { stretch: "log", cut: "1,2" });
  runner.fit(1400.4, 900, 2);
  await soon();
  FakeSocket.last.onopen?.();
  const [hello, open, ...rest] = FakeSocket.last.asked();
  expect(hello).toEqual({ id: 1, op: "hello" });
  expect(open).toMatchObject({
    op: "open", view: "frame=a/%FF%20b.fits&stretch=log&cut=1%2C2", results: ["facts", "levels", "picture"], paused: false,
    viewport: { fit: [1400, 900], dpr: 2, glance: true },
  });
  expect(rest).toEqual([]);
});

test("nothing is opened before it is known what is seen of it", async () => {
  FakeSocket.last.greet();
  const runner = link.open(listener().events);
  runner.show({ frame: "a/b.fits" }, {});
  await soon();
  expect(FakeSocket.last.asked()).toEqual([]);
  runner.look({ level: 2, box: [1, 2, 3, 4], dpr: 1 });
  await soon();
  expect(FakeSocket.last.asked()).toMatchObject([{ op: "open", viewport: { level: 2, box: [1, 2, 3, 4] } }]);
});

test("a turn is told in order, with the look that was asked for, and its tiles", async () => {
  const { socket, told } = await opened();
  accept(socket);
  socket.say({ op: "step", runner: "R", turn: 1, number: 1, step: "reduce", state: "end", cached: false, joined: false, bytes: 9, ms: 5 });
  socket.bytes(frameBytes());
  socket.bytes(frameBytes({ runner: 8 }));
  socket.say({ op: "completed", runner: "R", turn: 1, result: { notes: ["cut"] } });
  socket.bytes(frameBytes());
  expect(told.map(([name]) => name)).toEqual(["opened", "accepted", "facts", "step", "tile", "completed"]);
  expect(told[1]).toEqual(["accepted", 1, "run", "a/b.fits", {}, "v"]);
  expect(told[3]![2]).toMatchObject({ step: "reduce", to_ms: 0, from_ms: 0 });
  expect(told[4]![2]).toMatchObject({ level: 3, column: 4, row: 5, width: 256, height: 100 });
  expect(told[4]![2]).toMatchObject({ type: "image/jpeg", body: { length: 6 } });
});

const GLANCE = { kind: 3, level: 255, column: 0, row: 0, width: 700, height: 450 };

test("a glance is asked for where all of a picture is, and of a part never", async () => {
  const { runner, socket } = await opened();
  expect(socket.sent).toEqual([]);
  const open = { ...FIT, glance: true };
  runner.look({ level: 1, box: [0, 0, 9, 9], dpr: 1 });
  await soon();
  const [part] = socket.asked();
  expect(part).toMatchObject({ op: "viewport", level: 1 });
  expect(part).not.toHaveProperty("glance");
  reply(socket, part!);
  runner.fit(1400, 900, 1);
  runner.change({ map: "heat" });
  await soon();
  const [set] = socket.asked();
  expect(set).toMatchObject({ op: "set", viewport: open });
  reply(socket, set!);
  runner.retry();
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "viewport", again: true, ...open }]);
});

test("a glance is told of its own turn, of this runner, until that has ended", async () => {
  const { socket, told } = await opened();
  socket.bytes(frameBytes(GLANCE));
  accept(socket);
  for (const wrong of [{ turn: 2 }, { turn: 0 }, { runner: 8 }]) socket.bytes(frameBytes({ ...GLANCE, ...wrong }));
  const glances = (): unknown[][] => told.filter(([name]) => name === "glance");
  expect(glances()).toEqual([]);
  socket.bytes(frameBytes(GLANCE));
  expect(glances()).toEqual([["glance", 1, { width: 700, height: 450, type: "image/jpeg", body: new Uint8Array([1, 2, 3, 4, 5, 6]) }]]);
  accept(socket, 2, { view: "frame=a/b.fits&map=heat" });
  socket.bytes(frameBytes(GLANCE));
  socket.say({ op: "completed", runner: "R", turn: 2, result: { notes: [] } });
  socket.bytes(frameBytes({ ...GLANCE, turn: 2 }));
  expect(glances()).toHaveLength(1);
});

test("a glance is not kept: of a picture that comes back only tiles are shown again", async () => {
  const { socket, told } = await opened();
  accept(socket);
  socket.bytes(frameBytes(GLANCE));
  socket.bytes(frameBytes({ column: 1, row: 2 }));
  accept(socket, 2, { view: "frame=a/b.fits&map=heat" });
  accept(socket, 3);
  const pictures = told.filter(([name]) => name === "glance" || name === "tile");
  expect(pictures.map(([name, turn]) => [name, turn])).toEqual([["glance", 1], ["tile", 1], ["tile", 3]]);
});

test("while a reply is outstanding only the newest wish is kept", async () => {
  const { runner, socket } = await opened();
  for (let at = 0; at < 20; at++) {
    runner.change({ stretch: "log", cut: `${at},9` });
    await soon();
  }
  runner.look({ level: 1, box: [0, 0, 9, 9], dpr: 1 });
  await soon();
  const first = socket.asked();
  expect(first).toMatchObject([{ op: "set", runner: "R", changes: { stretch: "log", cut: "0,9" } }]);
  reply(socket, first[0]!, { view: "frame=a/b.fits&stretch=log" });
  const next = socket.asked();
  expect(next).toMatchObject([{ op: "set", changes: { cut: "19,9" }, viewport: { level: 1, box: [0, 0, 9, 9] } }]);
  reply(socket, next[0]!);
  runner.change({});
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "set", changes: { stretch: null, cut: null } }]);
});

test("the same wish again is not asked; another frame is set, one whose name is no text is opened anew", async () => {
  const { runner, socket } = await opened();
  runner.show({ frame: "a/b.fits" }, {});
  runner.fit(1400, 900, 1);
  await soon();
  expect(socket.asked()).toEqual([]);
  runner.show({ frame: "a/c%20d.fits" }, {});
  await soon();
  const [set] = socket.asked();
  expect(set).toMatchObject({ op: "set", changes: { frame: "a/c d.fits" } });
  reply(socket, set!);
  runner.show({ frame: "a/%FF.fits" }, {});
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "close", runner: "R" }, { op: "open", view: "frame=a/%FF.fits" }]);
});

test("a look that the daemon writes in its own way is told as it was asked for", async () => {
  const { runner, socket, told } = await opened();
  const look = { cut: "1,2" };
  runner.change(look);
  await soon();
  reply(socket, socket.asked()[0]!, { view: "frame=a/b.fits&cut=1.0,2.0" });
  accept(socket, 1, { view: "frame=a/b.fits&cut=1.0,2.0" });
  expect(told.find(([name]) => name === "accepted")![4]).toBe(look);
  accept(socket, 2, { view: "frame=a/b.fits&map=heat" });
  expect(told.filter(([name]) => name === "accepted")[1]![4]).toEqual({ map: "heat" });
});

test("what is wrong is told in words, and not asked again until something else is wished", async () => {
  const { runner, socket, told } = await opened();
  runner.change({ cut: "x" });
  await soon();
  const [set] = socket.asked();
  socket.say({ id: set!.id, op: "error", status: 400, title: "Bad request", detail: "must be two numbers", parameter: "cut" });
  expect(told.at(-1)).toEqual(["refused", { status: 400, title: "Bad request", text: "cut: must be two numbers" }]);
  await soon();
  expect(socket.asked()).toEqual([]);
  runner.change({ cut: "1,2" });
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "set", changes: { cut: "1,2" } }]);
});

test("one that is gone is opened anew when something is wished", async () => {
  const { runner, socket, told } = await opened();
  socket.say({ op: "closed", runner: "R", why: "ended by an operator" });
  expect(told.at(-1)![0]).toBe("refused");
  runner.retry();
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "open" }]);
});

test("a retry has all tiles sent anew", async () => {
  const { runner, socket } = await opened();
  runner.retry();
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "viewport", runner: "R", again: true, fit: [1400, 900] }]);
});

test("tiles of a picture that comes back are shown again, those of another version are not", async () => {
  const { socket, told } = await opened();
  accept(socket);
  socket.bytes(frameBytes({ column: 1, row: 2 }));
  socket.bytes(frameBytes({ level: 6, column: 0, row: 0 }));
  accept(socket, 2, { view: "frame=a/b.fits&map=heat" });
  const tiles = (): unknown[][] => told.filter(([name]) => name === "tile");
  expect(tiles()).toHaveLength(2);
  accept(socket, 3);
  expect(tiles().map(([, turn, tile]) => [turn, (tile as { level: number }).level])).toEqual([[1, 3], [1, 6], [3, 6], [3, 3]]);
  expect(tiles()[3]![2]).toBe(tiles()[0]![2]);
  accept(socket, 4, { version: "w" });
  expect(tiles()).toHaveLength(4);
});

test("a broken connection is resumed with its secret: nothing is opened twice", async () => {
  const { runner, socket, told } = await opened();
  accept(socket);
  socket.break();
  expect(told.at(-1)).toEqual(["cancelled", 1, "disconnected"]);
  expect(connections.at(-1)).toMatchObject({ state: "lost", words: "the daemon does not answer" });
  runner.change({ map: "heat" });
  vi.advanceTimersByTime(500);
  const next = FakeSocket.last;
  expect(next).not.toBe(socket);
  next.onopen?.();
  const [hello, ...rest] = next.asked();
  expect([hello!.resume, rest]).toEqual(["SECRET", []]);
  next.say({
    id: hello!.id, op: "hello", version: 2, resume: "SECRET2", resumed: true, rows: "down", limits: {},
    runners: [stateOf({ number: 9, turn: 4, viewport: { level: null, box: null, ...FIT } })],
  });
  expect(told.at(-1)).toEqual(["again"]);
  const [set] = next.asked();
  expect(set).toMatchObject({ op: "set", changes: { map: "heat" } });
  accept(next, 5);
  next.bytes(frameBytes({ runner: 9, turn: 5 }));
  expect(told.at(-1)!.slice(0, 2)).toEqual(["tile", 5]);
  expect([connections.at(-1), link.rows()]).toEqual([{ state: "live" }, "down"]);
});

test("another daemon knows nothing: all is opened anew, and turns go on counting", async () => {
  const { socket, told } = await opened();
  accept(socket, 3);
  socket.break(1001, "the daemon is ending");
  expect(connections.at(-1)).toMatchObject({ words: "the daemon is ending, or starts anew" });
  vi.advanceTimersByTime(500);
  FakeSocket.last.greet();
  const [open] = FakeSocket.last.asked();
  expect(open).toMatchObject({ op: "open", view: "frame=a/b.fits", viewport: FIT });
  FakeSocket.last.say({ id: open!.id, op: "opened", runner: "S", number: 1, state: stateOf({ runner: "S", number: 1 }) });
  FakeSocket.last.say({ op: "accepted", runner: "S", turn: 1, run: "r", frame: "a/b.fits", view: "frame=a/b.fits", version: "v" });
  expect(told.slice(-3).map(([name, turn]) => [name, turn])).toEqual([["again", undefined], ["opened", "S"], ["accepted", 4]]);
});

test("it comes back later and later, at once when the network does", () => {
  const waits: number[] = [];
  for (let at = 0; at < 6; at++) {
    const before = FakeSocket.all.length;
    FakeSocket.last.break();
    const { again_at } = connections.at(-1) as { again_at: number };
    waits.push(again_at - Date.now());
    vi.advanceTimersByTime(again_at - Date.now() - 1);
    expect(FakeSocket.all).toHaveLength(before);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.all).toHaveLength(before + 1);
  }
  expect(waits).toEqual([500, 1000, 2000, 5000, 10000, 10000]);
  expect(failures).toBe(6);
  FakeSocket.last.break();
  const before = FakeSocket.all.length;
  page.happen("online");
  expect(FakeSocket.all).toHaveLength(before + 1);
});

test("a handshake that hangs is given up", () => {
  vi.advanceTimersByTime(8000);
  expect(FakeSocket.all.length).toBeGreaterThan(1);
  expect(failures).toBe(1);
});

test("a reply that never comes: the daemon is taken for dead, without a goodbye to it", async () => {
  const { runner, socket } = await opened();
  runner.change({ map: "heat" });
  await soon();
  vi.advanceTimersByTime(14_000);
  expect(connections.some(({ state }) => state === "lost")).toBe(true);
  expect(socket.closed).toBe(false);
  FakeSocket.last.greet({ resumed: true, runners: [stateOf()] });
  expect(socket.closed).toBe(true);
});

test("one that talks but does not answer is given up as well", async () => {
  const { runner, socket } = await opened();
  runner.change({ map: "heat" });
  await soon();
  for (let at = 0; at < 17; at++) {
    socket.say({ op: "head", head: "e:1" });
    vi.advanceTimersByTime(2000);
  }
  expect(FakeSocket.all.length).toBeGreaterThan(1);
});

test("a quiet daemon is asked whether it is there, and stays", () => {
  FakeSocket.last.greet();
  vi.advanceTimersByTime(24_000);
  const [ping] = FakeSocket.last.asked();
  expect(ping).toMatchObject({ op: "ping" });
  FakeSocket.last.say({ id: ping!.id, op: "ping", head: "e:1" });
  vi.advanceTimersByTime(18_000);
  expect(FakeSocket.all).toHaveLength(1);
  vi.advanceTimersByTime(20_000);
  expect(FakeSocket.all.length).toBeGreaterThan(1);
});

test("who comes back to the page sees soon that it is dead", () => {
  FakeSocket.last.greet();
  vi.advanceTimersByTime(10_000);
  page.happen("visibilitychange");
  expect(FakeSocket.last.asked()).toMatchObject([{ op: "ping" }]);
  vi.advanceTimersByTime(3600);
  expect(FakeSocket.all.length).toBeGreaterThan(1);
});

test.each([
  [4001, "a newer connection"],
  [4002, "ended by an operator"],
])("after %i nobody comes back by itself, but when it is wished", async (code, words) => {
  const { runner, socket } = await opened();
  socket.break(code, "");
  const lost = connections.at(-1) as Connection & { state: "lost" };
  expect([lost.again_at, lost.words.includes(words)]).toEqual([Infinity, true]);
  vi.advanceTimersByTime(60_000);
  expect(FakeSocket.all).toHaveLength(1);
  runner.show({ frame: "a/b.fits" }, {});
  expect(FakeSocket.all).toHaveLength(2);
});

test.each([1013, 1009])("after %i it says why, and comes back", (code) => {
  FakeSocket.last.greet();
  FakeSocket.last.break(code);
  expect((connections.at(-1) as { words: string }).words).toMatch(code === 1013 ? /took nothing/ : /too large/);
  vi.advanceTimersByTime(500);
  expect(FakeSocket.all).toHaveLength(2);
});

test("a frame of another version ends it in words", () => {
  FakeSocket.last.greet();
  FakeSocket.last.bytes(frameBytes({ version: 2 }));
  expect(connections.at(-1)).toMatchObject({ state: "lost", again_at: Infinity });
  expect((connections.at(-1) as { words: string }).words).toContain("version 2");
  FakeSocket.all = [];
  vi.advanceTimersByTime(60_000);
  expect(FakeSocket.all).toHaveLength(0);
});

test("a daemon of another version, and text that is no JSON, end it in words", () => {
  FakeSocket.last.greet({ version: 3 });
  expect((connections.at(-1) as { words: string }).words).toContain("another version");
  link.wake();
  FakeSocket.last.greet();
  FakeSocket.last.onmessage?.({ data: "{" });
  expect((connections.at(-1) as { words: string }).words).toContain("no JSON");
});

test("events go on from where they were", () => {
  const heard: number[] = [];
  let missed = 0;
  const stop = link.hear((event) => heard.push(event.id), () => missed++);
  FakeSocket.last.onopen?.();
  const [hello, subscribe] = FakeSocket.last.asked();
  expect(subscribe).toMatchObject({ op: "subscribe" });
  expect(subscribe).not.toHaveProperty("since");
  FakeSocket.last.say({ id: hello!.id, op: "hello", version: 2, resume: "S", runners: [] });
  FakeSocket.last.say({ id: subscribe!.id, op: "subscribed", head: "e:10" });
  const event = { id: 11, at: "", type: "frame.arrived", root: "a", path: "b", frame: { ref: "a/b", name: "b" } };
  FakeSocket.last.say({ op: "events", events: [{ subs: [2], event }, { subs: [2], event: { id: 12, type: "root.vanished", at: "" } }] });
  FakeSocket.last.say({ op: "missed", subs: [2], from: 13, to: 19 });
  expect([heard, missed]).toEqual([[11], 2]);
  FakeSocket.last.break();
  vi.advanceTimersByTime(500);
  FakeSocket.last.greet();
  const [again] = FakeSocket.last.asked();
  expect(again).toMatchObject({ op: "subscribe", since: "e:19" });
  FakeSocket.last.say({ id: again!.id, op: "subscribed", head: "f:3" });
  FakeSocket.last.say({ op: "reset", subs: [2], head: "f:3" });
  stop();
  FakeSocket.last.say({ op: "events", events: [{ subs: [2], event: { ...event, id: 4 } }] });
  expect([heard, missed]).toEqual([[11], 3]);
  FakeSocket.last.break();
  link.hear(() => undefined, () => undefined);
  vi.advanceTimersByTime(500);
  FakeSocket.last.greet();
  expect(FakeSocket.last.asked()).toMatchObject([{ since: "f:4" }]);
});

test("a directory is followed, paused, stepped; the first frame is shown though it is paused", async () => {
  FakeSocket.last.greet();
  const { events, told } = listener();
  const runner = link.open(events);
  runner.pause();
  runner.show({ follow: "a" }, {});
  runner.fit(10, 10, 1);
  await soon();
  const socket = FakeSocket.last;
  const [open] = socket.asked();
  expect(open).toMatchObject({ op: "open", follow: "a", view: "", paused: true });
  const state = { follow: "a", frame: null, view: "", paused: true, viewport: null };
  socket.say({ id: open!.id, op: "opened", runner: "R", number: 7, state: stateOf(state) });
  socket.say({ op: "following", runner: "R", frame: null, pending: "a/b.fits", skipped: 0 });
  expect(told.at(-1)).toEqual(["following", { dir: "a", paused: true, pending: "a/b.fits", skipped: 0 }]);
  await soon();
  const [step] = socket.asked();
  expect(step).toMatchObject({ op: "step", runner: "R" });
  reply(socket, step!, state);
  socket.say({ op: "following", runner: "R", frame: "a/b.fits", pending: "a/c.fits", skipped: 0 });
  await soon();
  expect(socket.asked()).toEqual([]);
  runner.play();
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "play" }]);
});

test("a runner of another tab: what that one does is followed, what is done here is asked", async () => {
  FakeSocket.last.greet();
  const { events, told } = listener();
  const runner = link.attach("R", events);
  const socket = FakeSocket.last;
  const [attach] = socket.asked();
  expect(attach).toMatchObject({ op: "attach", runner: "R" });
  const viewport = { level: 1, box: [0, 0, 9, 9], fit: null, dpr: 1 };
  socket.say({ id: attach!.id, op: "attached", runner: "R", number: 7, state: stateOf({ view: "frame=a/b.fits&map=heat", viewport }) });
  await soon();
  expect([told, socket.asked()]).toEqual([[["opened", "R"]], []]);
  socket.say({ op: "changed", runner: "R", state: stateOf({ view: "frame=a/b.fits&map=cool", viewport }) });
  runner.look({ level: 0, box: [0, 0, 9, 9], dpr: 1 });
  await soon();
  expect(socket.asked()).toMatchObject([{ op: "viewport", level: 0 }]);
});

test("one that is closed while it is lost is closed when it is there again", async () => {
  const { runner, socket } = await opened();
  socket.break();
  runner.close();
  vi.advanceTimersByTime(500);
  FakeSocket.last.greet({ resumed: true, runners: [stateOf()] });
  expect(FakeSocket.last.asked()).toMatchObject([{ op: "close", runner: "R" }]);
});

test("one that is closed before it is known to be open is closed then", async () => {
  FakeSocket.last.greet();
  const { events, told } = listener();
  const runner = link.open(events);
  runner.show({ frame: "a/b.fits" }, {});
  runner.fit(9, 9, 1);
  await soon();
  runner.close();
  const [open] = FakeSocket.last.asked();
  FakeSocket.last.say({ id: open!.id, op: "opened", runner: "R", number: 7, state: stateOf() });
  expect(FakeSocket.last.asked()).toMatchObject([{ op: "close", runner: "R" }]);
  expect(told).toEqual([]);
});

test("its console is read; without a runner there is none", async () => {
  const { runner, socket } = await opened();
  const entries = [{ n: 1, turn: 1, severity: "info", text: "done" }];
  const read = runner.log(0);
  const [log] = socket.asked();
  socket.say({ id: log!.id, op: "log", runner: "R", entries, last: 1 });
  expect(await read).toEqual(entries);
  const unread = runner.log(1);
  socket.break();
  expect(await unread).toEqual([]);
  expect(await runner.log(0)).toEqual([]);
});
