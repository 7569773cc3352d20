// What a runner is asked for, and what not again.
import { describe, expect, test } from "vitest";
import { Wishes, type Outlook } from "../../src/picture/wishes";
import { beginTurn, sameName, shownOf, takeFacts } from "../../src/picture/turn";
import { beginRun } from "../../src/picture/runs";
import { FITTED } from "../../src/state/store";
import type { Viewport } from "../../src/protocol/link";
import type { Camera, Facts, Hdu } from "../../src/state/types";

const geometry = { width: 9576, height: 6388, topDown: false };
const camera: Camera = { x: 5000, y: 3000, scale: 1, turn: 0, flip: false, fitted: false };

function wishing(): { asked: string[]; outlook: Outlook; wishes: Wishes } {
  const asked: string[] = [];
  const runner = {
    look: ({ level, box }: Viewport) => void asked.push(`look ${level}: ${box.map((each) => each / 256).join(" ")}`),
    fit: (width: number, height: number) => void asked.push(`fit ${width}x${height}`),
  };
  return { asked, wishes: new Wishes(), outlook: { runner, geometry, camera, stage: { width: 1400, height: 800 }, dpr: 1 } };
}

describe("wishes", () => {
  test("a move within the same tiles asks for nothing", () => {
    const { asked, outlook, wishes } = wishing();
    wishes.ask(outlook);
    wishes.ask({ ...outlook, camera: { ...camera, x: 5010 } });
    expect(asked).toEqual(["look 0: 16 10 7 4"]);
    wishes.ask({ ...outlook, camera: { ...camera, x: 5300 } });
    expect(asked[1]).toBe("look 0: 17 10 7 4");
  });

  test("the ring around is asked for once, and then a move into it asks for nothing", () => {
    const { asked, outlook, wishes } = wishing();
    wishes.ask(outlook);
    wishes.ask(outlook, true);
    wishes.ask(outlook, true);
    wishes.ask({ ...outlook, camera: { ...camera, x: 5300 } });
    expect(asked).toEqual(["look 0: 16 10 7 4", "look 0: 15 9 9 6"]);
  });

  test("all of it is asked for once, and again on a stage of another size, or after tiles were asked for", () => {
    const { asked, outlook, wishes } = wishing();
    const all = { ...outlook, camera: FITTED, geometry: null };
    wishes.ask(all);
    wishes.ask({ ...all, geometry });
    expect(asked).toEqual(["fit 1816x1037"]);
    wishes.ask({ ...all, stage: { width: 700, height: 800 } });
    wishes.ask(outlook);
    wishes.ask(all);
    expect(asked.slice(1)).toEqual(["fit 908x1037", "look 0: 16 10 7 4", "fit 1816x1037"]);
  });

  test("finer tiles of a fitted picture do not have it fitted again, but for a frame of another size", () => {
    const { asked, outlook, wishes } = wishing();
    const all = { ...outlook, camera: FITTED };
    wishes.ask(all);
    wishes.look(outlook.runner, { level: 2, left: 0, top: 0, right: 10, bottom: 7 }, 1);
    wishes.ask(all);
    expect(asked.length).toBe(2);
    wishes.resized();
    wishes.ask(all);
    expect(asked[2]).toBe("fit 1816x1037");
  });

  test("a place of a frame whose size is not known yet can be asked for", () => {
    const { asked, outlook, wishes } = wishing();
    wishes.ask({ ...outlook, geometry: null });
    wishes.ask(outlook);
    expect(asked).toEqual(["look 0: 16 10 7 4"]);
  });
});

describe("a turn", () => {
  const hdu = { index: 1, shape: [2, 300, 400], top_down: null } as Hdu;
  const facts = { format: "fits", hdus: [hdu], default_hdu: 1, warnings: [], whole: true } as Facts;

  const named = { ref: "a", look: {}, picture: "a {}", version: "v1" };

  test("knows how the plane lies from the facts, and the next one of the same picture from it", () => {
    const turn = beginTurn(beginRun(1, "r", "a", 0), named, undefined);
    expect(shownOf(turn)).toBeNull();
    expect([takeFacts(turn, facts, "down"), takeFacts(turn, { ...facts }, "down")]).toEqual([true, false]);
    const next = beginTurn(beginRun(2, "s", "a", 0), named, turn);
    expect(shownOf(next)).toMatchObject({ turn: 2, run: "s", hdu: 1, version: "v1", geometry: { width: 400, height: 300, topDown: true } });
    expect(next.geometry).toBe(turn.geometry);
  });

  test("names may be encoded in several ways", () => {
    expect([sameName("a%20b", "a b"), sameName("a%2", "a%2"), sameName("a%2", "b"), sameName("%41", "A")]).toEqual([true, true, false, true]);
  });
});
