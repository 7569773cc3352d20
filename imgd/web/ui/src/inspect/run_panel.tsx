// How the picture on screen was made: the steps of its run in time, and what the runner's console says.
import { useEffect, useState } from "react";
import { activePane, useStore } from "../state/store";
import type { RunState } from "../state/types";
import { copy } from "./card_row";
import { bytes } from "./cards";
import { Console } from "./console";
import { barsOf, duration, ORIGINS, runMs, type Bar } from "./timeline";
import "./inspect.css";

const STATES: Record<RunState["state"], string> = {
  running: "under way", completed: "completed", failed: "failed", cancelled: "replaced by a newer one",
};

export function RunPanel() {
  const run = useStore((state) => activePane(state).run);
  const pane = useStore((state) => activePane(state).id);
  return (
    <div className="run-view">
      {run ? <Timeline run={run} /> : <p className="quiet">Nothing has been run yet.</p>}
      <Console pane={pane} turn={run?.turn ?? 0} state={run?.state ?? "none"} key={pane} />
    </div>
  );
}

/** The time of the page, told again and again while something runs. */
function useNow(running: boolean): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    setNow(performance.now());
    if (!running) return;
    const timer = setInterval(() => setNow(performance.now()), 100);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}

function Timeline({ run }: { run: RunState }) {
  const now = useNow(run.state === "running");
  const bars = barsOf(run, now);
  const id = run.run;
  return (
    <section aria-labelledby="run-title">
      <h2 id="run-title">Turn {run.turn}: {STATES[run.state]}</h2>
      <dl className="run-facts">
        <div><dt>Time</dt><dd className="numbers">{duration(runMs(run, now))}</dd></div>
        {id && (
          <div>
            <dt>Run</dt>
            <dd className="row nowrap"><code className="cut">{id}</code>
              <button type="button" aria-label="Copy the run's id" title="Copy" onClick={() => void copy(id, "the run's id")}>copy</button>
            </dd>
          </div>
        )}
      </dl>
      {run.trouble && <p className="wrong" role="alert">{run.trouble.title}{run.trouble.text && `: ${run.trouble.text}`}</p>}
      <ol className="timeline" aria-label="Steps">
        {bars.map((bar) => (
          <BarRow key={bar.number} bar={bar} />
        ))}
      </ol>
      {bars.length > 0 && <Legend />}
    </section>
  );
}

function BarRow({ bar }: { bar: Bar }) {
  const { origin, state } = bar;
  const took = origin === "cached" ? "cached" : `${duration(bar.ms)}${origin === "joined" ? ", joined" : ""}`;
  const told = state === "done" ? took : state === "running" ? `${duration(bar.ms)}…` : "not finished";
  return (
    <li title={`${bar.step}: ${ORIGINS[origin]}`}>
      <span className="step-name">{bar.step}</span>
      <span className="step-track" aria-hidden="true">
        <span className={`bar run-${origin} ${state}`} style={{ left: `min(${bar.from * 100}%, 100% - 3px)`, width: `max(3px, ${bar.length * 100}%)` }} />
      </span>
      <span className="step-told numbers">
        {told}
        {bar.bytes > 0 && <small className="quiet"> {bytes(bar.bytes)}</small>}
      </span>
    </li>
  );
}

function Legend() {
  return (
    <ul className="legend quiet">
      {(["own", "joined", "cached"] as const).map((origin) => (
        <li key={origin}><span className={`bar run-${origin} done`} aria-hidden="true" /> {ORIGINS[origin]}</li>
      ))}
    </ul>
  );
}
