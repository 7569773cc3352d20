// The trend as plots and as a table: pure.
import type { FrameRow } from "../state/types";
import type { Measured, Measures } from "./collect";

export interface Point {
  row: FrameRow;
  measured: Measured | null;
}

export const SERIES: readonly { key: keyof Measures; label: string; unit: string }[] = [
  { key: "hfr", label: "HFR", unit: "px" },
  { key: "fwhm", label: "FWHM", unit: "px" },
  { key: "background", label: "Background", unit: "" },
  { key: "noise", label: "Noise σ", unit: "" },
  { key: "stars", label: "Stars", unit: "" },
];

/** When a frame was taken, if its header says it; else when its file was written. Seconds since 1970. */
export function timeOf(row: FrameRow): number | null {
  const said = row.hdu["DATE-OBS"];
  const observed = typeof said === "string" ? Date.parse(withZone(said)) : Number.NaN;
  const ms = Number.isNaN(observed) && row.modified !== null ? Date.parse(row.modified) : observed;
  return Number.isNaN(ms) ? null : ms / 1000;
}

/** Headers give UTC without saying it. */
function withZone(text: string): string {
  return /T.*(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : text.includes("T") ? `${text}Z` : text;
}

/** Oldest first; by time, frames without one are left out. */
export function alongX(points: readonly Point[], axis: "time" | "number"): { points: Point[]; xs: number[] } {
  const oldest = [...points].reverse();
  if (axis === "number") return { points: oldest, xs: oldest.map((_, at) => at + 1) };
  const timed = oldest
    .map((point) => ({ point, time: timeOf(point.row) }))
    .filter((each): each is { point: Point; time: number } => each.time !== null)
    .sort((a, b) => a.time - b.time);
  return { points: timed.map(({ point }) => point), xs: timed.map(({ time }) => time) };
}

export function valueOf({ measured }: Point, key: keyof Measures): number | null {
  return measured && "measures" in measured ? measured.measures[key] : null;
}

export function figure(value: number | null): string {
  if (value === null) return "–";
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size < 0.1 ? String(Number(value.toPrecision(3))) : size < 100 ? value.toFixed(2) : value.toFixed(1);
}

/** What a plot says to who cannot see it. */
export function inWords(label: string, values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  if (!known.length) return `${label}: nothing measured yet`;
  return `${label} of ${known.length} frames: newest ${figure(known[known.length - 1] ?? null)}, lowest ${figure(Math.min(...known))}, highest ${figure(Math.max(...known))}`;
}

/** A table for spreadsheets, oldest first. */
export function csvOf(points: readonly Point[]): string {
  const lines = [...points].reverse().map((point) => {
    const { row, measured } = point;
    const why = measured && "why" in measured ? measured.why : "";
    return [row.name, row.modified ?? "", row.hdu["DATE-OBS"] ?? "", ...SERIES.map(({ key }) => valueOf(point, key) ?? ""), why];
  });
  const head = ["frame", "modified", "observed", ...SERIES.map(({ key }) => key), "why_not"];
  return [head, ...lines].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

/** A name that a spreadsheet would take for a formula becomes text. */
function quoted(value: string | number | boolean): string {
  const text = typeof value === "string" && /^[=+\-@\t]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
