// The trend: which frame is measured when, what is withdrawn, and what becomes of failures.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Refusal } from "../../src/protocol/http";
import { Collector, forgetMeasures, measuredOf, type Answer } from "../../src/live/collect";
import { alongX, csvOf, figure, inWords, timeOf, valueOf, type Point } from "../../src/live/trend_data";
import type { FrameRow } from "../../src/state/types";

const ANSWER: Answer = { found: 7, hfr: 2, fwhm: 4, background: 840, noise: 23 };

function row(name: string, modified: string | null = "2026-01-01T00:00:00.000Z", hdu: FrameRow["hdu"] = {}): FrameRow {
  return { ref: `night/${name}`, name, root: "night", modified, size_bytes: 1, hdu };
}

interface Asked {
  ref: string;
  signal: AbortSignal;
  answer: (answer?: Answer) => void;
  fail: (error: Error) => void;
}

function fakeDaemon(isBusy?: () => boolean) {
  const asked: Asked[] = [];
  const changed = vi.fn();
  const collector = new Collector(changed, ({ ref }, _, signal) =>
    new Promise<Answer>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(new DOMException("withdrawn", "AbortError")));
      asked.push({ ref, signal, answer: (answer = ANSWER) => resolve(answer), fail: reject });
    }),
    isBusy,
  );
  return { asked, changed, collector };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  forgetMeasures();
});
afterEach(() => vi.useRealTimers());

test("the newest frame is measured first, one at a time", async () => {
  const { asked, collector, changed } = fakeDaemon();
  collector.want([row("c"), row("b"), row("a")], {});
  expect(asked.map(({ ref }) => ref)).toEqual(["night/c"]);
  asked[0]?.answer();
  await settle();
  expect(asked.map(({ ref }) => ref)).toEqual(["night/c", "night/b"]);
  expect(changed).toHaveBeenCalledTimes(1);
  expect(measuredOf(row("c"), {})).toEqual({ measures: { hfr: 2, fwhm: 4, background: 840, noise: 23, stars: 7 } });
});

test("a frame that comes meanwhile is next, and what was under way goes on", async () => {
  const { asked, collector } = fakeDaemon();
  collector.want([row("b"), row("a")], {});
  collector.want([row("c"), row("b"), row("a")], {});
  expect(asked[0]?.signal.aborted).toBe(false);
  asked[0]?.answer();
  await settle();
  expect(asked.map(({ ref }) => ref)).toEqual(["night/b", "night/c"]);
});

test("what nobody wants any more is withdrawn, and nothing follows it", async () => {
  const { asked, collector } = fakeDaemon();
  collector.want([row("b"), row("a")], {});
  collector.want([row("z")], {});
  expect(asked[0]?.signal.aborted).toBe(true);
  expect(asked.map(({ ref }) => ref)).toEqual(["night/b", "night/z"]);
  collector.end();
  await settle();
  expect(asked[1]?.signal.aborted).toBe(true);
  expect(asked).toHaveLength(2);
  expect(measuredOf(row("b"), {})).toBeNull();
});

test("a measured frame is not asked for again, but after it was rewritten, or of another plane", async () => {
  const { asked, collector } = fakeDaemon();
  collector.want([row("a")], {});
  asked[0]?.answer();
  await settle();
  collector.want([row("a")], {});
  expect(asked).toHaveLength(1);
  collector.want([row("a", "2026-01-01T00:00:09.000Z")], {});
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  await settle();
  collector.want([row("a")], { plane: "1" });
  expect(asked).toHaveLength(3);
});

test("a frame that cannot be measured is a gap, and the next one is asked for", async () => {
  const { asked, collector } = fakeDaemon();
  collector.want([row("colour"), row("a")], {});
  asked[0]?.fail(new Refusal({ status: 422, title: "Bad frame", text: "colour" }));
  await settle();
  expect(measuredOf(row("colour"), {})).toEqual({ why: "Bad frame: colour" });
  expect(asked.map(({ ref }) => ref)).toEqual(["night/colour", "night/a"]);
});

test("a busy daemon is asked again after the rest that it names", async () => {
  const { asked, collector } = fakeDaemon();
  collector.want([row("a")], {});
  asked[0]?.fail(new Refusal({ status: 503, title: "Busy", text: "" }, 5));
  await settle();
  expect(collector.waiting).toContain("Busy");
  await vi.advanceTimersByTimeAsync(4900);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  await settle();
  expect(collector.waiting).toBeNull();
  expect(measuredOf(row("a"), {})).not.toBeNull();
});

test("pictures go first, but not for ever", async () => {
  let busy = true;
  const { asked, collector } = fakeDaemon(() => busy);
  collector.want([row("b"), row("a")], {});
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).toHaveLength(0);
  busy = false;
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toHaveLength(1);
  busy = true;
  asked[0]?.answer();
  await vi.advanceTimersByTimeAsync(1000);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(4000);
  expect(asked).toHaveLength(2);
});

function point(frame: FrameRow, hfr: number | null): Point {
  return { row: frame, measured: hfr === null ? { why: "no stars, \"none\"" } : { measures: { hfr, fwhm: 4, background: 1.5, noise: 2, stars: 7 } } };
}

test("the time of observation goes before that of the file, and is UTC", () => {
  expect(timeOf(row("a", "2026-01-01T00:00:10.000Z", { "DATE-OBS": "2026-01-01T00:00:05" }))).toBe(Date.UTC(2026, 0, 1, 0, 0, 5) / 1000);
  expect(timeOf(row("a", "2026-01-01T00:00:10.000Z", { "DATE-OBS": "last night" }))).toBe(Date.UTC(2026, 0, 1, 0, 0, 10) / 1000);
  expect(timeOf(row("a", null))).toBeNull();
});

test("plots are oldest first; by time those without one are left out", () => {
  const points = [point(row("new", "2026-01-01T00:00:02Z"), 2), point(row("none", null), 3), point(row("old", "2026-01-01T00:00:01Z"), null)];
  expect(alongX(points, "number").xs).toEqual([1, 2, 3]);
  expect(alongX(points, "number").points.map(({ row: { name } }) => name)).toEqual(["old", "none", "new"]);
  expect(alongX(points, "time").points.map(({ row: { name } }) => name)).toEqual(["old", "new"]);
  expect(alongX(points, "time").points.map((each) => valueOf(each, "hfr"))).toEqual([null, 2]);
});

test("the table is read by spreadsheets, and a name is no formula", () => {
  const text = csvOf([point(row("=b,2.fits"), 2.5), point(row("a.fits"), null)]);
  expect(text.split("\r\n")).toEqual([
    "frame,modified,observed,hfr,fwhm,background,noise,stars,why_not",
    'a.fits,2026-01-01T00:00:00.000Z,,,,,,,"no stars, ""none"""',
    "\"'=b,2.fits\",2026-01-01T00:00:00.000Z,,2.5,4,1.5,2,7,",
    "",
  ]);
});

test("figures and words", () => {
  expect([figure(null), figure(7), figure(2.0312), figure(840.98), figure(0.0000144034)]).toEqual(["–", "7", "2.03", "841.0", "0.0000144"]);
  expect(inWords("HFR", [null])).toBe("HFR: nothing measured yet");
  expect(inWords("HFR", [3, null, 2])).toBe("HFR of 2 frames: newest 2, lowest 2, highest 3");
});
