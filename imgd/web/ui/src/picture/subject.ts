// What a pane's runner is to show.
import type { Runner, Subject } from "../protocol/link";
import type { Pane } from "../state/types";

/**
 * The folder that is followed, or a frame. A link to a paused folder names the frame that was seen, and that is shown;
 * the folder is followed from play or step on. `asked`: the name of what the runner shows already.
 */
export function subjectOf({ following, ref }: Pick<Pane, "following" | "ref">, asked: string | null): Subject | null {
  const frame = ref === null ? null : { frame: ref };
  if (!following) return frame;
  const folder = { follow: following.dir };
  return following.paused && frame && asked !== subjectName(folder) ? frame : folder;
}

export function subjectName(subject: Subject): string {
  return JSON.stringify(subject);
}

/** Pause or step what is followed; of a link's pause only a step begins to follow. True: the folder is followed from now on. */
export function driveFolder(runner: Runner, how: "pause" | "step", { following, look }: Pick<Pane, "following" | "look">, asked: string | null): boolean {
  const folder = following && { follow: following.dir };
  if (!folder || asked === subjectName(folder)) runner[how]();
  if (!folder || asked === subjectName(folder) || how === "pause") return false;
  runner.pause(); // Opened as paused it shows the newest frame, and stays there.
  runner.show(folder, look);
  return true;
}
