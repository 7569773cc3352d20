// Histograms as the daemon tells them, and how several of one channel, coarse and fine, become one curve of density.
import type { Range } from "./axis";

export interface ChannelHistogram {
  channel: string;
  count: number;
  bad: number;
  exact: boolean;
  edges: number[];
  counts: number[];
  below: number;
  above: number;
}

export interface HistogramAnswer {
  hdu: number;
  plane: number;
  low: number;
  high: number;
  channels: ChannelHistogram[];
}

/** Histograms of one channel, the finest last. */
export type Layers = readonly ChannelHistogram[];

export interface Density {
  values: number[]; // where it is told, ascending
  heights: number[]; // pixels for one data unit from there on
}

/** The part of the good pixels that lies below a value, as the finest layer that knows of it has it. */
export function quantileOf(layers: Layers, value: number): number {
  const layer = [...layers].reverse().find(({ edges }) => within(edges, value));
  if (!layer) {
    const first = layers[0]?.edges[0];
    return first === undefined || value < first ? 0 : 1;
  }
  let below = layer.below;
  for (let at = 0; at < layer.counts.length; at++) {
    const [low = 0, high = 0] = [layer.edges[at], layer.edges[at + 1]];
    if (value < high) return clipped((below + ((layer.counts[at] ?? 0) * (value - low)) / (high - low)) / layer.count);
    below += layer.counts[at] ?? 0;
  }
  return 1;
}

function clipped(part: number): number {
  return Number.isFinite(part) ? Math.min(Math.max(part, 0), 1) : 0;
}

function within(edges: readonly number[], value: number): boolean {
  const [first, last] = [edges[0], edges.at(-1)];
  return first !== undefined && last !== undefined && value >= first && value < last;
}

/** Whether a range is known too coarsely: fewer than `least` bins in it, though values are nearer than that (`step` apart). */
export function tooCoarse(layers: Layers, range: Range, least: number, step = 0): boolean {
  const [whole] = layers;
  const [first, last] = [whole?.edges[0], whole?.edges.at(-1)];
  if (first === undefined || last === undefined) return false;
  const [low, high] = [Math.max(range.low, first), Math.min(range.high, last)];
  const margin = (high - low) * 0.01;
  return low < high && !layers.some(({ edges, exact }) => {
    const [start = 0, second = 0, end = 0] = [edges[0], edges[1], edges.at(-1)];
    const covers = start <= low + margin && end >= high - margin;
    const single = exact && second - start <= step; // There is nothing between whole values.
    return covers && (single || (high - low) / (second - start) >= least);
  });
}

/** One curve of density: of the coarse layers what the finer ones do not know. */
export function densityOf(layers: Layers): Density {
  const found: Density = { values: [], heights: [] };
  const [whole] = layers;
  if (!whole) return found;
  const pieces = cover(layers, { low: -Infinity, high: Infinity }, layers.length - 1);
  for (const { layer, low, high } of pieces) {
    layer.counts.forEach((count, at) => {
      const [start = 0, end = 0] = [layer.edges[at], layer.edges[at + 1]];
      if (end <= low || start >= high) return;
      found.values.push(Math.max(start, low));
      found.heights.push(count / (end - start));
    });
  }
  const last = whole.edges.at(-1);
  if (last !== undefined) {
    found.values.push(last);
    found.heights.push(0);
  }
  return found;
}

interface Piece extends Range {
  layer: ChannelHistogram;
}

/** Cut a range into what the finest layer knows, and, at both sides of it, what the coarser ones do. */
function cover(layers: Layers, range: Range, at: number): Piece[] {
  const layer = layers[at];
  if (!layer || !(range.low < range.high)) return [];
  const [first, last] = [layer.edges[0], layer.edges.at(-1)];
  if (first === undefined || last === undefined) return cover(layers, range, at - 1);
  const inside = { low: Math.max(first, range.low), high: Math.min(last, range.high) };
  if (!(inside.low < inside.high)) return cover(layers, range, at - 1);
  return [
    ...cover(layers, { low: range.low, high: inside.low }, at - 1),
    { layer, ...inside },
    ...cover(layers, { low: inside.high, high: range.high }, at - 1),
  ];
}

/** The range of all values of all channels. */
export function wholeRange(channels: readonly Layers[]): Range | null {
  const lows = channels.flatMap((layers) => layers.flatMap(({ edges }) => edges.slice(0, 1)));
  const highs = channels.flatMap((layers) => layers.flatMap(({ edges }) => edges.slice(-1)));
  if (!lows.length || !highs.length) return null;
  const [low, high] = [Math.min(...lows), Math.max(...highs)];
  return low < high ? { low, high } : null;
}

/** Columns of a plot `width` places wide: of each the highest density in it (0..1 by the logarithm), for each channel. */
export function columns(densities: readonly Density[], place: (value: number) => number, width: number): number[][] {
  const peaks = densities.map(({ values, heights }) => peaksOf(values, heights, place, width));
  const positive = peaks.flat().filter((height) => height > 0);
  if (!positive.length) return peaks;
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  const floor = Math.log(least / 2);
  const depth = Math.log(most * 1.15) - floor;
  return peaks.map((row) => row.map((height) => (height > 0 ? (Math.log(height) - floor) / depth : 0)));
}

function peaksOf(values: number[], heights: number[], place: (value: number) => number, width: number): number[] {
  const row = new Array<number>(width).fill(0);
  for (let at = 0; at + 1 < values.length; at++) {
    const height = heights[at] ?? 0;
    if (!height) continue;
    const from = Math.floor(place(values[at] ?? 0) * width);
    const to = Math.ceil(place(values[at + 1] ?? 0) * width);
    for (let x = Math.max(from, 0); x < Math.min(Math.max(to, from + 1), width); x++) {
      row[x] = Math.max(row[x] ?? 0, height);
    }
  }
  return row;
}
