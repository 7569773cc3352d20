// The clock of blinking: shows one pane after the other, but only those whose picture is there.
import { useStore, type State } from "../state/store";
import type { Pane } from "../state/types";

const AGAIN_MS = 100; // Nothing else is ready: look again.

/** Its picture is there, as wanted and as sharp as it gets. */
export function isReady(pane: Pane): boolean {
  return pane.shown !== null && (pane.following !== null || pane.shown.ref === pane.ref) && pane.run?.state !== "running";
}

/** The next pane to be seen; null while no other one is ready. */
export function nextReady(panes: readonly Pane[], active: number): number | null {
  const at = panes.findIndex((pane) => pane.id === active);
  const after = [...panes.slice(at + 1), ...panes.slice(0, Math.max(0, at))];
  return after.find(isReady)?.id ?? null;
}

/** Blink whenever the store says so. */
export function startBlink(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const go = ({ layout, blink }: State, wait: number): void => {
    clearTimeout(timer);
    timer = layout === "blink" && blink.playing ? setTimeout(turn, wait) : undefined;
  };
  const turn = () => {
    const state = useStore.getState();
    const next = nextReady(state.panes, state.active);
    if (next === null) go(state, AGAIN_MS);
    else useStore.setState({ active: next }); // Which is heard of below.
  };
  const again = () => go(useStore.getState(), 1000 / useStore.getState().blink.fps);
  const stops = [
    useStore.subscribe((state) => state.layout, again),
    useStore.subscribe((state) => state.blink, again),
    useStore.subscribe((state) => state.active, again), // Each is seen for its whole time, also after a step by hand.
  ];
  again();
  return () => {
    clearTimeout(timer);
    stops.forEach((stop) => stop());
  };
}
