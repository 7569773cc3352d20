import { describe, expect, it } from "vitest";
import type { Levels } from "../../src/state/types";
import { oncePerFrame } from "../../src/stretch/frame_throttle";
import { afterMove, askLevels, changesOf, kindOf, levelOf, levelsOf, resetOf } from "../../src/stretch/levels";

const grey: Levels = { levels: [{ black: 700, white: 3000, mid: 0.1 }], stretch: "mtf", kind: "auto" };
const colour: Levels = {
  levels: [{ black: 100, white: 1000, mid: 0.1 }, { black: 200, white: 1200, mid: 0.2 }, { black: 300, white: 1400, mid: 0.3 }],
  stretch: "mtf",
  kind: "auto",
};

describe("the levels that handles show", () => {
  it("are those of the run until somebody gives others", () => {
    expect(levelsOf({}, grey)).toEqual(grey.levels);
    expect(levelsOf({ cut: "1,2", mid: "0.25" }, grey)).toEqual([{ black: 1, white: 2, mid: 0.25 }]);
  });

  it("have a neutral midtone with levels or a stretch of one's own", () => {
    expect(levelsOf({ cut: "1,2" }, grey)[0]?.mid).toBe(0.5);
    expect(levelsOf({ stretch: "log" }, grey)[0]?.mid).toBe(0.5);
    expect(levelsOf({ levels: "zscale" }, grey)[0]?.mid).toBe(0.1);
  });

  it("are three of six numbers, or one for all", () => {
    expect(levelsOf({ cut: "1,2,3,4,5,6", mid: "0.1,0.2,0.3" }, null)[2]).toEqual({ black: 5, white: 6, mid: 0.3 });
    expect(levelsOf({ cut: "1,2" }, colour).map(({ black }) => black)).toEqual([1, 1, 1]);
  });

  it("ignore what is no number", () => {
    expect(levelsOf({ cut: "a,b" }, grey)).toEqual(grey.levels);
  });
});

describe("a handle that is moved", () => {
  it("asks for cut and mid in place of automatic levels", () => {
    const levels = afterMove(levelsOf({}, grey), "all", "white", 2000, {});
    expect(changesOf(levels, {})).toEqual({ levels: null, cut: "700,2000", mid: "0.1" });
  });

  it("never puts black above white", () => {
    expect(afterMove(grey.levels, "all", "black", 5000, {})[0]?.black).toBeLessThan(3000);
    expect(afterMove(grey.levels, "all", "white", 0, {})[0]?.white).toBeGreaterThan(700);
  });

  it("takes all channels along, distances kept", () => {
    const levels = afterMove(colour.levels, "all", "black", 150, {});
    expect(levels.map(({ black }) => black)).toEqual([50, 150, 250]);
    expect(changesOf(levels, {}).cut).toBe("50,1000,150,1200,250,1400");
  });

  it("moves one channel alone", () => {
    expect(afterMove(colour.levels, 1, "white", 900, {}).map(({ white }) => white)).toEqual([1000, 900, 1400]);
  });

  it("has one pair for linked channels, of a neutral background their mean", () => {
    const look = { neutral: "1" };
    expect(levelOf(colour.levels, "all").black).toBe(200);
    expect(changesOf(afterMove(colour.levels, "all", "black", 250, look), look)).toEqual({ levels: null, cut: "250,1200", mid: "0.2" });
  });

  it("keeps midtones within what the daemon takes", () => {
    const levels = afterMove(colour.levels, "all", "mid", 1199, {});
    for (const { mid } of levels) expect(mid > 0 && mid <= 0.9999).toBe(true);
  });
});

describe("ways to choose levels", () => {
  it("are told from the look", () => {
    expect(kindOf({})).toBe("auto");
    expect(kindOf({ levels: "zscale" })).toBe("zscale");
    expect(kindOf({ cut: "1,2" })).toBe("cut");
    expect(askLevels("auto")).toEqual({ cut: null, mid: null, levels: null });
    expect(askLevels("0,1")).toEqual({ cut: null, mid: null, levels: "0,1" });
  });

  it("reset leaves the plane", () => {
    expect(resetOf({ hdu: "1", plane: "3", stretch: "log", cut: "1,2" })).toEqual({ stretch: null, cut: null });
  });
});

it("what follows the hand is done once a frame, with the newest value", () => {
  const done: number[] = [];
  let frame: () => void = () => undefined;
  const drag = oncePerFrame((value: number) => done.push(value), (later) => ((frame = later), 1), () => undefined);
  drag(1);
  drag(2);
  drag(3);
  expect(done).toEqual([]);
  frame();
  expect(done).toEqual([3]);
  drag(4);
  drag.flush();
  drag.flush();
  expect(done).toEqual([3, 4]);
});
