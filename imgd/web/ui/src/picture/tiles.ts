// The tiles that are kept, by picture (frame and look) and place: encoded the newest, decoded those used last.
import type { Tile } from "../protocol/link";

/** As many encoded tiles as the daemon remembers to have sent (`tiles_kept`). */
export const KEPT = 1024;

export interface Place {
  level: number;
  column: number;
  row: number;
}

/** What a decoded tile has to be able to do; an ImageBitmap in the page. */
export interface Decoded {
  readonly width: number;
  readonly height: number;
  close(): void;
}

interface Entry<D extends Decoded> {
  picture: string;
  place: string;
  tile: Tile;
  bitmap: D | null;
  decoding: boolean;
  broken: boolean;
  used: number; // The number of the painting that used it last.
}

export function nameOf({ level, column, row }: Place): string {
  return `${level}/${column}/${row}`;
}

/** Bytes of decoded tiles that may be kept: less on devices with little memory. */
export function decodedMax(deviceMemoryGib: number | undefined, small: boolean): number {
  return (small || (deviceMemoryGib ?? 8) < 4 ? 48 : 128) * 2 ** 20;
}

export class TileStore<D extends Decoded> {
  readonly #pictures = new Map<string, Map<string, Entry<D>>>();
  readonly #received = new Set<Entry<D>>(); // In the order in which they came.
  readonly #decoded = new Set<Entry<D>>(); // In the order in which they were used.
  #bytes = 0;
  #painting = 0;

  constructor(
    private readonly decode: (tile: Tile) => Promise<D>,
    private readonly changed: (picture: string) => void,
    private readonly bytesMax: number,
    private readonly keptMax = KEPT,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#received.size;
  }

  /** Keep a tile, in place of an older one of its place, and have it decoded. */
  put(picture: string, tile: Tile): void {
    const places = this.#pictures.get(picture) ?? new Map<string, Entry<D>>();
    this.#pictures.set(picture, places);
    const place = nameOf(tile);
    const before = places.get(place);
    const entry = before ?? { picture, place, tile, bitmap: null, decoding: false, broken: false, used: 0 };
    places.set(place, entry);
    this.#received.delete(entry);
    this.#received.add(entry);
    const same = before !== undefined && before.tile === tile && !before.broken;
    entry.tile = tile;
    entry.broken = false;
    if (!same || !entry.bitmap) void this.#decode(entry); // The older bitmap stays until the new one is there.
    while (this.#received.size > this.keptMax) this.#drop(first(this.#received));
  }

  /** A new painting begins: what it uses is not let go. */
  paint(): void {
    this.#painting += 1;
  }

  /** The decoded tile; if there are only its bytes, they are decoded for the next painting. */
  use(picture: string, place: Place): D | null {
    const entry = this.#pictures.get(picture)?.get(nameOf(place));
    if (!entry) return null;
    entry.used = this.#painting;
    if (entry.bitmap) {
      this.#decoded.delete(entry);
      this.#decoded.add(entry);
    } else if (!entry.broken) void this.#decode(entry);
    return entry.bitmap;
  }

  /** Nothing is to be waited for: it is decoded, or cannot be. */
  settled(picture: string, place: Place): boolean {
    const entry = this.#pictures.get(picture)?.get(nameOf(place));
    return entry !== undefined && (entry.bitmap !== null || entry.broken);
  }

  has(picture: string, place: Place): boolean {
    return this.#pictures.get(picture)?.has(nameOf(place)) ?? false;
  }

  /** Whether anything of a picture can be painted. */
  some(picture: string): boolean {
    for (const entry of this.#pictures.get(picture)?.values() ?? []) if (entry.bitmap) return true;
    return false;
  }

  /** Levels of which there are tiles, coarsest first. */
  levels(picture: string): number[] {
    const levels = new Set<number>();
    for (const { tile } of this.#pictures.get(picture)?.values() ?? []) levels.add(tile.level);
    return [...levels].sort((a, b) => b - a);
  }

  clear(): void {
    for (const entry of [...this.#received]) this.#drop(entry);
  }

  async #decode(entry: Entry<D>): Promise<void> {
    if (entry.decoding) return;
    entry.decoding = true;
    let tile: Tile;
    let bitmap: D | null;
    do {
      tile = entry.tile;
      bitmap = await this.decode(tile).catch(() => null);
      if (tile !== entry.tile) bitmap?.close(); // A newer one came meanwhile.
    } while (tile !== entry.tile);
    entry.decoding = false;
    if (!this.#received.has(entry)) {
      bitmap?.close();
      return;
    }
    this.#letGo(entry);
    entry.broken = bitmap === null;
    if (bitmap) {
      entry.bitmap = bitmap;
      this.#decoded.add(entry);
      this.#bytes += bytesOf(bitmap);
      this.#evict();
    }
    this.changed(entry.picture);
  }

  #evict(): void {
    for (const entry of this.#decoded) {
      if (this.#bytes <= this.bytesMax) return;
      if (entry.used !== this.#painting && this.#decoded.size > 1) this.#letGo(entry);
    }
  }

  #letGo(entry: Entry<D>): void {
    if (!entry.bitmap) return;
    this.#bytes -= bytesOf(entry.bitmap);
    entry.bitmap.close();
    entry.bitmap = null;
    this.#decoded.delete(entry);
  }

  #drop(entry: Entry<D>): void {
    this.#received.delete(entry);
    this.#letGo(entry);
    const places = this.#pictures.get(entry.picture);
    places?.delete(entry.place);
    if (!places?.size) this.#pictures.delete(entry.picture);
  }
}

function bytesOf({ width, height }: Decoded): number {
  return width * height * 4;
}

function first<T>(set: Set<T>): T {
  for (const each of set) return each;
  throw new Error("empty");
}
