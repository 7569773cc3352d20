// When the old picture gives way to the new one.
import { describe, expect, test } from "vitest";
import { arrived, begun, dropped, due, NOTHING, patience, swapped } from "../../src/picture/swap";

const NONE = { some: false, all: false, ended: false };
const SOME = { some: true, all: false, ended: false };
const ALL = { some: true, all: true, ended: false };

describe("the swap", () => {
  test("the very first picture is seen with its first tile", () => {
    const swap = begun(NOTHING, "a");
    expect(due(swap, NONE, 0)).toBe(false);
    expect(due(swap, SOME, 0)).toBe(true);
    expect(swapped(swap)).toEqual({ shown: "a", next: null, since: null });
  });

  test("the old picture stays until all that is seen of the new one is there", () => {
    const swap = arrived(begun({ ...NOTHING, shown: "a" }, "b"), 1000);
    expect(due(swap, SOME, 1010)).toBe(false);
    expect(due(swap, ALL, 1010)).toBe(true);
  });

  test("or until 150 ms after its first tile", () => {
    const swap = arrived(arrived(begun({ ...NOTHING, shown: "a" }, "b"), 1000), 1100);
    expect(patience(swap, 1100)).toBe(50);
    expect(due(swap, SOME, 1149)).toBe(false);
    expect(due(swap, SOME, 1150)).toBe(true);
    expect(due(swap, NONE, 1150)).toBe(false);
  });

  test("or until no more of it will come", () => {
    const swap = begun({ ...NOTHING, shown: "a" }, "b");
    expect(due(swap, { ...SOME, ended: true }, 0)).toBe(true);
    expect(due(swap, { ...NONE, ended: true }, 0)).toBe(false);
  });

  test("whoever drags a slider sees something on the way: time goes on while pictures overtake each other", () => {
    let swap = arrived(begun({ ...NOTHING, shown: "a" }, "b"), 1000);
    swap = begun(swap, "c");
    expect(due(swap, NONE, 1200)).toBe(false);
    expect(due(arrived(swap, 1200), SOME, 1200)).toBe(true);
    expect(swapped(swap).shown).toBe("c");
  });

  test("a further part of what is shown is no other picture; going back to it ends the waiting", () => {
    expect(begun({ ...NOTHING, shown: "a" }, "a")).toEqual({ shown: "a", next: null, since: null });
    expect(begun(arrived(begun({ ...NOTHING, shown: "a" }, "b"), 5), "a")).toEqual({ shown: "a", next: null, since: null });
    expect(patience({ ...NOTHING, shown: "a" }, 9)).toBeNull();
  });

  test("what fails leaves the old picture", () => {
    expect(dropped(arrived(begun({ ...NOTHING, shown: "a" }, "b"), 5))).toEqual({ shown: "a", next: null, since: null });
    expect(swapped({ ...NOTHING, shown: "a" }).shown).toBe("a");
  });
});
