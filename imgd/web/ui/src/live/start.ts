// Keeps the list, the trend and what is shown up to date with what the daemon tells.
import { heardFrame, missedFrames } from "../frames/live";
import type { FrameEvent, Link } from "../protocol/link";
import { say, useStore } from "../state/store";
import { tellAllFolders, tellFolder } from "./arrivals";
import { startBlink } from "./blink";
import { shownName } from "../frames/names";
import { pictureOf, runnerOf } from "../picture/pictures";
import { startPauses, tellPauses } from "./pauses";
import { Refresher } from "./refresh";

export function startLive(link: Link): void {
  const refresher = new Refresher((pane) => runnerOf(pane)?.retry());
  link.hear(
    (event) => {
      heardFrame(event);
      tellFolder(event);
      tellPanes(event, refresher);
      tellPauses(event, (pane) => pictureOf(pane)?.follows ?? false);
    },
    () => {
      missedFrames();
      tellAllFolders();
      for (const pane of useStore.getState().panes) if (pane.shown) refresher.ask(pane.id);
    },
  );
  startBlink();
  startPauses({ pause: (pane) => runnerOf(pane)?.pause(), play: (pane) => runnerOf(pane)?.play() });
}

/** A frame that is shown is shown anew when it was rewritten; one that is gone stays on screen, and that is said. */
function tellPanes({ type, frame: { ref } }: FrameEvent, refresher: Refresher): void {
  const about = useStore.getState().panes.filter((pane) => (pane.shown?.ref ?? pane.ref) === ref);
  if (!about.length) return;
  if (type === "frame.gone") return say(`${shownName(ref)} is gone from the disk; this is its last picture`, "wrong");
  for (const pane of about) {
    // Who follows is shown it by the daemon, and who has paused wants to keep what he sees.
    if (!pane.following && (type === "frame.rewritten" || pane.trouble !== null)) refresher.ask(pane.id);
  }
}
