// The frames before and after the one that is shown, in the order of the list, whether it is open or not.
import { openFrame, say, useStore } from "../state/store";
import type { FrameRow } from "../state/types";
import { currentRef, frames } from "./frames";

const AROUND = 12; // Rows kept loaded on both sides, so that a held key does not wait.

let place: { ref: string; index: number } | null = null;
let asking: { ref: string; generation: number; abort: AbortController } | null = null;
let elsewhere = true; // The list does not hold the shown frame, as far as is known.
let step: 1 | -1 | null = null; // A step that waits for rows to come.
let direction: 1 | -1 = 1;

/** Which way was gone last: what to fetch beforehand. */
export function lastDirection(): 1 | -1 {
  return direction;
}

export function nextFrame(): void {
  go(1);
}

export function previousFrame(): void {
  go(-1);
}

/** Keep store.neighbours true; gives back what stops it. */
export function startNeighbours(): () => void {
  const stops = [frames.subscribe(update), useStore.subscribe(currentRef, () => ((step = null), update()))];
  update();
  return () => stops.forEach((stop) => stop());
}

function go(by: 1 | -1): void {
  direction = by;
  const { previous, next } = useStore.getState().neighbours;
  const row = by > 0 ? next : previous;
  if (row) return openFrame(row.ref);
  if (waiting(by)) step = by;
  else if (place === null && !elsewhere) say("Where this frame stands in the list is not known: choose one in the list");
  else if (frames.known().total) say(by > 0 ? "This is the last frame of the list" : "This is the first frame of the list");
  else say("There are no frames in the list");
}

/** Whether there is a frame that way that only has to come yet. */
function waiting(by: 1 | -1): boolean {
  if (asking) return true;
  return place !== null && place.index + by >= 0 && place.index + by < frames.known().total && !frames.known().trouble;
}

function update(): void {
  const ref = currentRef(useStore.getState());
  const index = ref === null ? null : frames.indexOf(ref);
  if (ref !== null && index === null) ask(ref);
  else stopAsking();
  if (index !== null && ref !== null) place = { ref, index };
  else if (place?.ref !== ref) place = null;
  if (place || ref === null) elsewhere = true;
  if (place) look(place.index);
  publish();
}

let looked = -1;

function look(index: number): void {
  const { generation } = frames.known();
  const key = index + generation * 1e7;
  if (key === looked) return; // What is wanted already is not wanted anew: that would come back here.
  looked = key;
  frames.want("neighbours", { first: index - AROUND, last: index + AROUND, anchor: index, pinned: false });
}

function publish(): void {
  const { total } = frames.known();
  const at = place?.index ?? null;
  // Of a frame that the list does not hold the first one is the next.
  const next = at !== null ? frames.row(at + 1) : asking || !elsewhere || !total ? undefined : frames.row(0);
  const previous = at === null ? undefined : frames.row(at - 1);
  const before = useStore.getState().neighbours;
  if (!same(before.next, next) || !same(before.previous, previous)) {
    useStore.setState({ neighbours: { previous: previous ?? null, next: next ?? null } });
  }
  const wanted = step === 1 ? next : step === -1 ? previous : undefined;
  if (!wanted) return;
  step = null;
  openFrame(wanted.ref);
}

function same(one: FrameRow | null, other: FrameRow | undefined): boolean {
  return one?.ref === other?.ref && one?.modified === other?.modified;
}

/** Ask once for each state of the list where the shown frame stands. */
function ask(ref: string): void {
  const { generation, shown } = frames.known();
  if (!shown || (asked.ref === ref && asked.generation === generation)) return;
  stopAsking();
  asked = { ref, generation };
  const abort = new AbortController();
  asking = { ref, generation, abort };
  frames.place(ref, abort.signal).then(
    (index) => {
      if (abort.signal.aborted) return;
      asking = null;
      elsewhere = index === null;
      place = typeof index === "number" ? { ref, index } : null;
      update();
    },
    () => {
      if (!abort.signal.aborted) asking = null;
    },
  );
}

let asked: { ref: string; generation: number } = { ref: "", generation: -1 };

function stopAsking(): void {
  asking?.abort.abort();
  asking = null;
}
