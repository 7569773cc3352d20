// Following a folder: what the buttons do.
import { activePane, changeLook, changePane, follow, useStore } from "../state/store";
import type { Following, Pane } from "../state/types";
import { runnerOf } from "../picture/pictures";
import { AUTO_LEVELS, asCut } from "./levels";
import { folderOf } from "../frames/names";

/** The folder that the panel is about: the one followed, else that of the frame that is shown. */
export function folderOfPane(pane: Pane): string {
  return pane.following?.dir ?? folderOf(pane.shown?.ref ?? pane.ref ?? "");
}

/** The pane that is meant stays in sight. */
export function startFollowing(dir: string, pane = useStore.getState().active): void {
  useStore.setState(({ blink, layout }) => ({ active: pane, blink: { ...blink, playing: layout === "blink" ? false : blink.playing } }));
  follow(dir);
}

/** Stay with the frame that is shown. */
export function stopFollowing(id = useStore.getState().active): void {
  changePane(id, (pane) => ({ following: null, ref: pane.shown?.ref ?? pane.ref }));
}

export function drive(how: "play" | "pause" | "step", id = useStore.getState().active): void {
  changePane(id, ({ following }) => (following ? { following: driven(following, how) } : {}));
  runnerOf(id)?.[how]();
}

/** What the buttons show at once; the daemon's word follows. */
export function driven(following: Following, how: "play" | "pause" | "step"): Following {
  return { ...following, paused: how !== "play", pending: how === "pause" ? following.pending : null };
}

/** New frames with the levels of this one, or each with its own. */
export function keepLevels(kept: boolean): void {
  const state = useStore.getState();
  const levels = activePane(state).shown?.levels;
  const changes = kept ? levels && asCut(levels, levels.levels.length, activePane(state).look) : AUTO_LEVELS;
  useStore.setState({ keepLook: kept });
  if (changes) changeLook(changes);
}
