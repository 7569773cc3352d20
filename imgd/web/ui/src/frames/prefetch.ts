// The neighbours' first steps are made while nothing else is to be done, so that they open hot.
import { address } from "../protocol/http";
import { activePane, useStore, type State } from "../state/store";
import { lastDirection } from "./neighbours";

const IDLE_MS = 300;

let going: AbortController | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
const made = new Set<string>(); // What has been asked for already, newest last.
const MADE_MAX = 200;

/** Begin to look ahead; gives back what stops it. */
export function startPrefetch(): () => void {
  const stop = useStore.subscribe(momentOf, again, { equalityFn: (one, other) => one.every((each, at) => each === other[at]) });
  document.addEventListener("visibilitychange", again);
  again();
  return () => {
    stop();
    document.removeEventListener("visibilitychange", again);
    halt();
  };
}

/** All that ends it when it changes: the picture, the hand on the camera and the stretch, the neighbours. */
function momentOf(state: State): readonly unknown[] {
  const pane = activePane(state);
  return [pane.ref, pane.look, pane.run?.turn, pane.run?.state, pane.following, state.camera, state.connection.state, state.neighbours];
}

function halt(): void {
  clearTimeout(timer);
  going?.abort();
  going = null;
}

function again(): void {
  halt();
  const state = useStore.getState();
  const pane = activePane(state);
  const plays = pane.following !== null && !pane.following.paused;
  if (document.hidden || plays || pane.run?.state !== "completed" || !connected(state)) return;
  timer = setTimeout(() => void make(), IDLE_MS);
}

function connected(state: State): boolean {
  return state.connection.state === "live" || state.connection.state === "http";
}

async function make(): Promise<void> {
  const abort = (going = new AbortController());
  const { neighbours, stage } = useStore.getState();
  const both = [neighbours.next, neighbours.previous];
  if (lastDirection() < 0) both.reverse();
  const ratio = window.devicePixelRatio || 1;
  const size = stage.width && stage.height ? `${Math.round(stage.width * ratio)},${Math.round(stage.height * ratio)}` : "auto";
  for (const row of both) {
    const key = row && `${row.ref} ${row.modified} ${size}`;
    if (!row || !key || row.why || made.has(key)) continue;
    try {
      const answer = await fetch(address("runs", { frame: row.ref, results: "levels", size }), { signal: abort.signal, priority: "low" });
      await answer.arrayBuffer();
    } catch {
      return; // It was only for the haste; the frame itself will say what is wrong.
    }
    if (abort.signal.aborted) return;
    made.add(key);
    for (const oldest of made) {
      if (made.size <= MADE_MAX) break;
      made.delete(oldest);
    }
  }
}
