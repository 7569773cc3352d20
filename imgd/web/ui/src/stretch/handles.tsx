// The three handles over the histogram: dragged by mouse or finger, moved by keys; double click brings one back.
import { useLayoutEffect, useRef, type KeyboardEvent, type PointerEvent } from "react";
import type { Level } from "../state/types";
import { dragHandle, putHandle, resetHandle } from "./act";
import { words, type Axis } from "./axis";
import { clamp, type Curve } from "./curve";
import { valueAt, type Channel, type Handle } from "./levels";

const HANDLES: readonly Handle[] = ["black", "mid", "white"];
const NAMES: Record<Handle, string> = { black: "Black level", mid: "Midtone", white: "White level" };
const FINER = 0.1;

interface Props {
  axis: Axis;
  level: Level;
  curve: Curve;
  channel: Channel;
  /** Names the plane; a drag ends with it. */
  plane: string;
  onRest(dragging: boolean): void;
}

export function Handles(props: Props) {
  return (
    <div className="handles">
      {HANDLES.map((handle) => (
        <Slider key={handle} handle={handle} {...props} />
      ))}
    </div>
  );
}

/** How a number is told: as fine as a five-hundredth of what lies between black and white. */
export function told(value: number, { black, white }: Level): string {
  return words(value, (white - black) / 500 || 1);
}

function Slider({ axis, level, curve, channel, plane, handle, onRest }: Props & { handle: Handle }) {
  const value = valueAt(level, handle, curve);
  const place = axis.place(value);
  const drag = useDrag(place, (to) => dragHandle([channel, handle, axis.value(to)]), onRest, plane);
  const text = handle === "mid" ? `${told(value, level)}, midtone ${level.mid.toPrecision(3)}` : told(value, level);
  return (
    <div
      className={`handle ${handle}`}
      role="slider"
      tabIndex={0}
      aria-label={NAMES[handle]}
      aria-orientation="horizontal"
      aria-valuemin={Math.min(axis.range.low, value)}
      aria-valuemax={Math.max(axis.range.high, value)}
      aria-valuenow={value}
      aria-valuetext={text}
      title={`${NAMES[handle]} ${text}; double click: back to automatic`}
      style={{ left: `${clamp(place, 0, 1) * 100}%` }}
      onKeyDown={(event) => {
        const to = keyTo(event, place);
        if (to === "back") void resetHandle(channel, handle);
        else if (to !== null) putHandle(channel, handle, axis.value(to));
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
      onDoubleClick={() => void resetHandle(channel, handle)}
      {...drag}
    >
      <span className="grip" aria-hidden="true" />
    </div>
  );
}

/** Where a key takes a handle: by a hundredth of the plot, by a tenth with Page keys, ten times finer with Shift. */
export function keyTo(event: Pick<KeyboardEvent, "key" | "shiftKey">, place: number): number | "back" | null {
  const step = event.shiftKey ? 0.01 * FINER : 0.01;
  switch (event.key) {
    case "ArrowRight":
    case "ArrowUp":
      return place + step;
    case "ArrowLeft":
    case "ArrowDown":
      return place - step;
    case "PageUp":
      return place + step * 10;
    case "PageDown":
      return place - step * 10;
    case "Home":
      return 0;
    case "End":
      return 1;
    case "Backspace":
    case "Delete":
      return "back";
    default:
      return null;
  }
}

/** Drag by steps of the pointer, so that Shift can make them finer at any time. */
function useDrag(place: number, to: (place: number) => void, onRest: (dragging: boolean) => void, plane: string) {
  const held = useRef<{ id: number; x: number; place: number; width: number } | null>(null);
  useLayoutEffect(() => () => {
    if (!held.current) return;
    held.current = null;
    dragHandle.drop(); // It was meant for the plane before.
    onRest(false);
  }, [plane]);
  const end = (event: PointerEvent) => {
    if (held.current?.id !== event.pointerId) return;
    held.current = null;
    dragHandle.flush();
    onRest(false);
  };
  return {
    onPointerDown: (event: PointerEvent<HTMLElement>) => {
      if (event.button !== 0) return;
      const width = event.currentTarget.parentElement?.clientWidth ?? 1;
      held.current = { id: event.pointerId, x: event.clientX, place: clamp(place, 0, 1), width };
      event.currentTarget.setPointerCapture(event.pointerId);
      onRest(true);
    },
    onPointerMove: (event: PointerEvent) => {
      const now = held.current;
      if (now?.id !== event.pointerId || event.clientX === now.x) return;
      now.place += ((event.clientX - now.x) / now.width) * (event.shiftKey ? FINER : 1);
      now.x = event.clientX;
      to(now.place);
    },
    onPointerUp: end,
    onPointerCancel: end,
    onLostPointerCapture: end,
  };
}
