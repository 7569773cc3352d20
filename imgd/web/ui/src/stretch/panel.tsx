// The panel of black, mid and white: histogram with handles, stretch, colours, marks, planes, and what is kept.
import { useState } from "react";
import { activePane, changeLook, useStore } from "../state/store";
import type { Pane } from "../state/types";
import { levelsOfPane } from "./act";
import { HistogramPart } from "./histogram";
import { HistogramCsv } from "./histogram_csv";
import { KeptPart } from "./kept_part";
import { ChannelChoice, LevelKinds, LevelNumbers } from "./level_part";
import { linked, type Channel } from "./levels";
import { ColourPart, MarksPart, StretchKinds } from "./look_part";
import { PlanePart } from "./plane_part";
import "./stretch.css";

export function StretchPanel() {
  const pane = useStore(activePane);
  const [chosen, setChosen] = useState<Channel>("all");
  const { shown } = pane;
  if (!shown) {
    return (
      <div className="stretch">
        <Unfit pane={pane} />
        <p className="quiet">{pane.ref ? "The histogram comes with the picture." : "Open a frame to see its histogram."}</p>
      </div>
    );
  }
  const levels = levelsOfPane(pane);
  const apart = levels.length === 3 && !linked(pane.look);
  const channel = apart ? chosen : "all";
  return (
    <div className="stretch">
      <Unfit pane={pane} />
      {apart && <ChannelChoice channel={channel} onChoose={setChosen} />}
      <HistogramPart shown={shown} levels={levels} channel={channel} />
      <LevelNumbers levels={levels} channel={channel} />
      <LevelKinds />
      <StretchKinds />
      <ColourPart channels={levels.length} />
      <PlanePart facts={shown.facts} />
      <MarksPart />
      <HistogramCsv shown={shown} />
      <KeptPart />
    </div>
  );
}

/** Settings that came from another frame may not go with this one, such as a colour map with a colour picture. */
function Unfit({ pane }: { pane: Pane }) {
  if (pane.trouble?.status !== 400 || !Object.keys(pane.look).length) return null;
  const reset = () => changeLook(Object.fromEntries(Object.keys(pane.look).map((name) => [name, null])));
  return (
    <div role="alert" className="wrong">
      <p>These settings do not go with this frame: {pane.trouble.text || pane.trouble.title}</p>
      <button type="button" className="plain" onClick={reset}>Reset all settings</button>
    </div>
  );
}
