// Which values the plot shows: it follows black and white, unless somebody has zoomed; while a handle is dragged it rests.
import { useEffect, useMemo, useState } from "react";
import type { Level } from "../state/types";
import { around, axisOf, moved, zoomed, type Axis, type Range } from "./axis";

export interface View {
  axis: Axis;
  log: boolean;
  /** Somebody has zoomed: it does not follow. */
  held: boolean;
  zoom(factor: number, place: number): void;
  move(by: number): void;
  show(range: Range): void;
  follow(): void;
  setLog(log: boolean): void;
}

/** Whether a range shows levels well: both of them, and not too small. */
export function suits(range: Range, log: boolean, { black, white }: Level): boolean {
  const axis = axisOf(range, log);
  const [from, to] = [axis.place(black), axis.place(white)];
  return from >= 0.005 && to <= 0.995 && to - from > 0.2 && (!log || from < 0.6);
}

/** `name`: of the plane; a zoom is forgotten with it. `resting`: a handle is being dragged. */
export function useRange(level: Level | null, name: string | null, resting: boolean): View | null {
  const [held, setHeld] = useState<{ name: string | null; range: Range } | null>(null);
  const [range, setRange] = useState<Range | null>(null);
  const [log, setLog] = useState(false);
  const mine = held?.name === name ? held.range : null;

  useEffect(() => {
    if (level && !resting && !mine && !(range && suits(range, log, level))) setRange(around(level.black, level.white, log));
  }, [level?.black, level?.white, resting, mine, log, range]);

  const seen = mine ?? range ?? (level && around(level.black, level.white, log));
  const axis = useMemo(() => seen && axisOf(seen, log), [seen?.low, seen?.high, log]);
  if (!axis) return null;
  const show = (shown: Range) => {
    const enough = shown.high - shown.low > Math.max(Math.abs(shown.low), Math.abs(shown.high)) * 1e-9;
    if (enough && Number.isFinite(shown.high - shown.low)) setHeld({ name, range: shown });
  };
  return {
    axis,
    log,
    held: mine !== null,
    zoom: (factor, place) => show(zoomed(axis, factor, place)),
    move: (by) => show(moved(axis, by)),
    show,
    follow: () => {
      setHeld(null);
      if (level) setRange(around(level.black, level.white, log));
    },
    setLog: (wanted) => {
      setLog(wanted);
      setHeld(null);
      if (level) setRange(around(level.black, level.white, wanted));
    },
  };
}
