// A runner by plain HTTP: facts and levels by /runs, tiles by /tiles, those nearest to the centre first.
import type { Facts, Levels, Look, Trouble } from "../state/types";
import { address, getJson, Refusal, refusalOf } from "./http";
import type { FrameEvent, LogEntry, Runner, RunnerEvents, Subject, Tile, Viewport } from "./link";
import type { RunAnswer, TilesDocument } from "./messages";
import { sizeOf, tilesOf, type Pixels, type Place } from "./places";
import { Newest } from "./plain_follow";
import { boxOf, Shelf } from "./shelf";
import { Turns } from "./turns";
import { viewOf } from "./views";
import { NOTHING, partOf, type Seen, type Wish } from "./wish";

const AT_ONCE = 6; // What a browser asks of one host at the same time.
const REST_MS = 80; // While a hand moves: what it passes by is not asked for.

/** What a link by HTTP knows beside its runners. */
export interface Surroundings {
  rows(rows: "up" | "down"): void;
  /** The daemon does not answer at all. */
  silent(trouble: Trouble): void;
}

/** A picture as far as it is known: asked for once for each view. */
interface Known {
  frame: string;
  look: Look;
  view: string;
  run: string;
  facts: Facts;
  notes: string[];
  pyramid: TilesDocument;
  levels: Levels | null;
}

export class PlainRunner implements Runner {
  private wish: Wish = NOTHING;
  private frame: string | null = null; // That is shown; of a directory the newest one, or the one of a pause.
  private newest: Newest | null = null; // Of the directory that is followed.
  private turn = 0;
  private known: Known | null = null;
  private course = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private startedAt = -Infinity;
  private closed = false;
  private readonly turns: Turns;
  private readonly shelf: Shelf;

  constructor(
    private readonly around: Surroundings,
    private readonly events: RunnerEvents,
  ) {
    this.turns = new Turns(events);
    this.shelf = new Shelf((turn, tile) => this.turns.tile(turn, tile));
  }

  // ---- what the page wishes

  show(subject: Subject, look: Look): void {
    const isOther = JSON.stringify(subject) !== JSON.stringify(this.wish.subject);
    this.wish = { ...this.wish, subject, look };
    if ("follow" in subject) {
      if (isOther) return this.follow(subject.follow);
    } else {
      this.newest?.end();
      this.newest = null;
      this.frame = subject.frame;
    }
    this.go();
  }

  change(look: Look): void {
    this.wish = { ...this.wish, look };
    this.go();
  }

  look(viewport: Viewport): void {
    this.want(viewport);
  }

