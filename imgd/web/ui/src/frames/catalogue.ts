// The frames of all roots in one order, as far as somebody looks at them: pages come from the daemon when they are wanted.
import { Refusal, address } from "../protocol/http";
import type { FrameRow } from "../state/types";
import { UNKNOWN, sameQuery, wholeOf, type Answer, type Known, type Query } from "./known";
import { PAGE_ROWS, Pages, pagesOf, runOf } from "./pages";
import { shiftOf, shifted, type Range } from "./steady";

/** Who looks at rows; whose rows keep their place first. */
const READERS = ["list", "strip", "neighbours"] as const;
export type Reader = (typeof READERS)[number];

export type Ask = (url: string, signal: AbortSignal) => Promise<Answer>;

const REST_MS = 60; // Between two requests while the hand moves.
const FLYING_MS = 150; // A list that comes to another page sooner than this is flying past,
const FLIGHT_MAX_MS = 500; // but something of it shall be seen now and then.
const NEWS_REST_MS = 500; // Between two looks when frames come in numbers.
const AGAIN_MS = 700; // One look more after the last news, should the daemon's index be behind its events.
const HOLD_MAX_MS = 5000; // So long a hand keeps the rows where they are, at most.

export class Catalogue {
  #known: Known = UNKNOWN;
  #pages = new Pages();
  readonly #wanted = new Map<Reader, Range>();
  readonly #heard = new Set<() => void>();
  #flight: { pages: readonly number[]; abort: AbortController } | null = null;
  #look: AbortController | null = null;
  #sought = { page: -1, at: -Infinity, flying: false };
  #lastStart = -Infinity;
  #lastLook = -Infinity;
  #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #tellsPlaces = false; // Answers have `at`.
  readonly #hands = new Set<() => void>(); // Each lets go when it is called.
  readonly #free: (() => void)[] = []; // Who waits until no hand is on the rows.

  constructor(private readonly ask: Ask) {}

  readonly known = (): Known => this.#known;

  readonly subscribe = (heard: () => void): (() => void) => {
    this.#heard.add(heard);
    return () => this.#heard.delete(heard);
  };

  row(index: number): FrameRow | undefined {
    return index < 0 ? undefined : this.#pages.row(index);
  }

  indexOf(ref: string): number | null {
    return this.#pages.indexOf(ref);
  }

  /** Say which rows a part of the page shows; null: none any more. What nobody wants is no longer fetched. */
  want(who: Reader, range: Range | null): void {
    if (range) this.#wanted.set(who, range);
    else this.#wanted.delete(who);
    this.#fetchWanted();
  }

  /** Show another list; the rows of the present one stay until its first ones are there. */
  choose(change: Partial<Query>): void {
    this.#tell({ query: { ...this.#known.query, ...change } });
    void this.#reload();
  }

