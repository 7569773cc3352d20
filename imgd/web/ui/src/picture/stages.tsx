// The stage: the panes, one alone, side by side, or on top of each other.
import { useEffect, useRef } from "react";
import { useShallow } from "zustand/react/shallow";
import { useStore } from "../state/store";
import { columnsFor } from "./columns";
import { StagePane } from "./pane";
import "./stage.css";

/** Keep the store's `stage` at the size of one pane. */
function useStageSize(part: React.RefObject<HTMLDivElement | null>): void {
  useEffect(() => {
    const stages = part.current;
    if (!stages) return;
    const measure = (): void => {
      const pane = stages.querySelector(".pane");
      const [width, height] = pane ? [pane.clientWidth, pane.clientHeight] : [0, 0];
      const { stage } = useStore.getState();
      if (stage.width !== width || stage.height !== height) useStore.setState({ stage: { width, height } });
    };
    const observer = new ResizeObserver(measure);
    const first = stages.querySelector(".pane");
    observer.observe(stages);
    if (first) observer.observe(first);
    measure();
    return () => observer.disconnect();
  });
}

export function Stages() {
  const ids = useStore(useShallow((state) => state.panes.map((pane) => pane.id)));
  const layout = useStore((state) => state.layout);
  const active = useStore((state) => state.active);
  const part = useRef<HTMLDivElement>(null);
  useStageSize(part);
  useColumns(part, layout === "side" ? ids.length : 1);
  return (
    <div ref={part} className={`stages ${layout}`}>
      {ids.map((id) => (
        <StagePane key={id} id={id} active={id === active} seen={layout === "side" || id === active} several={ids.length > 1} />
      ))}
    </div>
  );
}

function useColumns(part: React.RefObject<HTMLDivElement | null>, count: number): void {
  useEffect(() => {
    const stages = part.current;
    if (!stages) return;
    const lay = (): void => {
      const columns = columnsFor(count, stages.clientWidth, stages.clientHeight);
      stages.style.setProperty("--columns", String(columns));
      stages.style.setProperty("--rows", String(Math.ceil(count / columns)));
    };
    const observer = new ResizeObserver(lay);
    observer.observe(stages);
    lay();
    return () => observer.disconnect();
  }, [part, count]);
}
