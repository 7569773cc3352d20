// Round steps between the lines of a grid, and what their labels say.
import type { SkyAnswer } from "./answers";

const SECONDS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600];
const HOURS = [...SECONDS, 7200, 10800].map((seconds) => seconds / 240); // As degrees.
const DEGREES = [...SECONDS, 7200, 18000, 36000, 54000, 108000].map((seconds) => seconds / 3600);

/** The least round step that is not below `degrees`. */
export function longitudeStep(degrees: number, hours: boolean): number {
  return hours ? pick(HOURS, degrees, 45) : pick(DEGREES, degrees, 30);
}

export function latitudeStep(degrees: number): number {
  return pick(DEGREES, degrees, 30);
}

function pick(steps: readonly number[], wanted: number, last: number): number {
  const first = steps[0] ?? 1;
  if (wanted <= first / 2) return first * plainStep(wanted / first);
  return steps.find((step) => step >= wanted * (1 - 1e-9)) ?? last;
}

/** 1, 2 or 5 times a power of ten, not below `wanted`. */
export function plainStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(wanted) + 1e-9);
  return ([1, 2, 5].find((digit) => digit * power >= wanted * (1 - 1e-9)) ?? 10) * power;
}

/** A label says as much as tells the lines apart. */
export function labelText(sky: Pick<SkyAnswer, "kind" | "system" | "axes">, axis: 0 | 1, value: number, step: number): string {
  if (sky.kind === "linear") {
    const { name = "", unit = "" } = sky.axes[axis] ?? {};
    return `${name ? `${name} ` : ""}${plain(value, step)}${unit ? ` ${unit}` : ""}`;
  }
  if (sky.system === "equatorial" && axis === 0) return parted(value / 15, step / 15, ["h", "m", "s"], false);
  return parted(value, step, ["°", "′", "″"], axis === 1);
}

function plain(value: number, step: number): string {
  if (Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)) return value.toExponential(3);
  return value.toFixed(decimalsOf(step));
}

function decimalsOf(step: number): number {
  return Math.max(0, Math.min(12, Math.ceil(-Math.log10(step) - 1e-9)));
}

function parted(value: number, step: number, marks: readonly [string, string, string], signed: boolean): string {
  const seconds = step * 3600;
  const decimals = seconds < 0.9999 ? decimalsOf(seconds) : 0;
  const part = 10 ** decimals;
  const total = Math.round(Math.abs(value) * 3600 * part);
  const whole = Math.floor(total / (3600 * part));
  const minutes = Math.floor(total / (60 * part)) % 60;
  const rest = (total % (60 * part)) / part;
  const sign = !signed || total === 0 ? "" : value < 0 ? "−" : "+";
  let text = `${sign}${whole}${marks[0]}`;
  if (seconds % 3600 > 1e-6 && 3600 - (seconds % 3600) > 1e-6) text += `${two(minutes)}${marks[1]}`;
  if (seconds % 60 > 1e-6 && 60 - (seconds % 60) > 1e-6) {
    text += `${two(Math.floor(rest))}${decimals ? `.${(rest % 1).toFixed(decimals).slice(2)}` : ""}${marks[2]}`;
  }
  return text;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
