// What of the list runs beside React: its first rows, the newest frame at the start, looking again while things change.
import { openFrame, useStore } from "../state/store";
import { currentRef, frames } from "./frames";
import { startNeighbours } from "./neighbours";
import { startPrefetch } from "./prefetch";

const WIDE_PX = 1000;
const WALK_MS = 1000; // Between two looks while the daemon looks through the folders,
const READ_MS = 4000; // and while it reads headers.
const PATIENCE_MS = 1500; // So long the newest frame may be awaited from folders that are being looked through.

/** Begin; after the address line was read. */
export function startFrames(): void {
  if (nothingAsked() && window.innerWidth >= WIDE_PX) useStore.setState({ listOpen: true });
  startNeighbours();
  startPrefetch();
  openNewest();
  lookWhileItGrows();
  useStore.subscribe(
    (state) => state.connection.state,
    (now, before) => {
      // What came meanwhile was told to nobody.
      if ((now === "live" || now === "http") && (before === "lost" || frames.known().trouble)) frames.retry();
    },
  );
  frames.retry();
}

function nothingAsked(): boolean {
  return useStore.getState().panes.every((pane) => pane.ref === null && pane.following === null);
}

/** Show a picture at once: the newest of all, or the first one that comes. */
function openNewest(): void {
  if (!nothingAsked()) return;
  const began = performance.now();
  const stop = frames.subscribe(() => {
    const { shown, complete } = frames.known();
    if (!nothingAsked()) return stop();
    const row = shown && frames.row(0);
    if (!row || (!complete && performance.now() - began < PATIENCE_MS)) return;
    stop();
    openFrame(row.ref);
  });
}

function lookWhileItGrows(): void {
  let timer: ReturnType<typeof setInterval> | undefined;
  let pace = 0;
  const plan = (): void => {
    const { complete, described, frames: all, shown, down } = frames.known();
    const wanted = !shown ? 0 : !complete ? WALK_MS : described < all || down ? READ_MS : 0;
    if (wanted === pace) return;
    pace = wanted;
    clearInterval(timer);
    if (wanted) timer = setInterval(() => seen() && frames.again(), wanted);
  };
  frames.subscribe(plan);
}

/** Headers that are read matter only to who looks at the list; folders that are walked, to all. */
function seen(): boolean {
  const { listOpen, stripOpen } = useStore.getState();
  return !document.hidden && (listOpen || stripOpen || !frames.known().complete || currentRef(useStore.getState()) === null);
}
