// Hooks: a folder as it is now, the trend of its frames, and a clock.
import { useEffect, useMemo, useReducer, useRef, useState } from "react";
import { newPane, useStore } from "../state/store";
import type { Pane } from "../state/types";
import { watchFolder, type Folder } from "./folder";
import { Collector, measuredOf, type Plane } from "./collect";
import type { Point } from "./trend_data";

/** What a folder holds; null until it is known. The old one stays while it is listed again. */
export function useFolder(dir: string, limit: number): { folder: Folder | null; again: () => void } {
  const [folder, setFolder] = useState<Folder | null>(null);
  const watch = useRef<ReturnType<typeof watchFolder> | null>(null);
  useEffect(() => {
    const begun = watchFolder(dir, limit, setFolder);
    watch.current = begun;
    return begun.stop;
  }, [dir, limit]);
  return { folder: folder?.dir === dir ? folder : null, again: () => watch.current?.again() };
}

/** The last frames of a folder with what is measured of them, the newest first; measured for as long as it is used. */
export function useTrend(folder: Folder | null, count: number, plane: Plane): { points: Point[]; waiting: string | null } {
  const [version, changed] = useReducer((n: number) => n + 1, 0);
  const collector = useMemo(() => new Collector(changed, undefined, isPainting), []);
  const { hdu, plane: number } = plane;
  const shown = useMemo(() => folder?.frames.slice(0, count) ?? [], [folder, count]);
  const of = useMemo(() => ({ ...(hdu !== undefined && { hdu }), ...(number !== undefined && { plane: number }) }), [hdu, number]);
  useEffect(() => collector.want(shown, of), [collector, shown, of]);
  useEffect(() => () => collector.end(), [collector]);
  const points = useMemo(() => shown.map((row) => ({ row, measured: measuredOf(row, of) })), [shown, of, version]);
  return { points, waiting: collector.waiting };
}

/** Whether a picture is on its way: somebody waits for that. */
function isPainting(): boolean {
  return useStore.getState().panes.some(({ ref, shown, run, trouble }) => run?.state === "running" || (ref !== null && !trouble && shown?.ref !== ref));
}

/** The pane that a panel is about: the active one, but the same one for as long as panes blink. */
export function useSteadyPane(): Pane {
  const panes = useStore((state) => state.panes);
  const active = useStore((state) => state.active);
  const blinks = useStore((state) => state.layout === "blink" && state.blink.playing);
  const steady = useRef(active);
  if (!blinks) steady.current = active;
  return panes.find(({ id }) => id === steady.current) ?? panes.find(({ id }) => id === active) ?? newPane(active);
}

/** The time, told every second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
