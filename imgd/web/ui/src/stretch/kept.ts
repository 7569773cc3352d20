// Looks that are kept per instrument: found again when a frame of it is opened. Kept by this browser, if it keeps anything.
import { create } from "zustand";
import { address, getJson } from "../protocol/http";
import { changePane, tellKeptLooks, useStore } from "../state/store";
import { WHICH_PIXELS } from "../state/look";
import type { FrameRow, Look } from "../state/types";

export interface KeptLook {
  instrument: string;
  look: Look;
}

type Fields = FrameRow["hdu"];
const PLACE = "imgd.looks";
const KEPT_MAX = 50;
const KNOWN_MAX = 5000;

/** What storage gives back, whatever somebody has put there. */
export function readKept(text: string | null): KeptLook[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.filter(isKept).slice(0, KEPT_MAX) : [];
  } catch {
    return [];
  }
}

function isKept(item: unknown): item is KeptLook {
  if (typeof item !== "object" || item === null) return false;
  const { instrument, look } = item as Partial<KeptLook>;
  if (typeof instrument !== "string" || typeof look !== "object" || look === null) return false;
  return Object.values(look).every((value) => typeof value === "string");
}

/** With a look kept for an instrument, in place of the one before. */
export function withLook(kept: readonly KeptLook[], instrument: string, look: Look): KeptLook[] {
  const mine = Object.fromEntries(Object.entries(look).filter(([name]) => !WHICH_PIXELS.has(name)));
  return [{ instrument, look: mine }, ...kept.filter((each) => each.instrument !== instrument)].slice(0, KEPT_MAX);
}

/** The instrument that a header names; null where it names none. */
export function instrumentOf(fields: Fields): string | null {
  const text = (name: string) => String(fields[name] ?? "").trim();
  const named = [text("TELESCOP"), text("INSTRUME") || text("CAMERA")].filter(Boolean);
  return named.length ? named.join(" · ") : null;
}

export function rootOf(ref: string): string {
  const name = ref.split("/")[0] ?? "";
  try {
    return `root ${decodeURIComponent(name)}`;
  } catch {
    return `root ${name}`;
  }
}

/** What the panel shows of them. */
export const useKept = create<{ kept: readonly KeptLook[]; lasting: boolean }>()(() => ({ kept: [], lasting: true }));

/** Of frames whose header was seen: their instrument; "" where there is none. */
const known = new Map<string, string>();

/** Remember the instrument of a frame whose header fields are known in part. */
export function learn({ ref, hdu }: Pick<FrameRow, "ref" | "hdu">): void {
  const instrument = instrumentOf(hdu);
  if (instrument) remember(ref, instrument);
}

function remember(ref: string, instrument: string): void {
  known.delete(ref);
  known.set(ref, instrument);
  const [oldest] = known.keys();
  if (known.size > KNOWN_MAX && oldest !== undefined) known.delete(oldest);
}

function lookKeptFor(ref: string): Look | null {
  const name = known.get(ref);
  return name === undefined ? null : (useKept.getState().kept.find((each) => each.instrument === (name || rootOf(ref)))?.look ?? null);
}

function save(kept: readonly KeptLook[]): void {
  let lasting = true;
  try {
    localStorage.setItem(PLACE, JSON.stringify(kept));
  } catch {
    lasting = false;
  }
  useKept.setState({ kept, lasting });
}

export function keep(instrument: string, look: Look): void {
  save(withLook(useKept.getState().kept, instrument, look));
}

export function forget(instrument: string): void {
  save(useKept.getState().kept.filter((each) => each.instrument !== instrument));
}

interface HeaderAnswer {
  hdus: { cards: { keyword: string; value: string | number | boolean | null }[] }[];
}

/** The instrument of a frame, by its header, or its root's name where that names none. */
export async function findInstrument(ref: string, signal?: AbortSignal): Promise<string> {
  if (!known.has(ref)) {
    const { hdus } = await getJson<HeaderAnswer>(address(`frame/${ref}`), signal);
    const fields: Record<string, string | number | boolean> = {};
    for (const { keyword, value } of hdus.flatMap(({ cards }) => cards)) {
      if (value !== null) fields[keyword] ??= value;
    }
    remember(ref, instrumentOf(fields) ?? "");
  }
  return known.get(ref) || rootOf(ref);
}

let asking: AbortController | null = null;

/** A frame is opened whose instrument is not known yet: its look follows when the header is there. */
function askLater(ref: string): void {
  asking?.abort();
  const mine = (asking = new AbortController());
  queueMicrotask(() => {
    const pane = useStore.getState().panes.find((each) => each.ref === ref);
    if (!pane) return;
    findInstrument(ref, mine.signal).then(
      () => {
        const look = lookKeptFor(ref);
        // Only if nobody has changed anything since.
        if (look) changePane(pane.id, (now) => (now.ref === ref && now.look === pane.look ? { look } : {}));
      },
      () => undefined, // The frame's own failure is told by its picture.
    );
  });
}

export function startKept(): void {
  let text: string | null = null;
  let lasting = true;
  try {
    text = localStorage.getItem(PLACE);
  } catch {
    lasting = false;
  }
  useKept.setState({ kept: readKept(text), lasting });
  window.addEventListener("storage", (event) => {
    if (event.key === PLACE) useKept.setState({ kept: readKept(event.newValue) });
  });
  tellKeptLooks((ref) => {
    if (!useKept.getState().kept.length) return null;
    if (!known.has(ref)) askLater(ref);
    return lookKeptFor(ref);
  });
}
