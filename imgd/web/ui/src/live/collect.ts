// The trend of a folder: the stars of its last frames, measured one after the other, the newest first.
import { address, getJson, Refusal } from "../protocol/http";
import type { FrameRow } from "../state/types";

export interface Measures {
  hfr: number | null;
  fwhm: number | null;
  background: number | null;
  noise: number | null;
  stars: number | null;
}

/** A frame's measures, or in words why there are none: it is a gap. */
export type Measured = { measures: Measures } | { why: string };

export interface Answer {
  found: number;
  hfr: number | null;
  fwhm: number | null;
  background: number | null;
  noise: number | null;
}

export type Plane = { hdu?: string; plane?: string };

const KEPT_MAX = 2000;
const REST_MS = 2000; // Before a busy daemon is asked again, unless it says how long.
const YIELD_MS = 150; // Pictures go first: between two looks whether they are through,
const YIELDS_MAX = 20; // but so often only, should frames come without a pause.
const kept = new Map<string, Measured>();

function keyOf(row: FrameRow, plane: Plane): string {
  return [row.ref, row.modified, row.size_bytes, plane.hdu, plane.plane].join(" ");
}

export function measuredOf(row: FrameRow, plane: Plane): Measured | null {
  return kept.get(keyOf(row, plane)) ?? null;
}

function keep(row: FrameRow, plane: Plane, measured: Measured): void {
  kept.set(keyOf(row, plane), measured);
  for (const old of kept.keys()) if (kept.size > KEPT_MAX) kept.delete(old);
}

export function forgetMeasures(): void {
  kept.clear();
}

export type Ask = (row: FrameRow, plane: Plane, signal: AbortSignal) => Promise<Answer>;

const askStars: Ask = ({ ref }, plane, signal) =>
  getJson<Answer>(address("stars", { frame: ref, count: 1, ...plane }), signal);

/** Measures the frames that are wanted, one at a time; what is measured stays known. */
export class Collector {
  private rows: readonly FrameRow[] = [];
  private plane: Plane = {};
  private under: { key: string; stop: AbortController } | null = null;
  private resting: ReturnType<typeof setTimeout> | undefined;
  private yields = 0;
  /** Why nothing goes on at present; it is tried again by itself. */
  waiting: string | null = null;

  constructor(
    private readonly changed: () => void,
    private readonly ask: Ask = askStars,
    private readonly isBusy: () => boolean = () => false,
  ) {}

  /** The frames of the trend, the newest first. A measurement that nobody wants any more is withdrawn. */
  want(rows: readonly FrameRow[], plane: Plane): void {
    this.rows = rows;
    this.plane = plane;
    const under = this.under;
    if (under && !rows.some((row) => keyOf(row, plane) === under.key)) {
      this.under = null;
      under.stop.abort();
    }
    this.next();
  }

  end(): void {
    this.want([], {});
    clearTimeout(this.resting);
    this.resting = undefined;
  }

  private next(): void {
    if (this.under || this.resting !== undefined) return;
    const plane = this.plane;
    const row = this.rows.find((each) => !measuredOf(each, plane));
    if (!row) return;
    if (this.isBusy() && this.yields++ < YIELDS_MAX) return this.rest(YIELD_MS);
    this.yields = 0;
    const under = { key: keyOf(row, plane), stop: new AbortController() };
    this.under = under;
    void this.measure(row, plane, under.stop.signal).then((rest_ms) => {
      if (this.under !== under) return;
      this.under = null;
      if (rest_ms) this.rest(rest_ms);
      this.changed();
      this.next();
    });
  }

  /** Measure one; return how long to rest before it is tried again, 0 if it is done. */
  private async measure(row: FrameRow, plane: Plane, signal: AbortSignal): Promise<number> {
    try {
      const { found, hfr, fwhm, background, noise } = await this.ask(row, plane, signal);
      keep(row, plane, { measures: { hfr, fwhm, background, noise, stars: found } });
    } catch (error) {
      if (signal.aborted) return 0;
      if (error instanceof Refusal && isPassing(error.trouble.status)) {
        this.waiting = `${error.message}; it is tried again`;
        return Math.max(error.retryAfterS * 1000, REST_MS);
      }
      keep(row, plane, { why: error instanceof Error ? error.message : "It could not be measured" });
    }
    this.waiting = null;
    return 0;
  }

  private rest(ms: number): void {
    this.resting = setTimeout(() => {
      this.resting = undefined;
      this.next();
    }, ms);
  }
}

/** Nobody answered, or the daemon is full: that says nothing of the frame. */
function isPassing(status: number): boolean {
  return status === 0 || status === 429 || (status >= 502 && status <= 504);
}
