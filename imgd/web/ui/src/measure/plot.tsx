// A plot of values along a line, by uPlot; it follows the size of its place and the page's colours.
import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useStore } from "../state/store";
import { axisFigure } from "./words";

export interface PlotProps {
  label: string;
  x: number[];
  y: (number | null)[];
  /** The index of the point that the plot's cursor is at; null: it has left. */
  onPoint: (index: number | null) => void;
}

export function Plot({ label, x, y, onPoint }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const night = useStore((state) => state.night);
  const told = useRef(onPoint);
  told.current = onPoint;
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new UPlot(optionsOf(element, (index) => told.current(index)), [[], []], element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
      told.current(null);
    };
  }, [night]);
  useEffect(() => void plot.current?.setData([x, y]), [x, y, night]);
  return <div ref={place} className="plot" role="img" aria-label={label} />;
}

function optionsOf(element: HTMLElement, onPoint: (index: number | null) => void): UPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis: UPlot.Axis = {
    stroke: colour("quiet"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
  };
  return {
    width: Math.max(100, element.clientWidth),
    height: Math.max(80, element.clientHeight),
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis, size: 24 }, { ...axis, size: 52, values: (_, splits) => splits.map(axisFigure) }],
    series: [{}, { stroke: colour("plot"), width: 1.3, spanGaps: false, points: { show: false } }],
    hooks: { setCursor: [(made) => onPoint(made.cursor.idx ?? null)] },
  };
}
