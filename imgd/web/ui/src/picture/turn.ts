// One run of a pane's runner, and what it has told so far.
import { geometryOf, shownHdu } from "./geometry";
import type { Facts, Geometry, Levels, Look, RunState, Shown } from "../state/types";

export interface Turn {
  turn: number;
  run: RunState;
  ref: string;
  look: Look;
  /** Names the picture: turns of the same frame and look show parts of one. */
  picture: string;
  /** Of the frame: another one is another exposure under the same name. */
  version: string | undefined;
  facts: Facts | null;
  geometry: Geometry | null;
  levels: Levels | null;
  notes: string[];
  ended: boolean;
}

/** A turn that has begun; of the same picture as `before`, it knows what that one knew. */
export function beginTurn(run: RunState, named: Pick<Turn, "ref" | "look" | "picture" | "version">, before: Turn | undefined): Turn {
  const { facts = null, geometry = null, levels = null, notes = [] } = before ?? {};
  return { turn: run.turn, run, ...named, facts, geometry, levels, notes, ended: false };
}

/** Take facts; true if they say anything new of how the plane lies. */
export function takeFacts(turn: Turn, facts: Facts, rows: "up" | "down"): boolean {
  const hdu = shownHdu(facts, turn.look);
  const geometry = hdu && geometryOf(hdu, turn.look, rows);
  const same = sameSize(turn.geometry, geometry) && turn.geometry?.topDown === geometry?.topDown;
  turn.facts = facts;
  if (!same) turn.geometry = geometry;
  return !same;
}

export function shownOf({ turn, run, ref, look, version, geometry, facts, levels, notes }: Turn): Shown | null {
  if (!geometry || !facts) return null;
  const hdu = shownHdu(facts, look)?.index ?? 0;
  return { ref, look, run: run.run ?? "", turn, geometry, hdu, facts, levels, notes, ...(version !== undefined && { version }) };
}

export function sameSize(a: Geometry | null, b: Geometry | null): boolean {
  return a?.width === b?.width && a?.height === b?.height;
}

/** Whether two names are of one frame, however they are encoded. */
export function sameName(a: string, b: string): boolean {
  try {
    return a === b || decodeURIComponent(a) === decodeURIComponent(b);
  } catch {
    return false;
  }
}
