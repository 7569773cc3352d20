// Small rules of the panels: when thumbnails are asked for again, widths that are typed, the table of a histogram.
import { describe, expect, it, vi } from "vitest";

vi.mock("../../src/measure/plot", () => ({ Plot: () => null }));

const { waitMs, mayPass } = await import("../../src/frames/again");
const { widthOf } = await import("../../src/measure/shape_part");
const { axisFigure } = await import("../../src/measure/words");
const { histogramCsv } = await import("../../src/stretch/histogram_csv");
const { stretchName } = await import("../../src/stretch/curve");

describe("a small picture that did not come", () => {
  it("is asked for again when the daemon did not answer, ever more rarely", () => {
    expect([0, 1, 2, 3, 4, 20].map((tries) => waitMs(0, 0, tries))).toEqual([15_000, 30_000, 60_000, 120_000, 240_000, 240_000]);
    expect(waitMs(502, 0, 0)).toBe(15_000);
  });

  it("is asked for when the daemon says, or a little earlier", () => {
    expect([waitMs(503, 2, 7), waitMs(429, 90, 0)]).toEqual([2000, 15_000]);
  });

  it("stays as it is when the frame is wrong", () => {
    expect([404, 415, 422].map((status) => waitMs(status, 0, 0))).toEqual([null, null, null]);
    expect([0, 200, 404, 500, 504].map(mayPass)).toEqual([true, false, false, true, true]);
  });
});

it("a profile's width is a whole number that there may be", () => {
  expect([25, 2.6, 0, -3, 1000, Number.NaN].map(widthOf)).toEqual([25, 3, 1, 1, 255, 1]);
});

it("a histogram is saved bin by bin, of each channel", () => {
  const one = { count: 3, bad: 0, exact: true, below: 0, above: 0 };
  const table = histogramCsv([
    { ...one, channel: "R", edges: [0, 1.5, 3], counts: [2, 1] },
    { ...one, channel: "G", edges: [10, 20], counts: [3] },
  ]);
  expect(table).toBe("channel,from,to,count\r\nR,0,1.5,2\r\nR,1.5,3,1\r\nG,10,20,3\r\n");
  expect(histogramCsv([])).toBe("channel,from,to,count\r\n");
});

it("a stretch is called alike everywhere, an unknown one by its own name", () => {
  expect(["mtf", "asinh", "new"].map(stretchName)).toEqual(["Midtones", "Asinh", "new"]);
});

it("numbers beside an axis are short and never all zero", () => {
  expect([0, 0.0003, 0.00030000000000000003, 1.5e-200, 65000, 4e9, -2e-5, null].map(axisFigure).map((each) => each.replace(/\D(?=000$)/, ""))).toEqual(
    ["0", "0.0003", "0.0003", "1.5e-200", "65000", "4e+9", "-2e-5", ""],
  );
});
