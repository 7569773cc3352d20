// Places that the panel points at on the picture.
import { moveCamera, useStore, type State } from "../state/store";
import { fromFits, resolved, toFits, type Point } from "../picture/geometry";
import type { Shown } from "../state/types";
import { placedAt } from "./handles";

export function setMarks(change: Partial<State["marks"]>): void {
  useStore.setState(({ marks }) => ({ marks: { ...marks, ...change } }));
}

/** Bring a FITS pixel to the centre of the stage; `scale`: at least so many CSS pixels for one of the picture. */
export function centreOn(shown: Shown, at: Point, scale = 0): void {
  const { camera, stage } = useStore.getState();
  const now = resolved(camera, shown.geometry, stage);
  moveCamera({ ...fromFits(shown.geometry, at), scale: Math.max(now.scale, scale), fitted: false });
}

/** Draw a shape in the middle of what is seen, and have the keys move it. */
export function placeShape(shown: Shown): void {
  const { camera, stage, tool } = useStore.getState();
  const { x, y, scale } = resolved(camera, shown.geometry, stage);
  const at = toFits(shown.geometry, { x, y });
  const shape = placedAt(tool, { x: Math.round(at.x), y: Math.round(at.y) }, Math.min(stage.width, stage.height) / scale / 8);
  if (!shape) return;
  useStore.setState({ shape });
  requestAnimationFrame(() => document.querySelector<SVGGElement>(".overlay .shape")?.focus());
}
