// Boxes of pixel values around the cursor that were fetched already: the newest used are kept.
import type { PixelAnswer, Told } from "./answers";

/** The largest number of single precision, which pixels are reckoned in: what is beyond is bad. */
const SINGLE_MAX = 3.4028234663852886e38;

export const BOX = 63; // The largest that the daemon answers with.
const EDGE = 10; // A cursor nearer to a box's border than this has the next one fetched.

export interface PixelValue {
  value: Told | null;
  bad: boolean;
  why: string | null;
  saturated: boolean | null; // null: only the box's own centre tells it
}

/** Least recently used boxes of all planes go first. */
export class Boxes {
  private readonly kept = new Map<string, PixelAnswer>();

  constructor(private readonly most = 48) {}

  put(plane: string, box: PixelAnswer): void {
    const key = `${plane}@${box.x},${box.y}`;
    this.kept.delete(key);
    this.kept.set(key, box);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= this.most) break;
      this.kept.delete(oldest);
    }
  }

  get size(): number {
    return this.kept.size;
  }

  /** The box of this plane in which a pixel lies deepest. */
  around(plane: string, x: number, y: number): PixelAnswer | null {
    let best: [string, PixelAnswer] | null = null;
    for (const [key, box] of this.kept) {
      if (!key.startsWith(`${plane}@`) || depth(box, x, y) < 0) continue;
      if (!best || depth(box, x, y) > depth(best[1], x, y)) best = [key, box];
    }
    if (!best) return null;
    this.kept.delete(best[0]);
    this.kept.set(best[0], best[1]);
    return best[1];
  }

  /** A pixel's value; undefined: not known yet. */
  value(plane: string, x: number, y: number): PixelValue | undefined {
    const exact = this.kept.get(`${plane}@${x},${y}`);
    if (exact) return { value: exact.value, bad: exact.bad, why: exact.why, saturated: exact.saturated };
    const box = this.around(plane, x, y);
    if (!box) return undefined;
    const value = box.values[y - box.y_first]?.[x - box.x_first] ?? null;
    const beyond = value !== null && Math.abs(Number(value)) > SINGLE_MAX;
    return { value, bad: value === null || beyond, why: beyond ? "beyond single precision" : null, saturated: null };
  }

  /** Around which pixel to ask next for a cursor there; null: all that it needs is here. */
  wish(plane: string, x: number, y: number, width: number, height: number, size = BOX): { x: number; y: number } | null {
    const half = (size - 1) / 2;
    const centre = { x: inner(x, half, width), y: inner(y, half, height) };
    const box = this.around(plane, x, y);
    if (!box) return centre;
    const [left, top] = [box.x_first, box.y_first];
    const [right, bottom] = [left + (box.values[0]?.length ?? 0) - 1, top + box.values.length - 1];
    const near =
      (x - left < EDGE && left > 1) ||
      (right - x < EDGE && right < width) ||
      (y - top < EDGE && top > 1) ||
      (bottom - y < EDGE && bottom < height);
    return near && !this.kept.has(`${plane}@${centre.x},${centre.y}`) ? centre : null;
  }
}

/** The centre of a box around `at` that does not reach beyond the plane, if it fits. */
function inner(at: number, half: number, length: number): number {
  return Math.max(Math.min(half + 1, Math.ceil(length / 2)), Math.min(at, Math.max(1, length - half)));
}

function depth(box: PixelAnswer, x: number, y: number): number {
  const columns = box.values[0]?.length ?? 0;
  return Math.min(x - box.x_first, box.x_first + columns - 1 - x, y - box.y_first, box.y_first + box.values.length - 1 - y);
}
