// The shape that is measured: drawn with a drag, moved and resized by its handles or by keys.
import { useRef } from "react";
import { moveCamera, useStore } from "../state/store";
import type { Shape } from "../state/types";
import type { Point } from "../picture/geometry";
import { fitsToStage, stageToFits, type Chart } from "./compass";
import { drawn, handlesOf, isTiny, moved, resized, shapeWords } from "./handles";
import { pinched } from "./pinch";

/** What a drag does: draw anew, move all of it, or one handle. */
interface Drag {
  pointer: number;
  from: Point; // FITS pixels
  before: Shape | null;
  handle: string | "move" | "draw";
}

const TINY_PX = 4;

export function ShapeLayer({ chart }: { chart: Chart }) {
  const shape = useStore((state) => state.shape);
  const tool = useStore((state) => state.tool);
  const svg = useRef<SVGSVGElement>(null);
  const { begin, ...hand } = useDrag(svg, chart);
  if (!shape && tool === "pan") return null;
  return (
    <svg ref={svg} className={`shapes${tool === "pan" ? "" : " drawing-tool"}`} onPointerDown={(event) => tool !== "pan" && begin(event, "draw")} {...hand}>
      {shape && <ShapeMarks shape={shape} chart={chart} begin={begin} />}
    </svg>
  );
}

type Begin = (event: React.PointerEvent, handle: Drag["handle"]) => void;

function useDrag(svg: React.RefObject<SVGSVGElement | null>, chart: Chart) {
  const drag = useRef<Drag | null>(null);
  const fingers = useRef(new Map<number, Point>());
  const onStage = (event: React.PointerEvent): Point => {
    const { left, top } = svg.current?.getBoundingClientRect() ?? { left: 0, top: 0 };
    return { x: event.clientX - left, y: event.clientY - top };
  };
  const begin: Begin = (event, handle) => {
    const { tool, shape } = useStore.getState();
    if (event.button !== 0 || (handle !== "draw" && tool !== "pan" && tool !== shape?.kind)) return; // Another one is drawn over it.
    event.stopPropagation();
    fingers.current.set(event.pointerId, onStage(event));
    svg.current?.setPointerCapture(event.pointerId);
    if (!event.isPrimary || fingers.current.size > 1) return cancel(drag);
    const from = stageToFits(chart, onStage(event));
    drag.current = { pointer: event.pointerId, from, before: useStore.getState().shape, handle };
  };
  const move = (event: React.PointerEvent) => {
    const before = [...fingers.current.values()];
    if (fingers.current.has(event.pointerId)) fingers.current.set(event.pointerId, onStage(event));
    const [a, b] = before;
    const [c, d] = [...fingers.current.values()];
    if (a && b && c && d) return moveCamera(pinched(chart.camera, chart.stage, [a, b], [c, d]));
    if (drag.current?.pointer !== event.pointerId) return;
    const shape = dragged(drag.current, stageToFits(chart, onStage(event)));
    if (shape) useStore.setState({ shape });
  };
  const end = (event: React.PointerEvent) => {
    fingers.current.delete(event.pointerId);
    if (drag.current?.pointer !== event.pointerId) return;
    const { handle, before } = drag.current;
    drag.current = null;
    const { shape } = useStore.getState();
    if (handle === "draw" && shape !== before && shape && isTiny(shape, TINY_PX / chart.camera.scale)) useStore.setState({ shape: before });
    svg.current?.querySelector<SVGGElement>(".shape")?.focus({ preventScroll: true });
  };
  const lost = (event: React.PointerEvent) => {
    fingers.current.delete(event.pointerId);
    cancel(drag);
  };
  return { begin, onPointerMove: move, onPointerUp: end, onPointerCancel: lost };
}

function dragged({ handle, before, from }: Drag, to: Point): Shape | null {
  if (handle === "draw") return drawn(useStore.getState().tool, from, to);
  if (!before) return null;
  return handle === "move" ? moved(before, { x: to.x - from.x, y: to.y - from.y }) : resized(before, handle, to);
}

function cancel(drag: React.RefObject<Drag | null>): void {
  if (drag.current) useStore.setState({ shape: drag.current.before });
  drag.current = null;
}

function ShapeMarks({ shape, chart, begin }: { shape: Shape; chart: Chart; begin: Begin }) {
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  return (
    <g className="shape" tabIndex={0} role="group" aria-roledescription="shape" aria-label={`${shapeWords(shape)}. Arrows move it, Escape removes it.`} onKeyDown={(event) => onKey(event, shape, chart)}>
      <Outline shape={shape} chart={chart} className="under" />
      <Outline shape={shape} chart={chart} className="line" />
      <g onPointerDown={(event) => begin(event, "move")}>
        <Outline shape={shape} chart={chart} className="grip" />
      </g>
      {handlesOf(shape).map((handle) => {
        const { x, y } = fitsToStage(chart, handle);
        return (
          <g key={handle.at} onPointerDown={(event) => begin(event, handle.at)}>
            <circle className="hold" cx={x} cy={y} r={coarse ? 22 : 11} />
            <circle className="handle" cx={x} cy={y} r={5} />
          </g>
        );
      })}
    </g>
  );
}

function Outline({ shape, chart, className }: { shape: Shape; chart: Chart; className: string }) {
  if (shape.kind === "line") {
    const [a, b] = [fitsToStage(chart, { x: shape.x1, y: shape.y1 }), fitsToStage(chart, { x: shape.x2, y: shape.y2 })];
    return <line className={className} x1={a.x} y1={a.y} x2={b.x} y2={b.y} />;
  }
  if (shape.kind === "circle") {
    const { x, y } = fitsToStage(chart, shape);
    return <circle className={className} cx={x} cy={y} r={shape.radius * chart.camera.scale} />;
  }
  const corners = handlesOf(shape).map((corner) => fitsToStage(chart, corner));
  return <polygon className={className} points={corners.map(({ x, y }) => `${x},${y}`).join(" ")} />;
}

const ARROWS: Readonly<Record<string, Point>> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

/** Arrows move as they point on the screen, whatever way the picture is turned. */
function onKey(event: React.KeyboardEvent, shape: Shape, chart: Chart): void {
  const arrow = ARROWS[event.key];
  if (event.key === "Escape" || event.key === "Delete") useStore.setState({ shape: null });
  else if (arrow) {
    const from = stageToFits(chart, { x: 0, y: 0 });
    const to = stageToFits(chart, arrow);
    const step = (event.shiftKey ? 10 : 1) * chart.camera.scale;
    useStore.setState({ shape: moved(shape, { x: (to.x - from.x) * step, y: (to.y - from.y) * step }) });
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
