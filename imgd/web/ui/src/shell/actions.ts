// What keys, buttons and menus of the page's frame do; each is one small step, the same from wherever it is asked.
import { nextBlink, setLayout, toggleBlink } from "../live/compare";
import { drive } from "../live/follow";
import { activePane, changeLook, say, useStore } from "../state/store";
import type { Layout, Overlays, Panel, Tool } from "../state/types";
import { STRETCHES, stretchName } from "../stretch/curve";
import { askLevels, resetOf } from "../stretch/levels";
import { focusPanel, panelOpens } from "./focus";
import { toggleFullScreen } from "./full_screen";

const get = useStore.getState;
const set = useStore.setState;

export function togglePanel(panel: Panel): void {
  if (get().panel === panel) return set({ panel: null });
  panelOpens();
  set({ panel });
  focusPanel();
}

export function toggleOverlay(name: keyof Overlays): void {
  set((state) => ({ overlays: { ...state.overlays, [name]: !state.overlays[name] } }));
}

export function toggleList(): void {
  set((state) => ({ listOpen: !state.listOpen }));
}

export function toggleStrip(): void {
  set((state) => ({ stripOpen: !state.stripOpen }));
}

export function toggleHelp(): void {
  set((state) => ({ helpOpen: !state.helpOpen }));
}

export function toggleNight(): void {
  set((state) => ({ night: !state.night }));
}

export function chooseTool(tool: Tool): void {
  set((state) => ({ tool: state.tool === tool ? "pan" : tool }));
}

/** Open the list, and put the cursor into its search box once it is there. */
export function search(): void {
  set({ listOpen: true });
  requestAnimationFrame(() => document.querySelector<HTMLInputElement>(".list input")?.focus());
}

/** The stretch that comes after this one; after an unknown one, the first. */
export function nextStretch(now: string | undefined): string {
  const at = STRETCHES.findIndex((name) => name === (now ?? "mtf"));
  return STRETCHES[(at + 1) % STRETCHES.length] ?? "mtf";
}

export function cycleStretch(): void {
  const stretch = nextStretch(activePane(get()).look.stretch);
  changeLook({ stretch });
  say(`Stretch: ${stretchName(stretch)}`);
}

/** Have black and white found by one of the daemon's ways; what was set by hand goes. */
export function findLevels(way: "auto" | "zscale"): void {
  changeLook(askLevels(way));
}

export function toggleInvert(): void {
  changeLook({ invert: activePane(get()).look.invert === "1" ? null : "1" });
}

export function resetLook(): void {
  changeLook(resetOf(activePane(get()).look));
}

/** Play what is followed, or the blinking; or pause it. */
export function playOrPause(): void {
  const { following } = activePane(get());
  if (get().layout === "blink") toggleBlink();
  else if (following) drive(following.paused ? "play" : "pause");
  else say("Nothing plays: follow a folder (f), or blink frames (b)");
}

export function stepOn(): void {
  if (get().layout === "blink") nextBlink();
  else if (activePane(get()).following) drive("step");
  else say("Nothing to step: follow a folder (f), or blink frames (b)");
}

let beforeBlink: Layout = "side";

/** Blink the panes (with one pane alone, it and its neighbour); or have the layout that was there before. */
export function blinkOrNot(): void {
  const { layout } = get();
  if (layout === "blink") return setLayout(beforeBlink);
  beforeBlink = layout;
  setLayout("blink");
}

/** Close what was opened last, one thing at a time; false if there was nothing. */
export function closeOne(): boolean {
  const { helpOpen, shape, tool, panel, listOpen, stripOpen } = get();
  if (helpOpen) set({ helpOpen: false });
  else if (shape) set({ shape: null });
  else if (tool !== "pan") set({ tool: "pan" });
  else if (panel) set({ panel: null });
  else if (listOpen) set({ listOpen: false });
  else if (stripOpen) set({ stripOpen: false });
  else return false;
  return true;
}

export function fullScreen(): void {
  void toggleFullScreen().then((words) => words && say(words, "wrong"));
}
