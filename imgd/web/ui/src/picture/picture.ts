// The picture of one pane: what the store asks for goes to its runner, what the runner tells goes to the store, and
// its tiles onto the screen.
import { decode } from "./decode";
import { insteadOf } from "../state/look";
import { changePane, newPane, paneOf, useStore } from "../state/store";
import { aim } from "./aim";
import { borrowed } from "./borrowed";
import { Glances } from "./glances";
import { placesOf, type Grid } from "./levels";
import { bringBack, cameraFor, gridOf, isActive, resized } from "./outlook";
import { allReady, isCovered, wholeTile } from "./painter";
import { beginRun, endRun, withStep } from "./runs";
import { Screen } from "./screen";
import { driveFolder, subjectName, subjectOf } from "./subject";
import { arrived, begun, dropped, due, NOTHING, patience, swapped, type Swap } from "./swap";
import { decodedMax, TileStore } from "./tiles";
import { beginTurn, sameName, sameSize, shownOf, takeFacts, type Turn } from "./turn";
import { Wishes } from "./wishes";
import type { Glance, Link, Runner, RunnerEvents } from "../protocol/link";
import type { Facts, Look, Pane, RunState, Trouble } from "../state/types";

const IDLE_MS = 300; // After that tiles around what is seen are asked for.
const NEWS_MS = 60; // Steps are put into the store together.

export class Picture {
  readonly tiles: TileStore<ImageBitmap>;
  readonly screen: Screen;
  readonly #glances = new Glances<ImageBitmap>(decode, () => this.#decoded());
  readonly #wishes = new Wishes();
  #runner: Runner | null = null;
  #asked: { subject: string; look: Look } | null = null;
  #generation = 0; // Tiles of an older generation may be of another source.
  readonly #turns = new Map<number, Turn>();
  #newest: Turn | null = null;
  #shown: Turn | null = null;
  #waiting = false; // Asked, and not accepted yet.
  #failing = false; // What was asked for last cannot be shown.
  #swap: Swap = NOTHING;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #news: ReturnType<typeof setTimeout> | undefined;
  #again = ""; // For which picture everything was asked for anew, as some was missing.

