// Pauses that begin or end otherwise than by a button: a link to a paused folder, and a frame opened while one is paused.
import { changePane, useStore } from "../state/store";
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
