// The open frames, in their order: one is active; each can be moved and taken away.
import { useStore } from "../state/store";
import type { Pane } from "../state/types";
import { shownName, shownPath } from "../frames/names";
import { movePane, removePane } from "./compare";

export function PaneRows() {
  const panes = useStore((state) => state.panes);
  const active = useStore((state) => state.active);
  return (
    <ol className="pane-rows" aria-label="Open frames">
      {panes.map((pane, at) => (
        <PaneRow key={pane.id} pane={pane} active={pane.id === active} at={at} count={panes.length} />
      ))}
    </ol>
  );
}

function PaneRow({ pane, active, at, count }: { pane: Pane; active: boolean; at: number; count: number }) {
  const ref = pane.shown?.ref ?? pane.ref;
  const name = ref === null ? "No frame yet" : shownName(ref);
  return (
    <li className={active ? "active" : ""}>
      <button type="button" className="pane-name grow" aria-pressed={active} title={ref === null ? "" : shownPath(ref)} onClick={() => useStore.setState({ active: pane.id })}>
        <span className="numbers quiet">{at + 1}</span>
        <span className="cut">{name}</span>
        <State pane={pane} />
      </button>
      {count > 1 && (
        <>
          <button type="button" aria-label={`Move ${name} up`} title="Move up" disabled={at === 0} onClick={() => movePane(pane.id, -1)}>↑</button>
          <button type="button" aria-label={`Move ${name} down`} title="Move down" disabled={at === count - 1} onClick={() => movePane(pane.id, 1)}>↓</button>
          <button type="button" aria-label={`Take ${name} away`} title="Take away" onClick={() => removePane(pane.id)}>×</button>
        </>
      )}
    </li>
  );
}

function State({ pane }: { pane: Pane }) {
  if (pane.trouble) return <span className="wrong state" title={pane.trouble.text}>{pane.trouble.title}</span>;
  if (pane.following) return <span className="quiet state">follows</span>;
  if (pane.ref !== null && pane.shown?.ref !== pane.ref) return <span className="quiet state">coming</span>;
  return null;
}
