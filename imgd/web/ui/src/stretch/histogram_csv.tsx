// The histogram as a table: asked for in as many bins as the daemon gives, saved as CSV.
import { useEffect, useRef, useState } from "react";
import { csvOf, download } from "../measure/csv";
import { COLOURS } from "../measure/subject";
import { fileName } from "../shell/names";
import type { Shown } from "../state/types";
import type { ChannelHistogram } from "./spectrum";
import { askHistogram, planeKey } from "./use_histogram";

const BINS = 4096;
const SLOW_MS = 300;

/** A row for each bin: from its lower edge up to its upper one, how many pixels have such a value. */
export function histogramCsv(channels: readonly ChannelHistogram[]): string {
  return csvOf(
    ["channel", "from", "to", "count"],
    channels.flatMap(({ channel, edges, counts }) => counts.map((count, at) => [channel, edges[at] ?? null, edges[at + 1] ?? null, count])),
  );
}

/** Planes that a picture is composed of are asked for one by one, each as grey: here they have the colour they are seen in. */
function named({ look }: Shown, channels: readonly ChannelHistogram[]): readonly ChannelHistogram[] {
  return look.rgb === undefined ? channels : channels.map((each, at) => ({ ...each, channel: COLOURS[at] ?? each.channel }));
}

export function HistogramCsv({ shown }: { shown: Shown }) {
  const [told, setTold] = useState<{ words: string; wrong: boolean } | null>(null);
  const going = useRef<AbortController | null>(null);
  const key = planeKey(shown);
  useEffect(() => {
    setTold(null);
    return () => going.current?.abort();
  }, [key]);
  const save = async (): Promise<void> => {
    going.current?.abort();
    const leaving = (going.current = new AbortController());
    const slow = setTimeout(() => setTold({ words: "Counting the pixels…", wrong: false }), SLOW_MS);
    try {
      const channels = await askHistogram(shown, { low: 0, high: 1, bins: BINS }, leaving.signal);
      download(fileName(shown.ref, "histogram", "csv"), histogramCsv(named(shown, channels)));
      setTold(null);
    } catch (error) {
      if (!leaving.signal.aborted) setTold({ words: error instanceof Error ? error.message : String(error), wrong: true });
    } finally {
      clearTimeout(slow);
    }
  };
  return (
    <div className="row">
      <button type="button" className="plain" title={`All values in ${BINS} steps, as a table`} onClick={() => void save()}>
        {told?.wrong ? "Try again: histogram as CSV" : "Histogram as CSV"}
      </button>
      {told && <span className={told.wrong ? "wrong" : "quiet"} role={told.wrong ? "alert" : "status"}>{told.words}</span>}
    </div>
  );
}
