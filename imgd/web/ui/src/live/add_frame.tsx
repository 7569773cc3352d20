// Choosing one more frame: those beside the active one, or found by name or header.
import { useEffect, useState } from "react";
import { address, getJson, Refusal } from "../protocol/http";
import { useStore } from "../state/store";
import type { FrameRow, Trouble } from "../state/types";
import { shownPath } from "../frames/names";
import { addPane } from "./compare";

const REST_MS = 150; // While somebody types.
const FOUND_MAX = 30;

export function AddFrame() {
  const [words, setWords] = useState("");
  const { rows, trouble, busy, again } = useFound(words);
  const { previous, next } = useStore((state) => state.neighbours);
  const panes = useStore((state) => state.panes);
  const isOpen = (ref: string) => panes.some((pane) => (pane.shown?.ref ?? pane.ref) === ref);
  return (
    <section aria-label="Add a frame" className="add-frame">
      <h2 className="quiet">Add a frame</h2>
      <Near previous={previous} next={next} />
      <input
        type="search"
        value={words}
        placeholder="Name, or FILTER=Ha"
        aria-label="Search a frame to add"
        onChange={(event) => setWords(event.target.value)}
      />
      {trouble && (
        <div className="row" role="alert">
          <span className="wrong grow">{trouble.title}{trouble.text && `: ${trouble.text}`}</span>
          <button type="button" className="plain" onClick={again}>Try again</button>
        </div>
      )}
      <p className="unseen" role="status">{busy ? "Searching" : `${rows.length} found`}</p>
      {!busy && !trouble && rows.length === 0 && <p className="quiet">Nothing of this kind.</p>}
      <ul className="found">
        {rows.map((row) => (
          <li key={row.ref}>
            <button type="button" title={`Add ${shownPath(row.ref)}`} onClick={() => addPane(row.ref)}>
              <span aria-hidden="true" className="quiet">+</span>
              <span className="cut grow">{row.name}</span>
              <span className="quiet cut about">{isOpen(row.ref) ? "open" : aboutOf(row)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Near({ previous, next }: { previous: FrameRow | null; next: FrameRow | null }) {
  if (!previous && !next) return null;
  return (
    <div className="near">
      {[{ row: previous, label: "Previous" }, { row: next, label: "Next" }].map(({ row, label }) => (
        <button key={label} type="button" className="plain" disabled={!row} title={row ? `Add ${row.name}` : ""} onClick={() => row && addPane(row.ref)}>
          + {label}
        </button>
      ))}
    </div>
  );
}

function aboutOf({ hdu, root }: FrameRow): string {
  return [hdu["OBJECT"], hdu["FILTER"]].filter((each) => each !== undefined && each !== "").join(" · ") || root;
}

/** Frames that fit some words; the old ones stay until the new ones are there. */
function useFound(words: string) {
  const [found, setFound] = useState<{ rows: FrameRow[]; trouble: Trouble | null; busy: boolean }>({ rows: [], trouble: null, busy: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      setFound((before) => ({ ...before, busy: true }));
      try {
        const { rows } = await getJson<{ rows: FrameRow[] }>(address("catalogue", { search: words.trim() || undefined, limit: FOUND_MAX }), stop.signal);
        setFound({ rows, trouble: null, busy: false });
      } catch (error) {
        if (!stop.signal.aborted) setFound({ rows: [], trouble: wordsOf(error), busy: false });
      }
    };
    const timer = setTimeout(() => void ask(), words ? REST_MS : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [words, turn]);
  return { ...found, again: () => setTurn((before) => before + 1) };
}

function wordsOf(error: unknown): Trouble {
  return error instanceof Refusal ? error.trouble : { status: 0, title: "The search did not work", text: "" };
}
