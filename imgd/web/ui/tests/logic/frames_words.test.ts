// Names, sizes and times of rows; keys; the gate of small pictures.
import { describe, expect, it } from "vitest";
import { crumbsOf, folderOf, shownName, shownPath } from "../../src/frames/names";
import { exposureWords, headerWords, pendingWords, sizeWords } from "../../src/frames/words";
import { keyTarget } from "../../src/frames/keys";
import { Gate } from "../../src/frames/gate";

describe("names", () => {
  it("are read from refs, and stay encoded where they are no text", () => {
    expect(shownName("night/m%2031/a%26b.fits")).toBe("a&b.fits");
    expect(shownName("night/%FF%FEa.fits")).toBe("%FF%FEa.fits");
    expect(shownPath("night/m%2031")).toBe("night/m 31");
    expect(folderOf("night/m%2031/a.fits")).toBe("night/m%2031");
    expect(crumbsOf("night/m%2031")).toEqual([{ ref: "night", name: "night" }, { ref: "night/m%2031", name: "m 31" }]);
    expect(crumbsOf("")).toEqual([]);
  });
});

describe("words", () => {
  it("say sizes and exposures", () => {
    expect([0, 999, 1000, 12_345, 122_357_760, 999_999].map(sizeWords)).toEqual(["0 B", "999 B", "1 kB", "12.3 kB", "122 MB", "1 MB"]);
    expect([60, 0.5, 0.03, 0, "x", undefined].map(exposureWords)).toEqual(["60 s", "0.5 s", "30 ms", "0 s", "", ""]);
  });

  it("leave out what the header does not say", () => {
    const row = { ref: "a", name: "a", root: "a", modified: null, size_bytes: 0, hdu: { OBJECT: " M 31 ", EXPTIME: 2 } };
    expect(headerWords(row)).toEqual(["M 31", "2 s"]);
  });

  it("say what is still to come", () => {
    expect(pendingWords(10, 10, true)).toBe("");
    expect(pendingWords(50_000, 49_000, true)).toBe("49,000 of 50,000 headers read");
    expect(pendingWords(50_000, 49_000, false)).toBe("still looking through the folders");
  });
});

describe("keys", () => {
  const key = (name: string, more = {}): Parameters<typeof keyTarget>[0] => ({ key: name, altKey: false, ctrlKey: false, metaKey: false, ...more });

  it("move within the list", () => {
    expect(keyTarget(key("ArrowDown"), 4, 10, 100, false)).toBe(5);
    expect(keyTarget(key("ArrowDown"), 99, 10, 100, false)).toBe(99);
    expect(keyTarget(key("PageUp"), 4, 10, 100, false)).toBe(0);
    expect(keyTarget(key("End"), 4, 10, 100, true)).toBe(99);
    expect(keyTarget(key("ArrowLeft"), 4, 10, 100, true)).toBe(3);
  });

  it("are others' where they mean nothing here", () => {
    expect(keyTarget(key("ArrowLeft"), 4, 10, 100, false)).toBeNull();
    expect(keyTarget(key("ArrowDown", { ctrlKey: true }), 4, 10, 100, false)).toBeNull();
    expect(keyTarget(key("Home"), 0, 10, 0, false)).toBeNull();
  });
});

describe("gate", () => {
  const turn = (): Promise<void> => new Promise((done) => setTimeout(done));

  it("lets in so many, and passes over who has left", async () => {
    const begun: number[] = [];
    const gate = new Gate(() => 2);
    const leave = [0, 1, 2, 3].map((number) => gate.enter(() => begun.push(number)));
    await turn();
    expect(begun).toEqual([0, 1]);
    leave[2]?.();
    leave[0]?.();
    leave[0]?.();
    await turn();
    expect(begun).toEqual([0, 1, 3]);
  });

  it("starts nobody who leaves with the others", async () => {
    const begun: number[] = [];
    const gate = new Gate(() => 1);
    const leave = [0, 1, 2].map((number) => gate.enter(() => begun.push(number)));
    await turn();
    leave.forEach((each) => each());
    await turn();
    expect(begun).toEqual([0]);
  });
});