  /** Begin, or try again after a failure. */
  retry(): void {
    if (!sameQuery(this.#known.shown, this.#known.query)) void this.#reload();
    else void this.#refresh();
  }

  /** Have the rows stay where they are, as a hand is on them, until what is given back is called. */
  hold(): () => void {
    const letGo = (): void => {
      clearTimeout(timer);
      this.#hands.delete(letGo);
      if (!this.#hands.size) for (const go of this.#free.splice(0)) go();
    };
    const timer = setTimeout(letGo, HOLD_MAX_MS);
    this.#hands.add(letGo);
    return letGo;
  }

  /** Frames have come or gone: look at once, but no oftener than can be seen, and once more when it has become quiet. */
  news(): void {
    this.#later("news", Math.max(0, this.#lastLook + NEWS_REST_MS - performance.now()), () => this.#lookAgain(), false);
    this.#later("again", NEWS_REST_MS + AGAIN_MS, () => this.#lookAgain());
  }

  /** Ask where a frame stands in the list; null: it is not in it; undefined: the daemon does not say. */
  async place(ref: string, signal: AbortSignal): Promise<number | null | undefined> {
    const known = this.#pages.indexOf(ref);
    if (known !== null) return known;
    if (!this.#tellsPlaces || !this.#known.shown) return undefined;
    return (await this.#askAt(this.#known.shown, 0, signal, ref, 1)).at;
  }

  async #reload(): Promise<void> {
    this.#stopAll();
    const abort = (this.#look = new AbortController());
    const query = this.#known.query;
    this.#tell({ busy: true, trouble: null });
    try {
      const answer = await this.#askAt(query, 0, abort.signal);
      await this.#untilFree();
      if (abort.signal.aborted) return;
      this.#look = null;
      this.#pages = new Pages();
      this.#pages.put(0, answer.rows);
      this.#tell({ ...wholeOf(answer), shown: query, busy: false, generation: this.#known.generation + 1, moved: null });
      this.#fetchWanted();
    } catch (error) {
      await this.#failed(error, abort);
    }
  }

  /** Look again before long. */
  again(): void {
    this.#lookAgain();
  }

  /** Look when nobody looks already: news in numbers must not keep a look from its end. */
  #lookAgain(): void {
    if (this.#look) this.#later("news", NEWS_REST_MS, () => this.#lookAgain(), false);
    else this.retry();
  }

  /** Fetch anew what is looked at, and put it in place of the old rows in one go. */
  async #refresh(): Promise<void> {
    this.#stopAll();
    const abort = (this.#look = new AbortController());
    const { query, total: totalBefore } = this.#known;
    try {
      const anchor = this.#anchor();
      const first = await this.#askAt(query, anchor ? Math.floor(anchor.index / PAGE_ROWS) : 0, abort.signal, anchor?.ref);
      const moved = shiftOf(anchor, first, totalBefore);
      const pages = new Pages();
      pages.put(first.offset / PAGE_ROWS, first.rows);
      for (const range of this.#wanted.values()) {
        const { first: from, last: to } = shifted(range, moved);
        for (const page of pagesOf(from, to, first.total)) {
          if (!pages.has(page)) pages.put(page, (await this.#askAt(query, page, abort.signal)).rows);
        }
      }
      await this.#untilFree();
      if (abort.signal.aborted) return;
      this.#look = null;
      this.#pages = pages;
      for (const [who, range] of this.#wanted) this.#wanted.set(who, shifted(range, moved));
      this.#tell({ ...wholeOf(first), busy: false, trouble: null, generation: this.#known.generation + 1, moved });
      this.#fetchWanted();
    } catch (error) {
      await this.#failed(error, abort);
    }
  }

  #anchor(): { ref: string; index: number } | null {
    for (const who of READERS) {
      const range = this.#wanted.get(who);
      const row = !range || range.pinned ? undefined : this.row(range.anchor);
      if (row && range) return { ref: row.ref, index: range.anchor };
    }
    return null;
  }

  /** The pages that are wanted and not there, those that are seen first. */
  #missing(): number[] {
    const missing = new Set<number>();
    for (const who of READERS) {
      const range = this.#wanted.get(who);
      if (!range) continue;
      const seen = pagesOf(range.anchor, range.anchor, this.#known.total);
      for (const page of [...seen, ...pagesOf(range.first, range.last, this.#known.total)]) {
        if (this.#pages.has(page)) this.#pages.touch(page);
        else missing.add(page);
      }
    }
    return [...missing];
  }

  #fetchWanted(): void {
    const { shown, query, trouble } = this.#known;
    if (this.#look || trouble || !shown || !sameQuery(shown, query)) return;
    const missing = this.#missing();
    if (this.#flight && !this.#flight.pages.some((page) => missing.includes(page))) {
      this.#flight.abort.abort();
      this.#flight = null;
    }
    if (this.#flight || !missing.length) return;
    const wait = this.#rest(missing[0] ?? 0);
    if (wait > 0) return this.#later("fetch", wait, () => this.#fetchWanted());
    void this.#fetch(runOf(missing), shown);
  }

  /** How long to wait with a page: of a list that flies past nothing is fetched until it slows down. */
  #rest(page: number): number {
    const now = performance.now();
    if (page !== this.#sought.page) this.#sought = { page, at: now, flying: now - this.#sought.at < FLYING_MS };
    const { at, flying } = this.#sought;
    return (flying && now - this.#lastStart < FLIGHT_MAX_MS ? at : this.#lastStart) + REST_MS - now;
  }

  async #fetch(pages: readonly number[], query: Query): Promise<void> {
    const abort = new AbortController();
    this.#flight = { pages, abort };
    this.#lastStart = performance.now();
    try {
      const answer = await this.#askAt(query, pages[0] ?? 0, abort.signal, undefined, pages.length * PAGE_ROWS);
      if (abort.signal.aborted) return;
      this.#flight = null;
      pages.forEach((page, at) => this.#pages.put(page, answer.rows.slice(at * PAGE_ROWS, (at + 1) * PAGE_ROWS)));
      const changed = answer.total !== this.#known.total;
      this.#tell({});
      if (changed) this.news();
      else this.#fetchWanted();
    } catch (error) {
      if (!abort.signal.aborted) this.#flight = null;
      await this.#failed(error, abort);
    }
  }

  async #askAt(query: Query, page: number, signal: AbortSignal, at?: string, limit = PAGE_ROWS): Promise<Answer> {
    const { search, dir, order } = query;
    const url = address("catalogue", {
      order, offset: page * PAGE_ROWS, limit, search: search || undefined, dir: dir || undefined,
      at: this.#tellsPlaces ? at : undefined,
    });
    const answer = await this.ask(url, signal);
    this.#tellsPlaces = answer.at !== undefined;
    return answer;
  }

  async #failed(error: unknown, abort: AbortController): Promise<void> {
    await this.#untilFree(); // What is wrong is said above the rows.
    if (abort.signal.aborted) return;
    if (this.#look === abort) this.#look = null;
    const refused = error instanceof Refusal;
    const trouble = refused ? error.trouble : { status: 0, title: "The list did not arrive", text: String(error) };
    this.#tell({ busy: false, trouble });
    if (refused && error.retryAfterS) this.#later("retry", error.retryAfterS * 1000, () => this.retry());
  }

  async #untilFree(): Promise<void> {
    while (this.#hands.size) await new Promise<void>((go) => this.#free.push(go));
  }

  #stopAll(): void {
    this.#look?.abort();
    this.#flight?.abort.abort();
    this.#look = this.#flight = null;
    this.#lastLook = performance.now();
    for (const name of ["fetch", "retry"]) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }

  /** Do it later; `anew`: what was to be done under this name is put off, else it stands. */
  #later(name: string, ms: number, what: () => void, anew = true): void {
    if (this.#timers.has(name) && !anew) return;
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      what();
    }, ms));
  }

  #tell(change: Partial<Known>): void {
    this.#known = { ...this.#known, ...change };
    for (const heard of [...this.#heard]) heard();
  }
}
