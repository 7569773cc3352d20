// The trend over a folder's last frames: small plots one above the other, and the same as a table and as CSV.
import { useMemo, useState } from "react";
import { openFrame } from "../state/store";
import type { Pane } from "../state/types";
import { planeOf } from "../protocol/http";
import { save } from "../shell/saving";
import type { Folder } from "./folder";
import type { Measures } from "./collect";
import { alongX, csvOf, figure, SERIES, timeOf, valueOf, type Point } from "./trend_data";
import { TrendPlot } from "./trend_plot";
import { useTrend } from "./use_folder";
import "./trend.css";

const COUNTS = [20, 50, 100, 200];
/** As chosen last, also after the panel was closed. */
const chosen = { count: 50, axis: "time" as "time" | "number", series: ["hfr", "background", "noise", "stars"] as (keyof Measures)[] };

export const TREND_MAX = 200;

export function Trend({ folder, pane }: { folder: Folder; pane: Pane }) {
  const [choice, setChoice] = useState({ ...chosen });
  const choose = (change: Partial<typeof chosen>) => setChoice(Object.assign(chosen, { ...choice, ...change }) && { ...chosen });
  const { points, waiting } = useTrend(folder, choice.count, planeOf(pane.look));
  const done = points.filter(({ measured }) => measured).length;
  return (
    <section className="trend" aria-label="Trend">
      <div className="row">
        <h2 className="grow quiet">Trend</h2>
        <label className="row">
          <span className="quiet">Frames</span>
          <select value={choice.count} onChange={(event) => choose({ count: Number(event.target.value) })}>
            {COUNTS.map((count) => <option key={count} value={count}>{count}</option>)}
          </select>
        </label>
        <label className="row">
          <span className="quiet">By</span>
          <select value={choice.axis} onChange={(event) => choose({ axis: event.target.value === "time" ? "time" : "number" })}>
            <option value="time">time</option>
            <option value="number">number</option>
          </select>
        </label>
      </div>
      <SeriesChoice series={choice.series} onChoose={(series) => choose({ series })} />
      {done < points.length && (
        <div className="row trend-progress" role="status">
          <progress value={done} max={points.length} aria-label="Frames measured" />
          <span className="quiet numbers">{waiting ?? `Measuring: ${done} of ${points.length}`}</span>
        </div>
      )}
      <Plots points={points} axis={choice.axis} series={choice.series} shown={pane.shown?.ref ?? null} />
      <Gaps points={points} />
      <Table points={points} dir={folder.dir} />
    </section>
  );
}

function SeriesChoice({ series, onChoose }: { series: (keyof Measures)[]; onChoose: (series: (keyof Measures)[]) => void }) {
  return (
    <div className="trend-series" role="group" aria-label="What is plotted">
      {SERIES.map(({ key, label }) => (
        <button
          key={key}
          type="button"
          className="plain"
          aria-pressed={series.includes(key)}
          onClick={() => onChoose(series.includes(key) ? series.filter((each) => each !== key) : [...series, key])}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

interface PlotsProps {
  points: readonly Point[];
  axis: "time" | "number";
  series: readonly string[];
  shown: string | null;
}

function Plots({ points, axis, series, shown }: PlotsProps) {
  const [hovered, setHovered] = useState<number | null>(null);
  const along = useMemo(() => alongX(points, axis), [points, axis]);
  const plots = useMemo(
    () => SERIES.filter(({ key }) => series.includes(key)).map((each) => ({ ...each, ys: along.points.map((point) => valueOf(point, each.key)) })),
    [along, series],
  );
  const mark = along.points.findIndex(({ row }) => row.ref === shown);
  const about = hovered === null ? null : (along.points[hovered]?.row ?? null);
  if (!points.length || !plots.length) return null;
  return (
    <div className="trend-plots" onMouseLeave={() => setHovered(null)}>
      <p className="quiet cut">{about ? `${about.name} · ${whenOf(about)}` : "Point at a frame; click to open it"}</p>
      {plots.map(({ key, label, unit, ys }, at) => (
        <TrendPlot
          key={key}
          label={label}
          unit={unit}
          xs={along.xs}
          ys={ys}
          time={axis === "time"}
          last={at === plots.length - 1}
          mark={mark < 0 ? null : mark}
          hovered={hovered}
          onHover={setHovered}
          onChoose={(index) => {
            const point = along.points[index];
            if (point) openFrame(point.row.ref);
          }}
        />
      ))}
    </div>
  );
}

function whenOf(row: Point["row"]): string {
  const time = timeOf(row);
  return time === null ? "no time" : new Date(time * 1000).toLocaleTimeString(undefined, { hour12: false });
}

/** How many frames could not be measured, and why the newest of them. */
function Gaps({ points }: { points: readonly Point[] }) {
  const gaps = points.flatMap(({ row, measured }) => (measured && "why" in measured ? [{ row, why: measured.why }] : []));
  const first = gaps[0];
  if (!first) return null;
  return <p className="quiet trend-gaps">{gaps.length === 1 ? "1 gap" : `${gaps.length} gaps`}: {first.row.name}: {first.why}</p>;
}

function Table({ points, dir }: { points: readonly Point[]; dir: string }) {
  const [open, setOpen] = useState(false);
  const name = `trend-${dir.replaceAll(/[^\w.-]+/g, "-") || "frames"}.csv`;
  return (
    <>
      <div className="row">
        <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Hide the values" : "Show the values"}
        </button>
        <button type="button" className="plain" disabled={!points.length} onClick={() => save(new Blob([csvOf(points)], { type: "text/csv;charset=utf-8" }), name)}>
          Save as CSV
        </button>
      </div>
      {open && (
        <div className="trend-table" role="region" aria-label="Values of the trend" tabIndex={0}>
          <table className="numbers">
            <thead>
              <tr><th scope="col">Frame</th>{SERIES.map(({ key, label }) => <th key={key} scope="col">{label}</th>)}</tr>
            </thead>
            <tbody>
              {points.map((point) => (
                <tr key={point.row.ref}>
                  <th scope="row"><button type="button" className="cut" title={`Open ${point.row.name}`} onClick={() => openFrame(point.row.ref)}>{point.row.name}</button></th>
                  {SERIES.map(({ key }) => <td key={key}>{figure(valueOf(point, key))}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
