// Values under the cursor: boxes, words, shapes, tables, and the order of questions.
import { describe, expect, it, vi } from "vitest";
import type { PixelAnswer, ProfileAnswer, StarsAnswer } from "../../src/measure/answers";
import { BOX, Boxes } from "../../src/measure/boxes";
import { csvOf, profileCsv, starsCsv } from "../../src/measure/csv";
import { drawn, handlesOf, isTiny, moved, placedAt, resized, shapeNumbers } from "../../src/measure/handles";
import { Latest, type Asked } from "../../src/measure/latest";
import { greyOf } from "../../src/measure/levels_grey";
import { pinched } from "../../src/measure/pinch";
import { skyWords, valueWords } from "../../src/measure/place_words";
import { Shared } from "../../src/measure/shared";
import { bayerLetter, saturated, whyBad } from "../../src/measure/subject";
import { figure, valueText } from "../../src/measure/words";
import type { Hdu } from "../../src/state/types";

function boxAt(x: number, y: number, side = BOX): PixelAnswer {
  const first = { x: x - (side - 1) / 2, y: y - (side - 1) / 2 };
  const values = Array.from({ length: side }, (_, row) => Array.from({ length: side }, (_, column) => 1000 * (first.y + row) + first.x + column));
  return { x, y, value: 1000 * y + x, bad: false, why: null, saturated: false, x_first: first.x, y_first: first.y, values };
}

describe("boxes of pixels", () => {
  it("answer for each pixel in them, and for no other", () => {
    const boxes = new Boxes();
    boxes.put("a", boxAt(100, 200));
    expect(boxes.value("a", 131, 231)?.value).toBe(231131);
    expect(boxes.value("a", 132, 200)).toBeUndefined();
    expect(boxes.value("b", 100, 200)).toBeUndefined();
    expect(boxes.value("a", 100, 200)?.saturated).toBe(false); // The centre is told exactly.
    expect(boxes.value("a", 101, 200)?.saturated).toBeNull();
  });

  it("are asked for around the cursor, and again near their border", () => {
    const boxes = new Boxes();
    expect(boxes.wish("a", 100, 200, 3000, 3000)).toEqual({ x: 100, y: 200 });
    boxes.put("a", boxAt(100, 200));
    expect(boxes.wish("a", 110, 205, 3000, 3000)).toBeNull();
    expect(boxes.wish("a", 125, 200, 3000, 3000)).toEqual({ x: 125, y: 200 });
  });

  it("do not reach beyond the plane, and rest at its border", () => {
    const boxes = new Boxes();
    expect(boxes.wish("a", 1, 3000, 3000, 3000)).toEqual({ x: 32, y: 2969 });
    boxes.put("a", boxAt(32, 2969));
    expect(boxes.wish("a", 1, 3000, 3000, 3000)).toBeNull();
    expect(boxes.wish("a", 5, 4, 20, 9)).toEqual({ x: 10, y: 5 });
  });

  it("are forgotten, the least recently used first", () => {
    const boxes = new Boxes(2);
    boxes.put("a", boxAt(100, 100));
    boxes.put("a", boxAt(300, 100));
    boxes.value("a", 101, 100);
    boxes.put("a", boxAt(500, 100));
    expect(boxes.size).toBe(2);
    expect(boxes.value("a", 100, 100)?.value).toBe(100100);
    expect(boxes.value("a", 300, 100)).toBeUndefined();
  });
});

const HDU: Hdu = { index: 0, name: "", kind: "image", shape: [100, 200], stored: "i2", rows: 80, cfa: null, top_down: null, reason: null, saturate: null, has_wcs: false, rgb: false, bscale: 1, bzero: 32768 };

