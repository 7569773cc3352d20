// The list's page cache, its order, and where rows stay while others come.
import { describe, expect, it } from "vitest";
import { PAGE_ROWS, Pages, pagesOf, runOf } from "../../src/frames/pages";
import { shiftOf, shifted } from "../../src/frames/steady";
import type { FrameRow } from "../../src/state/types";

function rowsFrom(first: number, count = PAGE_ROWS): FrameRow[] {
  return Array.from({ length: count }, (_, at) => row(first + at));
}

function row(number: number): FrameRow {
  return { ref: `a/${number}.fits`, name: `${number}.fits`, root: "a", modified: null, size_bytes: 1, hdu: {} };
}

describe("pages", () => {
  it("gives rows and their places", () => {
    const pages = new Pages();
    pages.put(2, rowsFrom(200));
    expect(pages.row(205)?.ref).toBe("a/205.fits");
    expect(pages.row(99)).toBeUndefined();
    expect(pages.indexOf("a/299.fits")).toBe(299);
    expect(pages.indexOf("a/300.fits")).toBeNull();
  });

  it("forgets the page that was wanted least recently", () => {
    const pages = new Pages(2);
    pages.put(0, rowsFrom(0));
    pages.put(1, rowsFrom(100));
    pages.touch(0);
    pages.put(2, rowsFrom(200));
    expect([0, 1, 2].map((page) => pages.has(page))).toEqual([true, false, true]);
    expect(pages.indexOf("a/150.fits")).toBeNull();
    expect(pages.indexOf("a/50.fits")).toBe(50);
  });

  it("knows a frame at the place that it was told last", () => {
    const pages = new Pages(2);
    pages.put(0, rowsFrom(0));
    pages.put(1, rowsFrom(99)); // The last of page 0 has moved on.
    pages.put(0, rowsFrom(-1));
    expect(pages.indexOf("a/99.fits")).toBe(100);
  });

  it("finds the pages of a range", () => {
    expect(pagesOf(-5, 5, 1000)).toEqual([0]);
    expect(pagesOf(99, 100, 1000)).toEqual([0, 1]);
    expect(pagesOf(950, 2000, 1000)).toEqual([9]);
    expect(pagesOf(0, 10, 0)).toEqual([]);
  });

  it("asks at once for those that lie together", () => {
    expect(runOf([10, 9, 11, 30])).toEqual([9, 10, 11]);
    expect(runOf([1, 2, 3, 4, 5, 6, 7])).toEqual([1, 2, 3, 4, 5]);
    expect(runOf([])).toEqual([]);
  });
});

describe("an anchor", () => {
  const anchor = { ref: "a/7.fits", index: 7 };

  it("moves by what the daemon says, or by what is seen", () => {
    expect(shiftOf(anchor, { offset: 0, rows: [], total: 9, at: 9 }, 9)).toBe(2);
    expect(shiftOf(anchor, { offset: 0, rows: [row(-1), ...rowsFrom(0)], total: 101 }, 100)).toBe(1);
  });

  it("stays where it was if it is gone, and follows the total if nothing is known", () => {
    expect(shiftOf(anchor, { offset: 0, rows: [], total: 8, at: null }, 9)).toBe(0);
    expect(shiftOf(anchor, { offset: 0, rows: [], total: 12 }, 9)).toBe(3);
    expect(shiftOf(anchor, { offset: 0, rows: [], total: 0 }, 9)).toBe(-7);
    expect(shiftOf(null, { offset: 0, rows: [], total: 12 }, 9)).toBe(0);
  });

  it("does not move who looks at the beginning", () => {
    const range = { first: 3, last: 9, anchor: 5, pinned: false };
    expect(shifted(range, 2)).toEqual({ first: 5, last: 11, anchor: 7, pinned: false });
    expect(shifted({ ...range, pinned: true }, 2).first).toBe(3);
  });
});
