// Which source pixels are seen, and the address of the same view, under all flips and turns and both orders of rows.
import { beforeAll, describe, expect, it } from "vitest";
import { colourOf, planeWords } from "../../src/measure/subject";
import { fromStage, toFits } from "../../src/picture/geometry";
import { drawnRegion, regionWords, sectionOf, visibleRegion } from "../../src/shell/region";
import { exportAddress, pictureAddress } from "../../src/shell/view_query";
import type { Camera, Geometry } from "../../src/state/types";

const stage = { width: 400, height: 300 };
const camera: Camera = { x: 500, y: 200, scale: 2, turn: 0, flip: false, fitted: false };
const up: Geometry = { width: 1000, height: 800, topDown: false };
const down: Geometry = { ...up, topDown: true };
const all: Camera[] = ([0, 90, 180, 270] as const).flatMap((turn) => [false, true].map((flip) => ({ ...camera, turn, flip })));

beforeAll(() => {
  Object.assign(globalThis, { document: { baseURI: "http://host/prefix/" } });
});

describe("the part that is seen", () => {
  it("is counted from the first pixel stored", () => {
    expect(visibleRegion(camera, down, stage)).toEqual({ x: 400, y: 125, width: 200, height: 150 });
    expect(visibleRegion(camera, up, stage)).toEqual({ x: 400, y: 525, width: 200, height: 150 }); // 800 - 275
  });

  it("lies across when it is turned by a quarter", () => {
    expect(visibleRegion({ ...camera, turn: 90 }, down, stage)).toEqual({ x: 425, y: 100, width: 150, height: 200 });
  });

  it.each(all)("holds what is at the corners: turn $turn, flip $flip", (each) => {
    for (const geometry of [up, down]) {
      const region = visibleRegion(each, geometry, stage);
      if (!region) throw new Error("nothing is seen");
      for (const x of [0.5, stage.width - 0.5]) {
        for (const y of [0.5, stage.height - 0.5]) {
          const fits = toFits(geometry, fromStage(each, stage, { x, y }));
          const [column, row] = [Math.round(fits.x) - 1, Math.round(fits.y) - 1];
          expect(column >= region.x && column < region.x + region.width).toBe(true);
          expect(row >= region.y && row < region.y + region.height).toBe(true);
        }
      }
    }
  });

  it("is whole pixels, clipped to the plane", () => {
    expect(visibleRegion({ ...camera, x: 500.3 }, down, stage)).toMatchObject({ x: 400, width: 201 });
    expect(visibleRegion({ ...camera, x: 0, y: 0 }, down, stage)).toEqual({ x: 0, y: 0, width: 100, height: 75 });
    expect(visibleRegion({ ...camera, x: 0, y: 0 }, up, stage)).toEqual({ x: 0, y: 725, width: 100, height: 75 });
    expect(visibleRegion({ ...camera, fitted: true }, up, stage)).toEqual({ x: 0, y: 0, width: 1000, height: 800 });
    expect(visibleRegion({ ...camera, x: -5000 }, up, stage)).toBeNull();
  });
});

describe("a shape that was drawn", () => {
  it("encloses the pixels that it touches", () => {
    expect(drawnRegion({ kind: "rect", x: 10.5, y: 20.5, width: 4, height: 2 }, up)).toEqual({ x: 8, y: 19, width: 4, height: 2 });
    expect(drawnRegion({ kind: "circle", x: 1, y: 1, radius: 2 }, up)).toEqual({ x: 0, y: 0, width: 3, height: 3 });
    expect(drawnRegion({ kind: "circle", x: -50, y: 1, radius: 2 }, up)).toBeNull();
    expect(drawnRegion({ kind: "line", x1: 1, y1: 1, x2: 5, y2: 5 }, up)).toBeNull();
  });

  it("is named as FITS has it", () => {
    const region = { x: 8, y: 19, width: 4, height: 2 };
    expect(sectionOf(region)).toBe("[9:12,20:21]");
    expect(regionWords(region, up)).toBe("x9-12-y20-21");
    expect(regionWords({ x: 0, y: 0, width: 1000, height: 800 }, up)).toBe("");
  });
});

describe("the address of a view", () => {
  const shown = { ref: "night/m%2031%25.fits", look: { stretch: "log", flip: "v", turn: "90", size: "5,", hdu: "1", map: "hot" }, geometry: up };
  const facts = { format: "FITS", hdus: [], default_hdu: 0, warnings: [], whole: true };
  const part = { x: 8, y: 19, width: 4, height: 2 };
  const query = (url: string) => Object.fromEntries(new URL(url).search.slice(1).split("&").map((pair) => pair.split("=")));

  it("has the present look, flip and turn, and the levels of the plane", () => {
    const url = pictureAddress(shown, { flip: true, turn: 270 }, part, "png");
    expect(url.startsWith("http://host/prefix/img?frame=night/m%2031%25.fits&")).toBe(true);
    expect(query(url)).toEqual({
      frame: "night/m%2031%25.fits", stretch: "log", hdu: "1", map: "hot", levels_from: "plane", region: "8%2C19%2C4%2C2", flip: "h", turn: "270", size: "max", format: "png",
    });
  });

  it("of the whole plane has no region, and its size is bounded", () => {
    const whole = { x: 0, y: 0, width: 20000, height: 800 };
    const large = { ...shown, geometry: { ...up, width: 20000 } };
    expect(query(pictureAddress(large, { flip: false, turn: 0 }, whole, "jpeg"))).toEqual({
      frame: shown.ref, stretch: "log", hdu: "1", map: "hot", size: "12000%2C12000", format: "jpeg", quality: "95",
    });
    expect(query(pictureAddress(shown, { flip: false, turn: 0 }, part, "png", { width: 799.6, height: 0.2 })).size).toBe("800%2C1");
  });

  it("of the pixels themselves knows the plane alone", () => {
    expect(query(exportAddress({ ...shown, facts }, 0, part, "fits"))).toEqual({ frame: shown.ref, hdu: "1", region: "8%2C19%2C4%2C2", format: "fits" });
  });

  it("of the pixels of a composed picture names the plane of the channel", () => {
    const composed = { ...shown, look: { stretch: "log", rgb: "2:0,1:4,3:1" }, facts };
    expect([0, 1, 2].map((channel) => query(exportAddress(composed, channel, part, "fits")))).toEqual(
      [["2", "0"], ["1", "4"], ["3", "1"]].map(([hdu, plane]) => ({ frame: shown.ref, hdu, plane, region: "8%2C19%2C4%2C2", format: "fits" })),
    );
  });

  it("of the pixels of a colour cube names the plane of the channel", () => {
    const hdu = { index: 0, name: "", kind: "image", shape: [3, 40, 50], stored: "u2", rows: 120, cfa: null, top_down: null, reason: null, saturate: null, has_wcs: false, rgb: true, bscale: 1, bzero: 0 };
    const colour = { ...shown, look: {}, facts: { ...facts, hdus: [hdu] } };
    expect(query(exportAddress(colour, 2, part, "npy")).plane).toBe("2");
    expect(query(exportAddress({ ...colour, look: { color: "mono" } }, 2, part, "npy")).plane).toBeUndefined();
    expect([colourOf(colour, 1), planeWords(colour, 2)]).toEqual(["green", "the blue plane (plane 2)"]);
    expect(planeWords({ ...colour, look: { plane: "1" } }, 2)).toBe("");
  });
});
