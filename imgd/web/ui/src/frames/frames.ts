// The one list of frames, for all parts of the page.
import { useSyncExternalStore } from "react";
import { getJson } from "../protocol/http";
import { activePane, type State } from "../state/store";
import { Catalogue } from "./catalogue";
import type { Answer, Known } from "./known";

export const frames = new Catalogue((url, signal) => getJson<Answer>(url, signal));

export function useFrames(): Known {
  return useSyncExternalStore(frames.subscribe, frames.known);
}

/** The frame that the active pane is about: of a followed folder the one that has come, else the one asked for. */
export function currentRef(state: State): string | null {
  const pane = activePane(state);
  return pane.following ? (pane.shown?.ref ?? pane.ref) : pane.ref;
}
