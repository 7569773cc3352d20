// Tables to take away: comma-separated text, and the download of it.
import type { ProfileAnswer, StarsAnswer } from "./answers";

type Cell = string | number | null;

export function csvOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return `${[columns, ...rows].map((row) => row.map(cellText).join(",")).join("\r\n")}\r\n`;
}

/** Text that would break the table, or be taken for a formula, is quoted. */
function cellText(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  const plain = /^[=+\-@\t]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export function profileCsv({ distance, x, y, value, good }: ProfileAnswer): string {
  return csvOf(
    ["distance_px", "x", "y", "value", "samples"],
    distance.map((each, at) => [each, x[at] ?? null, y[at] ?? null, value[at] ?? null, good[at] ?? null]),
  );
}

/** `place`: the sky position of a star, for the frames that have one. */
export function starsCsv({ stars }: StarsAnswer, axes: readonly string[], place: ((x: number, y: number) => [number, number] | null) | null): string {
  return csvOf(
    ["x", "y", ...(place ? axes : []), "flux", "peak", "fwhm_px", "hfr_px", "ellipticity", "saturated", "flags"],
    stars.map((star) => [
      star.x,
      star.y,
      ...(place ? (place(star.x, star.y) ?? [null, null]) : []),
      star.flux,
      star.peak,
      star.fwhm,
      star.hfr,
      star.ellipticity,
      star.saturated ? 1 : 0,
      star.flags.join("; "),
    ]),
  );
}

export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
