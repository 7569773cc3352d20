// The line at the foot: what is under the cursor, how large it is seen, which levels were used, how the run stands.
import { useEffect, useState } from "react";
import { Readout } from "../measure/readout";
import { resolved } from "../picture/geometry";
import { activePane, useStore } from "../state/store";
import type { Levels, RunState, Shown } from "../state/types";
import { stretchName } from "../stretch/curve";
import "./status.css";

const SHOWN_AFTER_MS = 300; // What is quicker is no news.

export function StatusLine() {
  const shown = useStore((state) => activePane(state).shown);
  const run = useStore((state) => activePane(state).run);
  return (
    <footer className="status numbers">
      <div className="grow"><Readout /></div>
      <Notes shown={shown} />
      {shown?.levels && <span className="levels quiet cut" title="Levels of this picture">{levelWords(shown.levels)}</span>}
      <Busy run={run} />
      <Zoom shown={shown} />
    </footer>
  );
}

function Zoom({ shown }: { shown: Shown | null }) {
  const camera = useStore((state) => state.camera);
  const stage = useStore((state) => state.stage);
  if (!shown) return null;
  const { scale } = resolved(camera, shown.geometry, stage);
  return <span className="zoom" title="100 %: one pixel of the picture on one of the screen">{zoomWords(scale * devicePixelRatio)}</span>;
}

/** Device pixels for one pixel of the picture, in percent. */
export function zoomWords(scale: number): string {
  const percent = scale * 100;
  return `${percent >= 99.5 ? Math.round(percent) : Number(percent.toPrecision(2))} %`;
}

export function levelWords({ levels, stretch }: Levels): string {
  const [first] = levels;
  const name = stretchName(stretch);
  if (!first) return name;
  const range = levels.length === 1 ? `${figure(first.black)} – ${figure(first.white)}` : levels.map((level) => figure(level.white)).join(" / ");
  return `${name} ${range}`;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(5)));
}

/** What the reader has to say of the frame: the first of it, all of it when it is pointed at. */
function Notes({ shown }: { shown: Shown | null }) {
  const notes = [...new Set([...(shown?.notes ?? []), ...(shown?.facts.warnings ?? [])])];
  const [first, ...others] = notes;
  if (!first) return null;
  return (
    <span className="notes cut" role="note" title={notes.join("\n")}>
      {first}
      {others.length > 0 && ` (and ${others.length} more)`}
      <span className="unseen">{others.join("; ")}</span>
    </span>
  );
}

function Busy({ run }: { run: RunState | null }) {
  const [, tick] = useState(0);
  const running = run?.state === "running";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => tick((n) => n + 1), 150);
    return () => clearInterval(timer);
  }, [running, run?.turn]);
  if (!run) return null;
  const words = runWords(run, performance.now());
  return words ? <span className={`run ${run.state}`} title="The run of this picture: press t for its steps">{words}</span> : null;
}

/** How a run stands; nothing of one that has only begun. */
export function runWords(run: RunState, now: number): string {
  if (run.state === "running") {
    const at = now - run.began;
    const step = run.steps.findLast(({ state }) => state !== "end")?.step;
    return at < SHOWN_AFTER_MS ? "" : `${step ?? "waiting"}… ${seconds(at)}`;
  }
  if (run.state === "failed") return "failed";
  if (run.state === "cancelled" || run.ended === null) return "";
  const cached = run.steps.length > 0 && run.steps.every((step) => step.cached);
  return `${seconds(run.ended - run.began)}${cached ? ", cached" : ""}`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
