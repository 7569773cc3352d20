// The tools over the stage, near the thumb on a phone: what is looked at, what is drawn, what lies over the picture.
import { useId, useRef, useState } from "react";
import { activePane, useStore } from "../state/store";
import type { Overlays, Panel, Tool } from "../state/types";
import { KeyButton } from "./button";
import { Icon, type IconName } from "./icons";
import { KEYS } from "./keys_table";
import { useClosing } from "./top_menu";
import "./toolbar.css";

const TOOLS: readonly Tool[] = ["pan", "line", "rect", "circle"];
const OVERLAYS: readonly (keyof Overlays & IconName)[] = ["stars", "grid", "compass", "scalebar", "minimap", "magnifier"];
const PANELS: readonly Panel[] = ["stretch", "measure", "header", "follow", "compare", "run"];

export function Toolbar() {
  return (
    <div className="toolbar" role="group" aria-label="Tools of the picture">
      <ViewButtons />
      <PlayButtons />
      <ToolButtons />
      <OverlayButtons />
      <PanelButtons />
    </div>
  );
}

function ViewButtons() {
  return (
    <div className="tools" role="group" aria-label="View">
      <KeyButton name="fit" icon="fit" className="key-fit" />
      <KeyButton name="one" icon="one" />
      <KeyButton name="two" icon="two" className="wide" />
      <KeyButton name="zoomOut" icon="zoomOut" className="wide" />
      <KeyButton name="zoomIn" icon="zoomIn" className="wide" />
      <KeyButton name="turn" icon="turn" />
      <KeyButton name="flip" icon="flip" />
    </div>
  );
}

/** While something is followed or blinks. */
function PlayButtons() {
  const playing = useStore((state) => {
    const { following } = activePane(state);
    return state.layout === "blink" ? state.blink.playing : following ? !following.paused : null;
  });
  if (playing === null) return null;
  return (
    <div className="tools play" role="group" aria-label="Play">
      <KeyButton name="play" icon={playing ? "pause" : "play"} pressed={playing} />
      <KeyButton name="step" icon="step" />
    </div>
  );
}

function ToolButtons() {
  const tool = useStore((state) => state.tool);
  return (
    <Group words="Tools" icon={tool} chosen={tool !== "pan"}>
      {TOOLS.map((each) => <KeyButton key={each} name={each} icon={each} pressed={tool === each} words={KEYS[each].words} />)}
    </Group>
  );
}

function OverlayButtons() {
  const overlays = useStore((state) => state.overlays);
  return (
    <Group words="Overlays" icon="layers" chosen={overlays.stars || overlays.grid}>
      {OVERLAYS.map((each) => <KeyButton key={each} name={each} icon={each} pressed={overlays[each]} words={KEYS[each].words} />)}
    </Group>
  );
}

function PanelButtons() {
  const panel = useStore((state) => state.panel);
  return (
    <>
      <div className="tools quick"><KeyButton name="stretchPanel" icon="stretch" pressed={panel === "stretch"} /></div>
      <Group words="Panels" icon="panel" chosen={panel !== null}>
        {PANELS.map((each) => (
          <KeyButton key={each} name={`${each}Panel`} icon={each} pressed={panel === each} words={KEYS[`${each}Panel`].words} />
        ))}
      </Group>
    </>
  );
}

/** Buttons side by side; where room is short, behind one that opens them. */
function Group({ words, icon, chosen, children }: { words: string; icon: IconName; chosen: boolean; children: React.ReactNode }) {
  const [open, setOpen] = useState(false);
  const whole = useRef<HTMLDivElement>(null);
  const id = useId();
  useClosing(open, whole, () => setOpen(false));
  return (
    <div className={`tools folding${open ? " open" : ""}`} role="group" aria-label={words} ref={whole}>
      <button type="button" className={`key-button opener${chosen ? " chosen" : ""}`} aria-label={words} title={words} aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <Icon name={icon} />
      </button>
      <div className="folded" id={id}>{children}</div>
    </div>
  );
}
