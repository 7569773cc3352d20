// Following: what the buttons show, how long ago, and frames that are rewritten again and again.
import { afterEach, expect, test, vi } from "vitest";
import { newPane, openFrame, useStore } from "../../src/state/store";
import type { RunState } from "../../src/state/types";
import { driven } from "../../src/live/follow";
import { onFolder, tellFolder, lastArrival } from "../../src/live/arrivals";
import { badgeWords } from "../../src/live/badge_words";
import { asCut } from "../../src/live/levels";
import { ago } from "../../src/live/names";
import { startPauses, tellPauses } from "../../src/live/pauses";
import { Refresher } from "../../src/live/refresh";

afterEach(() => vi.useRealTimers());

test("pause keeps what waits, step and play take it, and step stays paused", () => {
  const following = { dir: "n", paused: true, pending: "n/a", skipped: 2 };
  expect(driven({ ...following, paused: false }, "pause")).toEqual(following);
  expect(driven(following, "step")).toEqual({ ...following, pending: null });
  expect(driven(following, "play")).toEqual({ ...following, paused: false, pending: null });
});

test("the badge says whether it is live", () => {
  const following = { dir: "n", paused: false, pending: null, skipped: 0 };
  expect(badgeWords(following, "live")).toBe("Live");
  expect(badgeWords(following, "lost")).toBe("No connection");
  expect(badgeWords({ ...following, paused: true }, "live")).toBe("Paused");
  expect(badgeWords({ ...following, paused: true, pending: "n/a" }, "live")).toBe("Paused · newer waits");
});

test("how long ago, in few words; a clock that is ahead is now", () => {
  expect([ago(-5), ago(12_000), ago(300_000), ago(7_200_000), ago(4 * 86_400_000)]).toEqual(["0 s ago", "12 s ago", "5 min ago", "2 h ago", "4 days ago"]);
});

test("a folder hears of its own frames only", () => {
  const heard = vi.fn();
  const stop = onFolder("n/m%2031", heard);
  const event = (ref: string, type = "frame.arrived") => ({ id: 1, at: "", type, root: "n", path: "", frame: { ref, name: "", size_bytes: 1, modified: null } });
  tellFolder(event("n/m%2031/a.fits"));
  tellFolder(event("n/b.fits"));
  tellFolder(event("n/c/d.fits", "frame.gone"));
  stop();
  tellFolder(event("n/m%2031/e.fits"));
  expect(heard).toHaveBeenCalledTimes(1);
  expect(lastArrival("n")).not.toBeNull();
  expect(lastArrival("n/c")).toBeNull();
});

test("levels of one frame for others: green stands for all where there is one channel", () => {
  const level = (black: number) => ({ black, white: black + 10, mid: 0.5 });
  expect(asCut({ levels: [level(1), level(2), level(3)], stretch: "mtf", kind: "auto" }, 1, {})).toEqual({ cut: "2,12", mid: "0.5", levels: null });
  expect(asCut({ levels: [level(1), level(2), level(3)], stretch: "mtf", kind: "auto" }, 3, {})?.cut).toBe("1,11,2,12,3,13");
  expect(asCut({ levels: [], stretch: "mtf", kind: "auto" }, 1, {})).toBeNull();
});

test("a frame that is written over and over is shown anew at a bounded pace, its last state always", () => {
  vi.useFakeTimers();
  const shown: number[] = [];
  const refresher = new Refresher((pane) => shown.push(pane), 500);
  for (let n = 0; n < 5; n++) refresher.ask(1);
  refresher.ask(2);
  expect(shown).toEqual([1, 2]);
  vi.advanceTimersByTime(500);
  expect(shown).toEqual([1, 2, 1]);
  vi.advanceTimersByTime(5000);
  expect(shown).toEqual([1, 2, 1]);
  refresher.ask(1);
  expect(shown).toEqual([1, 2, 1, 1]);
});

test("a link to a paused folder shows its newest frame, and pauses then", () => {
  const following = { dir: "n", paused: true, pending: null, skipped: 0 };
  useStore.setState({ panes: [{ ...newPane(1), following }] });
  const paused: number[] = [];
  const stop = startPauses({ pause: (pane) => paused.push(pane), play: () => undefined });
  useStore.setState({ panes: [{ ...newPane(1), following: { ...following, paused: false } }] }); // As the daemon says at first.
  expect(paused).toEqual([]);
  const run: RunState = { turn: 1, run: "r", frame: "n/a", state: "running", steps: [], began: 0, ended: null, trouble: null };
  useStore.setState({ panes: [{ ...newPane(1), run, following: { ...following, paused: false } }] });
  expect(paused).toEqual([1]);
  expect(useStore.getState().panes[0]?.following?.paused).toBe(true);
  useStore.setState({ panes: [{ ...newPane(1), run, following: { ...following, paused: false } }] });
  expect(paused).toEqual([1]);
  stop();
});

test("what comes into a folder while a link's pause is seen waits, and is counted", () => {
  const following = { dir: "n", paused: true, pending: null, skipped: 0 };
  useStore.setState({ panes: [{ ...newPane(1), ref: "n/a", following }, { ...newPane(2), ref: "n/a", following }] });
  for (const [ref, type] of [["n/a", "frame.arrived"], ["n/b", "frame.arrived"], ["n/c", "frame.arrived"], ["m/d", "frame.arrived"], ["n/e", "frame.gone"]] as const) {
    tellPauses({ id: 1, at: "", type, root: "n", path: "", frame: { ref, name: "", size_bytes: 1, modified: null } }, (pane) => pane === 2);
  }
  expect(useStore.getState().panes.map((pane) => pane.following)).toEqual([{ ...following, pending: "n/c", skipped: 1 }, following]);
});

test("a frame that is opened while a folder is paused is shown at once", () => {
  const following = { dir: "n", paused: true, pending: null, skipped: 0 };
  const run: RunState = { turn: 1, run: "r", frame: "n/a", state: "completed", steps: [], began: 0, ended: 1, trouble: null };
  useStore.setState({ panes: [{ ...newPane(1), run, following }], active: 1 });
  const played: number[] = [];
  const stop = startPauses({ pause: () => undefined, play: (pane) => played.push(pane) });
  useStore.setState({ panes: [{ ...newPane(1), run, following: { ...following, paused: false } }] });
  expect(played).toEqual([]);
  useStore.setState({ panes: [{ ...newPane(1), run, following }] });
  openFrame("n/b");
  expect(played).toEqual([1]);
  stop();
});
