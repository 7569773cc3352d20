// What has come to which folder while the page was open: the trend and the follow panel wait for it.
import type { FrameEvent } from "../protocol/link";
import { folderOf } from "../frames/names";

const waiting = new Map<string, Set<() => void>>();
const heardAt = new Map<string, number>();

/** Be told when frames of a folder come, are rewritten or go. */
export function onFolder(dir: string, told: () => void): () => void {
  const all = waiting.get(dir) ?? new Set();
  waiting.set(dir, all.add(told));
  return () => {
    all.delete(told);
    if (!all.size && waiting.get(dir) === all) waiting.delete(dir);
  };
}

/** When the newest frame of a folder came, by this page's clock; null: none since the page was opened. */
export function lastArrival(dir: string): number | null {
  return heardAt.get(dir) ?? null;
}

export function tellFolder(event: FrameEvent): void {
  const dir = folderOf(event.frame.ref);
  if (event.type !== "frame.gone") {
    heardAt.delete(dir); // The oldest is first, so that few are kept.
    heardAt.set(dir, Date.now());
    for (const old of heardAt.keys()) if (heardAt.size > 100) heardAt.delete(old);
  }
  waiting.get(dir)?.forEach((told) => told());
}

/** Some events were missed: everybody looks for himself. */
export function tellAllFolders(): void {
  for (const all of waiting.values()) all.forEach((told) => told());
}
