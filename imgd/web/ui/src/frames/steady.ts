// How the rows that somebody reads stay where they are while others come and go above them.
import type { FrameRow } from "../state/types";

/** A row that shall not move under the reader. */
export interface Anchor {
  ref: string;
  index: number;
}

/** What a new look at the list tells of an anchor's place. */
export interface Look {
  offset: number;
  rows: readonly FrameRow[];
  total: number;
  /** Where the frame that was asked for stands; absent: the daemon does not say. */
  at?: number | null | undefined;
}

/** By how many rows the anchor has moved; of one that is gone or unknown, what the totals let guess. */
export function shiftOf(anchor: Anchor | null, look: Look, totalBefore: number): number {
  if (!anchor) return 0;
  if (typeof look.at === "number") return look.at - anchor.index;
  const within = look.rows.findIndex((row) => row.ref === anchor.ref);
  if (within >= 0) return look.offset + within - anchor.index;
  if (look.at === null) return 0; // It is gone: what follows it takes its place.
  return Math.max(-anchor.index, look.total - totalBefore);
}

/** A part of the list that somebody looks at. */
export interface Range {
  first: number;
  last: number;
  /** The row that shall not move. */
  anchor: number;
  /** It shows the beginning, and new rows shall be seen there. */
  pinned: boolean;
}

export function shifted(range: Range, shift: number): Range {
  return range.pinned ? range : { ...range, first: range.first + shift, last: range.last + shift, anchor: range.anchor + shift };
}