describe("words of a value", () => {
  const plain = { bad: false, why: null, saturated: false, letter: "" };

  it("0 is 0, bad is bad with the reason, saturated is marked", () => {
    expect(valueWords({ ...plain, value: 0 }, "ADU")).toBe("0 ADU");
    expect(valueWords({ ...plain, value: null, bad: true, why: "NaN" }, "ADU")).toBe("bad (NaN)");
    expect(valueWords({ ...plain, value: 65535, saturated: true, letter: "G" }, "")).toBe("G 65535 saturated");
  });

  it("are as exact as the value", () => {
    expect([0, -0.25, 1e-9, 123456789, 0.1 + 0.2, "9007199254740993"].map(valueText)).toEqual(["0", "-0.25", "1e-9", "123456789", "0.3", "9007199254740993"]);
    expect([null, 0, 12.3456789, 1234567.891, 0.00001].map((value) => figure(value))).toEqual(["–", "0", "12.346", "1234568", "0.00001".length ? "1e-5" : ""]);
  });

  it("know saturation and reasons from the facts", () => {
    expect([saturated(HDU, 65535), saturated(HDU, 65534), saturated({ ...HDU, saturate: 60000 }, 60000), saturated({ ...HDU, stored: "f4" }, 1e30)]).toEqual([true, false, true, false]);
    expect([whyBad(HDU, 0, 81), whyBad(HDU, 0, 80), whyBad({ ...HDU, stored: "f4" }, 0, 1)]).toEqual(["missing: the file is cut short", "blank", "not a number"]);
    expect(whyBad({ ...HDU, shape: [3, 100, 200], rows: 180 }, 1, 81)).toBe("missing: the file is cut short");
  });

  it("name the colour of a Bayer pixel", () => {
    expect([bayerLetter("RGGB", 1, 1), bayerLetter("RGGB", 2, 1), bayerLetter("RGGB", 1, 2), bayerLetter("RGGB", 4, 4), bayerLetter(null, 1, 1)]).toEqual(["R", "G", "G", "B", ""]);
  });

  it("call a position by what it is", () => {
    const axes = [{ name: "GLON", unit: "deg" }, { name: "GLAT", unit: "deg" }];
    expect(skyWords({ kind: "celestial", system: "galactic", axes }, [209.01, -19.38], false).map(({ name }) => name)).toEqual(["l", "b"]);
    expect(skyWords({ kind: "linear", system: "", axes: [{ name: "WAVE", unit: "nm" }, { name: "", unit: "" }] }, [656.28, 4], false)).toEqual([
      { name: "WAVE", text: "656.28 nm" },
      { name: "Axis 2", text: "4" },
    ]);
    expect(skyWords({ kind: "celestial", system: "equatorial", axes }, [83.822, -5.391], false).map(({ text }) => text)).toEqual(["05:35:17.28", "-05:23:27.6"]);
    expect(skyWords({ kind: "celestial", system: "equatorial", axes }, [83.822, -5.391], true).map(({ text }) => text)).toEqual(["83.822000°", "-5.391000°"]);
  });

  it("has the grey of the picture's levels", () => {
    const level = { black: 100, white: 300, mid: 0.25 };
    expect([50, 100, 150, 300, 400].map((value) => greyOf(value, level, "mtf", {}))).toEqual([0, 0, 128, 255, 255]);
    expect(greyOf(200, { ...level, mid: 0.5 }, "linear", { invert: "1" })).toBe(128);
  });
});

describe("shapes", () => {
  const rect = { kind: "rect", x: 10.5, y: 20.5, width: 4, height: 6 } as const;

  it("are drawn from where to where the hand goes; rectangles by whole pixels", () => {
    expect(drawn("rect", { x: 8.6, y: 23.4 }, { x: 12.4, y: 17.6 })).toEqual(rect);
    expect(drawn("circle", { x: 5, y: 5 }, { x: 8, y: 9 })).toEqual({ kind: "circle", x: 5, y: 5, radius: 5 });
    expect(drawn("pan", { x: 5, y: 5 }, { x: 8, y: 9 })).toBeNull();
    expect(isTiny({ kind: "circle", x: 0, y: 0, radius: 1 }, 2)).toBe(true);
  });

  it("are resized about the opposite corner, and moved as a whole", () => {
    const [first] = handlesOf(rect);
    expect(first).toEqual({ at: "00", x: 8.5, y: 17.5 });
    expect(resized(rect, "00", { x: 6.5, y: 15.5 })).toEqual({ kind: "rect", x: 9.5, y: 19.5, width: 6, height: 8 });
    expect(moved(rect, { x: 1, y: -10 })).toEqual({ ...rect, x: 11.5, y: 10.5 });
    expect(moved({ kind: "line", x1: 1, y1: 2, x2: 3, y2: 4 }, { x: 1, y: 1 })).toEqual({ kind: "line", x1: 2, y1: 3, x2: 4, y2: 5 });
    expect(shapeNumbers(rect)).toBe("10.5,20.5,4,6");
  });

  it("can be put somewhere without a drag", () => {
    expect(placedAt("circle", { x: 50, y: 60 }, 10.2)).toEqual({ kind: "circle", x: 50, y: 60, radius: 10 });
    expect(placedAt("line", { x: 50, y: 60 }, 10)).toEqual({ kind: "line", x1: 40, y1: 60, x2: 60, y2: 60 });
    expect(placedAt("rect", { x: 50, y: 60 }, 10)).toMatchObject({ kind: "rect", width: 20, height: 20 });
    expect(placedAt("pan", { x: 50, y: 60 }, 10)).toBeNull();
  });

  it("let two fingers zoom about what they hold", () => {
    const camera = { x: 50, y: 50, scale: 2, turn: 0 as const, flip: false, fitted: false };
    const stage = { width: 200, height: 200 };
    const next = pinched(camera, stage, [{ x: 90, y: 100 }, { x: 110, y: 100 }], [{ x: 80, y: 120 }, { x: 120, y: 120 }]);
    expect(next).toEqual({ ...camera, scale: 4, y: 45 });
  });
});

