// Several panes: what is added, removed and ordered, and in which order they blink.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { isReady, nextReady, startBlink } from "../../src/live/blink";
import { addPane, levelsForAll, movePane, nextBlink, removePane, setFps, setLayout, setLinked } from "../../src/live/compare";
import { newPane, useStore } from "../../src/state/store";
import type { FrameRow, Look, Pane, RunState, Shown } from "../../src/state/types";

const get = useStore.getState;
const fresh = useStore.getInitialState();

function shown(ref: string, look: Look = {}, channels = 1): Shown {
  const level = { black: 10, white: 20, mid: 0.25 };
  return {
    ref, look, run: "r", turn: 1, geometry: { width: 10, height: 10, topDown: false }, hdu: 0, notes: [],
    facts: { format: "fits", hdus: [], default_hdu: 0, warnings: [], whole: true },
    levels: { levels: Array.from({ length: channels }, () => level), stretch: "mtf", kind: "auto" },
  };
}

function pane(id: number, change: Partial<Pane> = {}): Pane {
  return { ...newPane(id), ref: `n/${id}`, shown: shown(`n/${id}`), ...change };
}

const running: RunState = { turn: 2, run: "r", frame: null, state: "running", steps: [], began: 0, ended: null, trouble: null };
const near = (ref: string): FrameRow => ({ ref, name: ref, root: "n", modified: null, size_bytes: 1, hdu: {} });
const refs = () => get().panes.map(({ ref }) => ref);
const ids = () => get().panes.map(({ id }) => id);

beforeEach(() => {
  vi.useFakeTimers();
  useStore.setState({ ...fresh, panes: [pane(1)], active: 1 }, true);
});
afterEach(() => vi.useRealTimers());

test("a second frame makes two side by side, with the look of the first but not its plane", () => {
  useStore.setState({ panes: [pane(1, { look: { stretch: "log", cut: "1,2", hdu: "3", plane: "4" } })] });
  addPane("n/b");
  expect(get().layout).toBe("side");
  expect(get().active).toBe(1);
  expect(get().panes[1]).toMatchObject({ ref: "n/b", look: { stretch: "log", cut: "1,2" } });
  expect(get().panes[1]?.look).not.toHaveProperty("hdu");
});

test("ids are not used twice, and there is an end to room", () => {
  addPane("n/b");
  const [, second] = ids();
  removePane(second ?? 0);
  addPane("n/c");
  expect(ids()[1]).not.toBe(second);
  addPane("n/d");
  addPane("n/e");
  addPane("n/f");
  expect(refs()).toEqual(["n/1", "n/c", "n/d", "n/e"]);
  expect(get().notices.at(-1)?.text).toContain("4");
  setLayout("blink");
  addPane("n/f");
  expect(refs()).toHaveLength(5);
});

test("who takes the active one away is at its neighbour; the last one stays, alone", () => {
  useStore.setState({ panes: [pane(1), pane(2), pane(3)], active: 3, layout: "blink" });
  removePane(3);
  expect(get()).toMatchObject({ active: 2, layout: "blink" });
  removePane(1);
  expect(get()).toMatchObject({ active: 2, layout: "one" });
  removePane(2);
  expect(ids()).toEqual([2]);
});

test("one closes all but the active one", () => {
  useStore.setState({ panes: [pane(1), pane(2)], active: 2, layout: "side" });
  setLayout("one");
  expect(get()).toMatchObject({ active: 2, layout: "one" });
  expect(ids()).toEqual([2]);
});

test("blink and side by side of one frame take the next of the list, or ask for one", () => {
  setLayout("blink");
  expect(get()).toMatchObject({ layout: "one", panel: "compare" });
  useStore.setState({ neighbours: { previous: near("n/0"), next: near("n/9") } });
  setLayout("side");
  expect(get().layout).toBe("side");
  expect(refs()).toEqual(["n/1", "n/9"]);
});

test("fewer fit side by side than blink; the active one stays", () => {
  useStore.setState({ panes: [1, 2, 3, 4, 5, 6].map((id) => pane(id)), active: 6, layout: "blink" });
  setLayout("side");
  expect(ids()).toEqual([1, 2, 3, 6]);
  expect(get().active).toBe(6);
});

test("the order is changed one place at a time, within its ends", () => {
  useStore.setState({ panes: [pane(1), pane(2), pane(3)] });
  movePane(3, -1);
  expect(ids()).toEqual([1, 3, 2]);
  movePane(1, -1);
  movePane(2, 1);
  expect(ids()).toEqual([1, 3, 2]);
});

test("linking gives all the look of the active one, each keeps its plane", () => {
  useStore.setState({
    panes: [pane(1, { look: { stretch: "log", hdu: "1" } }), pane(2, { look: { map: "heat", hdu: "2" } })], layout: "side", linkLooks: false,
  });
  setLinked(true);
  expect(get().panes.map(({ look }) => look)).toEqual([{ stretch: "log", hdu: "1" }, { stretch: "log", hdu: "2" }]);
});

test("one's levels for all are in data units, as many as each has channels; auto takes them away", () => {
  useStore.setState({ panes: [pane(1, { look: { levels: "zscale" } }), pane(2, { shown: shown("n/2", {}, 3) }), pane(3, { shown: null })], layout: "side" });
  levelsForAll("same");
  expect(get().panes.map(({ look }) => look)).toEqual(Array(3).fill({ cut: "10,20", mid: "0.25" }));
  levelsForAll("auto");
  expect(get().panes.map(({ look }) => look)).toEqual([{}, {}, {}]);
});

test("a pane is ready when its own picture is there and nothing runs", () => {
  expect(isReady(pane(1))).toBe(true);
  expect(isReady(pane(1, { shown: null }))).toBe(false);
  expect(isReady(pane(1, { ref: "n/other" }))).toBe(false);
  expect(isReady(pane(1, { run: running }))).toBe(false);
  expect(isReady(pane(1, { run: { ...running, state: "failed" } }))).toBe(true);
  expect(isReady(pane(1, { ref: null, following: { dir: "n", paused: false, pending: null, skipped: 0 } }))).toBe(true);
});

test("blinking leaves out what is not ready, and goes round", () => {
  const panes = [pane(1), pane(2, { shown: null }), pane(3)];
  expect(nextReady(panes, 1)).toBe(3);
  expect(nextReady(panes, 3)).toBe(1);
  expect(nextReady([pane(1), pane(2, { run: running })], 1)).toBeNull();
});

test("the clock shows each for its whole time, waits for what is coming, and pauses", () => {
  useStore.setState({ panes: [pane(1), pane(2, { run: running })], layout: "blink", blink: { playing: true, fps: 2 } });
  const stop = startBlink();
  vi.advanceTimersByTime(2000);
  expect(get().active).toBe(1);
  useStore.setState({ panes: [pane(1), pane(2)] });
  vi.advanceTimersByTime(100);
  expect(get().active).toBe(2);
  vi.advanceTimersByTime(499);
  expect(get().active).toBe(2);
  vi.advanceTimersByTime(1);
  expect(get().active).toBe(1);
  useStore.setState({ blink: { playing: false, fps: 2 } });
  vi.advanceTimersByTime(5000);
  expect(get().active).toBe(1);
  stop();
});

test("steps by hand go round both ways; the pace has bounds", () => {
  useStore.setState({ panes: [pane(1), pane(2), pane(3)], layout: "blink" });
  nextBlink(-1);
  expect(get().active).toBe(3);
  nextBlink();
  expect(get().active).toBe(1);
  setFps(99);
  expect(get().blink.fps).toBe(10);
  setFps(0);
  expect(get().blink.fps).toBe(0.5);
});
