// How components ask: one hook for what is shared, one for what follows the hand, one for what takes its time.
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { getJson } from "../protocol/http";
import type { Shown } from "../state/types";
import { Latest, NOTHING, type Asked } from "./latest";
import { Shared } from "./shared";

export type Answered<T> = Asked<T> & { retry: () => void };

const shared = new Shared();
const VERSION_REST_MS = 600;

/** What tells the exposure on screen from an earlier one of the same name. */
export function useVersion(shown: Shown | null): string {
  const ref = shown?.ref ?? "";
  const run = shown?.run ?? "";
  const [rested, setRested] = useState({ ref, run });
  useEffect(() => {
    const timer = setTimeout(() => setRested({ ref, run }), VERSION_REST_MS);
    return () => clearTimeout(timer);
  }, [ref, run]);
  const first = useRef({ ref, run });
  if (first.current.ref !== ref) first.current = { ref, run };
  // A link that tells no versions: what runs have rested on may be another exposure, and is asked about again.
  return shown?.version ?? (rested.ref === ref ? rested.run : first.current.run);
}

/** An answer that others may want too. `url` null: nothing is wanted. */
export function useShared<T>(url: string | null, version: string): Answered<T> {
  const want = useCallback((changed: () => void) => (url === null ? () => undefined : shared.want(url, version, changed)), [url, version]);
  const state = useSyncExternalStore(want, () => (url === null ? NOTHING : shared.state(url)));
  const retry = useCallback(() => url !== null && shared.retry(url), [url]);
  return useMemo(() => ({ ...(state as Asked<T>), retry: () => void retry() }), [state, retry]);
}

/** An answer to a question that changes with each movement of the hand. */
export function useLatest<T>(url: string | null, version: string): Answered<T> {
  const [state, setState] = useState<Asked<T>>(NOTHING);
  const [tries, setTries] = useState(0);
  const latest = useRef<Latest<string, T> | null>(null);
  useEffect(() => {
    const made = new Latest<string, T>((wish, signal) => getJson<T>(wish, signal), (next) => setState(next));
    latest.current = made;
    return () => made.end();
  }, []);
  useEffect(() => {
    if (url !== null) latest.current?.want(url);
    else {
      latest.current?.end();
      setState(NOTHING);
    }
  }, [url, version, tries]);
  return useMemo(() => ({ ...state, retry: () => setTries((count) => count + 1) }), [state]);
}

/** As `useLatest`, but asked by an action, not by what is shown. */
export function useLatestBy<T>(ask: (url: string, signal: AbortSignal) => Promise<T>, arrived: (answer: T) => void): Answered<T> & { want: (url: string) => void } {
  const [state, setState] = useState<Asked<T>>(NOTHING);
  const latest = useRef<Latest<string, T> | null>(null);
  const last = useRef<string | null>(null);
  const told = useRef({ ask, arrived });
  told.current = { ask, arrived };
  useEffect(() => {
    const made = new Latest<string, T>(
      (wish, signal) => told.current.ask(wish, signal),
      (next, answered) => {
        setState(next);
        if (answered !== undefined && answered === last.current && next.answer && !next.trouble) told.current.arrived(next.answer);
      },
    );
    latest.current = made;
    return () => made.end();
  }, []);
  const want = useCallback((url: string) => {
    last.current = url;
    latest.current?.want(url);
  }, []);
  return { ...state, want, retry: () => last.current !== null && want(last.current) };
}

/** Whether something has been going on for longer than 300 ms. */
export function useSlow(going: boolean): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    if (!going) return setSlow(false);
    const timer = setTimeout(() => setSlow(true), 300);
    return () => clearTimeout(timer);
  }, [going]);
  return slow && going;
}

/** A value as it was when it last rested for a while. */
export function useRested<T>(value: T, rest_ms: number): T | null {
  const [rested, setRested] = useState<{ value: T } | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setRested({ value }), rest_ms);
    return () => clearTimeout(timer);
  }, [value, rest_ms]);
  return rested && rested.value === value ? value : null;
}
