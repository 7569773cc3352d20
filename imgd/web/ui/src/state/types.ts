// The words of the page: what the one store holds. Coordinates: "picture" pixels are those of the plane as it is seen
// unturned, x right, y down, 0 at the upper left corner; "FITS" pixels are 1 at the centre of the first pixel stored.

/** Parameters of /img but frame, region, size, format, quality: the look of a plane. Absent: the daemon's default. */
export type Look = Readonly<Record<string, string>>;

/** A frame as listings name it; `ref` is percent-encoded and may stand in a query string as it is. */
export interface FrameRow {
  ref: string;
  name: string;
  root: string;
  modified: string | null;
  size_bytes: number;
  /** Header fields of its first image, as far as they are known. */
  hdu: Readonly<Record<string, string | number | boolean>>;
  /** What is wrong with a frame that could not be read. */
  why?: string | null;
}

export interface Hdu {
  index: number;
  name: string;
  kind: string;
  shape: number[]; // numpy order
  stored: string | null;
  rows: number;
  cfa: string | null;
  top_down: boolean | null;
  reason: string | null;
  saturate: number | null;
  has_wcs: boolean;
  rgb: boolean;
  bscale: number;
  bzero: number;
}

export interface Facts {
  format: string;
  hdus: Hdu[];
  default_hdu: number | null;
  warnings: string[];
  whole: boolean;
}

export interface Level {
  black: number;
  white: number;
  mid: number;
}

/** Levels that a run has used; `kind`: auto, zscale, quantiles or cut. One, or three of red, green and blue. */
export interface Levels {
  levels: Level[];
  stretch: string;
  kind: string;
}

export interface StepNews {
  number: number;
  step: string;
  state: "start" | "progress" | "end";
  cached: boolean;
  joined: boolean;
  bytes: number;
  ms: number;
  /** When the page heard of its start and end, ms since the run was accepted. */
  from_ms: number;
  to_ms: number | null;
}

/** What went wrong, in words for people. */
export interface Trouble {
  status: number; // 0: the daemon did not answer
  title: string;
  text: string;
}

/** How the plane that is on screen lies: everything that turns picture pixels into FITS pixels. */
export interface Geometry {
  width: number; // picture pixels
  height: number;
  topDown: boolean; // the first row stored is the top one
}

/** One picture as it is on screen: which frame, which look, what is known of it. Never changed, only replaced. */
export interface Shown {
  ref: string;
  look: Look;
  run: string;
  /** Of the file: another one is another exposure under the same name. */
  version?: string;
  turn: number;
  geometry: Geometry;
  hdu: number;
  facts: Facts;
  levels: Levels | null;
  notes: string[];
}

export interface RunState {
  turn: number;
  run: string | null;
  frame: string | null;
  state: "running" | "completed" | "failed" | "cancelled";
  steps: StepNews[];
  began: number; // performance.now()
  ended: number | null;
  trouble: Trouble | null;
}

export interface Following {
  dir: string; // as `ref` is
  paused: boolean;
  pending: string | null;
  skipped: number;
}

/** One open picture: a runner, and where it is seen. */
export interface Pane {
  id: number;
  /** What is asked for. */
  ref: string | null;
  look: Look;
  following: Following | null;
  /** What is on screen, which stays until its successor is there. */
  shown: Shown | null;
  /** What is on screen is a glance: coarse, made of some of the rows, until the tiles are there. */
  coarse: boolean;
  run: RunState | null;
  trouble: Trouble | null;
  /** The id that others attach by; null without a websocket. */
  runner: string | null;
}

/** What part is seen: the picture pixel at the centre of the stage, CSS pixels for one picture pixel; turned clockwise. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
  turn: 0 | 90 | 180 | 270;
  flip: boolean;
  /** The whole plane, whatever the stage's size; x, y and scale follow. */
  fitted: boolean;
}

export type Layout = "one" | "side" | "blink";
export type Tool = "pan" | "line" | "rect" | "circle";
export type Panel = "stretch" | "measure" | "header" | "run" | "follow" | "compare";

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "http" } // websockets are blocked: plain HTTP instead
  | { state: "lost"; again_at: number; words: string };

/** A shape drawn on the active pane, in FITS pixels. */
export type Shape =
  | { kind: "line"; x1: number; y1: number; x2: number; y2: number }
  | { kind: "rect"; x: number; y: number; width: number; height: number } // x, y: its centre
  | { kind: "circle"; x: number; y: number; radius: number };

export interface Overlays {
  stars: boolean;
  grid: boolean;
  compass: boolean;
  scalebar: boolean;
  minimap: boolean;
  magnifier: boolean;
}

/** A word to the person, at the foot of the stage; gone after a while. */
export interface Notice {
  id: number;
  kind: "info" | "wrong";
  text: string;
}
