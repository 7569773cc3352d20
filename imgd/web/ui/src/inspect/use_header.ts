// The header of the frame that is shown; asked for again when the frame is another one, given up when nobody looks.
import { useCallback, useEffect, useState } from "react";
import { address, getJson } from "../protocol/http";
import type { Header } from "./cards";

export interface HeaderState {
  header: Header | null;
  slow: boolean;
  wrong: string | null;
  retry(): void;
}

/** `version`: changes when the frame was rewritten. */
export function useHeader(ref: string | null, version: unknown): HeaderState {
  const [state, setState] = useState<{ ref: string | null; header: Header | null; wrong: string | null }>({ ref: null, header: null, wrong: null });
  const [slow, setSlow] = useState(false);
  const [again, setAgain] = useState(0);
  const retry = useCallback(() => setAgain((count) => count + 1), []);
  useEffect(() => {
    if (!ref) return;
    const leaving = new AbortController();
    const timer = setTimeout(() => setSlow(true), 300);
    getJson<Header>(address(`frame/${ref}`), leaving.signal)
      .then(
        (header) => setState({ ref, header, wrong: null }),
        (error: unknown) => {
          if (!leaving.signal.aborted) setState({ ref, header: null, wrong: error instanceof Error ? error.message : String(error) });
        },
      )
      .finally(() => {
        clearTimeout(timer);
        if (!leaving.signal.aborted) setSlow(false);
      });
    return () => {
      clearTimeout(timer);
      setSlow(false);
      leaving.abort();
    };
  }, [ref, version, again]);
  const mine = state.ref === ref;
  return { header: mine ? state.header : null, wrong: mine ? state.wrong : null, slow, retry };
}
