// One series of the trend: a small plot that shares its pointer with those above and below it.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../state/store";
import { figure, inWords } from "./trend_data";

interface Props {
  label: string;
  unit: string;
  xs: readonly number[];
  ys: readonly (number | null)[];
  time: boolean;
  last: boolean; // The lowest one has the axis.
  mark: number | null; // Which point is on screen.
  hovered: number | null;
  onHover: (at: number | null) => void;
  onChoose: (at: number) => void;
}

const HEIGHT = 74;
const AXIS = 26;

export function TrendPlot(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const night = useStore((state) => state.night);
  const { label, unit, xs, ys, time, last, mark, hovered } = props;
  useEffect(() => {
    const at = place.current;
    if (!at) return;
    const made = new uPlot(optionsOf(at, time, last, () => newest.current), dataOf(newest.current), at);
    plot.current = made;
    made.over.addEventListener("click", () => {
      const index = made.cursor.idx;
      if (index !== null && index !== undefined) newest.current.onChoose(index);
    });
    const resized = new ResizeObserver(() => made.setSize({ width: at.clientWidth, height: made.height }));
    resized.observe(at);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [time, last, night]);
  useEffect(() => void plot.current?.setData(dataOf(newest.current)), [xs, ys, mark]);
  const value = hovered === null ? (ys.findLast((each) => each !== null) ?? null) : (ys[hovered] ?? null);
  return (
    <div className="trend-plot" role="img" aria-label={inWords(label, ys)}>
      <p className="trend-caption" aria-hidden="true">
        <span>{label}</span>
        <span className="numbers">{value === null ? "–" : `${figure(value)} ${unit}`}</span>
      </p>
      <div ref={place} style={{ height: HEIGHT + (last ? AXIS : 0) }} />
    </div>
  );
}

function dataOf({ xs, ys }: Props): uPlot.AlignedData {
  return [[...xs], [...ys]];
}

function optionsOf(at: HTMLElement, time: boolean, last: boolean, now: () => Props): uPlot.Options {
  const style = getComputedStyle(at);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const [line, quiet, grid, accent] = [colour("--plot"), colour("--quiet"), colour("--line"), colour("--accent")];
  const axis = { stroke: quiet, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width: at.clientWidth,
    height: HEIGHT + (last ? AXIS : 0),
    padding: [6, 22, last ? 0 : 6, 0],
    legend: { show: false },
    cursor: { sync: { key: "trend" }, drag: { x: false, y: false }, y: false },
    scales: { x: { time, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) }, y: { range: around } },
    axes: [
      { ...axis, show: last, size: AXIS, space: 60, ...(time && { values: clockTimes }) },
      { ...axis, size: 50, space: 18, values: (_, splits) => splits.map(shortFigure) },
    ],
    series: [{}, { stroke: line, width: 1.5, points: { show: true, size: 5, fill: line }, spanGaps: false }],
    hooks: {
      setCursor: [(plot) => now().onHover(plot.cursor.idx ?? null)],
      draw: [(plot) => drawMark(plot, now(), accent)],
    },
  };
}

/** Some air above and below; what hardly changes looks as if it hardly changed. */
function around(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const middle = (low + high) / 2;
  const half = Math.max((high - low) * 0.6, Math.abs(middle) * 0.02) || 1;
  return [middle - half, middle + half];
}

/** The person's own time of day; the day where frames are days apart. */
function clockTimes(_: uPlot, splits: number[], __: number, ___: number, step: number): string[] {
  const two = (value: number) => String(value).padStart(2, "0");
  const texts = splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    if (step >= 86400) return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return step < 60 ? `${time}:${two(at.getSeconds())}` : time;
  });
  return texts.map((text, at) => (text === texts[at - 1] ? "" : text)); // Parts of a second have no text of their own.
}

function shortFigure(value: number): string {
  const size = Math.abs(value);
  return size >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}

/** A line through the frame that is on screen. */
function drawMark({ ctx, bbox, valToPos }: uPlot, { xs, mark }: Props, colour: string): void {
  const x = mark === null ? undefined : xs[mark];
  if (x === undefined) return;
  const left = Math.round(valToPos(x, "x", true));
  ctx.save();
  ctx.fillStyle = colour;
  ctx.globalAlpha = 0.7;
  ctx.fillRect(left - 1, bbox.top, 2, bbox.height);
  ctx.restore();
}
