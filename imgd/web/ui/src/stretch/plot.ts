// The histogram and the curve as uPlot draws them: x is the place across the plot (0..1), y the height (0..1).
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { ticks, words, type Axis } from "./axis";

export const PLOT_HEIGHT = 176; // CSS pixels, with what is below the plot
export const GRIPS = 26; // between the plot and its numbers: the grips of black and white
export const FOOT = GRIPS + 20;

/** What is drawn: columns of equal width, heights 0..1; `curve`: the greys that they get, one for each curve. */
export interface Drawn {
  axis: Axis;
  histograms: readonly number[][];
  curves: readonly number[][];
}

/** Colours of the channels: of one it is the page's. Canvas colours cannot name variables. */
const CHANNEL_COLOURS = ["#ff7a6b", "#6fd58b", "#6ea8ff"] as const;

function variable(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function colourOf(plot: uPlot, at: number, count: number, curve: boolean): string {
  const night = plot.root.closest(".night") !== null;
  if (count === 1 || night) return variable(plot.root, curve ? "--accent" : "--plot");
  return CHANNEL_COLOURS[at] ?? "#ffffff";
}

/** Make a plot for so many histograms and curves inside an element. */
export function makePlot(inside: HTMLElement, first: Drawn, now: () => Drawn): uPlot {
  const { histograms, curves } = first;
  const count = histograms.length;
  const options: uPlot.Options = {
    width: Math.max(inside.clientWidth, 50),
    height: PLOT_HEIGHT,
    padding: [0, 0, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
    axes: [placesAxis(now), { show: false }],
    series: [
      {},
      ...histograms.map((_, at): uPlot.Series => ({
        stroke: (plot) => colourOf(plot, at, count, false),
        fill: (plot) => `${colourOf(plot, at, count, false)}33`,
        width: 1,
        points: { show: false },
      })),
      ...curves.map((_, at): uPlot.Series => ({
        stroke: (plot) => colourOf(plot, at, curves.length, true),
        width: 1.5,
        dash: count > 1 ? [5, 3] : [],
        points: { show: false },
      })),
    ],
  };
  return new uPlot(options, dataOf(first), inside);
}

function placesAxis(now: () => Drawn): uPlot.Axis {
  const labels = () => {
    const { axis } = now();
    return ticks(axis, 5).map((value) => ({ value, place: axis.place(value) })).filter(({ place }) => place > 0.04 && place < 0.96);
  };
  return {
    size: FOOT,
    gap: GRIPS,
    stroke: (plot) => variable(plot.root, "--quiet"),
    grid: { stroke: (plot) => variable(plot.root, "--line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
    splits: () => labels().map(({ place }) => place),
    values: () => spoken(labels().map(({ value }) => value)),
  };
}

/** Numbers below the plot, none with more digits than it needs to be told from its neighbour. */
export function spoken(values: readonly number[]): string[] {
  return values.map((value, at) => {
    const near = [values[at - 1], values[at + 1]].filter((other) => other !== undefined);
    return words(value, Math.min(...near.map((other) => Math.abs(other - value)), Math.abs(value) || 1) / 2);
  });
}

/** The same numbers as uPlot takes them. */
export function dataOf({ histograms, curves }: Drawn): uPlot.AlignedData {
  const width = histograms[0]?.length ?? curves[0]?.length ?? 0;
  const places = Array.from({ length: width }, (_, at) => (at + 0.5) / width);
  return [places, ...histograms, ...curves];
}
