// The protocol as the daemon has it: written by `python -m imgd.web.page_types`, never by hand.

export interface AskHello {
  op: "hello";
  id: number;
  resume?: string;
}

export interface AskPart {
  level?: number;
  box?: [number, number, number, number] | null;
  fit?: [number, number] | null;
  dpr?: number;
  glance?: boolean;
}

export interface AskOpen {
  op: "open";
  id: number;
  view?: Record<string, string | number> | string;
  follow?: string | null;
  results?: ("facts" | "levels" | "histogram" | "picture")[];
  paused?: boolean;
  viewport?: AskPart | null;
}

export interface AskSet {
  op: "set";
  id: number;
  runner: string;
  changes: Record<string, string | number | null>;
  viewport?: AskPart | null;
}

export interface AskViewport {
  op: "viewport";
  id: number;
  runner: string;
  level?: number;
  box?: [number, number, number, number] | null;
  dpr?: number;
  again?: boolean;
  fit?: [number, number] | null;
  glance?: boolean;
}

export interface AskRun {
  op: "run";
  id: number;
  runner: string;
}

export interface AskPlay {
  op: "play";
  id: number;
  runner: string;
}

export interface AskPause {
  op: "pause";
  id: number;
  runner: string;
}

export interface AskStep {
  op: "step";
  id: number;
  runner: string;
}

export interface AskClose {
  op: "close";
  id: number;
  runner: string;
}

export interface AskAttach {
  op: "attach";
  id: number;
  runner: string;
}

export interface AskLog {
  op: "log";
  id: number;
  runner: string;
  since?: number;
}

export interface AskPing {
  op: "ping";
  id: number;
}

export interface AskSrc {
  op: "src";
  id: number;
  view: Record<string, string | number> | string;
  runner?: string;
}

export interface AskSubscribe {
  op: "subscribe";
  id: number;
  since?: unknown;
  filters?: unknown;
}

export interface AskUnsubscribe {
  op: "unsubscribe";
  id: number;
  sub: number;
}

export interface Limits {
  runners_max: number;
  session_uids_max: number;
  viewport_tiles_max: number;
  tiles_kept: number;
  console_max: number;
  message_bytes: number;
  resume_s: number;
  set_rest_s: number;
  ping_s: number;
}

export interface PartState {
  level: number | null;
  box: [number, number, number, number] | null;
  fit: [number, number] | null;
  dpr: number;
}

export interface RunnerState {
  runner: string;
  number: number;
  view: string;
  frame: string | null;
  follow: string | null;
  results: ("facts" | "levels" | "histogram" | "picture")[];
  viewport: PartState | null;
  paused: boolean;
  pending: boolean;
  pending_frame: string | null;
  skipped: number;
  turn: number;
  running: boolean;
  sessions: number;
}

export interface Greeting {
  id: number;
  op: "hello";
  session: string;
  version: number;
  resume: string;
  resumed: boolean;
  limits: Limits;
  rows: "up" | "down";
  runners: RunnerState[];
}

export interface Refused {
  id: number | null;
  op: "error";
  status: number;
  title: string;
  detail: string;
  parameter: string;
}

export interface Ponged {
  id: number;
  op: "ping";
  head: string;
}

export interface Sourced {
  id: number;
  op: "src";
  uid: string;
}

export interface Held {
  id: number;
  op: "opened" | "attached";
  runner: string;
  number: number;
  state: RunnerState;
}

export interface Driven {
  id: number;
  op: "set" | "viewport" | "run" | "play" | "pause" | "step";
  runner: string;
  state: RunnerState;
}

export interface LetGo {
  id: number;
  op: "closed";
  runner: string;
}

export interface ConsoleEntry {
  n: number;
  turn: number;
  severity: "info" | "warning" | "error";
  text: string;
}

export interface Logged {
  id: number;
  op: "log";
  runner: string;
  entries: ConsoleEntry[];
  last: number;
}

export interface Subscribed {
  id: number;
  op: "subscribed";
  head: string;
}

export interface Unsubscribed {
  id: number;
  op: "unsubscribed";
  sub: number;
}

export interface Accepted {
  runner: string;
  turn: number;
  op: "accepted";
  run: string;
  frame: string;
  view: string;
  version: string;
}

export interface Stepped {
  runner: string;
  turn: number;
  op: "step";
  number: number;
  step: string;
  state: "start" | "progress" | "end";
  cached: boolean;
  joined: boolean;
  bytes: number;
  ms: number;
}

export interface Column {
  at: number;
  code: "B" | "I" | "J" | "K" | "E" | "D";
  wide: 0 | 32 | 64;
}

export interface Tiling {
  method: "RICE_1" | "GZIP_1" | "GZIP_2" | "NOCOMPRESS" | "OTHER";
  tile: number[];
  row_bytes: number;
  heap: number;
  data: Column | null;
  gzip: Column | null;
  raw: Column | null;
  scale: Column | number;
  zero: Column | number;
  blank: Column | number | null;
  quantised: boolean;
  dither: 0 | 1 | 2;
  seed: number;
  block_px: number;
  pixel_bytes: 1 | 2 | 4;
}

