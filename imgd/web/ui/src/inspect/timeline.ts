// How the steps of a run lie in time: of each where its bar begins and how long it is, in parts of the whole.
import type { RunState, StepNews } from "../state/types";

export interface Bar {
  number: number;
  step: string;
  from: number; // 0..1
  length: number; // 0..1
  ms: number;
  bytes: number;
  state: "waiting" | "running" | "done";
  /** Where its result came from. */
  origin: "cached" | "joined" | "own";
}

export const ORIGINS: Readonly<Record<Bar["origin"], string>> = {
  own: "made for this run",
  joined: "made by another run, shared",
  cached: "was there already",
};

/** How long a run has taken, or takes so far. */
export function runMs(run: RunState, now: number): number {
  return Math.max((run.ended ?? now) - run.began, ...run.steps.map(({ to_ms }) => to_ms ?? 0), 0);
}

export function barsOf(run: RunState, now: number): Bar[] {
  const whole = runMs(run, now) || 1;
  return [...run.steps].sort((one, other) => one.number - other.number).map((step) => barOf(step, run, whole));
}

function barOf(step: StepNews, run: RunState, whole: number): Bar {
  const over = step.to_ms !== null;
  const end = step.to_ms ?? whole;
  // What the worker says it took is truer than when the page heard of it; it is never longer than the run.
  const took = over ? Math.max(step.ms, 0) : Math.max(end - step.from_ms, 0);
  const from = Math.min(Math.max(over ? Math.min(step.from_ms, end - took) : step.from_ms, 0), whole);
  return {
    number: step.number,
    step: step.step,
    from: from / whole,
    length: Math.min(over ? Math.max(end - from, took) : took, whole - from) / whole,
    ms: step.ms || Math.max(end - step.from_ms, 0),
    bytes: step.bytes,
    state: over ? "done" : run.state === "running" ? "running" : "waiting",
    origin: step.cached ? "cached" : step.joined ? "joined" : "own",
  };
}

/** Milliseconds in words. */
export function duration(ms: number): string {
  return ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}
