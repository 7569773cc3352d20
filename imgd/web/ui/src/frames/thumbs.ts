// Small pictures: few requests at a time, given up when nobody looks any more, the last ones kept.
import { Refusal, address, refusalOf } from "../protocol/http";
import { activePane, useStore } from "../state/store";
import type { FrameRow } from "../state/types";
import { mayPass, waitMs } from "./again";
import { Gate } from "./gate";

export const THUMB_SIDE_PX = 160;
const FLIGHTS_MAX = 6;
const KEPT_MAX = 300;

/** While the large picture is being made, it comes first. */
const gate = new Gate(() => (activePane(useStore.getState()).run?.state === "running" ? 1 : FLIGHTS_MAX));
useStore.subscribe(
  (state) => activePane(state).run?.state,
  () => gate.open(),
);

/** Who waits to ask again because the daemon did not answer: it is there again, they need not wait. */
const unanswered = new Set<() => void>();
useStore.subscribe(
  ({ connection: { state } }) => state === "live" || state === "http",
  (connected) => connected && [...unanswered].forEach((ask) => ask()),
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
  let tries = 0;
  const show = (url: string): void => {
    shown.set(key, (shown.get(key) ?? 0) + 1);
    abort.signal.addEventListener("abort", () => hide(key));
    tell({ url, wrong: null });
  };
  const retry = (): void => {
    unanswered.delete(retry);
    clearTimeout(again);
    leave = gate.enter(begin);
  };
  const failed = (error: unknown): void => {
    const { status, retryAfterS } = error instanceof Refusal ? { status: error.trouble.status, retryAfterS: error.retryAfterS } : { status: 0, retryAfterS: 0 };
    const wait = waitMs(status, retryAfterS, tries++);
    if (wait !== null) again = setTimeout(retry, wait);
    if (mayPass(status)) unanswered.add(retry);
    if (!retryAfterS) tell({ url: null, wrong: error instanceof Refusal ? error.message : "The daemon does not answer" });
  };
  const begin = (): void => {
    fetchThumb(row, abort.signal)
      .then((url) => keep(key, url))
      .then((url) => abort.signal.aborted || show(url))
      .catch((error: unknown) => {
        if (!abort.signal.aborted) failed(error);
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
    unanswered.delete(retry);
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
