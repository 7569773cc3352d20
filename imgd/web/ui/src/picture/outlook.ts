// Where a pane looks: by which camera its picture is seen, and which tiles that needs.
import { activePane, moveCamera, useStore } from "../state/store";
import { resolved } from "./geometry";
import { gridFor, isBeside } from "./levels";
import { pointAnew } from "./pointer";
import { fitted } from "./steering";
import { sameSize } from "./turn";
import type { Grid } from "./levels";
import type { Camera, Geometry } from "../state/types";

/** The camera by which a picture will be seen: after one of another size (`before`) it is fitted, unless a link says where. */
export function cameraFor(before: Geometry | null, geometry: Geometry | null, aimed: Camera | null = null): Camera {
  const { camera, placed } = useStore.getState();
  return before && geometry && !placed && !sameSize(before, geometry) ? fitted(camera) : (aimed ?? camera);
}

/** The tiles that are seen; null: none are. */
export function gridOf(before: Geometry | null, geometry: Geometry | null): Grid | null {
  const { stage } = useStore.getState();
  if (!geometry || !stage.width) return null;
  return gridFor(resolved(cameraFor(before, geometry), geometry, stage), stage, devicePixelRatio, geometry);
}

export function isActive(pane: number): boolean {
  return activePane(useStore.getState()).id === pane;
}

/** A link may lead beside the plane, which may have been another one when it was written: then all of it is shown. */
export function bringBack(pane: number, geometry: Geometry | null, isFirst: boolean): void {
  const { camera, stage, placed } = useStore.getState();
  if (!geometry || !isActive(pane) || !(isFirst || placed)) return;
  if (isBeside(camera, stage, geometry)) moveCamera(fitted(camera));
}

/** Another plane is on screen: it is fitted, and another place of it is under the pointer. */
export function resized(pane: number): void {
  const { camera, placed } = useStore.getState();
  if (!isActive(pane)) return;
  if (!camera.fitted && !placed) moveCamera(fitted(camera));
  pointAnew();
}
