// Names of frames in their parts, and names for files that are saved of them.
import { shownPart } from "../frames/names";

/** A frame's name in its parts: the root, the folders below it, and the file. */
export function partsOf(ref: string): { root: string; folders: string; file: string } {
  const parts = ref.split("/").map(shownPart);
  const file = parts.pop() ?? "";
  const root = parts.shift() ?? "";
  return { root, folders: parts.join("/"), file };
}

const ENDINGS = /(\.(fits|fit|fts|fz|gz|img))+$/i;
const REFUSED = /[\\/:*?"<>|%\u0000-\u0020\u007f\ufffd]+/g; // Some disk or other does not take these in a name.

/** A name to save something of a frame under: any disk takes it, and it is never hidden, empty or very long. */
export function fileName(ref: string, suffix: string, ending: string): string {
  const stem = partsOf(ref).file.replace(ENDINGS, "").replace(REFUSED, "_").replace(/^[.\-_]+|[._]+$/g, "");
  return `${[...stem].slice(0, 80).join("") || "frame"}${suffix && `-${suffix}`}.${ending}`;
}
