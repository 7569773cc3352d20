// What a row says, in words: times, sizes, exposures.
import type { FrameRow } from "../state/types";

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const SHORT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "2-digit", hour: "2-digit", minute: "2-digit" });
const COUNT = new Intl.NumberFormat("en-US");

export function countWords(count: number): string {
  return COUNT.format(count);
}

export function sizeWords(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = bytes;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${value >= 99.5 || at === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${units[at]}`;
}

export function exposureWords(value: unknown): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return "";
  if (value > 0 && value < 0.1) return `${Number((value * 1000).toPrecision(3))} ms`;
  return `${Number(value.toPrecision(4))} s`;
}

/** The local day of a time, as a key that is equal for equal days; "" if there is no time. */
export function dayOf(modified: string | null): string {
  const time = timeOf(modified);
  return time ? DAY.format(time) : "";
}

/** The time of day where the day is said already, else both. */
export function timeWords(modified: string | null, withDay: boolean): string {
  const time = timeOf(modified);
  return time ? (withDay ? SHORT : CLOCK).format(time) : "";
}

function timeOf(modified: string | null): Date | null {
  const time = modified ? new Date(modified) : null;
  return time && !Number.isNaN(time.getTime()) ? time : null;
}

/** OBJECT, FILTER and EXPTIME, as far as they are known. */
export function headerWords({ hdu }: FrameRow): string[] {
  return [textOf(hdu.OBJECT), textOf(hdu.FILTER), exposureWords(hdu.EXPTIME)].filter((word) => word !== "");
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? "" : String(value).trim();
}

/** What is still to come of the list, in words; "" when all is known. */
export function pendingWords(total: number, described: number, complete: boolean): string {
  if (!complete) return "still looking through the folders";
  return described < total ? `${countWords(described)} of ${countWords(total)} headers read` : "";
}

export function orderIsByDay(order: string): boolean {
  return order === "newest" || order === "oldest";
}
