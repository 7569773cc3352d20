// What part of the picture a runner is asked for: asked again only where it has not been asked for yet.
import { resolved } from "./geometry";
import { fitSize, gridFor, ringed, viewportOf } from "./levels";
import type { Grid, Size } from "./levels";
import type { Runner } from "../protocol/link";
import type { Camera, Geometry } from "../state/types";

/** A plane whose size is not known yet. */
const ENDLESS: Geometry = { width: Infinity, height: Infinity, topDown: false };

export interface Outlook {
  runner: Pick<Runner, "look" | "fit">;
  geometry: Geometry | null;
  camera: Camera;
  stage: Size;
  dpr: number;
}

export class Wishes {
  #grid: Grid | null = null; // The tiles that were asked for last.
  #fitted = ""; // Or the size that all of the plane was to be fitted into; both, if finer tiles were asked for after it.

  /** Ask for what the stage shows; `ring`: and one tile around it. */
  ask(outlook: Outlook, ring = false): void {
    const { geometry, camera, stage, dpr } = outlook;
    if (camera.fitted) return this.#fit(outlook);
    const plane = geometry ?? ENDLESS;
    const grid = gridFor(resolved(camera, plane, stage), stage, dpr, plane);
    if (!grid || (!ring && this.covers(grid))) return;
    this.#fitted = "";
    this.look(outlook.runner, ring && geometry ? ringed(grid, plane) : grid, dpr);
  }

  look(runner: Outlook["runner"], grid: Grid, dpr: number): void {
    if (this.covers(grid)) return;
    this.#grid = grid;
    runner.look(viewportOf(grid, dpr));
  }

  /** Whether these tiles are among those asked for. */
  covers({ level, left, top, right, bottom }: Grid): boolean {
    const asked = this.#grid;
    return asked !== null && asked.level === level && asked.left <= left && asked.top <= top && asked.right >= right && asked.bottom >= bottom;
  }

  /** The next frame is of another size: what was asked for by tiles is not what is wanted of it. */
  resized(): void {
    if (this.#grid) this.#fitted = "";
  }

  forget(): void {
    this.#grid = null;
    this.#fitted = "";
  }

  #fit({ runner, camera, stage, dpr }: Outlook): void {
    const { width, height } = fitSize(stage, camera, dpr);
    const name = `${width} ${height} ${dpr}`;
    if (name === this.#fitted) return;
    this.#fitted = name;
    this.#grid = null;
    runner.fit(width, height, dpr);
  }
}
