// One folder as it is now: listed, and listed again when something comes to it.
import { address, getJson, Refusal } from "../protocol/http";
import type { FrameRow, Trouble } from "../state/types";
import { onFolder } from "./arrivals";

export interface Folder {
  dir: string;
  /** The newest first. */
  frames: readonly FrameRow[];
  dirs: readonly { ref: string; name: string }[];
  trouble: Trouble | null;
}

export interface Entry {
  name: string;
  ref: string;
  kind: "dir" | "frame" | "other";
  size_bytes: number;
  modified: string | null;
}

const REST_MS = 400; // Between two listings, when frames come in numbers.

/** Keep telling what a folder holds, until stopped. */
export function watchFolder(dir: string, limit: number, tell: (folder: Folder) => void): { again(): void; stop(): void } {
  const ended = new AbortController();
  let busy = false;
  let wanted = false;
  const look = async () => {
    if (busy) return void (wanted = true);
    busy = true;
    do {
      wanted = false;
      const found = await listed(dir, limit, ended.signal);
      if (ended.signal.aborted) return;
      tell(found);
      await new Promise((go) => setTimeout(go, REST_MS));
    } while (wanted && !ended.signal.aborted);
    busy = false;
  };
  const deaf = onFolder(dir, () => void look());
  void look();
  return {
    again: () => void look(),
    stop: () => {
      ended.abort();
      deaf();
    },
  };
}

async function listed(dir: string, limit: number, signal: AbortSignal): Promise<Folder> {
  try {
    const query = dir ? { dir, order: "newest", limit } : {};
    const { entries } = await getJson<{ entries: Entry[] }>(address("frames", query), signal);
    const frames = entries.filter((entry) => entry.kind === "frame").map(rowOf);
    const dirs = entries.filter((entry) => entry.kind === "dir").map(({ ref, name }) => ({ ref, name }));
    const times = frames.length ? await observed(dir, signal) : new Map();
    return { dir, frames: frames.map((row) => ({ ...row, hdu: times.get(row.ref) ?? row.hdu })), dirs, trouble: null };
  } catch (error) {
    const trouble = error instanceof Refusal ? error.trouble : { status: 0, title: "The folder cannot be read", text: "" };
    return { dir, frames: [], dirs: [], trouble };
  }
}

function rowOf({ ref, name, size_bytes, modified }: Entry): FrameRow {
  return { ref, name, root: ref.split("/", 1)[0] ?? "", modified, size_bytes, hdu: {} };
}

let known = true; // Whether this daemon has an index to ask.

/** Header fields of a folder's frames by the index, as far as it knows them: what was observed when. */
async function observed(dir: string, signal: AbortSignal): Promise<Map<string, FrameRow["hdu"]>> {
  if (!known) return new Map();
  try {
    const { rows } = await getJson<{ rows: FrameRow[] }>(address("catalogue", { dir, order: "newest", limit: 200 }), signal);
    return new Map(rows.map((row) => [row.ref, row.hdu]));
  } catch (error) {
    known = !(error instanceof Refusal && error.trouble.status === 404);
    return new Map(); // The times of the files will do.
  }
}
