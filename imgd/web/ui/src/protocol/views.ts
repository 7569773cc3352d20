// Views as addresses have them: a frame and a look.
import type { Look } from "../state/types";

/** The query string of a look; with a frame as listings name it, unless it is null. */
export function viewOf(frame: string | null, look: Look): string {
  const parts = Object.entries(look).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return (frame === null ? parts : [`frame=${frame}`, ...parts]).join("&");
}

/** The look of a view that the daemon tells. */
export function lookOf(view: string): Look {
  return Object.fromEntries([...new URLSearchParams(view)].filter(([name]) => name !== "frame"));
}

/** A view without its frame, which tells looks apart. */
export function lookKey(view: string): string {
  return view
    .split("&")
    .filter((part) => !part.startsWith("frame="))
    .join("&");
}

/** The name of a frame as text, or null if it is none: bytes that are no UTF-8. */
export function nameOf(ref: string): string | null {
  try {
    return decodeURIComponent(ref);
  } catch {
    return null;
  }
}

/** What has to change to get from one look to the other: null takes a parameter away. */
export function differences(from: Look, to: Look): Record<string, string | null> {
  const found: Record<string, string | null> = {};
  for (const name of Object.keys(from)) if (to[name] === undefined) found[name] = null;
  for (const [name, value] of Object.entries(to)) if (from[name] !== value) found[name] = value;
  return found;
}

const LOOKS_KEPT = 64;

/** Looks as the page has given them, by how the daemon writes them. */
export class Looks {
  private readonly looks = new Map<string, Look>();

  remember(view: string, look: Look | undefined): void {
    if (!look) return;
    const key = lookKey(view);
    this.looks.delete(key);
    this.looks.set(key, look);
    const [oldest] = this.looks.keys();
    if (this.looks.size > LOOKS_KEPT && oldest !== undefined) this.looks.delete(oldest);
  }

  /** The page's own look, if it is one. */
  of(view: string): Look {
    return this.looks.get(lookKey(view)) ?? lookOf(view);
  }
}
