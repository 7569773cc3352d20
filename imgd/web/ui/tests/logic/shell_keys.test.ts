// The table of keys: no key stands for two things, each is reached by the keyboard, and none is taken from who types.
import { describe, expect, it, vi } from "vitest";

vi.mock("../../src/frames/neighbours", () => ({ nextFrame: vi.fn(), previousFrame: vi.fn() }));
vi.mock("../../src/measure/copy", () => ({ copyPlace: vi.fn() }));
vi.mock("../../src/live/compare", () => ({ nextBlink: vi.fn(), setLayout: vi.fn(), toggleBlink: vi.fn() }));
vi.mock("../../src/live/follow", () => ({ drive: vi.fn() }));

const { KEYS, shownKey, titleOf } = await import("../../src/shell/keys_table");
const { actionOf, nameOfKey } = await import("../../src/shell/keys");
const { closeOne, nextStretch } = await import("../../src/shell/actions");
const { useStore } = await import("../../src/state/store");

const plain = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };

/** What a browser says when the key of that name is pressed. */
function pressing(name: string) {
  const shiftKey = name.startsWith("Shift+");
  const bare = shiftKey ? name.slice(6) : name;
  return { ...plain, shiftKey, key: bare === "Space" ? " " : bare };
}

describe("the table of keys", () => {
  it("has no key twice", () => {
    const all = Object.values(KEYS).flatMap(({ keys }) => [...keys]);
    expect(all.filter((key, at) => all.indexOf(key) !== at)).toEqual([]);
  });

  it.each(Object.entries(KEYS))("reaches %s by each of its keys", (name, { keys }) => {
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) expect(actionOf(pressing(key), "none")).toBe(name);
  });

  it("says what a button does, and by which key", () => {
    expect(titleOf("fit")).toBe("Fit the whole picture (0)");
    expect(titleOf("previous")).toBe("Previous frame (←)");
    expect([shownKey("Shift+F"), shownKey("+"), shownKey("-"), shownKey("Shift+ArrowUp")]).toEqual(["Shift + F", "+", "−", "Shift + ↑"]);
  });
});

describe("a pressed key", () => {
  it("is read without Caps Lock, and signs as they are typed", () => {
    expect(nameOfKey({ key: "A", shiftKey: false })).toBe("a");
    expect(nameOfKey({ key: "a", shiftKey: true })).toBe("Shift+A");
    expect(nameOfKey({ key: "?", shiftKey: true })).toBe("?");
    expect(nameOfKey({ key: "0", shiftKey: true })).toBe("0");
  });

  it.each(["ctrlKey", "metaKey", "altKey"])("with %s is the browser's", (modifier) => {
    expect(actionOf({ ...plain, key: "a", [modifier]: true }, "none")).toBeNull();
  });

  it("belongs to who types", () => {
    for (const key of ["a", "0", " ", "ArrowLeft", "?"]) expect(actionOf({ ...plain, key }, "text")).toBeNull();
  });

  it("presses a button that has the focus, and moves a slider that has it", () => {
    expect(actionOf({ ...plain, key: " " }, "pressed")).toBeNull();
    expect(actionOf({ ...plain, key: "ArrowLeft" }, "pressed")).toBe("previous");
    expect(actionOf({ ...plain, key: "ArrowLeft" }, "moved")).toBeNull();
    expect(actionOf({ ...plain, key: "a" }, "moved")).toBe("auto");
  });
});

describe("actions", () => {
  it("close one thing at a time, the last one first", () => {
    useStore.setState({ helpOpen: true, panel: "measure", tool: "line", shape: { kind: "circle", x: 1, y: 1, radius: 1 } });
    const open = () => {
      const { helpOpen, panel, tool, shape } = useStore.getState();
      return [helpOpen, shape !== null, tool, panel];
    };
    closeOne();
    expect(open()).toEqual([false, true, "line", "measure"]);
    closeOne();
    expect(open()).toEqual([false, false, "line", "measure"]);
    closeOne();
    expect(open()).toEqual([false, false, "pan", "measure"]);
    closeOne();
    expect(open()).toEqual([false, false, "pan", null]);
    useStore.setState({ listOpen: false, stripOpen: false });
    expect(closeOne()).toBe(false);
  });

  it("go round through the stretches", () => {
    const seen = ["mtf"];
    while (seen.length < 7) seen.push(nextStretch(seen.at(-1)));
    expect(new Set(seen).size).toBe(6);
    expect(seen[6]).toBe("mtf");
    expect(nextStretch(undefined)).toBe(seen[1]);
    expect(nextStretch("unheard of")).toBe("mtf");
  });
});
