// Names for people, from refs: percent-encoded octets that need not be UTF-8.

/** Decode one part of a ref; a name that is no text stays as it is. */
export function shownPart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The last part of a ref, for people. */
export function shownName(ref: string): string {
  return shownPart(ref.slice(ref.lastIndexOf("/") + 1));
}

/** The ref of the folder that holds it; "" above the roots. */
export function folderOf(ref: string): string {
  return ref.slice(0, Math.max(0, ref.lastIndexOf("/")));
}

/** A whole ref for people, part by part. */
export function shownPath(ref: string): string {
  return ref.split("/").map(shownPart).join("/");
}

/** The folders from the root down to this one, as refs with their names. */
export function crumbsOf(dir: string): { ref: string; name: string }[] {
  if (!dir) return [];
  const parts = dir.split("/");
  return parts.map((part, at) => ({ ref: parts.slice(0, at + 1).join("/"), name: shownPart(part) }));
}
