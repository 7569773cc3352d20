// Where things are on the stage, against examples worked out by hand.
import { describe, expect, test } from "vitest";
import { fromFits, fromStage, matrixOf, resolved, toFits, toStage } from "../../src/picture/geometry";
import { deviceMatrix, tileMatrix } from "../../src/picture/painter";
import { degreesOf, doubled, panned, same, toCamera, toViewport, turned } from "../../src/picture/steering";
import { FITTED } from "../../src/state/store";
import type { Camera } from "../../src/state/types";

const stage = { width: 1000, height: 600 };
const camera: Camera = { x: 400, y: 300, scale: 2, turn: 0, flip: false, fitted: false };
const TURNS = [0, 90, 180, 270] as const;

describe("picture and stage", () => {
  test("the camera's place is in the middle, and one pixel to the right is `scale` to the right", () => {
    expect(toStage(camera, stage, { x: 400, y: 300 })).toEqual({ x: 500, y: 300 });
    expect(toStage(camera, stage, { x: 401, y: 302 })).toEqual({ x: 502, y: 304 });
  });

  test("turned clockwise by 90 degrees: what was at the right is below", () => {
    expect(toStage({ ...camera, turn: 90 }, stage, { x: 410, y: 300 })).toEqual({ x: 500, y: 320 });
    expect(toStage({ ...camera, turn: 90 }, stage, { x: 400, y: 310 })).toEqual({ x: 480, y: 300 });
  });

  test("mirrored first, then turned: what was at the right is at the left, and so above", () => {
    expect(toStage({ ...camera, flip: true }, stage, { x: 410, y: 300 })).toEqual({ x: 480, y: 300 });
    expect(toStage({ ...camera, flip: true, turn: 90 }, stage, { x: 410, y: 300 })).toEqual({ x: 500, y: 280 });
  });

  test.each(TURNS.flatMap((turn) => [false, true].map((flip) => ({ turn, flip }))))("there and back: %o", ({ turn, flip }) => {
    const at = { ...camera, turn, flip, scale: 0.37 };
    const back = fromStage(at, stage, toStage(at, stage, { x: 12.5, y: 777.25 }));
    expect(back.x).toBeCloseTo(12.5, 9);
    expect(back.y).toBeCloseTo(777.25, 9);
  });

  test("fitted: the longer side decides, turned the other one", () => {
    const plane = { width: 2000, height: 400, topDown: false };
    expect(resolved(FITTED, plane, stage)).toMatchObject({ x: 1000, y: 200, scale: 0.5 });
    expect(resolved({ ...FITTED, turn: 270 }, plane, stage)).toMatchObject({ x: 1000, y: 200, scale: 0.3 });
  });
});

describe("FITS pixels", () => {
  test("the first pixel stored is 1, 1 at its centre: below, or above where rows go down", () => {
    const up = { width: 30, height: 20, topDown: false };
    expect(toFits(up, { x: 0.5, y: 19.5 })).toEqual({ x: 1, y: 1 });
    expect(toFits({ ...up, topDown: true }, { x: 0.5, y: 0.5 })).toEqual({ x: 1, y: 1 });
    expect(fromFits(up, { x: 30, y: 20 })).toEqual({ x: 29.5, y: 0.5 });
    expect(fromFits(up, toFits(up, { x: 3.25, y: 7 }))).toEqual({ x: 3.25, y: 7 });
  });
});

describe("OpenSeadragon's viewport", () => {
  const plane = { width: 2000, height: 400, topDown: false };

  test("the plane is 1 wide, and zoom 1 shows its width", () => {
    expect(toViewport({ ...camera, x: 1000, y: 200, scale: 0.5 }, plane, stage)).toEqual({ x: 0.5, y: 0.1, zoom: 1 });
    const back = toCamera(toViewport(camera, plane, stage), camera, plane, stage);
    expect(same(back, camera)).toBe(true);
  });

  test("a mirrored picture is turned the other way round there", () => {
    expect(degreesOf({ ...camera, turn: 90 })).toBe(90);
    expect(degreesOf({ ...camera, turn: 90, flip: true })).toBe(270);
    expect(degreesOf({ ...camera, turn: 0, flip: true })).toBe(0);
  });

  test("places are the same within rounding only", () => {
    expect(same(camera, { ...camera, x: camera.x + 1e-8 })).toBe(true);
    expect(same(camera, { ...camera, x: camera.x + 1e-3 })).toBe(false);
    expect(same(camera, { ...camera, scale: 2.001 })).toBe(false);
  });
});

describe("moves", () => {
  test("panning is by what is seen, also of a picture that is turned", () => {
    expect(panned(camera, stage, 0.1, 0)).toMatchObject({ x: 450, y: 300 });
    const { x, y } = panned({ ...camera, turn: 90 }, stage, 0.1, 0);
    expect([x, y]).toEqual([400, 250]);
  });

  test.each(TURNS)("turning and mirroring is of what is seen, at %i degrees", (turn) => {
    const before = { ...camera, turn, flip: turn === 90 };
    const seen = toStage(before, stage, { x: 410, y: 305 });
    const mirrored = toStage({ ...before, ...turned(before, { kind: "flip" }) }, stage, { x: 410, y: 305 });
    expect([mirrored.x, mirrored.y]).toEqual([stage.width - seen.x, seen.y]);
    const clockwise = toStage({ ...before, ...turned(before, { kind: "turn", by: 90 }) }, stage, { x: 410, y: 305 });
    expect([clockwise.x - 500, clockwise.y - 300]).toEqual([-(seen.y - 300), seen.x - 500].map((each) => each + 0));
    expect(turned(before, { kind: "turn", by: -90 }).turn).toBe((turn + 270) % 360);
  });

  test("a double click goes to 100 % with its place under the pointer, and back to all of it", () => {
    const small = { ...camera, scale: 0.25 };
    const at = { x: 800, y: 100 };
    const place = fromStage(small, stage, at);
    const near = doubled(small, true, place, at, stage, 2);
    expect(near).toMatchObject({ scale: 0.5, fitted: false });
    expect(near && fromStage(near, stage, at)).toEqual(place);
    expect(doubled({ ...camera, scale: 0.5 }, false, place, at, stage, 2)).toBeNull();
  });
});

describe("painting on whole device pixels", () => {
  test("neighbours share an edge at any scale and turn, so that there is no seam", () => {
    for (const turn of TURNS)
      for (const scale of [0.1372, 0.331, 0.5, 1, 3.7]) {
        const matrix = deviceMatrix({ camera: { ...camera, turn, scale, x: 431.7 }, stage, dpr: 1.5 });
        const left = tileMatrix(matrix, { level: 1, column: 3, row: 2 }, 256, 256);
        const right = tileMatrix(matrix, { level: 1, column: 4, row: 2 }, 256, 256);
        expect([left[0] * 256 + left[4], left[1] * 256 + left[5]]).toEqual([right[4], right[5]]);
        expect(left.slice(4).every(Number.isInteger)).toBe(true);
      }
  });

  test("at 100 % a pixel is a pixel", () => {
    const matrix = deviceMatrix({ camera: { ...camera, scale: 0.5, x: 400.3, y: 299.9 }, stage, dpr: 2 });
    expect(tileMatrix(matrix, { level: 0, column: 1, row: 1 }, 256, 100).slice(0, 4)).toEqual([1, 0, 0, 1]);
    expect(matrixOf({ ...camera, scale: 1 }, stage).slice(0, 4)).toEqual([1, 0, -0, 1]);
  });
});
