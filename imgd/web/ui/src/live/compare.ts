// Several panes: added, removed, ordered, shown side by side or one after the other.
import { carry, channelsOf, fitting, ownOf, sharedOf } from "../state/look";
import { changedLook, newPane, say, useStore, type State } from "../state/store";
import type { Layout, Pane } from "../state/types";
import { AUTO_LEVELS, asCut } from "./levels";

export const SIDE_MAX = 4;
export const BLINK_MAX = 8;

const get = useStore.getState;
const set = useStore.setState;
let given = 0;

/** Ids are never used again: who keeps something for a pane does not mistake another one for it. */
function newId(panes: readonly Pane[]): number {
  given = Math.max(given, ...panes.map((pane) => pane.id)) + 1;
  return given;
}

function activeOf(state: State): Pane | undefined {
  return state.panes.find((pane) => pane.id === state.active) ?? state.panes[0];
}

export function roomFor(layout: Layout): number {
  return layout === "blink" ? BLINK_MAX : SIDE_MAX;
}

/** Show one more frame beside the others; from a single picture that makes two side by side. */
export function addPane(ref: string): void {
  const state = get();
  const layout = state.layout === "one" ? "side" : state.layout;
  if (state.panes.length >= roomFor(layout)) return say(`Not more than ${roomFor(layout)} frames ${layout === "side" ? "side by side" : "to blink"}`);
  const active = activeOf(state);
  const look = state.linkLooks && active ? carry(sharedOf(active.look)) : {};
  set({ panes: [...state.panes, { ...newPane(newId(state.panes)), ref, look }], layout });
}

export function removePane(id: number): void {
  const { panes, active } = get();
  const at = panes.findIndex((pane) => pane.id === id);
  if (at < 0 || panes.length < 2) return;
  const left = panes.filter((pane) => pane.id !== id);
  const near = left[Math.min(at, left.length - 1)];
  set({ panes: left, ...(active === id && near && { active: near.id }), ...(left.length === 1 && { layout: "one" }) });
}

/** Move a pane forwards or backwards in the order. */
export function movePane(id: number, by: number): void {
  const panes = [...get().panes];
  const at = panes.findIndex((pane) => pane.id === id);
  const to = at + by;
  const [pane] = at < 0 || to < 0 || to >= panes.length ? [] : panes.splice(at, 1);
  if (!pane) return;
  panes.splice(to, 0, pane);
  set({ panes });
}

/** "one" closes all but the active pane; the others take the next frame of the list where there is but one. */
export function setLayout(layout: Layout): void {
  const state = get();
  const active = activeOf(state);
  if (!active) return;
  if (layout === "one") {
    if (state.panes.length > 2) say(`The ${state.panes.length - 1} other frames are closed`);
    return set({ layout, panes: [active], active: active.id });
  }
  const panes = state.panes.length > 1 ? state.panes : withNeighbour(state, active);
  if (panes.length < 2) {
    set({ panel: "compare" });
    return say("Choose a frame to compare with");
  }
  const first = panes.slice(0, roomFor(layout));
  const kept = first.includes(active) ? first : [...first.slice(0, -1), active];
  if (kept.length < panes.length) say(`${kept.length} of ${panes.length} frames fit side by side; the others are closed`);
  set({ layout, panes: kept, active: active.id });
}

function withNeighbour({ neighbours, linkLooks, panes }: State, active: Pane): readonly Pane[] {
  const near = neighbours.next ?? neighbours.previous;
  if (!near || (active.ref === null && !active.following)) return panes;
  return [active, { ...newPane(newId(panes)), ref: near.ref, look: linkLooks ? carry(sharedOf(active.look)) : {} }];
}

/** Whether panes are changed together; from then on they look as the active one does. */
export function setLinked(linkLooks: boolean): void {
  set((state) => {
    const active = activeOf(state);
    const shared = sharedOf(active?.look ?? {});
    if (!linkLooks) return { linkLooks };
    const linked = (pane: Pane): Pane => ({ ...pane, look: carry({ ...ownOf(pane.look), ...fitting(shared, channelsOf(pane)) }) });
    return { linkLooks, panes: state.panes.map((pane) => (pane === active ? pane : linked(pane))) };
  });
}

/** Show all panes with the levels that the active one is shown with, in data units; null: each finds its own. */
export function levelsForAll(how: "same" | "auto"): void {
  const state = get();
  const levels = activeOf(state)?.shown?.levels;
  if (how === "same" && !levels) return say("The levels of this frame are not known yet");
  set({
    panes: state.panes.map((pane) => {
      const changes = levels && how === "same" ? asCut(levels, pane.shown?.levels?.levels.length ?? levels.levels.length, pane.look) : AUTO_LEVELS;
      return changes ? { ...pane, look: changedLook(pane.look, changes) } : pane;
    }),
  });
}

/** The pane that is `by` after the active one, round about. */
export function nextBlink(by = 1): void {
  const { panes, active } = get();
  const at = panes.findIndex((pane) => pane.id === active);
  const next = panes[(at + by + panes.length * Math.ceil(Math.abs(by))) % panes.length];
  if (next) set({ active: next.id });
}

export function toggleBlink(): void {
  set(({ blink }) => ({ blink: { ...blink, playing: !blink.playing } }));
}

export function setFps(fps: number): void {
  set(({ blink }) => ({ blink: { ...blink, fps: Math.min(10, Math.max(0.5, fps)) } }));
}
