// The follow panel: a folder is chosen and followed; its newest frame is on screen, and below is the trend.
import { useState } from "react";
import type { Following, Pane } from "../state/types";
import { shownName, shownPath } from "../frames/names";
import { lastArrival } from "./arrivals";
import { FolderChoice } from "./folder_choice";
import type { Folder } from "./folder";
import { drive, folderOfPane, keepLevels, startFollowing, stopFollowing } from "./follow";
import { LiveBadge } from "./live_badge";
import { ago } from "./names";
import { Trend, TREND_MAX } from "./trend";
import { useFolder, useNow, useSteadyPane } from "./use_folder";
import "./follow.css";

export function FollowPanel() {
  const pane = useSteadyPane();
  const { following } = pane;
  const shownDir = folderOfPane(pane);
  const [chosen, setChosen] = useState<{ dir: string; beside: string } | null>(null);
  // A folder that was looked into counts until another one is shown.
  const dir = following?.dir ?? (chosen?.beside === shownDir ? chosen.dir : shownDir);
  const { folder, again } = useFolder(dir, TREND_MAX);
  return (
    <div className="follow">
      {following ? (
        <Followed pane={pane} following={following} folder={folder} />
      ) : (
        <FolderChoice dir={dir} folder={folder} onGo={(to) => setChosen({ dir: to, beside: shownDir })} onFollow={(to) => startFollowing(to, pane.id)} />
      )}
      {folder?.trouble && (
        <div className="row" role="alert">
          <span className="wrong grow">{folder.trouble.title}{folder.trouble.text && `: ${folder.trouble.text}`}</span>
          <button type="button" className="plain" onClick={again}>Try again</button>
        </div>
      )}
      {folder && folder.frames.length > 0 && <Trend folder={folder} pane={pane} />}
    </div>
  );
}

function Followed({ pane, following, folder }: { pane: Pane; following: Following; folder: Folder | null }) {
  const shown = pane.shown?.ref ?? null;
  const { dir, pending, skipped } = following;
  return (
    <section aria-label="Followed folder" className="followed">
      <div className="row">
        <strong className="cut grow" title={shownPath(dir)}>{shownPath(dir)}</strong>
        <LiveBadge pane={pane.id} />
      </div>
      <Buttons pane={pane.id} following={following} />
      <dl className="follow-facts" aria-live="polite">
        <dt>Shown</dt>
        <dd className="cut">{shown ? shownName(shown) : "waiting for the first frame"}</dd>
        <dt>Waits</dt>
        <dd className="cut">{pending ? shownName(pending) : "nothing newer"}</dd>
        <dt>Left out</dt>
        <dd className="numbers">{skipped === 1 ? "1 frame" : `${skipped} frames`}</dd>
      </dl>
      <NewestAge dir={dir} folder={folder} />
      <LevelsChoice pane={pane} />
    </section>
  );
}

function Buttons({ pane, following }: { pane: number; following: Following }) {
  const { paused, pending } = following;
  return (
    <div className="follow-buttons">
      <button type="button" className="plain big" onClick={() => drive(paused ? "play" : "pause", pane)}>
        <span aria-hidden="true">{paused ? "▶" : "❚❚"}</span> {paused ? "Play" : "Pause"}
      </button>
      <button type="button" className="plain big" disabled={!paused && !pending} title="Show the newest frame, and stay paused" onClick={() => drive("step", pane)}>
        <span aria-hidden="true">▶❚</span> Step
      </button>
      <button type="button" className="plain big" title="Stay with the frame that is shown" onClick={() => stopFollowing(pane)}>
        <span aria-hidden="true">■</span> Stop
      </button>
    </div>
  );
}

/** Not told aloud: it changes every second. */
function NewestAge({ dir, folder }: { dir: string; folder: Folder | null }) {
  const now = useNow();
  const newest = folder?.frames[0];
  const written = newest?.modified ? Date.parse(newest.modified) : null;
  const came = lastArrival(dir) ?? written;
  if (came === null) return null;
  return <p className="quiet numbers">Newest frame came {ago(now - came)}</p>;
}

function LevelsChoice({ pane }: { pane: Pane }) {
  const kept = pane.look.cut !== undefined;
  const known = pane.shown?.levels != null;
  return (
    <fieldset className="levels-choice">
      <legend>New frames</legend>
      <label className="check">
        <input type="radio" name="levels" checked={!kept} onChange={() => keepLevels(false)} />
        auto levels each
      </label>
      <label className="check">
        <input type="radio" name="levels" checked={kept} disabled={!known && !kept} onChange={() => keepLevels(true)} />
        keep these levels
      </label>
    </fieldset>
  );
}
