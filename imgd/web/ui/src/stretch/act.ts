// What the panel's controls do to the look of the active pane; what follows the hand does it once a frame at most.
import { address, getJson } from "../protocol/http";
import { activePane, changeLook, say, useStore } from "../state/store";
import type { Level, Levels, Look, Pane } from "../state/types";
import { oncePerFrame } from "./frame_throttle";
import { afterMove, changesOf, curveOf, levelsOf, moveHandle, valueAt, type Channel, type Handle } from "./levels";

/** The levels that a pane asks for, or that its last run found. */
export function levelsOfPane(pane: Pane): Level[] {
  return levelsOf(pane.look, pane.shown?.levels ?? null);
}

function askFor(levels: (pane: Pane) => Level[]): void {
  const pane = activePane(useStore.getState());
  changeLook(changesOf(levels(pane), pane.look));
}

/** Put a handle to a value at once. */
export function putHandle(channel: Channel, handle: Handle, value: number): void {
  askFor((pane) => afterMove(levelsOfPane(pane), channel, handle, value, pane.look));
}

/** The same while it is being dragged. */
export const dragHandle = oncePerFrame(([channel, handle, value]: readonly [Channel, Handle, number]) =>
  putHandle(channel, handle, value),
);

/** A change of the look that follows the hand. */
export const dragLook = oncePerFrame((changes: Record<string, string | null>) => changeLook(changes));

const SLOW_MS = 300;
let resetting: AbortController | null = null;

/** Bring one handle back to where the daemon would put it by itself; given up for the next one, or another frame. */
export async function resetHandle(channel: Channel, handle: Handle): Promise<void> {
  resetting?.abort();
  const pane = activePane(useStore.getState());
  const ref = refSeen(pane);
  if (!ref) return;
  const leaving = (resetting = new AbortController());
  const stop = useStore.subscribe((state) => refSeen(activePane(state)) === ref, (same) => same || leaving.abort());
  const slow = setTimeout(() => say("Finding the levels…"), SLOW_MS);
  try {
    const found = await autoLevels(ref, pane.look, leaving.signal);
    if (!leaving.signal.aborted) askFor((asked) => restored(levelsOfPane(asked), found.levels, channel, handle, asked.look));
  } catch (error) {
    if (!leaving.signal.aborted) say(error instanceof Error ? error.message : String(error), "wrong");
  } finally {
    clearTimeout(slow);
    stop();
  }
}

/** The frame whose levels are on screen; of a folder that is followed, another one may have been asked for since. */
function refSeen(pane: Pane): string | null {
  return pane.shown?.ref ?? pane.ref;
}

function restored(levels: Level[], found: readonly Level[], channel: Channel, handle: Handle, look: Look): Level[] {
  const curve = curveOf(look);
  return levels.map((level, at) => {
    const auto = found[at] ?? found[0];
    if (!auto || (channel !== "all" && channel !== at)) return level;
    return handle === "mid" ? { ...level, mid: auto.mid } : moveHandle(level, handle, valueAt(auto, handle, curve), curve);
  });
}

/** The levels that the daemon finds by itself for a frame. */
async function autoLevels(ref: string, look: Look, signal: AbortSignal): Promise<Levels> {
  const { cut: _cut, levels: _levels, mid: _mid, ...rest } = look;
  const answer = await getJson<{ result: { levels: Levels } }>(address("runs", { frame: ref, ...rest, results: "levels" }), signal);
  return answer.result.levels;
}
