// The runner's console: what happened, newest last; it stays at its end as long as nobody has scrolled away from it.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { runnerOf } from "../picture/pictures";
import type { LogEntry } from "../protocol/link";

const KEPT_MAX = 500;
const AGAIN_MS = 3000; // Followed frames and those who drive the same runner elsewhere are heard of by and by.
const WORDS: Record<LogEntry["severity"], string> = { info: "info", warning: "warning", error: "error" };

/** Entries with those that came since; numbers tell which are new. */
export function joined(entries: readonly LogEntry[], more: readonly LogEntry[]): readonly LogEntry[] {
  const last = entries.at(-1)?.n ?? 0;
  const fresh = more.filter(({ n }) => n > last);
  return fresh.length ? [...entries, ...fresh].slice(-KEPT_MAX) : entries;
}

export function Console({ pane, turn, state }: { pane: number; turn: number; state: string }) {
  const { entries, wrong, read } = useEntries(pane, `${turn} ${state}`);
  const list = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (atEnd.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [entries]);
  return (
    <section aria-labelledby="console-title" className="console">
      <h2 id="console-title">Console</h2>
      {wrong && <p className="wrong" role="alert">{wrong} <button type="button" className="plain" onClick={() => void read()}>Try again</button></p>}
      {!entries.length && !wrong && <p className="quiet">Nothing was said yet.</p>}
      <ol
        ref={list} tabIndex={0} aria-label="What the runner says" className="entries" hidden={!entries.length}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          atEnd.current = scrollTop + clientHeight >= scrollHeight - 24;
        }}
      >
        {entries.map((entry) => (
          <li key={entry.n} className={entry.severity}>
            <span className="numbers quiet">{entry.turn}</span> <b>{WORDS[entry.severity]}</b> <span>{entry.text}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function useEntries(pane: number, version: string) {
  const [entries, setEntries] = useState<readonly LogEntry[]>([]);
  const [wrong, setWrong] = useState<string | null>(null);
  const newest = useRef(entries);
  newest.current = entries;
  const asking = useRef(false);
  const read = useCallback(async () => {
    const runner = runnerOf(pane);
    if (!runner || asking.current) return;
    asking.current = true;
    try {
      const more = await runner.log(newest.current.at(-1)?.n ?? 0);
      setEntries((now) => joined(now, more));
      setWrong(null);
    } catch (error) {
      setWrong(`The console cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      asking.current = false;
    }
  }, [pane]);
  useEffect(() => {
    const soon = setTimeout(() => void read(), 100);
    const timer = setInterval(() => void read(), AGAIN_MS);
    return () => {
      clearTimeout(soon);
      clearInterval(timer);
    };
  }, [read, version]);
  return { entries, wrong, read };
}
