// A word on a pane that follows a folder: live, or paused and what waits.
import { paneOf, useStore } from "../state/store";
import { badgeWords } from "./badge_words";
import "./follow.css";

export function LiveBadge({ pane }: { pane: number }) {
  const following = useStore((state) => paneOf(state, pane)?.following ?? null);
  const connection = useStore((state) => state.connection.state);
  const still = connection === "lost" || connection === "connecting";
  if (!following) return null;
  return (
    <span className={`live-badge${following.paused || still ? " still" : ""}`}>
      <span className="dot" aria-hidden="true" />
      {badgeWords(following, connection)}
    </span>
  );
}