  fit(width: number, height: number, dpr: number): void {
    this.want({ fit: [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))], dpr });
  }

  retry(): void {
    this.known = null;
    this.shelf.clear();
    this.newest?.look();
    this.go();
  }

  play(): void {
    this.wish = { ...this.wish, paused: false };
    this.newest?.play();
  }

  pause(): void {
    this.wish = { ...this.wish, paused: true };
    this.newest?.pause();
  }

  step(): void {
    this.wish = { ...this.wish, paused: true };
    this.newest?.step();
  }

  log(): Promise<LogEntry[]> {
    return Promise.resolve([]); // A console is a session's.
  }

  close(): void {
    this.closed = true;
    this.newest?.end();
    this.stop();
  }

  // ---- what happens to frames, and to the link

  heard(event: FrameEvent): void {
    if (this.closed || event.type === "frame.gone") return;
    const { subject } = this.wish;
    if (subject && "frame" in subject && subject.frame === event.frame.ref && event.type === "frame.rewritten") this.retry();
    this.newest?.heard(event.frame.ref);
  }

  missed(): void {
    this.newest?.look();
  }

  /** The daemon answers again. */
  again(): void {
    this.known = null;
    this.events.again();
    this.newest?.look();
    this.go();
  }

  private follow(dir: string): void {
    this.newest?.end();
    this.frame = null;
    this.newest = new Newest(dir, this.wish.paused, {
      shows: (ref) => {
        this.frame = ref;
        this.known = null; // A rewritten one has the same name.
        this.go();
      },
      following: (state) => this.events.following(state),
      failed: (error) => this.fail(error),
    });
    this.newest.look();
  }

  // ---- one turn

  private want(seen: Seen): void {
    this.wish = { ...this.wish, seen };
    this.go();
  }

  /** What was under way is withdrawn; what is wished now begins, at once or when the hand rests. */
  private go(): void {
    if (this.closed || this.frame === null || !this.wish.seen) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.begin(), Math.max(0, this.startedAt + REST_MS - performance.now()));
  }

  private begin(): void {
    this.stop();
    this.startedAt = performance.now();
    const course = (this.course = new AbortController());
    const turn = ++this.turn;
    this.run(turn, course.signal).catch((error: unknown) => {
      if (!course.signal.aborted) this.fail(error);
      course.abort();
    });
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.course.abort();
    this.course = new AbortController();
    this.turns.cancelled(this.turn, this.closed ? "closed" : "superseded");
  }

  private async run(turn: number, signal: AbortSignal): Promise<void> {
    const { look, seen } = this.wish;
    const frame = this.frame;
    if (frame === null || !seen) return;
    const view = viewOf(frame, look);
    const known = this.known?.view === view ? this.known : await this.ask(frame, look, signal);
    if (signal.aborted) return;
    const isNew = this.known !== known;
    this.known = known;
    this.shelf.begin(turn, view, known.pyramid.version, seen);
    this.turns.accepted(turn, known.run, frame, look, known.pyramid.version);
    this.turns.facts(turn, known.facts);
    if (known.levels) this.turns.levels(turn, known.levels);
    this.shelf.replay(known.facts, look);
    const box = boxOf(seen, known.facts, look);
    const places = box ? tilesOf(box, isNew, pixelsOf(known)) : [];
    const levels = known.levels ? null : this.levels(known, seen, turn, signal);
    await Promise.all([this.tiles(places, known, turn, signal), levels]);
    this.turns.completed(turn, known.notes);
  }

  private async ask(frame: string, look: Look, signal: AbortSignal): Promise<Known> {
    const facts = getJson<RunAnswer>(address("runs", { frame, ...look, results: "facts" }), signal);
    const pyramid = getJson<TilesDocument>(address(`tiles/${frame}/tiles.json`, { ...look }), signal);
    const [answer, found] = await Promise.all([facts, pyramid]);
    if (!answer.result.facts) throw new Refusal({ status: 500, title: "No facts", text: "the daemon has told none" });
    this.around.rows(answer.rows);
    const { notes } = answer.result;
    const picture = { frame, look, view: viewOf(frame, look), run: answer.run };
    return { ...picture, facts: answer.result.facts, notes, pyramid: found, levels: null };
  }

  /** The same tiles that are asked for one by one, as one run: it tells levels and steps. */
  private async levels(known: Known, seen: Seen, turn: number, signal: AbortSignal): Promise<void> {
    const { dpr: _, glance: __, ...viewport } = partOf(seen); // An answer of HTTP is whole: no glance comes before it.
    const body = JSON.stringify({ view: known.view, results: ["levels"], viewport });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(address("runs"), { method: "POST", body, headers, signal });
    if (!answer.ok) throw await refusalOf(answer);
    const { steps, result } = (await answer.json()) as RunAnswer;
    if (signal.aborted) return;
    for (const step of steps) this.turns.step(turn, { ...step, state: "end" });
    if (result.levels) this.turns.levels(turn, result.levels);
    known.levels = result.levels ?? null;
    known.notes = [...new Set([...known.notes, ...result.notes])];
  }

  private async tiles(places: Place[], known: Known, turn: number, signal: AbortSignal): Promise<void> {
    const rest = places.filter((place) => !this.shelf.has(place.level, place.column, place.row));
    const one = async (): Promise<void> => {
      for (let place = rest.shift(); place && !signal.aborted; place = rest.shift()) {
        const tile = await tileOf(place, known, signal);
        if (signal.aborted) return;
        this.shelf.keep(turn, tile);
        this.turns.tile(turn, tile);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  private fail(error: unknown): void {
    if (this.closed || (error instanceof DOMException && error.name === "AbortError")) return;
    const trouble = troubleOf(error);
    this.known = null;
    if (trouble.title === "Another version") return this.go(); // It was rewritten meanwhile.
    if (trouble.status === 0) this.around.silent(trouble);
    this.turns.failed(this.turn, trouble);
  }
}

function pixelsOf({ facts, look, pyramid }: Known): Pixels {
  const [, , width, height] = boxOf({ fit: [1e9, 1e9], dpr: 1 }, facts, look)?.box ?? [0, 0, 1, 1];
  return { width, height, levels: pyramid.levels };
}

async function tileOf(place: Place, known: Known, signal: AbortSignal): Promise<Tile> {
  const { version, levels } = known.pyramid;
  const { format = "jpg", ...look } = known.look;
  const file = `${place.row}.${format === "png" || format === "webp" ? format : "jpg"}`;
  const path = `tiles/${known.frame}/${levels - 1 - place.level}/${place.column}/${file}`;
  const answer = await fetch(address(path, { v: version, ...look }), { signal });
  if (!answer.ok) throw await refusalOf(answer);
  return { ...place, ...sizeOf(place, pixelsOf(known)), type: answer.headers.get("content-type") ?? "image/jpeg", body: new Uint8Array(await answer.arrayBuffer()) };
}

function troubleOf(error: unknown): Trouble {
  if (error instanceof Refusal) return error.trouble;
  return { status: 0, title: "The daemon does not answer", text: "" };
}
