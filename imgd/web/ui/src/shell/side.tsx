// The panel: one of several at a time, chosen by tabs.
import { useEffect, useRef, type ComponentType } from "react";
import { useStore } from "../state/store";
import type { Panel } from "../state/types";
import { Boundary } from "./boundary";
import { afterPanel, useFocusBack } from "./focus";
import { ComparePanel } from "../live/compare_panel";
import { FollowPanel } from "../live/follow_panel";
import { HeaderPanel } from "../inspect/header_panel";
import { MeasurePanel } from "../measure/panel";
import { RunPanel } from "../inspect/run_panel";
import { StretchPanel } from "../stretch/panel";

export const PANELS: readonly { panel: Panel; label: string; key: string; part: ComponentType }[] = [
  { panel: "stretch", label: "Stretch", key: "s", part: StretchPanel },
  { panel: "measure", label: "Measure", key: "m", part: MeasurePanel },
  { panel: "header", label: "Header", key: "h", part: HeaderPanel },
  { panel: "follow", label: "Follow", key: "f", part: FollowPanel },
  { panel: "compare", label: "Compare", key: "c", part: ComparePanel },
  { panel: "run", label: "Run", key: "t", part: RunPanel },
];

export function SidePanel({ panel }: { panel: Panel }) {
  const chosen = PANELS.find((each) => each.panel === panel)!;
  const Part = chosen.part;
  const whole = useRef<HTMLElement>(null);
  const section = useRef<HTMLElement>(null);
  useFocusBack(whole, () => afterPanel(panel));
  useEffect(() => {
    void document.getElementById(`tab-${panel}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [panel]);
  return (
    <aside className="side" aria-label="Panel" ref={whole}>
      <div className="tabs">
        <div role="tablist" aria-label="Panels" onKeyDown={moveFocus}>
          {PANELS.map(({ panel: each, label, key }) => (
            <button
              key={each}
              id={`tab-${each}`}
              type="button"
              role="tab"
              aria-selected={each === panel}
              aria-controls="panel"
              tabIndex={each === panel ? 0 : -1}
              title={`${label} (${key})`}
              onClick={() => useStore.setState({ panel: each })}
            >
              {label}
            </button>
          ))}
        </div>
        <button type="button" className="close" aria-label="Close the panel" title="Close (Esc)" onClick={() => useStore.setState({ panel: null })}>
          ×
        </button>
      </div>
      <section id="panel" ref={section} role="tabpanel" tabIndex={-1} aria-labelledby={`tab-${panel}`} className="panel">
        <Boundary key={panel} part={chosen.label}>
          <Content part={Part} section={section} />
        </Boundary>
      </section>
    </aside>
  );
}

/** What is in the panel; if another one takes its place while the focus is in it, the focus stays in the panel. */
function Content({ part: Part, section }: { part: ComponentType; section: React.RefObject<HTMLElement | null> }) {
  useFocusBack(section, () => section.current);
  return <Part />;
}

function moveFocus(event: React.KeyboardEvent): void {
  const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (!by) return;
  const at = PANELS.findIndex(({ panel }) => panel === useStore.getState().panel);
  const { panel } = PANELS[(at + by + PANELS.length) % PANELS.length]!;
  useStore.setState({ panel });
  document.getElementById(`tab-${panel}`)?.focus();
  event.preventDefault();
  event.stopPropagation();
}
