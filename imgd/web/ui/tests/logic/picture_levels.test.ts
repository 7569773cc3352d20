// Which level, and which tiles of it.
import { describe, expect, test } from "vitest";
import { countOf, fitSize, gridFor, levelFor, levelSize, placesOf, ringed, seen, topLevel, viewportOf } from "../../src/picture/levels";
import { FITTED } from "../../src/state/store";
import type { Camera } from "../../src/state/types";

const plane = { width: 9576, height: 6388 };
const stage = { width: 1400, height: 800 };
const camera: Camera = { x: 5000, y: 3000, scale: 1, turn: 0, flip: false, fitted: false };

describe("the level", () => {
  test("pixels of a level are no larger than those of the screen, but for what is not seen", () => {
    expect([0.5, 0.51, 0.26, 0.25, 0.125, 0.01].map(levelFor)).toEqual([1, 1, 2, 2, 3, 6]);
    expect([0.54, 0.55, 0.7, 0.99].map(levelFor)).toEqual([1, 0, 0, 0]);
  });

  test("from 100 % up the pixels themselves", () => {
    expect([1, 1.0001, 2, 64].map(levelFor)).toEqual([0, 0, 0, 0]);
  });

  test("levels are halved, rounded up, down to one tile", () => {
    expect(levelSize(plane, 3)).toEqual({ width: 1197, height: 799 });
    expect([topLevel(plane), topLevel({ width: 256, height: 10 }), topLevel({ width: 257, height: 10 })]).toEqual([6, 0, 1]);
  });

  test("the daemon, which takes the nearest level of what it is told, finds the same one for a fitted picture", () => {
    for (const width of [390, 700, 1000, 1247, 1400, 1920, 2500]) {
      const scale = width / plane.width;
      const told = fitSize({ width, height: 5000 }, FITTED, 1);
      const nearest = Math.max(0, Math.floor(Math.log2(plane.width / told.width) + 0.5));
      expect(nearest).toBe(levelFor(scale));
    }
  });

  test("a picture that is turned is fitted the other way round", () => {
    const upright = fitSize(stage, FITTED, 2);
    expect(fitSize(stage, { ...FITTED, turn: 90 }, 2)).toEqual({ width: upright.height, height: upright.width });
  });
});

describe("the tiles", () => {
  test("are those that the stage shows", () => {
    expect(seen(camera, stage, plane)).toEqual({ x0: 4300, y0: 2600, x1: 5700, y1: 3400 });
    const grid = gridFor(camera, stage, 1, plane);
    expect(grid).toEqual({ level: 0, left: 16, top: 10, right: 23, bottom: 14 });
    expect(grid && viewportOf(grid, 1)).toEqual({ level: 0, box: [4096, 2560, 1792, 1024], dpr: 1 });
    expect(grid && [...placesOf(grid)].length).toBe(28);
  });

  test("turned by a quarter the stage shows a high part", () => {
    expect(seen({ ...camera, turn: 90 }, stage, plane)).toEqual({ x0: 4600, y0: 2300, x1: 5400, y1: 3700 });
  });

  test("of the plane only; none where it is out of sight", () => {
    expect(gridFor({ ...camera, x: 0, y: 0 }, stage, 1, plane)).toEqual({ level: 0, left: 0, top: 0, right: 3, bottom: 2 });
    expect(gridFor({ ...camera, x: -9000 }, stage, 1, plane)).toBeNull();
  });

  test("a tile that is touched by a rounding error is not among them", () => {
    const exact = { ...camera, x: 512, y: 512, scale: 1 };
    const grid = gridFor({ ...exact, x: 512 + 1e-10 }, { width: 512, height: 512 }, 1, plane);
    expect(grid).toEqual({ level: 0, left: 1, top: 1, right: 3, bottom: 3 });
  });

  test("never more than the daemon gives at once: a coarser level then", () => {
    const grid = gridFor({ ...camera, scale: 0.3 }, { width: 3800, height: 2100 }, 2, { width: 60000, height: 60000 }, 100);
    expect(grid && countOf(grid)).toBeLessThanOrEqual(100);
    expect(grid?.level).toBe(2);
  });

  test("of a plane of unknown size as of an endless one", () => {
    expect(gridFor(camera, stage, 1, { width: Infinity, height: Infinity })).toEqual(gridFor(camera, stage, 1, plane));
  });

  test("the ring around them stays within the plane", () => {
    expect(ringed({ level: 3, left: 0, top: 1, right: 5, bottom: 3 }, plane)).toEqual({ level: 3, left: 0, top: 0, right: 5, bottom: 4 });
    expect(ringed({ level: 0, left: 4, top: 4, right: 6, bottom: 6 }, plane, 10)).toEqual({ level: 0, left: 4, top: 4, right: 6, bottom: 6 });
  });
});
