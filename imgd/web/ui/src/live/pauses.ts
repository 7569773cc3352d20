// Pauses that begin or end otherwise than by a button: a link to a paused folder, and a frame opened while one is paused.
import { folderOf } from "../frames/names";
import { changePane, useStore } from "../state/store";
import type { FrameEvent } from "../protocol/link";
import type { Pane } from "../state/types";

export interface Drive {
  pause(pane: number): void;
  play(pane: number): void;
}

/** Pause panes that begin as paused, once they have something to show; what is opened after a pause is shown at once. */
export function startPauses({ pause, play }: Drive): () => void {
  const waiting = new Set<number>();
  const paused = new Set<number>();
  const look = (panes: readonly Pane[]): void => {
    for (const { id, following, run } of panes) {
      if (following?.paused && run === null) waiting.add(id);
      if (waiting.has(id) && run !== null) {
        waiting.delete(id);
        if (following) begin(id);
      }
      if (following?.paused) paused.add(id);
      else if (paused.delete(id) && !following) play(id);
    }
  };
  const begin = (id: number): void => {
    changePane(id, ({ following }) => ({ following: following && { ...following, paused: true } }));
    pause(id);
  };
  const stop = useStore.subscribe((state) => state.panes, look);
  look(useStore.getState().panes);
  return stop;
}

/** A pause of a link shows the frame that the link names, and nobody follows the folder yet: what comes is told here. */
export function tellPauses({ type, frame: { ref } }: FrameEvent, follows: (pane: number) => boolean): void {
  if (type !== "frame.arrived") return;
  for (const { id, following, ref: seen } of useStore.getState().panes) {
    if (!following?.paused || follows(id) || folderOf(ref) !== following.dir || ref === seen || ref === following.pending) continue;
    changePane(id, { following: { ...following, pending: ref, skipped: following.skipped + (following.pending === null ? 0 : 1) } });
  }
}
