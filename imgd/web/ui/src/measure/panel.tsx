// The panel of measuring: tools, the shape that is drawn, stars, the whole plane, a position to find.
import { useEffect } from "react";
import { useStore } from "../state/store";
import type { Overlays, Shown, Tool } from "../state/types";
import { ChannelPart } from "./channel_part";
import { useActiveShown } from "./place";
import { PlanePart } from "./plane_part";
import { setMarks } from "./marks";
import { SearchPart } from "./search_part";
import { ShapePart } from "./shape_part";
import { StarsPart } from "./stars_part";
import "./panel.css";

export const TOOLS: readonly { tool: Tool; label: string; title: string }[] = [
  { tool: "pan", label: "Move", title: "Drag moves the picture" },
  { tool: "line", label: "Line", title: "Drag draws a line: its profile" },
  { tool: "rect", label: "Box", title: "Drag draws a rectangle: its statistics" },
  { tool: "circle", label: "Circle", title: "Drag draws a circle: its statistics" },
];

export function MeasurePanel() {
  const shown = useActiveShown();
  const frame = shown && `${shown.ref} ${shown.hdu}`;
  useEffect(() => () => setMarks({ found: null, probe: null }), [frame]);
  if (!shown) return <p className="quiet">Open a frame to measure it.</p>;
  return (
    <div className="measure">
      <ToolRow />
      <ChannelPart shown={shown} words="Measure the plane" />
      <Cuts shown={shown} />
      <ShapePart shown={shown} />
      <StarsPart shown={shown} />
      <PlanePart shown={shown} />
      <SearchPart shown={shown} />
      <Shows />
    </div>
  );
}

function ToolRow() {
  const tool = useStore((state) => state.tool);
  return (
    <div className="tools" role="group" aria-label="What a drag does">
      {TOOLS.map(({ tool: each, label, title }) => (
        <button key={each} type="button" title={title} aria-pressed={each === tool} onClick={() => useStore.setState({ tool: each })}>
          {label}
        </button>
      ))}
    </div>
  );
}

/** Profiles of a whole row or column: at the cursor, else through the middle of what is seen. */
function Cuts({ shown }: { shown: Shown }) {
  return (
    <div className="row">
      <button type="button" className="plain" title="Profile of the row last pointed at" onClick={() => cut(shown, "row")}>
        Row cut
      </button>
      <button type="button" className="plain" title="Profile of the column last pointed at" onClick={() => cut(shown, "column")}>
        Column cut
      </button>
    </div>
  );
}

let lastCursor: { x: number; y: number } | null = null;
useStore.subscribe(
  (state) => state.cursor,
  (cursor) => (lastCursor = cursor ?? lastCursor),
);

const CUT_MAX = 16_384; // Points that one profile may have.

/** Draw the line along the row or the column of the place that was pointed at last. */
export function cut(shown: Shown, along: "row" | "column"): void {
  const { width, height } = shown.geometry;
  const at = lastCursor ?? { x: width / 2, y: height / 2 };
  const [x, y] = [Math.max(1, Math.min(width, Math.round(at.x))), Math.max(1, Math.min(height, Math.round(at.y)))];
  const [from, to] = along === "row" ? span(x, width) : span(y, height);
  useStore.setState({
    shape: along === "row" ? { kind: "line", x1: from, y1: y, x2: to, y2: y } : { kind: "line", x1: x, y1: from, x2: x, y2: to },
  });
}

/** All of a length, or what one profile may have of it around a place. */
function span(at: number, length: number): [number, number] {
  const from = Math.max(1, Math.min(at - CUT_MAX / 2, length - CUT_MAX + 1));
  return [from, Math.min(length, from + CUT_MAX - 1)];
}

const SHOWS: readonly [keyof Overlays, string][] = [
  ["grid", "Grid"],
  ["compass", "Compass"],
  ["scalebar", "Scale bar"],
  ["magnifier", "Magnifier"],
];

function Shows() {
  const overlays = useStore((state) => state.overlays);
  return (
    <section aria-label="Shown over the picture">
      <h2>Shown over the picture</h2>
      <div className="row">
        {SHOWS.map(([name, label]) => (
          <label key={name} className="check">
            <input type="checkbox" checked={overlays[name]} onChange={() => useStore.setState({ overlays: { ...overlays, [name]: !overlays[name] } })} />
            {label}
          </label>
        ))}
      </div>
    </section>
  );
}
