import { describe, expect, test } from "vitest";
import { linkOf, OVERLAYS, stateOf, type Linked } from "../../src/state/deeplink";
import { FITTED, newPane } from "../../src/state/store";
import type { Pane } from "../../src/state/types";

const plain: Linked = {
  panes: [newPane(1)], active: 1, layout: "one", camera: FITTED, tool: "pan", shape: null, overlays: OVERLAYS, panel: null,
  listOpen: false, stripOpen: false, linkLooks: true,
};

const again = (state: Linked): Linked => stateOf(linkOf(state));

describe("a link", () => {
  test("says nothing of what is as always", () => {
    expect(linkOf(plain)).toBe("");
    expect(stateOf("")).toEqual(plain);
  });

  test("holds frame, look, camera, overlays, shape and panel", () => {
    const state: Linked = {
      ...plain,
      panes: [{ ...newPane(1), ref: "night/m%2031%23a.fits", look: { cut: "-5,1e4", map: "viridis", bad: "#f00" } }],
      camera: { x: 1234.5, y: 0.25, scale: 2, turn: 270, flip: true, fitted: false },
      overlays: { ...OVERLAYS, stars: true, minimap: false },
      shape: { kind: "rect", x: 1, y: 2.25, width: 3, height: 4 },
      tool: "rect", panel: "measure", listOpen: true, stripOpen: true,
    };
    expect(again(state)).toEqual(state);
    expect(linkOf(state)).toContain("#frame=night/m%2031%23a.fits&cut=-5,10000".replace("10000", "1e4"));
  });

  test("holds several panes, each with its look, and which of them is active", () => {
    const panes: Pane[] = [
      { ...newPane(1), ref: "a/1.fits", look: { stretch: "log" } },
      { ...newPane(2), ref: "a/2%26.fits", look: { levels: "0.1,0.9" } },
    ];
    const state: Linked = { ...plain, panes, active: 2, layout: "side", linkLooks: false };
    expect(again(state)).toEqual(state);
  });

  test("holds the folder that is followed instead of a frame, and whether it is paused", () => {
    const following = { dir: "night/live", paused: true, pending: null, skipped: 0 };
    const state: Linked = { ...plain, panes: [{ ...newPane(1), following }] };
    expect(again(state)).toEqual(state);
    expect(linkOf({ ...state, panes: [{ ...newPane(1), ref: "night/live/x.fits", following: { ...following, pending: "y", skipped: 7 } }] })).toBe("#follow=night/live&paused=1&frame=night/live/x.fits");
    const paused: Linked = { ...plain, panes: [{ ...newPane(1), ref: "night/live/x.fits", following }] };
    expect(again(paused)).toEqual(paused);
    expect(linkOf({ ...plain, panes: [{ ...newPane(1), ref: "night/live/x.fits", following: { ...following, paused: false } }] })).toBe("#follow=night/live");
  });

  test.each(["#at=1,2", "#at=1,2,0", "#at=a,b,c", "#at=1e300,1,1", "#at=1,1,1e-30", "#turned=45", "#shape=circle,1,2", "#shape=square,1,2,3", "#layout=side", "#panel=secrets", "#active=7", "#%", "#frame"])(
    "that is wrong in something leaves that out: %s",
    (hash) => {
      const state = stateOf(hash);
      expect({ ...state, panes: state.panes.map((pane) => ({ ...pane, ref: null, look: {} })) }).toEqual(plain);
    },
  );

  test("that somebody typed by hand names the frame all the same", () => {
    expect(stateOf("#frame=night/a b#1%.fits").panes[0]!.ref).toBe("night/a%20b%231%25.fits");
  });
});
