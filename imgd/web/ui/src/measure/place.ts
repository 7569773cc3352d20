// What is under the cursor: values of the planes from boxes around it, and the sky position.
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { getJson } from "../protocol/http";
import { shownHdu, type Point } from "../picture/geometry";
import { activePane, paneOf, useStore } from "../state/store";
import type { Hdu, Shown, Trouble } from "../state/types";
import type { HeaderAnswer, PixelAnswer, SkyAnswer, SkyPosition } from "./answers";
import { useRested, useShared, useVersion } from "./asking";
import { BOX, Boxes, type PixelValue } from "./boxes";
import { Latest } from "./latest";
import { worldAt } from "./sky";
import { ask, bayerLetter, planeKey, planesOf, saturated, skyAddress, whyBad, type PlaneName } from "./subject";

/** All boxes of the page, by plane and version. */
export const boxes = new Boxes();

export interface ValueThere extends PixelValue {
  letter: string; // the colour that the value is of, or ""
}

export interface Place {
  shown: Shown;
  hdu: Hdu;
  at: Point; // not rounded
  x: number; // the pixel
  y: number;
  values: ValueThere[] | null; // null: not known yet
  trouble: Trouble | null;
  retry: () => void;
  unit: string;
  sky: SkyAnswer | null;
  world: [number, number] | null;
}

interface Wish {
  key: string;
  planes: { plane: PlaneName; key: string }[];
  x: number;
  y: number;
}

export function useActiveShown(): Shown | null {
  return useStore((state) => activePane(state).shown);
}

/** What is shown where the pointer is: of several panes the one that it is over. */
function usePointedShown(): Shown | null {
  return useStore((state) => (paneOf(state, state.cursor?.pane ?? state.active) ?? activePane(state)).shown);
}

export function useSky(shown: Shown | null) {
  return useShared<SkyAnswer>(skyAddress(shown), useVersion(shown));
}

/** Keeps the boxes around the cursor coming, one question in flight; gives what went wrong, and a count of answers. */
function useBoxes(shown: Shown | null, version: string, x: number | null, y: number | null): { trouble: Trouble | null; count: number; retry: () => void } {
  const [told, setTold] = useState<{ trouble: Trouble | null; count: number }>({ trouble: null, count: 0 });
  const latest = useRef<Latest<string, void> | null>(null);
  const wishes = useRef(new Map<string, Wish>());
  useEffect(() => {
    const made = new Latest<string, void>(
      async (name, signal) => {
        const wish = wishes.current.get(name);
        if (wish) await fetchBoxes(wish, signal);
      },
      ({ trouble }, answered) => {
        if (answered === undefined) return;
        wishes.current.delete(answered);
        setTold(({ count }) => ({ trouble, count: count + 1 }));
      },
    );
    latest.current = made;
    return () => made.end();
  }, []);
  const rested = useRested(x === null || y === null ? "" : `${x},${y}`, 300);
  const answered = told.trouble ? -1 : told.count; // What failed is asked again when the cursor moves on and rests.
  useEffect(() => {
    if (!shown || x === null || y === null) return;
    const wish = wishOf(shown, version, x, y, rested !== null);
    if (!wish || (told.trouble && rested === null)) return;
    wishes.current.set(wish.key, wish);
    latest.current?.want(wish.key);
  }, [shown, version, x, y, rested, answered]);
  return { ...told, retry: () => setTold(({ count }) => ({ trouble: null, count: count + 1 })) };
}

function wishOf(shown: Shown, version: string, x: number, y: number, rests: boolean): Wish | null {
  const planes = planesOf(shown).map(({ plane }) => ({ plane, key: `${version}/${planeKey(plane)}` }));
  const first = planes[0];
  if (!first) return null;
  const { width, height } = shown.geometry;
  let centre = boxes.wish(first.key, x, y, width, height);
  const known = boxes.value(first.key, x, y);
  // Only the centre of a box tells why it is bad: asked about when the cursor stays there.
  if (!centre && rests && known && known.value === null && known.why === null) centre = { x, y };
  return centre && { key: `${first.key}@${centre.x},${centre.y}`, planes, ...centre };
}

