// The part of the panel about the shape that is drawn: the profile of a line, statistics of a rectangle or circle.
import { useRef, useState } from "react";
import { placeShape, setMarks } from "./marks";
import { useFocusBack } from "../shell/focus";
import { useStore } from "../state/store";
import type { Shape, Shown } from "../state/types";
import type { ProfileAnswer, ShapeAnswer } from "./answers";
import { NumberField } from "../stretch/number_field";
import { AskedWords, Figures, figuresText } from "./asked_words";
import { useLatest, useVersion } from "./asking";
import { OfPlane } from "./channel_part";
import { copied } from "./copy";
import { download, profileCsv } from "./csv";
import { shapeNumbers, shapeWords } from "./handles";
import { Plot } from "./plot";
import { ask, mainPlane } from "./subject";
import { figure } from "./words";

export function ShapePart({ shown }: { shown: Shown }) {
  const shape = useStore((state) => state.shape);
  const tool = useStore((state) => state.tool);
  if (!shape && tool === "pan") return <p className="quiet">Choose a tool and drag over the picture, or cut a whole row or column.</p>;
  if (!shape) {
    return (
      <p className="quiet">
        Drag over the picture to draw a {NAMES[tool as keyof typeof NAMES]}, or{" "}
        <button type="button" className="plain" onClick={() => placeShape(shown)}>
          put one in the middle
        </button>
      </p>
    );
  }
  return shape.kind === "line" ? <LinePart shape={shape} shown={shown} /> : <AreaPart shape={shape} shown={shown} />;
}

const NAMES = { line: "line", rect: "rectangle", circle: "circle" };
const WIDTH_MAX = 255;

/** The width of a profile that is meant by a number: whole, and one that there may be. */
export function widthOf(typed: number): number {
  return Math.max(1, Math.min(WIDTH_MAX, Math.round(typed) || 1));
}

/** When the shape goes, the focus goes back to the tools. */
function useLeaving() {
  const whole = useRef<HTMLElement>(null);
  useFocusBack(whole, () => document.querySelector<HTMLElement>('.measure .tools [aria-pressed="true"]'));
  return whole;
}

function LinePart({ shape, shown }: { shape: Shape; shown: Shown }) {
  const [width, setWidth] = useState(1);
  const channel = useStore((state) => state.channel);
  const whole = useLeaving();
  const url = ask("profile", mainPlane(shown, channel), { line: shapeNumbers(shape), width });
  const asked = useLatest<ProfileAnswer>(url, useVersion(shown));
  const { answer } = asked;
  const point = (index: number | null) => {
    const [x, y] = index === null ? [] : [answer?.x[index], answer?.y[index]];
    setMarks({ probe: x === undefined || y === undefined ? null : { x, y } });
  };
  return (
    <section aria-label="Profile" ref={whole}>
      <div className="head">
        <h2>Profile <OfPlane shown={shown} /></h2>
        <NumberField label="Width" value={String(width)} step={1} onChange={(typed) => setWidth(widthOf(typed))} />
        <button type="button" className="plain" disabled={!answer} onClick={() => answer && download("profile.csv", profileCsv(answer))}>
          CSV
        </button>
        <RemoveShape />
      </div>
      <AskedWords asked={asked} what="Reading the line" />
      {answer && <Plot label={`Values along the line, ${answer.value.length} points`} x={answer.distance} y={answer.value} onPoint={point} />}
      {answer && <PointWords answer={answer} shape={shape} />}
    </section>
  );
}

/** The point under the plot's cursor, else the line as a whole. */
function PointWords({ answer, shape }: { answer: ProfileAnswer; shape: Shape }) {
  const probe = useStore((state) => state.marks.probe);
  const index = probe ? answer.x.findIndex((x, at) => x === probe.x && answer.y[at] === probe.y) : -1;
  if (index < 0) return <p className="numbers quiet">{`${shapeWords(shape)}; ${figure(answer.length)} px`}</p>;
  const value = answer.value[index];
  return (
    <p className="numbers">
      {`x ${figure(answer.x[index])} y ${figure(answer.y[index])}: `}
      <strong>{value === null ? "bad" : figure(value, 7)}</strong>
    </p>
  );
}

function AreaPart({ shape, shown }: { shape: Shape; shown: Shown }) {
  const channel = useStore((state) => state.channel);
  const whole = useLeaving();
  const url = ask("region", mainPlane(shown, channel), { shape: shape.kind, numbers: shapeNumbers(shape) });
  const asked = useLatest<ShapeAnswer>(url, useVersion(shown));
  const rows = asked.answer ? areaRows(asked.answer) : [];
  return (
    <section aria-label="Statistics of the shape" ref={whole}>
      <div className="head">
        <h2>{shape.kind === "circle" ? "Circle" : "Rectangle"} <OfPlane shown={shown} /></h2>
        <button type="button" className="plain" disabled={!asked.answer} onClick={() => void copied(figuresText(rows))}>
          Copy
        </button>
        <RemoveShape />
      </div>
      <p className="numbers quiet">{shapeWords(shape)}</p>
      <AskedWords asked={asked} what="Measuring" />
      {asked.answer && <Figures rows={rows} />}
    </section>
  );
}

function areaRows(answer: ShapeAnswer): [string, string][] {
  const pair = (x: number | null, y: number | null, digits: number) => (x === null || y === null ? "–" : `${x.toFixed(digits)}, ${y.toFixed(digits)}`);
  return [
    ["Pixels", `${answer.count}${answer.clipped ? " (part is off the plane)" : ""}`],
    ["Bad", String(answer.bad)],
    ["Saturated", String(answer.saturated)],
    ["Mean", figure(answer.mean, 7)],
    ["Median", figure(answer.median, 7)],
    ["Sigma", figure(answer.sigma)],
    ["MAD", figure(answer.mad)],
    ["Minimum", figure(answer.min, 7)],
    ["Maximum", figure(answer.max, 7)],
    ["Maximum at x, y", pair(answer.max_x, answer.max_y, 0)],
    ["Sum", figure(answer.sum, 10)],
    ["Centroid x, y", pair(answer.centroid_x, answer.centroid_y, 2)],
  ];
}

function RemoveShape() {
  return (
    <button type="button" className="plain" aria-label="Remove the shape" title="Remove the shape" onClick={() => useStore.setState({ shape: null })}>
      ×
    </button>
  );
}
