// What is taken away: command lines that a real shell reads as meant, names that any disk takes, words for figures.
import { execFileSync } from "node:child_process";
import { describe, expect, it, vi } from "vitest";

vi.mock("../../src/measure/readout", () => ({ Readout: () => null }));
vi.mock("../../src/protocol/connect", () => ({ tryNow: vi.fn() }));

const { curlLine, quoted } = await import("../../src/shell/curl");
const { fileName, partsOf } = await import("../../src/shell/names");
const { levelWords, runWords, zoomWords } = await import("../../src/shell/status");
const { planesOf } = await import("../../src/shell/frame_name");
const { secondsUntil } = await import("../../src/shell/connection");
const { viewText } = await import("../../src/shell/values");

function wordsOf(line: string): string[] {
  return execFileSync("sh", ["-c", `printf '%s\\0' ${line}`], { encoding: "utf8" }).split("\0").slice(0, -1);
}

describe("a command line", () => {
  it.each(["plain", "m 31.fits", "it's", "'", "a\"b", "100%", "$HOME `id` $(id)", "a\\b", "*?[x]{a,b}", "-o", "new\nline", "é∆", ""])("keeps %j whole", (word) => {
    expect(wordsOf(quoted(word))).toEqual([word]);
  });

  it("names address and file", () => {
    const url = "http://host/img?frame=night/it's%20m31%25.fits&region=1,2,3,4";
    expect(wordsOf(curlLine(url, "it's m31.png"))).toEqual(["curl", "--fail", "--globoff", url, "--output", "it's m31.png"]);
  });
});

describe("names", () => {
  it("are taken apart and decoded, also those that are no text", () => {
    expect(partsOf("night/m%2031/a%25b.fits")).toEqual({ root: "night", folders: "m 31", file: "a%b.fits" });
    expect(partsOf("night/%ff.fits")).toEqual({ root: "night", folders: "", file: "%ff.fits" });
  });

  it.each([
    ["night/m31.fits", "view", "png", "m31-view.png"],
    ["night/m31.fits.gz", "", "fits", "m31.fits"],
    ["night/m%2031%20Ha.FITS", "x1-2-y3-4", "tif", "m_31_Ha-x1-2-y3-4.tif"],
    ["night/a%2Fb:c%3Fd.fits", "view", "png", "a_b_c_d-view.png"],
    ["night/.fits", "view", "png", "frame-view.png"],
    ["night/..%00.fits", "view", "png", "frame-view.png"],
    ["night/%ff%fe.fits", "view", "png", "ff_fe-view.png"],
    ["night/M31%20%C3%A9t%C3%A9.fits", "view", "png", "M31_été-view.png"],
  ])("%s is saved under a name that any disk takes", (ref, suffix, ending, name) => {
    expect(fileName(ref, suffix, ending)).toBe(name);
  });

  it("are never very long", () => {
    expect(fileName(`night/${"x".repeat(300)}.fits`, "view", "png")).toHaveLength(80 + "-view.png".length);
  });
});

describe("the line at the foot", () => {
  const run = { turn: 1, run: "r", frame: "f", state: "running" as const, steps: [], began: 1000, ended: null, trouble: null };
  const step = { number: 0, step: "reduce", state: "start" as const, cached: false, joined: false, bytes: 0, ms: 0, from_ms: 0, to_ms: null };

  it("says how large a pixel is seen", () => {
    expect([1, 0.2534, 2, 0.00412, 0.999].map(zoomWords)).toEqual(["100 %", "25 %", "200 %", "0.41 %", "100 %"]);
  });

  it("tells of a run only when it takes long, and then by its step", () => {
    expect(runWords(run, 1200)).toBe("");
    expect(runWords({ ...run, steps: [{ ...step, state: "end" }, { ...step, step: "tone" }] }, 1500)).toBe("tone… 500 ms");
    expect(runWords({ ...run, state: "completed", ended: 3500 }, 9999)).toBe("2.5 s");
    expect(runWords({ ...run, state: "completed", ended: 1012, steps: [{ ...step, state: "end", cached: true }] }, 9999)).toBe("12 ms, cached");
    expect(runWords({ ...run, state: "failed", ended: 1012 }, 9999)).toBe("failed");
  });

  it("has the levels that were used", () => {
    expect(levelWords({ levels: [{ black: 698.123456, white: 65535, mid: 0.2 }], stretch: "mtf", kind: "auto" })).toBe("Midtones 698.12 – 65535");
  });

  it("counts down to the next attempt", () => {
    expect([secondsUntil(5000, 1), secondsUntil(5000, 4999), secondsUntil(5000, 5000), secondsUntil(5000, 9000)]).toEqual([5, 1, 0, 0]);
  });
});

it("tells what is known of a view as a table", () => {
  const shown = {
    ref: "night/m31.fits", look: {}, run: "r", turn: 1, geometry: { width: 10, height: 10, topDown: false }, hdu: 0, notes: [],
    facts: { format: "fits", hdus: [], default_hdu: 0, warnings: [], whole: true },
    levels: { levels: [{ black: 1, white: 9, mid: 0.5 }], stretch: "log", kind: "auto" },
  };
  const text = viewText(shown, { x: 0, y: 0, scale: 1, turn: 90, flip: true, fitted: true }, { x: 0, y: 0, width: 5, height: 5 }, "http://host/#");
  expect(text.split("\n").map((line) => line.split("\t")[1])).toEqual(["night/m31.fits", "0", "[1:5,1:5]", "log", "1, 9, 0.5", "90, flipped", "http://host/#"]);
});

it("counts the planes that can be chosen", () => {
  expect(planesOf({ shape: [100, 200], rgb: false })).toBe(1);
  expect(planesOf({ shape: [12, 100, 200], rgb: false })).toBe(12);
  expect(planesOf({ shape: [2, 12, 100, 200], rgb: false })).toBe(24);
  expect(planesOf({ shape: [3, 100, 200], rgb: true })).toBe(1);
});
