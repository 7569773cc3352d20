// The tiles that a runner was sent: the daemon does not send them again (docs/live.md, "Tiles"), so the page keeps them.
import { geometryOf, shownHdu } from "../picture/geometry";
import type { Facts, Look } from "../state/types";
import type { Tile } from "./link";
import type { Seen } from "./wish";

const KEPT = 1024; // As many as the daemon takes to be here.
const TILE_PX = 256;

interface Stored {
  picture: string;
  tile: Tile;
}

export class Shelf {
  view = "";
  private picture = "";
  private turn = 0;
  private seen: Seen | null = null;
  private due = false; // Another picture than before: what is here of it is to be shown.
  private readonly tiles = new Map<string, Stored>(); // The oldest first.

  constructor(private readonly show: (turn: number, tile: Tile) => void) {}

  clear(): void {
    this.tiles.clear();
    this.view = this.picture = "";
  }

  /** A turn begins; another version of a frame is another picture. */
  begin(turn: number, view: string, version: string, seen: Seen | null): void {
    const picture = `${version} ${view}`;
    this.due = this.due || picture !== this.picture;
    this.turn = turn;
    this.view = view;
    this.picture = picture;
    this.seen = seen;
  }

  keep(turn: number, tile: Tile): void {
    if (turn !== this.turn) return;
    const key = `${tile.level} ${tile.column} ${tile.row} ${this.picture}`;
    this.tiles.delete(key);
    this.tiles.set(key, { picture: this.picture, tile });
    const [oldest] = this.tiles.keys();
    if (this.tiles.size > KEPT && oldest !== undefined) this.tiles.delete(oldest);
  }

  has(level: number, column: number, row: number): boolean {
    return this.tiles.has(`${level} ${column} ${row} ${this.picture}`);
  }

  /** How large the picture is, is known: show what is here of it, as far as it is seen, coarse ones first. */
  replay(facts: Facts, look: Look): void {
    if (!this.due) return;
    this.due = false;
    const seen = this.seen && boxOf(this.seen, facts, look);
    const mine = [...this.tiles.values()].filter(({ picture, tile }) => picture === this.picture && seen && lies(tile, seen));
    mine.sort((one, other) => other.tile.level - one.tile.level);
    for (const { tile } of mine) this.show(this.turn, tile);
  }
}

export interface Box {
  level: number;
  box: readonly [number, number, number, number];
}

/** The level and the part that is seen; the daemon finds the same for `fit`. */
export function boxOf(seen: Seen, facts: Facts, look: Look): Box | null {
  if (!("fit" in seen)) return seen;
  const hdu = shownHdu(facts, look);
  if (!hdu) return null;
  let { width, height } = geometryOf(hdu, look, "up");
  if (look.turn === "90" || look.turn === "270") [width, height] = [height, width];
  const level = Math.max(0, Math.floor(Math.log2(Math.max(width / seen.fit[0], height / seen.fit[1])) + 0.5));
  return { level, box: [0, 0, Math.ceil(width / 2 ** level), Math.ceil(height / 2 ** level)] };
}

/** Whether a tile is of the level or a coarser one, and touches the part that is seen. */
function lies(tile: Tile, { level, box: [x, y, width, height] }: Box): boolean {
  if (tile.level < level) return false;
  const size = TILE_PX * 2 ** (tile.level - level);
  const left = tile.column * size;
  const top = tile.row * size;
  return left < x + width && left + size > x && top < y + height && top + size > y;
}
