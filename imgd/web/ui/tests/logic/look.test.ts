// What goes from one frame to another: of the look, of three channels' levels, and of a link's camera.
import { beforeEach, expect, test } from "vitest";
import { addPane, setLayout, setLinked } from "../../src/live/compare";
import { isBeside } from "../../src/picture/levels";
import { bringBack, cameraFor } from "../../src/picture/outlook";
import { driveFolder, subjectName, subjectOf } from "../../src/picture/subject";
import { changesForOthers, greenOnly, insteadOf } from "../../src/state/look";
import { changeLook, FITTED, follow, newPane, openFrame, useStore } from "../../src/state/store";
import { oncePerFrame } from "../../src/stretch/frame_throttle";
import type { Runner } from "../../src/protocol/link";
import type { Look, Pane } from "../../src/state/types";

const get = useStore.getState;
const fresh = useStore.getInitialState();
const THREE = { cut: "1,2,3,4,5,6", mid: "0.1,0.2,0.3" };
const GREEN = { cut: "3,4", mid: "0.2" };

function pane(id: number, channels: number, look: Look = {}): Pane {
  const level = { black: 1, white: 2, mid: 0.5 };
  const facts = { format: "fits", hdus: [], default_hdu: 0, warnings: [], whole: true };
  const shown = {
    ref: `n/${id}`, look, run: "r", turn: 1, geometry: { width: 10, height: 10, topDown: false }, hdu: 0, notes: [], facts,
    levels: { levels: Array.from({ length: channels }, () => level), stretch: "mtf", kind: "auto" },
  };
  return { ...newPane(id), ref: `n/${id}`, look, shown };
}

const looks = () => get().panes.map(({ look }) => look);

beforeEach(() => useStore.setState({ ...fresh, panes: [pane(1, 3), pane(2, 1), pane(3, 3)], active: 1, layout: "side" }, true));

test("other pixels are chosen for one frame only", () => {
  changeLook({ stretch: "log" });
  changeLook({ plane: "3" });
  changeLook({ hdu: "2", plane: null, cut: null, map: null });
  changeLook({ rgb: "0:0,0:1,0:2", map: null });
  changeLook({ color: "mono", invert: "1" });
  expect(looks().slice(1)).toEqual(Array(2).fill({ stretch: "log", invert: "1" }));
  expect(changesForOthers({ hdu: null, color: null, stretch: null })).toEqual({ stretch: null });
});

test("levels of three channels go to frames of three; to others those of green", () => {
  changeLook({ ...THREE, levels: null });
  expect(looks()).toEqual([THREE, GREEN, THREE]);
  useStore.setState({ active: 2 });
  changeLook({ cut: "7,8" });
  expect(looks()[0]).toEqual({ ...THREE, cut: "7,8" });
  expect(greenOnly({ cut: "1,2", mid: "0.5" })).toBeNull();
});

test("linking and adding keep to the same", () => {
  useStore.setState({ panes: [pane(1, 3, { ...THREE, plane: "1" }), pane(2, 1, { color: "mono", map: "heat" })], linkLooks: false });
  setLinked(true);
  expect(looks()).toEqual([{ ...THREE, plane: "1" }, { color: "mono", ...GREEN }]);
  addPane("n/9");
  expect(looks()[2]).toEqual(THREE);
});

test("a look kept for the next frame leaves out what is of one frame; refused, it is that of one channel", () => {
  useStore.setState({ panes: [pane(1, 3, { ...THREE, hdu: "1", plane: "2", color: "rgb", map: "heat" })], layout: "one", keepLook: true });
  openFrame("n/next");
  expect(looks()).toEqual([{ ...THREE, map: "heat" }]);
  expect(insteadOf(get().panes[0] ?? newPane(1))).toEqual({ ...GREEN, map: "heat" });
  expect(insteadOf({ ...newPane(1), look: THREE }), "what a link says is not changed").toBeNull();
});

test("closed panes are said", () => {
  useStore.setState({ panes: [1, 2, 3, 4, 5, 6].map((id) => pane(id, 1)), layout: "blink" });
  setLayout("side");
  expect(get().notices.at(-1)?.text).toContain("4 of 6");
  setLayout("one");
  expect(get().notices.at(-1)?.text).toContain("3 other");
});

test("a link's camera stays for its frame, until another is opened", () => {
  const [small, large] = [10, 1000].map((side) => ({ width: side, height: side, topDown: false })) as [never, never];
  const camera = { ...FITTED, x: 500, y: 500, scale: 2, fitted: false };
  useStore.setState({ camera, placed: true, stage: { width: 100, height: 100 } });
  expect(cameraFor(small, large)).toEqual(camera);
  bringBack(1, large, false);
  expect(get().camera).toEqual(camera);
  openFrame("n/b");
  expect(get().placed).toBe(false);
  expect(cameraFor(small, large).fitted).toBe(true);
  useStore.setState({ placed: true });
  follow("n");
  expect(get().placed).toBe(false);
});

test("a link's camera beside the plane is fitted; somebody's own is not", () => {
  const plane = { width: 400, height: 300, topDown: false };
  const camera = { ...FITTED, x: 1e5, y: 1e5, fitted: false };
  const stage = { width: 100, height: 100 };
  useStore.setState({ camera, stage });
  expect([isBeside(camera, stage, plane), isBeside({ ...camera, x: 200, y: 150 }, stage, plane), isBeside(FITTED, stage, plane)]).toEqual([true, false, false]);
  bringBack(1, plane, false);
  bringBack(2, plane, true);
  expect(get().camera).toEqual(camera);
  bringBack(1, plane, true);
  expect(get().camera.fitted).toBe(true);
});

test("a paused folder of a link begins with the frame it names; play and step follow", () => {
  const following = { dir: "n", paused: true, pending: null, skipped: 0 };
  const [frame, folder] = [{ frame: "n/a" }, { follow: "n" }];
  const ref = "n/a";
  expect(subjectOf({ ref, following }, null)).toEqual(frame);
  expect(subjectOf({ ref, following }, subjectName(frame))).toEqual(frame);
  expect(subjectOf({ ref, following }, subjectName(folder)), "followed, then paused").toEqual(folder);
  expect(subjectOf({ ref, following: { ...following, paused: false } }, subjectName(frame))).toEqual(folder);
  expect(subjectOf({ ref: null, following }, null)).toEqual(folder);
  const done: string[] = [];
  const note = (name: string) => () => void done.push(name);
  const runner = { pause: note("pause"), step: note("step"), show: note("show") } as unknown as Runner;
  expect(driveFolder(runner, "pause", { following, look: {} }, subjectName(frame))).toBe(false);
  expect(done).toEqual([]);
  expect(driveFolder(runner, "step", { following, look: {} }, subjectName(frame))).toBe(true);
  expect(done).toEqual(["pause", "show"]);
  expect(driveFolder(runner, "step", { following, look: {} }, subjectName(folder))).toBe(false);
  expect(done).toEqual(["pause", "show", "step"]);
});

test("what the hand meant for the plane before is dropped", () => {
  const waiting: (() => void)[] = [];
  const done: number[] = [];
  const call = oncePerFrame<number>((value) => done.push(value), (run) => waiting.push(run), () => void waiting.pop());
  call(1);
  call.drop();
  call.flush();
  for (const run of waiting) run();
  expect(done).toEqual([]);
});
