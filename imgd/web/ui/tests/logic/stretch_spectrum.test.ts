import { describe, expect, it } from "vitest";
import { columns, densityOf, quantileOf, tooCoarse, wholeRange, type ChannelHistogram } from "../../src/stretch/spectrum";

function layer(edges: number[], counts: number[], below = 0, above = 0): ChannelHistogram {
  const count = below + above + counts.reduce((sum, each) => sum + each, 0);
  return { channel: "grey", count, bad: 0, exact: true, edges, counts, below, above };
}

const coarse = layer([0, 100, 200, 300], [100, 50, 10]);
const fine = layer([100, 110, 120], [5, 20], 100, 35);

describe("layers of a histogram", () => {
  it("tell quantiles by the finest that knows", () => {
    expect(quantileOf([coarse], 50)).toBeCloseTo(50 / 160, 9);
    expect(quantileOf([coarse, fine], 110)).toBeCloseTo(105 / 160, 9);
    expect(quantileOf([coarse], -5)).toBe(0);
    expect(quantileOf([coarse], 900)).toBe(1);
    expect(quantileOf([], 900)).toBe(1 - 1);
  });

  it("become one curve of density", () => {
    const { values, heights } = densityOf([coarse, fine]);
    expect(values).toEqual([0, 100, 110, 120, 200, 300]);
    expect(heights).toEqual([1, 0.5, 2, 0.5, 0.1, 0]);
  });

  it("of nothing are nothing", () => {
    expect(densityOf([]).values).toEqual([]);
    expect(densityOf([layer([], [])]).values).toEqual([]);
    expect(wholeRange([[layer([], [])]])).toBeNull();
    expect(wholeRange([[coarse, fine]])).toEqual({ low: 0, high: 300 });
  });

  it("are asked for finer where they are too coarse, but not between whole values", () => {
    expect(tooCoarse([coarse], { low: 100, high: 200 }, 50)).toBe(true);
    expect(tooCoarse([coarse], { low: 100, high: 200 }, 50, 100)).toBe(false);
    expect(tooCoarse([coarse], { low: 900, high: 1000 }, 50)).toBe(false);
    expect(tooCoarse([coarse, layer([100, 101, 200], [1, 2])], { low: 100, high: 200 }, 50)).toBe(false);
  });

  it("fill columns by the logarithm of their highest density", () => {
    const [row = []] = columns([densityOf([coarse])], (value) => value / 300, 3);
    expect(row).toHaveLength(3);
    expect(row[0]).toBeGreaterThan(row[1] ?? 1);
    expect(row[1]).toBeGreaterThan(row[2] ?? 1);
    for (const height of row) expect(height > 0 && height <= 1).toBe(true);
  });
});
