// The part of the list that a scrolling box shows: which rows, kept in place while others come and go.
import { useVirtualizer, defaultRangeExtractor, type Virtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import { activePane, useStore } from "../state/store";
import type { FrameRow } from "../state/types";
import type { Reader } from "./catalogue";
import { currentRef, frames, useFrames } from "./frames";
import { keyTarget } from "./keys";
import type { Known } from "./known";

/** Boxes of more than about 16 million pixels are cut off by browsers. */
const LENGTH_MAX = 16_000_000;
const AHEAD = 20; // Rows fetched beyond those that are seen.
const CLICK_MS = 300; // A click follows the finger's leaving by so much, at most.

export interface Rows {
  known: Known;
  virtualizer: Virtualizer<HTMLDivElement, Element>;
  /** Rows that the box can hold. */
  count: number;
  /** The row that keys are about. */
  cursor: number;
  current: string | null;
  keys(event: React.KeyboardEvent): void;
  /** Remember where the focus is. */
  focused(index: number): void;
}

interface Wish {
  who: Reader;
  box: RefObject<HTMLDivElement | null>;
  size: number; // CSS pixels of one row along the scrolling
  horizontal: boolean;
}

export function useRows({ who, box, size, horizontal }: Wish): Rows {
  const known = useFrames();
  const current = useStore(currentRef);
  const [cursor, setCursor] = useState(0);
  const count = Math.min(known.total, Math.floor(LENGTH_MAX / size));
  const virtualizer = useVirtualizer<HTMLDivElement, Element>({
    count,
    horizontal,
    overscan: 6,
    getScrollElement: () => box.current,
    estimateSize: () => size,
    rangeExtractor: (range) => withCursor(defaultRangeExtractor(range), cursor, count),
  });
  useWanted(who, virtualizer, size, known);
  useSteadyRows(virtualizer, size, known, setCursor);
  useHeldRows(box);
  const moveTo = useFocus(box, (index) => {
    setCursor(index);
    virtualizer.scrollToIndex(index, { align: "auto" });
  });
  useFollowCurrent(virtualizer, current, size, known, (index) => {
    // The focus goes along, if it was here.
    if (box.current?.contains(document.activeElement)) moveTo(index);
    else setCursor(index);
  });
  const page = Math.max(1, Math.floor((virtualizer.scrollRect?.[horizontal ? "width" : "height"] ?? size) / size) - 1);
  const keys = (event: React.KeyboardEvent): void => {
    const to = keyTarget(event, cursor, page, count, horizontal);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    moveTo(to);
  };
  return { known, virtualizer, count, cursor: Math.min(cursor, Math.max(0, count - 1)), current, keys, focused: setCursor };
}

/** The row of the cursor stays in the page though it is scrolled away: the focus would be lost with it. */
function withCursor(indexes: number[], cursor: number, count: number): number[] {
  if (cursor >= count || indexes.includes(cursor)) return indexes;
  return [...indexes, cursor].sort((one, other) => one - other);
}

/** Have the rows fetched that are seen. */
function useWanted(who: Reader, virtualizer: Rows["virtualizer"], size: number, known: Known): void {
  const first = virtualizer.range?.startIndex ?? 0;
  const last = virtualizer.range?.endIndex ?? 0;
  const pinned = known.query.order === "newest" && (virtualizer.scrollOffset ?? 0) < size;
  useEffect(() => {
    frames.want(who, { first: first - AHEAD, last: last + AHEAD, anchor: first, pinned });
  }, [who, first, last, pinned, known.generation]);
  useEffect(() => () => frames.want(who, null), [who]);
}

/** When rows have come or gone above, scroll by as much, before it is seen. */
function useSteadyRows(virtualizer: Rows["virtualizer"], size: number, known: Known, setCursor: (change: (at: number) => number) => void): void {
  const before = useRef({ generation: known.generation, index: 0, ref: "" });
  useLayoutEffect(() => {
    const { generation, index, ref } = before.current;
    const offset = virtualizer.scrollOffset ?? 0;
    if (known.generation !== generation) {
      const by = (frames.indexOf(ref) ?? index + (known.moved ?? 0)) - index;
      if (known.moved === null) {
        virtualizer.scrollToOffset(0);
        setCursor(() => 0);
      } else if (by) {
        if (!(known.query.order === "newest" && offset < size)) virtualizer.scrollToOffset(offset + by * size);
        setCursor((at) => Math.max(0, at + by));
      }
    }
    const seen = virtualizer.range?.startIndex ?? 0;
    before.current = { generation: known.generation, index: seen, ref: frames.row(seen)?.ref ?? "" };
  });
}

/** Rows do not move under a hand that presses one: it would open another one, or none. */
function useHeldRows(box: RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    const element = box.current;
    let letGo = (): void => undefined;
    const press = (): void => {
      letGo();
      letGo = frames.hold();
    };
    const release = (): void => void setTimeout(letGo, CLICK_MS);
    const stop = new AbortController();
    element?.addEventListener("pointerdown", press, { signal: stop.signal });
    for (const type of ["pointerup", "pointercancel"]) window.addEventListener(type, release, { signal: stop.signal });
    return () => {
      stop.abort();
      letGo();
    };
  }, [box]);
}

/** Show the current frame's row when the frame was chosen elsewhere. */
function useFollowCurrent(
  virtualizer: Rows["virtualizer"],
  current: string | null,
  size: number,
  known: Known,
  moveCursor: (at: number) => void,
): void {
  const done = useRef<string | null>(null);
  const neighbours = useStore((state) => state.neighbours); // They are new when its place has been found.
  useEffect(() => {
    if (current === null || done.current === current) return;
    const index = frames.indexOf(current);
    if (index === null) return;
    done.current = current;
    const plays = activePane(useStore.getState()).following !== null;
    if (plays && (virtualizer.scrollOffset ?? 0) >= size) return; // Who reads further down goes on reading.
    moveCursor(index);
    const { startIndex, endIndex } = virtualizer.range ?? { startIndex: 0, endIndex: 0 };
    const near = index >= startIndex - 1 && index <= endIndex + 1;
    virtualizer.scrollToIndex(index, { align: near ? "auto" : "center" });
  }, [current, neighbours, known, size, virtualizer, moveCursor]);
}

/** Move the focus to a row, as soon as it is there. */
function useFocus(box: RefObject<HTMLDivElement | null>, show: (index: number) => void): (index: number) => void {
  const wanted = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (wanted.current === null) return;
    const button = box.current?.querySelector<HTMLElement>(`[data-index="${wanted.current}"] button`);
    if (!button) return;
    wanted.current = null;
    button.focus({ preventScroll: true });
  });
  return (index) => {
    wanted.current = index;
    show(index);
  };
}

/** React's key of a row: it stays with the frame while rows come and go before it. */
export function keyOf(row: FrameRow | undefined, index: number): string | number {
  return row ? row.ref : index;
}
