// One download at a time: how far it is, how to stop it, what went wrong and how to try again.
import { useEffect, useRef, useState } from "react";
import { sizeWords } from "../frames/words";
import { fetched, save, type Progress } from "./saving";

export interface Job {
  name: string; // of the file
  make: (signal: AbortSignal, progress: (now: Progress) => void) => Promise<Blob>;
}

export type Run = (job: Job) => void;

interface Saving {
  busy: { name: string; now: Progress | null } | null;
  ended: { words: string; wrong: boolean } | null;
  stop: () => void;
  again: (() => void) | null;
}

/** A job that fetches an address. */
export function fetchJob(name: string, url: string): Job {
  return { name, make: (signal, progress) => fetched(url, signal, progress) };
}

export function useSaving(): [Saving, Run] {
  const [busy, setBusy] = useState<Saving["busy"]>(null);
  const [ended, setEnded] = useState<Saving["ended"]>(null);
  const [failed, setFailed] = useState<Job | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const run = (job: Job): void => {
    const { signal } = (abort.current = new AbortController());
    setBusy({ name: job.name, now: null });
    setEnded(null);
    setFailed(null);
    job.make(signal, (now) => setBusy({ name: job.name, now }))
      .then((blob) => {
        save(blob, job.name);
        setEnded({ words: `${job.name} is saved (${sizeWords(blob.size)})`, wrong: false });
      })
      .catch((error: unknown) => {
        if (signal.aborted) return setEnded({ words: "Stopped", wrong: false });
        setEnded({ words: error instanceof Error ? error.message : String(error), wrong: true });
        setFailed(job);
      })
      .finally(() => setBusy(null));
  };
  return [{ busy, ended, stop: () => abort.current?.abort(), again: failed && (() => run(failed)) }, run];
}

export function SavingState({ busy, ended, stop, again }: Saving) {
  return (
    <div className="saving">
      <div role="status">
        {busy && <BusyWords {...busy} />}
        {ended && !ended.wrong && <p>{ended.words}</p>}
      </div>
      {busy && <button type="button" className="plain" onClick={stop}>Stop</button>}
      <div role="alert">{ended?.wrong && <p className="wrong">{ended.words}</p>}</div>
      {again && <button type="button" className="plain" onClick={again}>Try again</button>}
    </div>
  );
}

function BusyWords({ name, now }: { name: string; now: Progress | null }) {
  return (
    <p>
      {name}: {now ? `${sizeWords(now.bytes)}${now.of ? ` of ${sizeWords(now.of)}` : ""}` : "being made…"}{" "}
      {now?.of && <progress value={now.bytes} max={now.of} aria-label="So far" />}
    </p>
  );
}