describe("tables to take away", () => {
  it("quote what would break them", () => {
    expect(csvOf(["a", "b"], [["x,y", 'say "hi"'], ["=1+1", null]])).toBe('a,b\r\n"x,y","say ""hi"""\r\n\'=1+1,\r\n');
  });

  it("hold the whole profile, with nothing for bad points", () => {
    const answer: ProfileAnswer = { line: [1, 1, 3, 1], width: 1, length: 2, x: [1, 2, 3], y: [1, 1, 1], distance: [0, 1, 2], value: [5, null, 7.25], good: [1, 0, 1] };
    expect(profileCsv(answer)).toBe("distance_px,x,y,value,samples\r\n0,1,1,5,1\r\n1,2,1,,0\r\n2,3,1,7.25,1\r\n");
  });

  it("have no sky columns without a sky", () => {
    const star = { x: 1.5, y: 2, flux: 10, peak: 5, fwhm: 3, hfr: null, ellipticity: 0.1, saturated: true, flags: ["saturated", "at the edge"] };
    const answer: StarsAnswer = { found: 1, listed: 1, truncated: false, threshold: 5, asked: 5, background: 1, noise: 1, fwhm: 3, hfr: 2, median_of: 1, stars: [star], notes: [] };
    expect(starsCsv(answer, [], null)).toBe("x,y,flux,peak,fwhm_px,hfr_px,ellipticity,saturated,flags\r\n1.5,2,10,5,3,,0.1,1,saturated; at the edge\r\n");
    expect(starsCsv(answer, ["RA_deg", "Dec_deg"], () => [83, -5]).split("\r\n")[1]).toBe("1.5,2,83,-5,10,5,3,,0.1,1,saturated; at the edge");
  });
});

describe("the order of questions", () => {
  const later = () => new Promise((done) => setTimeout(done, 0));

  it("has one in flight, and the newest wish next", async () => {
    const asked: string[] = [];
    const open: ((answer: string) => void)[] = [];
    const told: Asked<string>[] = [];
    const latest = new Latest<string, string>((wish) => (asked.push(wish), new Promise((done) => open.push(done))), (state) => told.push(state));
    for (const wish of ["a", "b", "c"]) latest.want(wish);
    expect(asked).toEqual(["a"]);
    open[0]?.("A");
    await later();
    expect(asked).toEqual(["a", "c"]);
    open[1]?.("C");
    await later();
    expect(told.at(-1)).toEqual({ answer: "C", asking: false, trouble: null });
  });

  it("aborts a slow one for a newer wish, and all at the end", async () => {
    vi.useFakeTimers();
    const signals: AbortSignal[] = [];
    const ask = (_: string, signal: AbortSignal) =>
      new Promise<string>((_, fail) => (signals.push(signal), signal.addEventListener("abort", () => fail(new Error("aborted")))));
    const told: Asked<string>[] = [];
    const latest = new Latest<string, string>(ask, (state) => told.push(state));
    latest.want("a");
    latest.want("b");
    await vi.advanceTimersByTimeAsync(450);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    latest.end();
    await vi.advanceTimersByTimeAsync(1);
    expect(signals[1]?.aborted).toBe(true);
    expect(told.some(({ trouble }) => trouble)).toBe(false);
    vi.useRealTimers();
  });

  it("shares an answer, keeps it for the next one, and aborts what nobody wants", async () => {
    const signals: AbortSignal[] = [];
    const shared = new Shared((url, signal) => (signals.push(signal), Promise.resolve(`${url}${signals.length}`)));
    const [first, second] = [shared.want("u", "1", () => undefined), shared.want("u", "1", () => undefined)];
    expect(signals).toHaveLength(1);
    await later();
    expect(shared.state("u").answer).toBe("u1");
    first();
    second();
    shared.want("u", "1", () => undefined)();
    expect(signals).toHaveLength(1);
    const third = shared.want("u", "2", () => undefined);
    expect(shared.state("u")).toMatchObject({ answer: "u1", asking: true });
    third();
    expect(signals[1]?.aborted).toBe(true);
  });
});