async function fetchBoxes({ planes, x, y }: Wish, signal: AbortSignal): Promise<void> {
  await Promise.all(
    planes.map(async ({ plane, key }) => boxes.put(key, await getJson<PixelAnswer>(ask("pixel", plane, { x, y, box: BOX }), signal))),
  );
}

/** The place under the cursor; null: nothing is there. */
export function usePlace(): Place | null {
  const shown = usePointedShown();
  const cursor = useStore((state) => state.cursor);
  const version = useVersion(shown);
  const sky = useSky(shown).answer;
  const unit = useUnit(shown, version);
  const hdu = shown && shownHdu(shown.facts, shown.look);
  const x = cursor && Math.round(cursor.x);
  const y = cursor && Math.round(cursor.y);
  const inside = shown !== null && x !== null && y !== null && x >= 1 && y >= 1 && x <= shown.geometry.width && y <= shown.geometry.height;
  const { trouble, count, retry } = useBoxes(shown, version, inside ? x : null, inside ? y : null);
  const exact = useExact(shown, inside ? cursor : null, version, sky !== null);
  return useMemo(() => {
    if (!inside || !hdu || !cursor) return null;
    const values = valuesAt(shown, hdu, version, x, y);
    const world = sky && (exact ? exact.world : worldAt(sky, cursor));
    return { shown, hdu, at: cursor, x, y, values, trouble: values ? null : trouble, retry, unit, sky, world };
  }, [shown, hdu, cursor, x, y, inside, version, sky, exact, unit, trouble, count]);
}

let told: Place | null = null;
const hearers = new Set<() => void>();

/** The readout tells what is under the cursor: to the loupe, and to the key that copies it. */
export function tellPlace(place: Place | null): void {
  told = place;
  for (const heard of hearers) heard();
}

export function toldPlace(): Place | null {
  return told;
}

/** The place as the readout told it last: its questions are asked once. */
export function useToldPlace(): Place | null {
  return useSyncExternalStore(hear, toldPlace);
}

function hear(heard: () => void): () => void {
  hearers.add(heard);
  return () => hearers.delete(heard);
}

function valuesAt(shown: Shown, hdu: Hdu, version: string, x: number, y: number): ValueThere[] | null {
  const values: ValueThere[] = [];
  for (const { plane, letter } of planesOf(shown)) {
    const found = boxes.value(`${version}/${planeKey(plane)}`, x, y);
    if (!found) return null;
    values.push({
      ...found,
      letter: letter || bayerLetter(hdu.cfa, x, y),
      why: found.value === null ? (found.why ?? whyBad(hdu, Number(plane.plane ?? 0), y)) : null,
      saturated: found.saturated ?? (found.value !== null && saturated(hdu, Number(found.value))),
    });
  }
  return values;
}

/** The header's unit of the values, "" without one. */
function useUnit(shown: Shown | null, version: string): string {
  const url = shown && new URL(`frame/${shown.ref}`, document.baseURI).href;
  const { answer } = useShared<HeaderAnswer>(url, version);
  const cards = answer?.hdus.find(({ index }) => index === shown?.hdu)?.cards;
  const unit = cards?.find(({ keyword }) => keyword === "BUNIT")?.value;
  return typeof unit === "string" ? unit.trim() : "";
}

/** The daemon's own position for a cursor that has rested for 300 ms. */
function useExact(shown: Shown | null, cursor: Point | null, version: string, known: boolean): SkyPosition | null {
  const rested = useRested(cursor, 300);
  const sky = skyAddress(shown);
  const url = sky && known && rested ? `${sky}&at=${rested.x.toFixed(3)},${rested.y.toFixed(3)}` : null;
  const { answer } = useShared<SkyAnswer>(url, version);
  return answer?.position ?? null;
}
