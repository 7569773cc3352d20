import { describe, expect, it } from "vitest";
import { grey, midOfValue, midtone, STRETCHES, stretched, unstretched, valueOfMid } from "../../src/stretch/curve";

describe("curves are the daemon's", () => {
  // What cgi_worker.steps.curve gives: Curve(stretch, power).bend(t, mid).
  const known: [string, number, number, number, number][] = [
    ["mtf", 2, 0.1, 0.25, 0.25000000000000006],
    ["linear", 2, 0.1, 0.5, 0.1],
    ["sqrt", 2, 0.1, 0.5, 0.31622776601683794],
    ["log", 2, 0.1, 0.5, 0.6680104684941067],
    ["asinh", 2, 0.1, 0.5, 0.2939653260048424],
    ["power", 2, 0.1, 0.25, 0.029411764705882353],
    ["power", 0.5, 0.7, 0.1, 0.9787684876984776],
  ];
  it.each(known)("%s (power %f) of %f with midtone %f", (stretch, power, t, mid, y) => {
    expect(midtone(mid, stretched({ stretch, power }, t))).toBeCloseTo(y, 9);
  });

  it("midtone leaves the ends, and brings its own value to the middle", () => {
    for (const mid of [0.0001, 0.1, 0.5, 0.9999]) {
      expect(midtone(mid, 0)).toBeCloseTo(0, 12);
      expect(midtone(mid, 1)).toBeCloseTo(1, 12);
      expect(midtone(mid, mid)).toBeCloseTo(0.5, 12);
    }
  });

  it.each(STRETCHES)("%s is undone", (stretch) => {
    for (const t of [0, 0.001, 0.3, 1]) {
      expect(unstretched({ stretch, power: 2 }, stretched({ stretch, power: 2 }, t))).toBeCloseTo(t, 9);
    }
  });
});

describe("the midtone's handle", () => {
  const level = { black: 100, white: 300, mid: 0.25 };

  it.each(STRETCHES)("stands where %s draws the middle grey", (stretch) => {
    const curve = { stretch, power: 2 };
    const value = valueOfMid(curve, level);
    expect(grey(curve, level, value)).toBeCloseTo(0.5, 9);
    expect(midOfValue(curve, level, value)).toBeCloseTo(0.25, 9);
  });

  it("keeps to what the daemon accepts", () => {
    const curve = { stretch: "mtf", power: 2 };
    expect(midOfValue(curve, level, 50)).toBe(0.0001);
    expect(midOfValue(curve, level, 999)).toBe(0.9999);
  });

  it("greys end at black and white", () => {
    const curve = { stretch: "log", power: 2 };
    expect(grey(curve, level, 0)).toBe(0);
    expect(grey(curve, level, 1000)).toBeCloseTo(1, 12);
  });
});
