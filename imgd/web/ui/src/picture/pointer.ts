// The pointer over the active pane: the store's cursor follows it, once a frame.
import { activePane, useStore } from "../state/store";
import { fromStage, resolved, toFits } from "./geometry";
import type { Geometry } from "../state/types";

type Place = { x: number; y: number } | null;

/** Where the pointer is, or the last tap was, on which pane. */
let pointer: { x: number; y: number; pane: number } | null = null;
let frame = 0;

/** FITS pixels under a place of the stage; null outside the plane. */
export function underStage(at: { x: number; y: number }, geometry: Geometry): Place {
  const { camera, stage } = useStore.getState();
  const place = fromStage(resolved(camera, geometry, stage), stage, at);
  const inside = place.x >= 0 && place.y >= 0 && place.x < geometry.width && place.y < geometry.height;
  return inside ? toFits(geometry, place) : null;
}

export function pointAt(pane: number, x: number, y: number): void {
  pointer = { x, y, pane };
  look();
}

/** Look again what is under the pointer, in the next frame: it has moved, or the picture beneath it has. */
export function look(): void {
  if (pointer) frame ||= requestAnimationFrame(put);
}

function put(): void {
  frame = 0;
  const state = useStore.getState();
  const shown = (state.panes.find((pane) => pane.id === pointer?.pane) ?? activePane(state)).shown;
  const place = pointer && shown ? underStage(pointer, shown.geometry) : null;
  const cursor = pointer && place && { ...place, pane: pointer.pane };
  const { cursor: before } = state;
  if (cursor?.x !== before?.x || cursor?.y !== before?.y || cursor?.pane !== before?.pane) useStore.setState({ cursor });
}

export function pointNowhere(): void {
  cancelAnimationFrame(frame);
  frame = 0;
  pointer = null;
  if (useStore.getState().cursor) useStore.setState({ cursor: null });
}

/** On touch screens the cursor is a place of the picture, and stays there while the picture moves. */
export function letGo(): void {
  pointer = null;
}

/** Another plane: what was under the pointer is not there; what is will be looked at. */
export function pointAnew(): void {
  if (pointer) look();
  else if (useStore.getState().cursor) useStore.setState({ cursor: null });
}
