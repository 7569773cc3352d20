// The histogram of the plane that is shown: all of it, most of it finer, and finest what the plot shows of it.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { shownHdu } from "../picture/geometry";
import { address, getJson, planeOf } from "../protocol/http";
import type { Shown } from "../state/types";
import type { Range } from "./axis";
import { quantileOf, tooCoarse, type ChannelHistogram, type HistogramAnswer, type Layers } from "./spectrum";

const BINS = 512;

export interface Histogram {
  /** Of each channel the layers, coarse to fine. */
  channels: readonly Layers[];
  busy: boolean;
  wrong: string | null;
  retry(): void;
}

/** Names the plane that is shown: as long as it stays, so does its histogram. */
export function planeKey(shown: Shown): string {
  const { hdu, plane, rgb, color } = shown.look;
  return JSON.stringify([shown.ref, hdu, plane, rgb, color]);
}

/** How far apart values are that are stored as whole numbers. */
function stepOf({ facts, look }: Shown): number {
  return Math.abs(shownHdu(facts, look)?.bscale ?? 1);
}

type Asked = { low: number; high: number; bins: number };

/** Of each channel as many bins between two quantiles. */
export async function askHistogram(shown: Shown, asked: Asked, signal: AbortSignal): Promise<ChannelHistogram[]> {
  const { look, ref } = shown;
  if (!look.rgb) {
    const query = { frame: ref, ...planeOf(look), color: look.color ?? "auto", ...asked };
    return (await getJson<HistogramAnswer>(address("histogram", query), signal)).channels;
  }
  const places = look.rgb.split(",").map((place) => place.split(":"));
  const answers = await Promise.all(
    places.map(([hdu, plane = "0"]) =>
      getJson<HistogramAnswer>(address("histogram", { frame: ref, hdu, plane, color: "mono", ...asked }), signal),
    ),
  );
  return answers.flatMap(({ channels }) => channels.slice(0, 1));
}

/** Counts how often the pixels have changed under the same look: the daemon then finds other levels by itself. */
function useVersion(shown: Shown | null): number {
  const last = useRef({ shown, version: 0 });
  const { shown: before, version } = last.current;
  const same = before && shown && before.ref === shown.ref && before.look === shown.look && before.levels && shown.levels;
  const other = same && before.levels !== shown.levels && JSON.stringify(before.levels) !== JSON.stringify(shown.levels);
  last.current = { shown, version: version + (other ? 1 : 0) };
  return last.current.version;
}

/** Ask for the plane's histogram; `range`: what the plot shows, which is asked for anew when it is known too coarsely. */
export function useHistogram(shown: Shown | null, range: Range | null): Histogram {
  const key = shown && planeKey(shown);
  const version = useVersion(shown);
  const [base, setBase] = useState<readonly Layers[]>([]);
  const [fine, setFine] = useState<readonly ChannelHistogram[]>([]);
  const [state, setState] = useState<{ busy: boolean; wrong: string | null }>({ busy: false, wrong: null });
  const [again, setAgain] = useState(0);
  const retry = useCallback(() => setAgain((count) => count + 1), []);

  useEffect(() => {
    if (!shown) return;
    const leaving = new AbortController();
    const slow = setTimeout(() => setState({ busy: true, wrong: null }), 300);
    askBase(shown, leaving.signal).then(
      (layers) => {
        setBase(layers);
        setFine([]);
        setState({ busy: false, wrong: null });
      },
      (error: unknown) => {
        if (!leaving.signal.aborted) setState({ busy: false, wrong: error instanceof Error ? error.message : String(error) });
      },
    ).finally(() => clearTimeout(slow));
    return () => {
      clearTimeout(slow);
      leaving.abort();
    };
  }, [key, version, again]);

  useEffect(() => {
    if (!shown || !range || !base.some((layers) => tooCoarse(layers, range, 100, stepOf(shown)))) return;
    const leaving = new AbortController();
    const asked = { low: lowest(base, range), high: highest(base, range), bins: BINS };
    if (!(asked.low < asked.high)) return;
    const rested = setTimeout(() => {
      askHistogram(shown, asked, leaving.signal).then(setFine, () => undefined); // Without it the plot is coarse, no more.
    }, 120);
    return () => {
      clearTimeout(rested);
      leaving.abort();
    };
  }, [base, range?.low, range?.high]);

  const channels = useMemo(() => base.map((layers, at) => layered(layers, fine[at])), [base, fine]);
  return { channels, ...state, retry };
}

async function askBase(shown: Shown, signal: AbortSignal): Promise<Layers[]> {
  const [whole, most] = await Promise.all([
    askHistogram(shown, { low: 0, high: 1, bins: 1024 }, signal),
    askHistogram(shown, { low: 0.0002, high: 0.9995, bins: BINS }, signal),
  ]);
  return whole.map((layer, at) => layered([layer], most[at]));
}

/** With one more layer, coarse to fine. */
function layered(layers: Layers, more: ChannelHistogram | undefined): Layers {
  const width = ({ edges }: ChannelHistogram) => (edges[1] ?? 0) - (edges[0] ?? 0);
  return more?.counts.length ? [...layers, more].sort((one, other) => width(other) - width(one)) : layers;
}

function lowest(channels: readonly Layers[], range: Range): number {
  return Math.min(...channels.map((layers) => quantileOf(layers, range.low)));
}

function highest(channels: readonly Layers[], range: Range): number {
  return Math.max(...channels.map((layers) => quantileOf(layers, range.high)));
}
