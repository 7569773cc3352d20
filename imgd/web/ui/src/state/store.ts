// The one store. Parts of the page read it by selectors and change it by these actions; what is imperative (sockets,
// canvases) subscribes to it.
import { create } from "zustand";
import { subscribeWithSelector } from "zustand/middleware";
import { carry, changesForOthers, channelsOf, fitting, sharedOf, withoutLevels } from "./look";
import type { Camera, Connection, FrameRow, Layout, Look, Notice, Overlays, Pane, Panel, Shape, Tool } from "./types";

export interface State {
  connection: Connection;
  panes: readonly Pane[];
  active: number; // id of the pane that keys and panels are about
  layout: Layout;
  blink: { playing: boolean; fps: number };
  camera: Camera; // of all panes: they are linked
  placed: boolean; // the camera is a link's, for a frame that is not on screen yet: a plane of another size does not fit it anew
  stage: { width: number; height: number }; // CSS pixels of one pane
  tool: Tool;
  shape: Shape | null;
  channel: number; // of a picture made of three planes: which one is measured and saved, 0 is red
  overlays: Overlays;
  panel: Panel | null; // which panel is open
  listOpen: boolean;
  stripOpen: boolean;
  helpOpen: boolean;
  takeAwayOpen: boolean; // the menu of what can be saved and copied
  night: boolean; // red on black
  keepLook: boolean; // the next frame is shown with the look of this one
  linkLooks: boolean; // panes side by side have one look
  /** Under the pointer, in FITS pixels of the pane it is over, not rounded; null: outside the plane. */
  cursor: { x: number; y: number; /** The pane it is over; absent: the active one. */ pane?: number } | null;
  /** Places that measuring points at on the active pane, in FITS pixels: a position that was searched, a plot's cursor. */
  marks: { found: { x: number; y: number; words: string } | null; probe: { x: number; y: number } | null };
  /** The frames that the list shows, as far as they are loaded, in its order: for next and previous. */
  neighbours: { previous: FrameRow | null; next: FrameRow | null };
  notices: readonly Notice[];
}

export const FITTED: Camera = { x: 0, y: 0, scale: 1, turn: 0, flip: false, fitted: true };

export function newPane(id: number): Pane {
  return { id, ref: null, look: {}, following: null, shown: null, coarse: false, run: null, trouble: null, runner: null };
}

export const useStore = create<State>()(
  subscribeWithSelector(
    (): State => ({
      connection: { state: "connecting" },
      panes: [newPane(1)],
      active: 1,
      layout: "one",
      blink: { playing: true, fps: 2 },
      camera: FITTED,
      placed: false,
      stage: { width: 0, height: 0 },
      tool: "pan",
      shape: null,
      channel: 0,
      overlays: { stars: false, grid: false, compass: false, scalebar: true, minimap: true, magnifier: false },
      panel: null,
      listOpen: false,
      stripOpen: false,
      helpOpen: false,
      takeAwayOpen: false,
      night: false,
      keepLook: false,
      linkLooks: true,
      cursor: null,
      marks: { found: null, probe: null },
      neighbours: { previous: null, next: null },
      notices: [],
    }),
  ),
);

const set = useStore.setState;
const get = useStore.getState;

export function paneOf(state: State, id: number): Pane | undefined {
  return state.panes.find((pane) => pane.id === id);
}

/** The pane that keys and panels are about. */
export function activePane(state: State): Pane {
  return paneOf(state, state.active) ?? state.panes[0]!;
}

export function changePane(id: number, change: Partial<Pane> | ((pane: Pane) => Partial<Pane>)): void {
  set((state) => ({
    panes: state.panes.map((pane) =>
      pane.id === id ? { ...pane, ...(typeof change === "function" ? change(pane) : change) } : pane,
    ),
  }));
}

// ---- what people do: each is one action; sockets and canvases hear of it by subscribing

/** Show a frame in the active pane; the old picture stays until the new one is there. */
export function openFrame(ref: string, look?: Look): void {
  const { active, keepLook } = get();
  changePane(active, (pane) => ({
    ref,
    following: null,
    trouble: null,
    look: look ?? (keepLook ? carry(sharedOf(pane.look)) : startLook(ref, pane.look)),
  }));
  set({ placed: false });
}

/** Follow a directory in the active pane: its newest frame is shown. */
export function follow(dir: string): void {
  changePane(get().active, { following: { dir, paused: false, pending: null, skipped: 0 }, trouble: null });
  set({ placed: false });
}

/** Change some of the look of the active pane (of all, where looks are linked, what fits them); null takes a parameter away. */
export function changeLook(changes: Record<string, string | null>): void {
  const { active, linkLooks } = get();
  const shared = changesForOthers(changes);
  const isShared = linkLooks && Object.keys(shared).length > 0;
  set((state) => ({
    panes: state.panes.map((pane) => {
      if (pane.id === active) return { ...pane, look: changedLook(pane.look, changes) };
      if (!isShared || state.layout === "one") return pane;
      return { ...pane, look: carry(changedLook(pane.look, fitting(shared, channelsOf(pane)))) };
    }),
  }));
}

export function changedLook(look: Look, changes: Record<string, string | null>): Look {
  const changed: Record<string, string> = { ...look };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete changed[name];
    else changed[name] = value;
  }
  return changed;
}

let lookFor: (ref: string) => Look | null = () => null;

/** Have looks that were kept per instrument found. */
export function tellKeptLooks(find: (ref: string) => Look | null): void {
  lookFor = find;
}

function startLook(ref: string, before: Look): Look {
  return carry({ ...(lookFor(ref) ?? withoutLevels(before)) });
}

export function moveCamera(change: Partial<Camera>): void {
  set((state) => ({ camera: { ...state.camera, ...change } }));
}

let notices = 0;

/** Say something to the person. */
export function say(text: string, kind: Notice["kind"] = "info"): void {
  const notice = { id: ++notices, kind, text };
  set((state) => ({ notices: [...state.notices.slice(-2), notice] }));
  setTimeout(() => dismiss(notice.id), kind === "wrong" ? 10000 : 4000);
}

export function dismiss(id: number): void {
  set((state) => ({ notices: state.notices.filter((notice) => notice.id !== id) }));
}
