// What is known of the list of frames as a whole, and what the daemon answers.
import type { FrameRow, Trouble } from "../state/types";

export type Order = "newest" | "oldest" | "name" | "-name" | "object" | "filter" | "exptime";

export interface Query {
  search: string;
  dir: string; // As `ref` is; "": all roots.
  order: Order;
}

/** What the daemon answers. `at`: where the frame stands that was asked for; null: nowhere, or none was. */
export interface Answer {
  total: number;
  offset: number;
  rows: FrameRow[];
  described: number;
  /** Of how many headers are known or not: all, of a search too. */
  frames?: number;
  complete: boolean;
  down: string | null;
  at?: number | null;
}

/** What is known of the list as a whole. Never changed, only replaced. */
export interface Known {
  query: Query;
  /** The query of the rows that are there, until those of a new one have come. */
  shown: Query | null;
  total: number;
  frames: number; // In all; `total` is of those that match.
  described: number;
  complete: boolean;
  down: string | null;
  trouble: Trouble | null;
  busy: boolean;
  /** Counts up whenever rows may stand elsewhere; `moved` says by how much, null: it is another list. */
  generation: number;
  moved: number | null;
}

const START: Query = { search: "", dir: "", order: "newest" };

export const UNKNOWN: Known = {
  query: START,
  shown: null,
  total: 0,
  frames: 0,
  described: 0,
  complete: true,
  down: null,
  trouble: null,
  busy: false,
  generation: 0,
  moved: null,
};

export function wholeOf({ total, frames, described, complete, down }: Answer): Partial<Known> {
  return { total, frames: frames ?? total, described, complete, down };
}

export function sameQuery(one: Query | null, other: Query): boolean {
  return one !== null && one.search === other.search && one.dir === other.dir && one.order === other.order;
}
