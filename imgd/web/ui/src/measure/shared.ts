// Answers that several parts want at once (stars, sky, statistics): asked once, kept while they may be wanted again,
// aborted when nobody wants them any more.
import { getJson } from "../protocol/http";
import { NOTHING, troubleOf, type Asked } from "./latest";

interface Entry {
  state: Asked<unknown>;
  version: string | null; // what `state` answers to
  wanted: Set<() => void>;
  controller: AbortController | null;
}

const KEPT = 32;

export class Shared {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly fetched: (url: string, signal: AbortSignal) => Promise<unknown> = getJson) {}

  /** Want an answer; the call that is given back ends that. Another version of the same question is asked anew. */
  want(url: string, version: string, changed: () => void): () => void {
    const entry = this.entries.get(url) ?? { state: NOTHING, version: null, wanted: new Set(), controller: null };
    this.entries.delete(url);
    this.entries.set(url, entry);
    entry.wanted.add(changed);
    if (entry.version !== version) this.ask(url, entry, version);
    return () => {
      entry.wanted.delete(changed);
      if (!entry.wanted.size) this.left(url, entry);
    };
  }

  state(url: string): Asked<unknown> {
    return this.entries.get(url)?.state ?? NOTHING;
  }

  retry(url: string): void {
    const entry = this.entries.get(url);
    if (entry) this.ask(url, entry, entry.version ?? "");
  }

  private ask(url: string, entry: Entry, version: string): void {
    entry.controller?.abort();
    const controller = new AbortController();
    entry.controller = controller;
    entry.version = version;
    tell(entry, { ...entry.state, asking: true, trouble: null });
    this.fetched(url, controller.signal).then(
      (answer) => entry.controller === controller && finish(entry, { answer, asking: false, trouble: null }),
      (error: unknown) => {
        if (entry.controller === controller) finish(entry, { answer: null, asking: false, trouble: troubleOf(error) });
      },
    );
  }

  private left(url: string, entry: Entry): void {
    if (entry.controller) {
      entry.controller.abort();
      entry.controller = null;
      entry.version = null; // What it has is an older answer, or none.
      entry.state = { ...entry.state, asking: false };
    }
    if (entry.state.trouble) this.entries.delete(url);
    for (const [oldest, { wanted }] of this.entries) {
      if (this.entries.size <= KEPT) break;
      if (!wanted.size) this.entries.delete(oldest);
    }
  }
}

function finish(entry: Entry, state: Asked<unknown>): void {
  entry.controller = null;
  tell(entry, state);
}

function tell(entry: Entry, state: Asked<unknown>): void {
  entry.state = state;
  for (const changed of entry.wanted) changed();
}
