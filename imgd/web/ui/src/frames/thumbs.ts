// Small pictures: few requests at a time, given up when nobody looks any more, the last ones kept.
import { Refusal, address, refusalOf } from "../protocol/http";
import { activePane, useStore } from "../state/store";
import type { FrameRow } from "../state/types";
import { Gate } from "./gate";

export const THUMB_SIDE_PX = 160;
const FLIGHTS_MAX = 6;
const KEPT_MAX = 300;
const BUSY_MS = 15_000; // So often a daemon that has no time is asked again, at most.

/** While the large picture is being made, it comes first. */
const gate = new Gate(() => (activePane(useStore.getState()).run?.state === "running" ? 1 : FLIGHTS_MAX));
useStore.subscribe(
  (state) => activePane(state).run?.state,
  () => gate.open(),
);

const kept = new Map<string, string>(); // Addresses of blobs; the one not seen for longest first.
const shown = new Map<string, number>(); // How often each is on the page now.

export interface Thumb {
  url: string | null;
  /** Why there is none, in words. */
  wrong: string | null;
}

export function thumbKey({ ref, modified }: FrameRow): string {
  return `${ref} ${modified ?? ""}`;
}

/** Find the small picture of a frame; gives back what ends it. `tell` is called at once when it is kept. */
export function findThumb(row: FrameRow, tell: (thumb: Thumb) => void): () => void {
  const key = thumbKey(row);
  const abort = new AbortController();
  let leave = (): void => {};
  let again: ReturnType<typeof setTimeout> | undefined;
  const show = (url: string): void => {
    shown.set(key, (shown.get(key) ?? 0) + 1);
    abort.signal.addEventListener("abort", () => hide(key));
    tell({ url, wrong: null });
  };
  const begin = (): void => {
    fetchThumb(row, abort.signal)
      .then((url) => keep(key, url))
      .then((url) => abort.signal.aborted || show(url))
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        const wait = error instanceof Refusal ? error.retryAfterS * 1000 : 0;
        if (wait) again = setTimeout(() => (leave = gate.enter(begin)), Math.min(wait, BUSY_MS));
        else tell({ url: null, wrong: error instanceof Refusal ? error.message : "The daemon does not answer" });
      })
      .finally(() => leave());
  };
  const url = kept.get(key);
  if (url !== undefined) show(url);
  else if (row.why) tell({ url: null, wrong: row.why });
  else leave = gate.enter(begin);
  return () => {
    abort.abort();
    clearTimeout(again);
    leave();
  };
}

async function fetchThumb({ ref }: FrameRow, signal: AbortSignal): Promise<string> {
  const answer = await fetch(address("thumbnail", { frame: ref, side: THUMB_SIDE_PX }), { signal, priority: "low" });
  if (!answer.ok) throw await refusalOf(answer);
  return URL.createObjectURL(await answer.blob());
}

function keep(key: string, url: string): string {
  const other = kept.get(key);
  if (other !== undefined) URL.revokeObjectURL(url);
  kept.delete(key);
  kept.set(key, other ?? url);
  for (const [oldest, each] of kept) {
    if (kept.size <= KEPT_MAX) break;
    if (shown.has(oldest) || oldest === key) continue;
    kept.delete(oldest);
    URL.revokeObjectURL(each);
  }
  return other ?? url;
}

function hide(key: string): void {
  const left = (shown.get(key) ?? 1) - 1;
  if (left > 0) shown.set(key, left);
  else shown.delete(key);
  const url = kept.get(key);
  if (url === undefined) return;
  kept.delete(key); // It was seen last of all.
  kept.set(key, url);
}
