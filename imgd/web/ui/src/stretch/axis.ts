// The axis below the histogram: from data units to places 0..1 across the plot and back, linear or logarithmic.

export interface Range {
  low: number;
  high: number;
}

export interface Axis {
  range: Range;
  log: boolean;
  place(value: number): number;
  value(place: number): number;
}

/** How many times finer the logarithmic axis is at its lower end than a linear one would be, about. */
const DEPTH = 1000;

/** Logarithmic counts from the lower end of the range, so that values of any sign have a place. */
export function axisOf(range: Range, log: boolean): Axis {
  const span = range.high - range.low || 1;
  if (!log) {
    return { range, log, place: (value) => (value - range.low) / span, value: (place) => range.low + place * span };
  }
  const whole = Math.log1p(DEPTH);
  return {
    range,
    log,
    place: (value) => {
      const t = ((value - range.low) / span) * DEPTH;
      return (Math.sign(t) * Math.log1p(Math.abs(t))) / whole;
    },
    value: (place) => range.low + (Math.sign(place) * Math.expm1(Math.abs(place) * whole) * span) / DEPTH,
  };
}

/** The range that shows these levels with room at both sides to drag them to. */
export function around(black: number, white: number, log = false): Range {
  const span = white - black || Math.abs(black) || 1;
  return { low: black - (log ? 0.004 : 0.12) * span, high: white + 0.2 * span };
}

/** The axis' range zoomed by a factor (below 1: nearer), the value at `place` staying where it is. */
export function zoomed(axis: Axis, factor: number, place: number): Range {
  return { low: axis.value(place - place * factor), high: axis.value(place + (1 - place) * factor) };
}

/** Moved across by a part of the plot's width. */
export function moved(axis: Axis, by: number): Range {
  return { low: axis.value(by), high: axis.value(1 + by) };
}

/** Round values that divide the axis into `count` or so parts of like width. */
export function ticks(axis: Axis, count: number): number[] {
  const found: number[] = [];
  if (!axis.log) {
    const step = roundStep((axis.range.high - axis.range.low) / count);
    for (let k = Math.ceil(axis.range.low / step); k * step <= axis.range.high; k++) found.push(k * step || 0); // Never -0.
    return found;
  }
  for (let k = 0; k <= count; k++) {
    const value = axis.value(k / count);
    const step = roundStep((axis.value((k + 0.5) / count) - axis.value((k - 0.5) / count)) / 2);
    const round = Math.round(value / step) * step;
    if (round >= axis.range.low && round <= axis.range.high && round !== found.at(-1)) found.push(round);
  }
  return found;
}

/** The round number 1, 2 or 5 times a power of ten that is not below `step`. */
export function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const ratio = step / power;
  return (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10) * power;
}

/** A number as short as it can be told apart from one that is `step` away. */
export function words(value: number, step: number): string {
  if (!Number.isFinite(value)) return "?";
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 1e-4)) {
    const digits = Math.ceil(Math.log10(Math.abs(value) / step));
    return value.toExponential(Math.min(Math.max(digits, 0), 12)).replace("e+", "e");
  }
  const decimals = Math.min(Math.max(Math.ceil(-Math.log10(step) - 1e-9), 0), 12);
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text;
}
