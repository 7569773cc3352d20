// The known picture of blocks: which grey is where on the stage, however it is seen.
import { expect } from "vitest";
import { comesTo, isSeen, seenAt, type Camera, type Point, type Rgb, type Stage } from "./hands";
import type { Truth, Watched } from "./rig";

export const BLOCKS = "known/blocks.fits";
export const WHITE = 50_000;
export const LOOK = `cut=0,${WHITE}&stretch=linear`;

export interface Block {
  place: Point; // its centre, on the stage
  value: number;
}

/** The size of the plane of blocks: width, height. */
export function sizeOf({ side_px, rows, columns }: Truth["blocks"]): Point {
  return [columns * side_px, rows * side_px];
}

/** The centres of all blocks that are seen; the first row stored is the lowest one. */
export function blocksSeen(truth: Truth, camera: Camera, stage: Stage): Block[] {
  const { side_px, rows, columns, step } = truth.blocks;
  const all = Array.from({ length: rows * columns }, (_, number): Block => {
    const [column, row] = [number % columns, Math.floor(number / columns)];
    return { place: seenAt(camera, stage, [(column + 0.5) * side_px, (rows - 1 - row + 0.5) * side_px]), value: number * step };
  });
  return all.filter(({ place }) => isSeen(stage, place));
}

export const grey = (value: number): Rgb => {
  const level = Math.round((255 * Math.min(value, WHITE)) / WHITE);
  return [level, level, level];
};

/** What is seen by this camera is right, at the centres of all blocks; at least so many are seen. */
export async function isRight(watched: Watched, truth: Truth, camera: Camera, stage: Stage, atLeast: number, of: (value: number) => Rgb = grey): Promise<void> {
  const blocks = blocksSeen(truth, camera, stage);
  expect(blocks.length, "blocks that are seen").toBeGreaterThanOrEqual(atLeast);
  await comesTo(watched, blocks.map(({ place }) => place), blocks.map(({ value }) => of(value)));
}