export interface Part {
  hdu: number;
  x: number;
  y: number;
  width: number;
  height: number;
  at_x: number;
  at_y: number;
  flip_x: boolean;
  flip_y: boolean;
}

export interface Hdu {
  index: number;
  name: string;
  kind: "image" | "compressed" | "table" | "empty" | "other" | "mosaic";
  shape: number[];
  stored: "u1" | "i2" | "i4" | "i8" | "f4" | "f8";
  offset: number;
  data_bytes: number;
  rows: number;
  bscale: number;
  bzero: number;
  blank: number | null;
  cfa: string | null;
  top_down: boolean | null;
  reason: string | null;
  tiling: Tiling | null;
  parts: Part[];
  saturate: number | null;
  has_wcs: boolean;
  rgb: boolean;
}

export interface Facts {
  format: string;
  hdus: Hdu[];
  default_hdu: number | null;
  warnings: string[];
  whole: boolean;
}

export interface FactsFound {
  runner: string;
  turn: number;
  op: "facts";
  document: Facts;
}

export interface Level {
  black: number;
  white: number;
  mid: number;
}

export interface Levels {
  levels: Level[];
  stretch: string;
  kind: string;
  coarse?: boolean;
  rows_read?: number;
  rows_all?: number;
}

export interface LevelsFound {
  runner: string;
  turn: number;
  op: "levels";
  document: Levels;
}

export interface HistogramFound {
  runner: string;
  turn: number;
  op: "histogram";
  document: unknown;
}

export interface PictureMade {
  href: string;
  etag: string;
  media_type: string;
  bytes: number;
  width_px: number;
  height_px: number;
}

export interface TileMade {
  level: number;
  x: number;
  y: number;
  etag: string;
  bytes: number;
}

export interface RunResult {
  run: string;
  frame: string;
  notes: string[];
  steps: string[];
  facts?: Facts;
  levels?: Levels;
  histogram?: unknown;
  picture?: PictureMade;
  tiles?: TileMade[];
}

export interface Completed {
  runner: string;
  turn: number;
  op: "completed";
  result: RunResult;
}

export interface Failed {
  runner: string;
  turn: number;
  op: "failed";
  code: number;
  title: string;
  text: string;
}

export interface Cancelled {
  runner: string;
  turn: number;
  op: "cancelled";
  why: string;
}

export interface Following {
  op: "following";
  runner: string;
  frame: string | null;
  pending: string | null;
  skipped: number;
}

export interface Changed {
  op: "changed";
  runner: string;
  state: RunnerState;
}

export interface Ended {
  op: "closed";
  runner: string;
  why: string;
}

export interface Entry {
  name: string;
  ref: string;
  kind: "dir" | "frame" | "other";
  size_bytes: number;
  modified: string | null;
}

export interface FrameEvent {
  id: number;
  at: string;
  type: string;
  root?: string;
  path?: string;
  frame?: Entry;
  thumbnail?: string;
  hdu?: Record<string, string | number | boolean | null>;
  detail?: Record<string, string | number | boolean | null>;
}

export interface Noted {
  subs: number[];
  event: FrameEvent;
}

export interface Events {
  op: "events";
  events: Noted[];
}

export interface CaughtUp {
  op: "live";
  subs: number[];
  head: string;
}

export interface Missed {
  op: "missed";
  subs: number[];
  from: number;
  to: number;
}

export interface Reset {
  op: "reset";
  subs: number[];
  head: string;
}

export interface Head {
  op: "head";
  head: string;
  down?: string;
}

export interface Underway {
  op: "progress";
  subs: number[];
  event: Record<string, unknown>;
}

export interface StepDone {
  number: number;
  step: string;
  cached: boolean;
  joined: boolean;
  bytes: number;
  ms: number;
}

export interface RunAnswer {
  run: string;
  version: string;
  rows: "up" | "down";
  steps: StepDone[];
  result: RunResult;
}

export interface TilesDocument {
  width: number;
  height: number;
  tile_size: number;
  levels: number;
  version: string;
  formats: string[];
  template: string;
}

export type Question =
  | AskHello
  | AskOpen
  | AskSet
  | AskViewport
  | AskRun
  | AskPlay
  | AskPause
  | AskStep
  | AskClose
  | AskAttach
  | AskLog
  | AskPing
  | AskSrc
  | AskSubscribe
  | AskUnsubscribe;

export type Reply =
  | Greeting
  | Refused
  | Ponged
  | Sourced
  | Held
  | Driven
  | LetGo
  | Logged
  | Subscribed
  | Unsubscribed;

export type OfRunner =
  | Accepted
  | Stepped
  | FactsFound
  | LevelsFound
  | HistogramFound
  | Completed
  | Failed
  | Cancelled
  | Following
  | Changed
  | Ended;

export type OfEvents =
  | Events
  | CaughtUp
  | Missed
  | Reset
  | Head
  | Underway;
