// The compare panel: which frames are open, how they are shown together, and what they have in common.
import { useStore } from "../state/store";
import type { Layout } from "../state/types";
import { AddFrame } from "./add_frame";
import { BLINK_MAX, levelsForAll, nextBlink, roomFor, setFps, setLayout, setLinked, SIDE_MAX, toggleBlink } from "./compare";
import { PaneRows } from "./pane_rows";
import "./compare.css";

const LAYOUTS: readonly { layout: Layout; label: string; words: string }[] = [
  { layout: "one", label: "One", words: "One frame; the others are closed" },
  { layout: "side", label: "Side by side", words: `Two to ${SIDE_MAX} frames side by side, moved together` },
  { layout: "blink", label: "Blink", words: `Up to ${BLINK_MAX} frames one after the other` },
];

export function ComparePanel() {
  const layout = useStore((state) => state.layout);
  const count = useStore((state) => state.panes.length);
  return (
    <div className="compare">
      <div className="layouts" role="group" aria-label="Show">
        {LAYOUTS.map((each) => (
          <button key={each.layout} type="button" className="plain" aria-pressed={each.layout === layout} title={each.words} onClick={() => setLayout(each.layout)}>
            {each.label}
          </button>
        ))}
      </div>
      {layout === "blink" && <BlinkControls />}
      <PaneRows />
      {count > 1 && <Common />}
      {count < roomFor(layout) ? <AddFrame /> : <p className="quiet">No more than {roomFor(layout)} at a time.</p>}
    </div>
  );
}

function BlinkControls() {
  const { playing, fps } = useStore((state) => state.blink);
  return (
    <section aria-label="Blinking" className="blink">
      <div className="blink-buttons">
        <button type="button" className="plain big" title="The one before" aria-label="The one before" onClick={() => stepBy(-1)}>
          <span aria-hidden="true">◀</span>
        </button>
        <button type="button" className="plain big" onClick={toggleBlink}>
          <span aria-hidden="true">{playing ? "❚❚" : "▶"}</span> {playing ? "Pause" : "Play"}
        </button>
        <button type="button" className="plain big" title="The next one" aria-label="The next one" onClick={() => stepBy(1)}>
          <span aria-hidden="true">▶</span>
        </button>
      </div>
      <label className="row">
        <span className="quiet">Pace</span>
        <input className="grow" type="range" min={0.5} max={10} step={0.5} value={fps} aria-valuetext={`${fps} a second`} onChange={(event) => setFps(Number(event.target.value))} />
        <span className="numbers pace">{fps} / s</span>
      </label>
    </section>
  );
}

/** Who steps wants to look: it stands still from then on. */
function stepBy(by: number): void {
  if (useStore.getState().blink.playing) toggleBlink();
  nextBlink(by);
}

function Common() {
  const linked = useStore((state) => state.linkLooks);
  return (
    <section aria-label="In common" className="common">
      <p className="quiet">Place and zoom are always the same.</p>
      <label className="check">
        <input type="checkbox" checked={linked} onChange={(event) => setLinked(event.target.checked)} />
        Change stretch and colours together
      </label>
      <div className="row">
        <button type="button" className="plain" title="Black and white in data units, as the active frame has them" onClick={() => levelsForAll("same")}>
          This one's levels for all
        </button>
        <button type="button" className="plain" onClick={() => levelsForAll("auto")}>Auto each</button>
      </div>
    </section>
  );
}
