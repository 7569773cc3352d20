// Rows of the list as far as they are loaded: pages of equal size, the least recently wanted ones are forgotten.
import type { FrameRow } from "../state/types";

export const PAGE_ROWS = 100;
const PAGES_MAX = 60;

export class Pages {
  readonly #pages = new Map<number, readonly FrameRow[]>(); // The least recently wanted one first.
  readonly #places = new Map<string, number>();

  constructor(private readonly most = PAGES_MAX) {}

  row(index: number): FrameRow | undefined {
    return this.#pages.get(Math.floor(index / PAGE_ROWS))?.[index % PAGE_ROWS];
  }

  /** Where a frame stands, if its page is loaded. */
  indexOf(ref: string): number | null {
    return this.#places.get(ref) ?? null;
  }

  has(page: number): boolean {
    return this.#pages.has(page);
  }

  /** Say that a page is wanted still. */
  touch(page: number): void {
    const rows = this.#pages.get(page);
    if (!rows) return;
    this.#pages.delete(page);
    this.#pages.set(page, rows);
  }

  put(page: number, rows: readonly FrameRow[]): void {
    this.#forget(page);
    this.#pages.set(page, rows);
    rows.forEach((row, at) => this.#places.set(row.ref, page * PAGE_ROWS + at));
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= this.most) break;
      this.#forget(oldest);
    }
  }

  #forget(page: number): void {
    const rows = this.#pages.get(page);
    this.#pages.delete(page);
    rows?.forEach((row, at) => {
      // A frame that has moved to another page meanwhile is known there.
      if (this.#places.get(row.ref) === page * PAGE_ROWS + at) this.#places.delete(row.ref);
    });
  }
}

/** The pages that hold the rows from `first` to `last`, of `total` rows. */
export function pagesOf(first: number, last: number, total: number): number[] {
  const from = Math.max(0, first);
  const to = Math.min(last, total - 1);
  const pages: number[] = [];
  for (let page = Math.floor(from / PAGE_ROWS); page * PAGE_ROWS <= to; page++) pages.push(page);
  return pages;
}

const RUN_MAX = 5; // The daemon gives so many pages in one answer.

/** The missing pages that lie together with the first one named, ascending: they can be asked for at once. */
export function runOf(missing: readonly number[]): number[] {
  const [first] = missing;
  if (first === undefined) return [];
  const run = [first];
  for (let page = first + 1; missing.includes(page) && run.length < RUN_MAX; page++) run.push(page);
  for (let page = first - 1; missing.includes(page) && run.length < RUN_MAX; page--) run.unshift(page);
  return run;
}
