// What the rest of the page knows of the connection: a link opens runners; a runner tells what becomes of its runs.
// Two links carry it out: by the websocket (docs/live.md), and by plain HTTP where websockets are blocked.
import type { Facts, Following, Levels, Look, StepNews, Trouble } from "../state/types";

/** Encoded bytes of one tile of 256 x 256 pixels at most. */
export interface Tile {
  level: number;
  column: number;
  row: number;
  width: number;
  height: number;
  type: string; // as "image/jpeg"
  body: Uint8Array<ArrayBuffer>;
}

/** All of a picture, small and coarse: made of some of the rows, to be shown below its tiles until they are there. */
export type Glance = Pick<Tile, "width" | "height" | "type" | "body">;

/** Part of a plane, in pixels of a level of its pyramid (one pixel of level n is 2^n x 2^n source pixels). */
export interface Viewport {
  level: number;
  box: readonly [x: number, y: number, width: number, height: number];
  dpr: number;
}

/** What a runner shows: one of a frame and a directory that is followed. */
export type Subject = { frame: string } | { follow: string };

/** What a runner tells. Of a turn: accepted first, exactly one of completed, failed, cancelled last. */
export interface RunnerEvents {
  /** The id that others attach by. */
  opened(id: string): void;
  /** A turn has begun: which frame, with which look. Another `version`: it was rewritten, and is another picture. */
  accepted(turn: number, run: string, frame: string, look: Look, version: string): void;
  step(turn: number, news: StepNews): void;
  facts(turn: number, facts: Facts): void;
  levels(turn: number, levels: Levels): void;
  tile(turn: number, tile: Tile): void;
  /** At most one in a turn, before its first tile; nothing of it is kept once the turn has ended. */
  glance(turn: number, glance: Glance): void;
  completed(turn: number, notes: string[]): void;
  failed(turn: number, trouble: Trouble): void;
  cancelled(turn: number, why: string): void;
  following(state: Following): void;
  /** It was refused or has ended, and will tell nothing more; asking again opens it anew. */
  refused(trouble: Trouble): void;
  /** The link was lost and is there again, perhaps with another daemon: tiles are sent anew. */
  again(): void;
}

export interface LogEntry {
  n: number;
  turn: number;
  severity: "info" | "warning" | "error";
  text: string;
}

/** One open picture. Calls never fail: what goes wrong is told. While the link is lost the newest wishes wait. */
export interface Runner {
  show(subject: Subject, look: Look): void;
  change(look: Look): void;
  look(viewport: Viewport): void;
  /**
   * Show all of the plane, fitted into so many device pixels, before its size is known: the daemon picks the level.
   * Where its tiles take long a glance may come first.
   * It stays so for further frames, until the next `look`.
   */
  fit(width: number, height: number, dpr: number): void;
  /** Run it again, as after a failure. */
  retry(): void;
  play(): void;
  pause(): void;
  step(): void;
  log(since: number): Promise<LogEntry[]>;
  close(): void;
}

/** What a frame's event says (docs/live.md, "An event"). */
export interface FrameEvent {
  id: number;
  at: string;
  type: string;
  root: string;
  path: string;
  frame: { ref: string; name: string; size_bytes: number; modified: string | null };
  hdu?: Record<string, string | number | boolean>;
}

export interface Link {
  open(events: RunnerEvents): Runner;
  /** Attach to a runner of another tab or device of the same person. */
  attach(id: string, events: RunnerEvents): Runner;
  /** Hear of frames that come, are rewritten or go; `missed`: look for yourself, some were not told. */
  hear(heard: (event: FrameEvent) => void, missed: () => void): () => void;
  /** Whether the first row stored is at the bottom in frames that do not say it. */
  rows(): "up" | "down";
  end(): void;
}
