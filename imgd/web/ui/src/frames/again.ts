// When a small picture that did not come is asked for again.

const BUSY_MS = 15_000; // So often a daemon that has no time is asked again, at most.
const LATEST_MS = 240_000;

/** After which time to ask again; null: what the daemon has said stays so. `tries`: how often it has failed before. */
export function waitMs(status: number, retryAfterS: number, tries: number): number | null {
  if (retryAfterS > 0) return Math.min(retryAfterS * 1000, BUSY_MS);
  return mayPass(status) ? Math.min(BUSY_MS * 2 ** tries, LATEST_MS) : null;
}

/** Whether it was the daemon's trouble or the way to it, and not the frame's. */
export function mayPass(status: number): boolean {
  return status === 0 || status >= 500;
}
