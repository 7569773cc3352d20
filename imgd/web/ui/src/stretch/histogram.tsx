// The histogram with its handles, the curve over it, and the buttons that choose which values it shows.
import { useEffect, useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import { activePane, useStore } from "../state/store";
import type { Level, Shown } from "../state/types";
import { clamp, grey, type Curve } from "./curve";
import { Handles } from "./handles";
import { curveOf, levelOf, type Channel } from "./levels";
import { dataOf, makePlot, PLOT_HEIGHT, type Drawn } from "./plot";
import { columns, densityOf, wholeRange } from "./spectrum";
import { planeKey, useHistogram, type Histogram } from "./use_histogram";
import { useRange, type View } from "./use_range";

export function HistogramPart({ shown, levels, channel }: { shown: Shown; levels: readonly Level[]; channel: Channel }) {
  const look = useStore((state) => activePane(state).look);
  const ref = useStore((state) => activePane(state).ref);
  const [resting, setResting] = useState(false);
  const level = levelOf(levels, channel);
  const view = useRange(shown.levels ? level : null, planeKey(shown), resting);
  const histogram = useHistogram(shown, view?.axis.range ?? null);
  const curve = curveOf(look);
  if (!view) return <p className="quiet">The levels are not known yet.</p>;
  return (
    <div className="histogram">
      <PlotBox view={view} histogram={histogram} levels={levels} curve={curve}>
        <Handles axis={view.axis} level={level} curve={curve} channel={channel} plane={`${ref} ${planeKey(shown)}`} onRest={setResting} />
      </PlotBox>
      {histogram.wrong && (
        <p className="wrong" role="alert">
          No histogram: {histogram.wrong} <button type="button" className="plain" onClick={histogram.retry}>Try again</button>
        </p>
      )}
      <RangeButtons view={view} histogram={histogram} />
      <Counted histogram={histogram} />
    </div>
  );
}

interface BoxProps {
  view: View;
  histogram: Histogram;
  levels: readonly Level[];
  curve: Curve;
  children: React.ReactNode;
}

function PlotBox({ view, histogram, levels, curve, children }: BoxProps) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  useWheel(box, view);
  const densities = useMemo(() => histogram.channels.map(densityOf), [histogram.channels]);
  const drawn = useMemo((): Drawn => {
    const { axis } = view;
    const histograms = densities.length ? columns(densities, axis.place, width) : [new Array<number>(width).fill(0)];
    const alike = levels.every((level) => level.black === levels[0]?.black && level.white === levels[0]?.white && level.mid === levels[0]?.mid);
    const curves = (alike ? levels.slice(0, 1) : levels).map((level) =>
      Array.from({ length: width }, (_, at) => grey(curve, level, axis.value((at + 0.5) / width))),
    );
    return { axis, histograms, curves };
  }, [densities, view.axis, width, levels, curve.stretch, curve.power]);
  const plot = useRef<HTMLDivElement>(null);
  usePlot(plot, drawn, width);
  return (
    <div ref={box} className="plot-box" aria-busy={histogram.busy}>
      <div ref={plot} className="plot" role="img" aria-label="Histogram of the values, logarithmic, and the curve that turns them into greys" />
      {children}
      {histogram.busy && <span className="plot-busy quiet">Counting…</span>}
    </div>
  );
}

function usePlot(element: React.RefObject<HTMLDivElement | null>, drawn: Drawn, width: number): void {
  const now = useRef(drawn);
  const plot = useRef<uPlot | null>(null);
  const night = useStore((state) => state.night);
  now.current = drawn;
  useEffect(() => {
    if (!element.current) return;
    plot.current = makePlot(element.current, now.current, () => now.current);
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [drawn.histograms.length, drawn.curves.length]);
  useEffect(() => {
    if (plot.current && plot.current.width !== width) plot.current.setSize({ width, height: PLOT_HEIGHT });
    plot.current?.setData(dataOf(drawn), false);
    plot.current?.redraw(true, true); // The numbers below follow the axis, of which uPlot knows nothing.
  }, [drawn, width, night]);
}

function useWidth(box: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(340);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(50, Math.floor(element.clientWidth))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** Wheel: nearer and farther; with Shift, or sideways: across. React's own listeners could not keep the panel from scrolling. */
function useWheel(box: React.RefObject<HTMLElement | null>, view: View): void {
  const newest = useRef(view);
  newest.current = view;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const turned = (event: WheelEvent) => {
      event.preventDefault();
      const { left, width } = element.getBoundingClientRect();
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) newest.current.move(clamp(sideways / width, -0.3, 0.3));
      else newest.current.zoom(Math.exp(clamp(event.deltaY / 300, -0.5, 0.5)), (event.clientX - left) / width);
    };
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, []);
}

function RangeButtons({ view, histogram }: { view: View; histogram: Histogram }) {
  const whole = wholeRange(histogram.channels);
  return (
    <div className="row range-buttons" role="group" aria-label="Which values the histogram shows">
      <button type="button" className="plain" aria-label="Zoom out of the histogram" title="Farther" onClick={() => view.zoom(2, 0.5)}>−</button>
      <button type="button" className="plain" aria-label="Zoom into the histogram" title="Nearer" onClick={() => view.zoom(0.5, 0.5)}>+</button>
      <button type="button" className="plain" aria-pressed={!view.held} title="Show black to white" onClick={view.follow}>Levels</button>
      <button type="button" className="plain" disabled={!whole} title="Show all values" onClick={() => whole && view.show(whole)}>All values</button>
      <label className="check">
        <input type="checkbox" checked={view.log} onChange={(event) => view.setLog(event.target.checked)} /> log x
      </label>
    </div>
  );
}

function Counted({ histogram }: { histogram: Histogram }) {
  const wholes = histogram.channels.flatMap((layers) => layers.slice(0, 1));
  if (!wholes.length) return null;
  const sum = (of: "count" | "bad") => wholes.reduce((total, layer) => total + layer[of], 0);
  const bad = sum("bad");
  return (
    <p className="counted quiet numbers">
      {sum("count").toLocaleString("en")} pixels{bad > 0 && `, ${bad.toLocaleString("en")} without a value`}; counts are logarithmic
    </p>
  );
}
