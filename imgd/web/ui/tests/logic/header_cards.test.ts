import { describe, expect, it } from "vitest";
import { bareComment, bytes, cardText, hduWords, marked, matches, rowsOf, searchWords, type Card } from "../../src/inspect/cards";
import type { Hdu } from "../../src/state/types";

const exposure: Card = { keyword: "EXPTIME", value: 120, comment: "[s] exposure", unit: "s" };
const target: Card = { keyword: "OBJECT", value: "Barnard's star", comment: "", unit: "" };
const hdus = [
  { index: 0, name: "PRIMARY", cards: [exposure, target] },
  { index: 1, name: "SCI", cards: [{ ...target, value: "M 31" }] },
];

describe("searching cards", () => {
  it("finds all words in keyword, value and comment", () => {
    expect(matches(exposure, searchWords("expos 120"))).toBe(true);
    expect(matches(exposure, searchWords("expos 130"))).toBe(false);
    expect(matches(target, searchWords("BARNARD"))).toBe(true);
  });

  it("shows what was found, in closed HDUs as well", () => {
    expect(rowsOf(hdus, new Set([1]), "").map(({ key }) => key)).toEqual(["hdu 0", "0 0", "0 1", "hdu 1"]);
    expect(rowsOf(hdus, new Set([1]), "m 31").map(({ key }) => key)).toEqual(["hdu 1", "1 0"]);
    expect(rowsOf(hdus, new Set(), "nothing")).toEqual([]);
  });

  it("marks where the words stand, the longer one first", () => {
    expect(marked("exposure", ["expo", "ex", "ure"])).toEqual([
      { text: "expo", found: true }, { text: "s", found: false }, { text: "ure", found: true },
    ]);
    expect(marked("a", [])).toEqual([{ text: "a", found: false }]);
    expect(marked("", ["a"])).toEqual([]);
  });
});

describe("cards in words", () => {
  it("are copied as they stand in a header", () => {
    expect(cardText(exposure)).toBe("EXPTIME = 120 / [s] exposure");
    expect(cardText(target)).toBe("OBJECT = 'Barnard''s star'");
    expect(cardText({ keyword: "SIMPLE", value: true, comment: "", unit: "" })).toBe("SIMPLE = T");
    expect(cardText({ keyword: "HISTORY", value: "flat fielded", comment: "", unit: "" })).toBe("HISTORY flat fielded");
  });

  it("tell the unit once", () => {
    expect(bareComment(exposure)).toBe("exposure");
    expect(bareComment({ ...exposure, unit: "" })).toBe("[s] exposure");
  });

  it("tell what an HDU holds", () => {
    const hdu: Hdu = {
      index: 0, name: "", kind: "image", shape: [12, 480, 640], stored: "i2", rows: 5760, cfa: "RGGB", top_down: null, reason: null,
      saturate: 65535, has_wcs: true, rgb: false, bscale: 1, bzero: 32768,
    };
    expect(hduWords(hdu)).toBe("image · 640 × 480 × 12 · unsigned 16-bit whole numbers · Bayer RGGB · WCS · saturated from 65535");
  });

  it("tell sizes", () => {
    expect([0, 999, 1000, 2880000, 122348160].map(bytes)).toEqual(["0 bytes", "999 bytes", "1.00 KB", "2.88 MB", "122 MB"]);
  });
});
