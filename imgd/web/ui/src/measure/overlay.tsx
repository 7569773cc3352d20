// What is drawn over a pane's picture: stars, grid, compass, scale bar, marks, and the shape that is measured.
import { useLayoutEffect, useMemo, useRef } from "react";
import { paneOf, useStore } from "../state/store";
import type { Camera, Shown } from "../state/types";
import { fitsToStage, lieOf, type Chart, type Size } from "./compass";
import { coloursOf, cornersOf, paintBar, paintCompass, paintFound, paintGrid, paintProbe, paintStars } from "./paint";
import { useSky } from "./place";
import { ShapeLayer } from "./shape_layer";
import { StarNumbers } from "./star_numbers";
import { useStars } from "./stars_asked";
import "./overlay.css";

/** `camera` is resolved. */
export function Overlay({ pane, camera, stage }: { pane: number; camera: Camera; stage: Size }) {
  const shown = useStore((state) => paneOf(state, pane)?.shown ?? null);
  const active = useStore((state) => state.active === pane);
  const pointed = useStore((state) => (state.cursor?.pane ?? state.active) === pane);
  const geometry = shown?.geometry;
  const chart = useMemo(() => geometry && { geometry, camera, stage }, [geometry, camera, stage]);
  if (!shown || !chart || stage.width < 1 || stage.height < 1) return null;
  return (
    <div className="overlay">
      <Drawing shown={shown} chart={chart} active={active} />
      {active && <ShapeLayer chart={chart} />}
      {pointed && <StarNumbers shown={shown} chart={chart} />}
    </div>
  );
}

function Drawing({ shown, chart, active }: { shown: Shown; chart: Chart; active: boolean }) {
  const overlays = useStore((state) => state.overlays);
  const night = useStore((state) => state.night);
  const marks = useStore((state) => state.marks);
  const sky = useSky(overlays.grid || overlays.compass || overlays.scalebar ? shown : null).answer;
  const stars = useStars(shown, overlays.stars).answer;
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current && prepared(canvas.current, chart.stage);
    if (!canvas.current || !context) return;
    const colours = coloursOf(canvas.current);
    const { bar, compass } = cornersOf(chart.stage);
    const lie = sky?.grid?.vectors ? lieOf(chart, sky.grid) : null;
    const taken = [...(overlays.scalebar ? [bar] : []), ...(overlays.compass ? [compass] : [])];
    if (overlays.stars && stars) paintStars(context, chart, stars.stars, colours);
    if (overlays.grid && sky) paintGrid(context, chart, sky, colours, taken);
    if (overlays.compass) paintCompass(context, chart, lie, colours, { x: compass.x + 50, y: compass.y + compass.height / 2 });
    if (overlays.scalebar) paintBar(context, chart, lie, colours, bar);
    if (active && marks.found) paintFound(context, fitsToStage(chart, marks.found), marks.found.words, colours);
    if (active && marks.probe) paintProbe(context, fitsToStage(chart, marks.probe), colours);
  }, [chart, overlays, night, marks, active, sky, stars]);
  return <canvas ref={canvas} className="drawing" aria-hidden="true" />;
}

/** Cleared, and as sharp as the screen. */
function prepared(canvas: HTMLCanvasElement, { width, height }: Size): CanvasRenderingContext2D | null {
  const dpr = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  const context = canvas.getContext("2d");
  context?.setTransform(dpr, 0, 0, dpr, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
