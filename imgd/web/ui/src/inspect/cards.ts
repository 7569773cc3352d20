// Header cards as the daemon tells them, and what the panel makes of them: rows, found and marked.
import { sizeOf } from "../stretch/planes";
import type { Facts, Hdu } from "../state/types";

export interface Card {
  keyword: string;
  value: string | number | boolean | null;
  comment: string;
  unit: string;
}

export interface HeaderHdu {
  index: number;
  name: string;
  cards: Card[];
}

export interface Header {
  frame: Facts;
  hdus: HeaderHdu[];
}

export type Row =
  | { kind: "hdu"; key: string; hdu: HeaderHdu; open: boolean; found: number }
  | { kind: "card"; key: string; card: Card };

/** A value as it stands in a FITS header. */
export function valueText(value: Card["value"]): string {
  return value === null ? "" : value === true ? "T" : value === false ? "F" : String(value);
}

/** A card as one line, to be copied. */
export function cardText({ keyword, value, comment }: Card): string {
  const bare = keyword === "COMMENT" || keyword === "HISTORY" || keyword === "";
  if (bare) return `${keyword} ${valueText(value)}`.trim();
  const told = typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : valueText(value);
  return `${keyword} = ${told}${comment ? ` / ${comment}` : ""}`;
}

/** The comment without the unit at its start, which is shown by itself. */
export function bareComment({ comment, unit }: Card): string {
  const start = /^\[[^\]]*\]\s*/.exec(comment);
  return unit && start ? comment.slice(start[0].length) : comment;
}

/** The words that are looked for; all of them have to be in a card. */
export function searchWords(search: string): string[] {
  return search.toLowerCase().split(/\s+/).filter(Boolean);
}

export function matches(card: Card, words: readonly string[]): boolean {
  const text = `${card.keyword} ${valueText(card.value)} ${card.comment}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Rows of all HDUs: of a closed one its title alone, of a search what was found, wherever it is. */
export function rowsOf(hdus: readonly HeaderHdu[], closed: ReadonlySet<number>, search: string): Row[] {
  const words = searchWords(search);
  return hdus.flatMap((hdu): Row[] => {
    const cards = words.length ? hdu.cards.filter((card) => matches(card, words)) : hdu.cards;
    if (words.length && !cards.length) return [];
    const open = words.length > 0 || !closed.has(hdu.index);
    const title: Row = { kind: "hdu", key: `hdu ${hdu.index}`, hdu, open, found: cards.length };
    return open ? [title, ...cards.map((card, at): Row => ({ kind: "card", key: `${hdu.index} ${at}`, card }))] : [title];
  });
}

export interface Piece {
  text: string;
  found: boolean;
}

/** Split a text where the words that are looked for stand in it. */
export function marked(text: string, words: readonly string[]): Piece[] {
  const lower = text.toLowerCase();
  const pieces: Piece[] = [];
  let at = 0;
  while (at < text.length) {
    const next = words
      .map((word) => ({ start: lower.indexOf(word, at), length: word.length }))
      .filter(({ start }) => start >= 0)
      .sort((one, other) => one.start - other.start || other.length - one.length)[0];
    const start = next ? next.start : text.length;
    if (start > at) pieces.push({ text: text.slice(at, start), found: false });
    if (next) pieces.push({ text: text.slice(start, start + next.length), found: true });
    at = next ? start + next.length : text.length;
  }
  return pieces;
}

const STORED: Readonly<Record<string, string>> = {
  u1: "8-bit whole numbers", i1: "8-bit whole numbers", u2: "16-bit whole numbers", i2: "16-bit whole numbers", i4: "32-bit whole numbers", u4: "32-bit whole numbers",
  i8: "64-bit whole numbers", u8: "64-bit whole numbers", f4: "32-bit floats", f8: "64-bit floats",
};

/** What is known of an HDU's pixels, in words. */
export function hduWords(hdu: Hdu): string {
  const parts = [hdu.kind, hdu.shape.length ? sizeOf(hdu.shape) : "no pixels"];
  if (hdu.stored) {
    const unsigned = hdu.stored.startsWith("i") && hdu.bscale === 1 && hdu.bzero === 2 ** (8 * Number(hdu.stored.slice(1)) - 1);
    parts.push((unsigned ? "unsigned " : "") + (STORED[hdu.stored] ?? hdu.stored));
  }
  if (hdu.cfa) parts.push(`Bayer ${hdu.cfa}`);
  if (hdu.has_wcs) parts.push("WCS");
  if (hdu.saturate !== null) parts.push(`saturated from ${hdu.saturate}`);
  if (hdu.reason) parts.push(hdu.reason);
  return parts.join(" · ");
}

/** A size in bytes, in words. */
export function bytes(count: number): string {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${at === 0 ? value : value.toPrecision(3)} ${units[at]}`;
}