  constructor(readonly id: number, private readonly link: Link) {
    const small = matchMedia("(pointer: coarse)").matches && Math.min(screen.width, screen.height) < 600;
    const memory = (navigator as { deviceMemory?: number }).deviceMemory;
    this.tiles = new TileStore(decode, () => this.#decoded(), decodedMax(memory, small));
    this.screen = new Screen(this.tiles, this.#glances, () => this.#shown, () => this.#isSettled());
  }

  // ---- from the store

  /** The pane as the store has it: ask for what is new about it. */
  take(pane: Pane): void {
    if (this.#shown && !pane.shown) changePane(this.id, { shown: shownOf(this.#shown) }); // The address line was read again.
    const subject = subjectOf(pane, this.#asked?.subject ?? null);
    if (!subject) return this.#asked ? this.end() : undefined;
    const name = subjectName(subject);
    const another = name !== this.#asked?.subject;
    if (!another && (pane.look === this.#asked?.look || JSON.stringify(pane.look) === JSON.stringify(this.#asked?.look))) return;
    this.#asked = { subject: name, look: pane.look };
    this.#waiting = true;
    this.#runner ??= this.link.open(this.#events());
    if (another) this.#runner.show(subject, pane.look);
    else this.#runner.change(pane.look);
    if (pane.trouble) changePane(this.id, { trouble: null });
    this.request();
    this.screen.mark();
  }

  /** The camera or the stage are another. `now`: within the frame that is being painted. */
  moved(now: boolean): void {
    this.request();
    if (now) this.screen.paint();
    else this.screen.schedule();
  }

  retry(): void {
    this.#generation += 1;
    changePane(this.id, { trouble: null });
    this.#waiting = true;
    if (this.#runner) return this.#runner.retry();
    this.#asked = null;
    this.take(paneOf(useStore.getState(), this.id) ?? newPane(this.id));
  }

  /** The runner, for those who play, pause and read its console. */
  get runner(): Runner | null {
    const runner = this.#runner;
    return runner && borrowed(runner, {
      retry: () => this.retry(), close: () => this.end(), pause: () => this.#drive(runner, "pause"), step: () => this.#drive(runner, "step"),
    });
  }

  /** Whether the daemon tells what comes in the pane's folder. */
  get follows(): boolean {
    return this.#asked?.subject.startsWith('{"follow"') ?? false;
  }

  #drive(runner: Runner, how: "pause" | "step"): void {
    const pane = paneOf(useStore.getState(), this.id);
    if (!pane || !driveFolder(runner, how, pane, this.#asked?.subject ?? null) || !pane.following) return;
    this.#asked = { subject: subjectName({ follow: pane.following.dir }), look: pane.look };
  }

  /** All of the plane that is shown, small; for the minimap. */
  whole(): ImageBitmap | null {
    return this.#shown?.geometry ? wholeTile(this.tiles, this.#shown.picture, this.#shown.geometry) : null;
  }

  /** Have the daemon stop; what is on screen stays. */
  end(): void {
    for (const timer of [this.#patience, this.#idle, this.#news]) clearTimeout(timer);
    this.#runner?.close();
    this.#runner = this.#asked = this.#newest = null;
    this.#wishes.forget();
    this.#turns.clear();
    this.#swap = dropped(this.#swap);
    this.#noGlance();
  }

  /** The pane is gone. */
  close(): void {
    this.end();
    this.screen.stop();
    this.tiles.clear();
  }

  // ---- to the daemon

  /** Ask for the tiles that the stage shows, if they are others than before. */
  request(ring = false): void {
    const { stage, layout, active } = useStore.getState();
    const seen = layout !== "one" || active === this.id;
    if (!this.#runner || !seen || !stage.width || !stage.height) return;
    clearTimeout(this.#idle);
    const geometry = (this.#newest ?? this.#shown)?.geometry ?? null;
    const camera = cameraFor(this.#shown?.geometry ?? null, geometry, aim());
    this.#wishes.ask({ runner: this.#runner, geometry, camera, stage, dpr: devicePixelRatio }, ring);
  }

  /** A turn is through. If something that is seen is not there: other tiles than it made, or all anew, once. */
  #complete(turn: Turn): void {
    const grid = this.#grid(turn);
    const there = grid !== null && [...placesOf(grid)].every((place) => this.tiles.has(turn.picture, place));
    if (!there) this.#noGlance(); // Else it stays for as long as they are decoded.
    if (!grid || !this.#runner) return;
    if (there) this.#rest(turn);
    else if (!this.#wishes.covers(grid)) this.#wishes.look(this.#runner, grid, devicePixelRatio);
    else if (this.#again !== turn.picture) {
      this.#again = turn.picture;
      this.#runner.retry();
    }
  }

  /** All is there: after a while what lies around it, as somebody will move there. */
  #rest(turn: Turn): void {
    clearTimeout(this.#idle);
    if (cameraFor(this.#shown?.geometry ?? null, turn.geometry).fitted) return;
    this.#idle = setTimeout(() => this.#newest === turn && !document.hidden && this.request(true), IDLE_MS);
  }

  // ---- from the runner

  #events(): RunnerEvents {
    const of = <T extends unknown[]>(take: (turn: Turn, ...rest: T) => void) => (number: number, ...rest: T): void => {
      const turn = this.#turns.get(number);
      if (turn) take(turn, ...rest);
    };
    return {
      opened: (id) => changePane(this.id, { runner: id }),
      accepted: (turn, run, frame, look, version) => this.#accepted(turn, run, frame, look, version),
      step: of((turn, news) => this.#run(turn, (run) => withStep(run, news, performance.now()), NEWS_MS)),
      facts: of((turn, facts) => this.#facts(turn, facts)),
      levels: of((turn, levels) => {
        turn.levels = levels;
        this.#restate(turn);
      }),
      tile: of((turn, tile) => this.tiles.put(turn.picture, tile)),
      glance: of((turn, glance) => this.#glance(turn, glance)),
      completed: of((turn, notes) => this.#completed(turn, notes)),
      failed: (number, trouble) => this.#failed(this.#turns.get(number) ?? null, trouble),
      cancelled: of((turn, why) => this.#cancelled(turn, why)),
      following: (following) => changePane(this.id, (pane) => (pane.following ? { following } : {})),
      refused: (trouble) => this.#wrong(trouble),
      again: () => void (this.#generation += 1),
    };
  }

  #accepted(number: number, name: string, frame: string, look: Look, version?: string): void {
    const pane = paneOf(useStore.getState(), this.id);
    if (!pane) return;
    this.#waiting = this.#failing = false;
    const ref = !pane.following && pane.ref !== null && sameName(pane.ref, frame) ? pane.ref : frame;
    const picture = `${this.#generation} ${version ?? ""} ${ref} ${JSON.stringify(look)}`;
    const before = [this.#shown, this.#newest].find((each) => each?.picture === picture);
    const run = beginRun(number, name, ref, performance.now());
    const turn = beginTurn(run, { ref, look, picture, version }, before ?? undefined);
    this.#newest = turn;
    this.#turns.set(number, turn);
    for (const old of this.#turns.keys()) if (this.#turns.size > 8) this.#turns.delete(old);
    this.#swap = begun(this.#swap, picture);
    if (this.#shown?.picture === picture) this.#shown = turn;
    this.#glances.keep([this.#shown?.picture, picture]);
    clearTimeout(this.#news);
    changePane(this.id, { ...(pane.following && { ref }), run, trouble: null });
    this.#consider();
    this.screen.mark();
  }

  #facts(turn: Turn, facts: Facts): void {
    if (takeFacts(turn, facts, this.link.rows())) this.#restate(turn);
    if (this.#shown && !sameSize(this.#shown.geometry, turn.geometry)) this.#wishes.resized();
    if (turn === this.#newest) {
      bringBack(this.id, turn.geometry, !this.#shown);
      this.request();
    }
    this.#consider();
  }

  #completed(turn: Turn, notes: string[]): void {
    const noted = JSON.stringify(notes) !== JSON.stringify(turn.notes);
    Object.assign(turn, { notes, ended: true });
    this.#run(turn, (run) => endRun(run, "completed", performance.now()));
    if (noted) this.#restate(turn);
    this.#consider();
    if (turn === this.#newest) this.#complete(turn);
  }

  /** Overtaken by another turn it has been taken up by that one; else nothing more is coming. */
  #cancelled(turn: Turn, why: string): void {
    this.#run(turn, (run) => endRun(run, "cancelled", performance.now()));
    if (why !== "superseded" && turn === this.#newest) this.#noGlance();
  }

  /** `turn` is null if it was never accepted: there is no such frame. */
  #failed(turn: Turn | null, trouble: Trouble): void {
    if (turn) {
      turn.ended = true;
      this.#run(turn, (run) => endRun(run, "failed", performance.now(), trouble));
      if (turn !== this.#newest) return;
    }
    this.#noGlance();
    if (!turn || !this.tiles.some(turn.picture)) this.#swap = dropped(this.#swap);
    this.#wrong(trouble);
    this.#consider();
  }

  #wrong(trouble: Trouble): void {
    const pane = paneOf(useStore.getState(), this.id);
    const instead = pane && trouble.status === 400 && insteadOf(pane);
    if (instead) return changePane(this.id, { look: instead });
    this.#waiting = false;
    this.#failing = true;
    changePane(this.id, { trouble });
    this.screen.mark();
  }

  /** More is known of a run; the store is told, `after` a while if there may be more news soon. */
  #run(turn: Turn, change: (run: RunState) => RunState, after = 0): void {
    turn.run = change(turn.run);
    if (turn !== this.#newest) return;
    clearTimeout(this.#news);
    const tell = (): void => changePane(this.id, { run: turn.run });
    if (after) this.#news = setTimeout(tell, after);
    else tell();
  }

  // ---- which picture is shown

  #decoded(): void {
    this.#consider();
    this.screen.schedule();
  }

  #glance(turn: Turn, glance: Glance): void {
    if (turn === this.#newest) void this.#glances.put(turn.picture, glance);
  }

  /** What is on screen gets no sharper any more. */
  #noGlance(): void {
    this.#glances.keep([]);
    this.#seeGlance();
    this.screen.schedule();
  }

  /** Forget glances that tiles lie over, and say whether what is on screen is one. */
  #seeGlance(): void {
    if (this.#glances.any)
      for (const turn of [this.#shown, this.#newest]) {
        const grid = turn && this.#grid(turn);
        if (turn && grid && isCovered(this.tiles, turn.picture, grid)) this.#glances.forget(turn.picture);
      }
    const coarse = this.#shown !== null && this.#glances.of(this.#shown.picture) !== null;
    const pane = paneOf(useStore.getState(), this.id);
    if (pane && pane.coarse !== coarse) changePane(this.id, { coarse });
  }

  /** Let the next picture take the place of the one that is shown, if it is time. */
  #consider(): void {
    clearTimeout(this.#patience);
    this.#seeGlance();
    const turn = this.#newest;
    if (!turn || this.#swap.next !== turn.picture) return this.screen.schedule();
    const [now, grid] = [performance.now(), this.#grid(turn)];
    const none = !grid && turn.geometry !== null && turn.ended; // Nothing of it is on the stage.
    const some = none || (grid !== null && (this.tiles.some(turn.picture) || this.#glances.of(turn.picture) !== null));
    if (some) this.#swap = arrived(this.#swap, now);
    const all = grid !== null && allReady(this.tiles, turn.picture, grid);
    if (due(this.#swap, { some, all, ended: turn.ended }, now)) return this.#show(turn);
    const wait = patience(this.#swap, now);
    if (wait !== null) this.#patience = setTimeout(() => this.#consider(), wait + 1);
  }

  #show(turn: Turn): void {
    const before = this.#shown;
    this.#swap = swapped(this.#swap);
    this.#shown = turn;
    changePane(this.id, { shown: shownOf(turn) });
    if (before && !sameSize(before.geometry, turn.geometry)) resized(this.id);
    if (isActive(this.id) && turn === this.#newest && !this.#waiting) useStore.setState({ placed: false });
    this.#glances.keep([turn.picture, this.#newest?.picture]);
    this.#seeGlance();
    this.screen.paint();
  }

  /** More is known of what is on screen. */
  #restate(turn: Turn): void {
    if (this.#shown === turn) changePane(this.id, { shown: shownOf(turn) });
  }

  /** Whether what is shown is what was asked for last. */
  #isSettled(): boolean {
    return !this.#waiting && !this.#failing && this.#swap.next === null && this.#newest?.picture === this.#shown?.picture;
  }

  #grid({ geometry }: Turn): Grid | null {
    return gridOf(this.#shown?.geometry ?? null, geometry);
  }
}
