// Numbers and angles as people read them.
import type { Told } from "./answers";

/** A value in data units: whole ones exactly, others with as many digits as tell them apart in a float32. */
export function valueText(value: Told | null): string {
  if (value === null) return "bad";
  if (typeof value === "string" || Number.isInteger(value)) return String(value);
  const shown = Number(value.toPrecision(7));
  return Math.abs(shown) >= 1e7 || Math.abs(shown) < 1e-4 ? shown.toExponential() : String(shown);
}

/** A figure that was computed: five digits. */
export function figure(value: Told | null | undefined, digits = 5): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string" || (Number.isInteger(value) && Math.abs(value) < 1e15)) return String(value);
  const shown = Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(Math.abs(value) + 1)))));
  return shown !== 0 && Math.abs(shown) < 1e-4 ? shown.toExponential() : String(shown);
}

/** An angle as hours (0 to 24) or degrees (with sign), rounded as a whole so that no part reads 60. */
export function sexagesimal(degrees: number, hours: boolean, decimals = hours ? 3 : 2): string {
  const part = 10 ** decimals;
  let total = Math.round((Math.abs(degrees) / (hours ? 15 : 1)) * 3600 * part);
  if (hours) {
    const day = 24 * 3600 * part;
    total = degrees < 0 ? (day - (total % day)) % day : total % day;
  }
  const rest = total % (60 * part);
  const minutes = Math.floor(total / (60 * part));
  const seconds = decimals ? `${two(Math.floor(rest / part))}.${String(rest % part).padStart(decimals, "0")}` : two(rest / part);
  return `${hours ? "" : degrees < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:${seconds}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** An angle of arc seconds in the unit that people use for its size. */
export function angleText(arcsec: number): string {
  if (arcsec >= 3600) return `${round(arcsec / 3600)}°`;
  return arcsec >= 60 ? `${round(arcsec / 60)}′` : `${round(arcsec)}″`;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * A sky position as typed: "05:35:17.3 -05:23:28", "5h35m17.3s -5d23m28s", "05 35 17.3 -05 23 28", "83.822 -5.391".
 * With a separator in it the first one is hours; a single number is degrees, unless it ends in h. `equatorial`: false
 * reads both as degrees. Null: not understood.
 */
export function readPosition(text: string, equatorial = true): [number, number] | null {
  const clean = text.trim().replace(/[,;]/g, " ").replace(/−/g, "-").replace(/\s+/g, " ");
  const parts = clean.split(" ");
  if (parts.length % 2 || parts.length > 6) return null;
  const first = readAngle(parts.slice(0, parts.length / 2).join(":"), equatorial);
  const second = readAngle(parts.slice(parts.length / 2).join(":"), false);
  if (first === null || second === null || Math.abs(second) > 90) return null;
  return [((first % 360) + 360) % 360, second];
}

function readAngle(text: string, hours: boolean): number | null {
  const found = /^([+-]?)(\d+(?:\.\d*)?)(?:([:hd°])(?:(\d+(?:\.\d*)?)[:m'′]?)?(?:(\d+(?:\.\d*)?)[s"″]?)?)?$/i.exec(text);
  if (!found) return null;
  const [, sign, whole = "", mark = "", minutes = "0", seconds = "0"] = found;
  if (Number(minutes) >= 60 || Number(seconds) >= 60) return null;
  const size = Number(whole) + Number(minutes) / 60 + Number(seconds) / 3600;
  const inHours = mark.toLowerCase() === "h" || (mark === ":" && hours);
  return (sign === "-" ? -1 : 1) * size * (inHours ? 15 : 1);
}

const AXIS = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6 });

/** A number beside an axis: short, also where it is very small or large. */
export function axisFigure(value: number | null): string {
  if (value === null) return "";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? Number(value.toPrecision(3)).toExponential() : AXIS.format(value);
}
