// Which folder's frames are listed, all below it included; its folders to choose from; follow it.
import { useEffect, useState } from "react";
import { Refusal, address, getJson } from "../protocol/http";
import { follow, useStore } from "../state/store";
import { frames } from "./frames";
import { crumbsOf, shownPart } from "./names";
import { chosen } from "./phone";

interface Listed {
  entries: { name: string; ref: string; kind: "dir" | "frame" | "other" }[];
  after: string | null;
}

interface Found {
  dir: string;
  folders: { ref: string; name: string }[];
  after: string | null;
  wrong: string | null;
  looking: boolean;
}

const PAGES_MAX = 5; // Pages of names read in one go: frames and folders come mixed.

export function Folders({ dir }: { dir: string }) {
  const [open, setOpen] = useState(false);
  const choose = (ref: string): void => frames.choose({ dir: ref });
  const crumbs = crumbsOf(dir);
  return (
    <nav className="list-folders" aria-label="Folder">
      <div className="list-crumbs">
        <button type="button" aria-current={dir ? undefined : "true"} onClick={() => choose("")}>
          All frames
        </button>
        {crumbs.map(({ ref, name }) => (
          <span key={ref}>
            <span aria-hidden="true" className="quiet">
              /
            </span>
            <button type="button" className="cut" aria-current={ref === dir ? "true" : undefined} title={name} onClick={() => choose(ref)}>
              {name}
            </button>
          </span>
        ))}
        <button type="button" className="plain more" aria-expanded={open} onClick={() => setOpen(!open)}>
          Folders {open ? "▴" : "▾"}
        </button>
      </div>
      {open && <FolderChoice key={dir} dir={dir} choose={choose} />}
      {dir && <FollowButton dir={dir} />}
    </nav>
  );
}

function FollowButton({ dir }: { dir: string }) {
  const followed = useStore((state) => state.panes.find(({ id }) => id === state.active)?.following?.dir === dir);
  return (
    <button type="button" className="plain follow-here" aria-pressed={followed} disabled={followed} onClick={() => (follow(dir), chosen())}>
      {followed ? "This folder is followed" : "Follow this folder"}
    </button>
  );
}

function FolderChoice({ dir, choose }: { dir: string; choose: (ref: string) => void }) {
  const { found, more } = useFolders(dir);
  return (
    <div className="list-choice">
      <ul>
        {found.folders.map(({ ref, name }) => (
          <li key={ref}>
            <button type="button" className="cut" onClick={() => choose(ref)}>
              <span aria-hidden="true">▸ </span>
              {name}
            </button>
          </li>
        ))}
      </ul>
      {found.looking && <p className="quiet">Looking…</p>}
      {!found.looking && !found.wrong && !found.after && !found.folders.length && <p className="quiet">No folders in here.</p>}
      {found.wrong && <p className="wrong">{found.wrong}</p>}
      {!found.looking && (found.wrong || found.after) && (
        <button type="button" className="plain" onClick={more}>
          {found.wrong ? "Try again" : "Look for more folders"}
        </button>
      )}
    </div>
  );
}

/** The folders in a directory, as far as they have been looked for. */
function useFolders(dir: string): { found: Found; more: () => void } {
  const [found, setFound] = useState<Found>({ dir, folders: [], after: null, wrong: null, looking: true });
  const [from, setFrom] = useState<{ after: string | null; turn: number }>({ after: null, turn: 0 });
  useEffect(() => {
    const abort = new AbortController();
    setFound((before) => ({ ...before, looking: true, wrong: null }));
    void read(dir, from.after, abort.signal, setFound);
    return () => abort.abort();
  }, [dir, from]);
  return { found, more: () => setFrom(({ turn }) => ({ after: found.after, turn: turn + 1 })) };
}

async function read(dir: string, after: string | null, signal: AbortSignal, set: (change: (before: Found) => Found) => void): Promise<void> {
  let at = after;
  try {
    for (let page = 0; page < PAGES_MAX && (page === 0 || at !== null); page++) {
      const { entries, after: rest } = await getJson<Listed>(address("frames", { dir: dir || undefined, after: at ?? undefined }), signal);
      if (signal.aborted) return;
      const folders = entries.filter(({ kind }) => kind === "dir").map(({ ref }) => ({ ref, name: shownPart(ref.slice(ref.lastIndexOf("/") + 1)) }));
      at = rest;
      const done = at === null || page === PAGES_MAX - 1;
      set((before) => ({ ...before, folders: merged(before.folders, folders), after: rest, looking: !done }));
    }
  } catch (error) {
    if (signal.aborted) return;
    const wrong = error instanceof Refusal ? error.message : "The folders did not arrive";
    set((before) => ({ ...before, wrong, looking: false }));
  }
}

function merged(before: Found["folders"], more: Found["folders"]): Found["folders"] {
  const have = new Set(before.map(({ ref }) => ref));
  return [...before, ...more.filter(({ ref }) => !have.has(ref))];
}
