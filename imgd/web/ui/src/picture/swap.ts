// When the old picture gives way to the new one: once all of the new one that is seen is there, or a while after its
// first tile or glance (then it is seen getting sharp); the very first picture at once.

/** How long the new picture is waited for after its first tile or glance. */
export const PATIENCE_MS = 150;

/**
 * shown  the picture on screen. next: the one that is to take its place. since: when the first tile of `next`, or a
 *        glance at it, was there; of a picture that was overtaken before it was seen the time is kept, so that a drag
 *        shows something on the way.
 */
export interface Swap {
  readonly shown: string | null;
  readonly next: string | null;
  readonly since: number | null;
}

export const NOTHING: Swap = { shown: null, next: null, since: null };

/** What is known of `next`. */
export interface Readiness {
  /** One tile of it, or a glance at it, and how the plane lies. */
  some: boolean;
  /** All of it that is seen. */
  all: boolean;
  /** No more of it will come. */
  ended: boolean;
}

/** A picture is being made. */
export function begun(swap: Swap, picture: string): Swap {
  if (picture === swap.shown) return { ...swap, next: null, since: null };
  return picture === swap.next ? swap : { ...swap, next: picture };
}

/** Some of the next picture is there. */
export function arrived(swap: Swap, now: number): Swap {
  return swap.next === null || swap.since !== null ? swap : { ...swap, since: now };
}

export function due({ shown, next, since }: Swap, ready: Readiness, now: number): boolean {
  if (next === null || !ready.some) return false;
  return shown === null || ready.all || ready.ended || (since !== null && now - since >= PATIENCE_MS);
}

/** In how many ms it is due at the latest; null: nothing to wait for. */
export function patience({ next, since }: Swap, now: number): number | null {
  return next === null || since === null ? null : Math.max(0, PATIENCE_MS - (now - since));
}

export function swapped(swap: Swap): Swap {
  return swap.next === null ? swap : { shown: swap.next, next: null, since: null };
}

/** It will not come: it failed, or was taken back. */
export function dropped(swap: Swap): Swap {
  return { ...swap, next: null, since: null };
}
