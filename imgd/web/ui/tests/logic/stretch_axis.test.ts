import { describe, expect, it } from "vitest";
import { around, axisOf, moved, roundStep, ticks, words, zoomed } from "../../src/stretch/axis";
import { keyTo } from "../../src/stretch/handles";
import { suits } from "../../src/stretch/use_range";

describe.each([false, true])("the axis, logarithmic: %s", (log) => {
  const axis = axisOf({ low: -50, high: 950 }, log);

  it("goes there and back", () => {
    for (const value of [-80, -50, 0, 200, 950, 2000]) expect(axis.value(axis.place(value))).toBeCloseTo(value, 6);
    expect(axis.place(-50)).toBeCloseTo(0, 12);
    expect(axis.place(950)).toBeCloseTo(1, 12);
  });

  it("rises", () => {
    const places = [-60, -50, -49, 0, 500, 950].map(axis.place);
    expect([...places].sort((one, other) => one - other)).toEqual(places);
  });

  it("keeps the value under the pointer when it is zoomed", () => {
    const nearer = axisOf(zoomed(axis, 0.5, 0.3), log);
    if (!log) expect(nearer.place(axis.value(0.3))).toBeCloseTo(0.3, 9);
    expect(nearer.range.low).toBeGreaterThan(axis.range.low);
    expect(nearer.range.high).toBeLessThan(axis.range.high);
  });

  it("moves across", () => {
    expect(moved(axis, 0.1).low).toBeCloseTo(axis.value(0.1), 9);
  });

  it("has round, rising numbers within it", () => {
    const found = ticks(axis, 5);
    expect(found.length).toBeGreaterThan(2);
    expect(found.length).toBeLessThan(9);
    expect([...new Set(found)].sort((one, other) => one - other)).toEqual(found);
    for (const value of found) expect(value >= -50 && value <= 950).toBe(true);
  });

  it("shows levels with room around them", () => {
    const range = around(800, 3000, log);
    expect(suits(range, log, { black: 800, white: 3000, mid: 0.5 })).toBe(true);
    expect(suits(range, log, { black: 800, white: 30000, mid: 0.5 })).toBe(false);
    expect(suits(range, log, { black: 900, white: 910, mid: 0.5 })).toBe(false);
  });
});

describe("numbers", () => {
  it("are round", () => {
    expect([0.3, 1, 1.1, 3, 7, 70].map(roundStep)).toEqual([0.5, 1, 2, 5, 10, 100]);
  });

  it("have as many digits as they need", () => {
    expect(words(763.430531, 4)).toBe("763");
    expect(words(0.00123456, 1e-5)).toBe("0.00123");
    expect(words(-0.0000001, 0.01)).toBe("-1e-7");
    expect(words(-0.001, 1)).toBe("0");
    expect(words(4.2e-12, 1e-14)).toBe("4.200e-12");
  });
});

describe("keys move a handle", () => {
  it("by a hundredth of the plot, finer with Shift", () => {
    expect(keyTo({ key: "ArrowRight", shiftKey: false }, 0.5)).toBeCloseTo(0.51, 12);
    expect(keyTo({ key: "ArrowLeft", shiftKey: true }, 0.5)).toBeCloseTo(0.499, 12);
    expect(keyTo({ key: "PageUp", shiftKey: false }, 0.5)).toBeCloseTo(0.6, 12);
    expect(keyTo({ key: "Delete", shiftKey: false }, 0.5)).toBe("back");
    expect(keyTo({ key: "x", shiftKey: false }, 0.5)).toBeNull();
  });
});
