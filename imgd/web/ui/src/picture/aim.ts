// Where the camera is going while springs move it: tiles are asked for there, not on the way.
import type { Camera } from "../state/types";

let aimed: Camera | null = null;

export function setAim(camera: Camera | null): void {
  aimed = camera;
}

/** The end of the movement that is under way; null if there is none. */
export function aim(): Camera | null {
  return aimed;
}
