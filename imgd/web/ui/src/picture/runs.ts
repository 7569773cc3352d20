// What the runs panel and the busy sign are told of a run: pure changes of a RunState.
import type { RunState, StepNews, Trouble } from "../state/types";

export function beginRun(turn: number, run: string, frame: string, now: number): RunState {
  return { turn, run, frame, state: "running", steps: [], began: now, ended: null, trouble: null };
}

/** News of a step take the place of older news of it; times are those at which the page heard of it. */
export function withStep(run: RunState, news: StepNews, now: number): RunState {
  const since = now - run.began;
  const before = run.steps.find(({ number }) => number === news.number);
  const ended = news.state === "end";
  const from = before?.from_ms ?? (ended ? Math.max(0, since - news.ms) : since);
  const step: StepNews = { ...news, from_ms: from, to_ms: ended ? since : null };
  const steps = before ? run.steps.map((each) => (each === before ? step : each)) : [...run.steps, step];
  return { ...run, steps };
}

export function endRun(run: RunState, state: RunState["state"], now: number, trouble: Trouble | null = null): RunState {
  return { ...run, state, ended: now, trouble };
}

/** What a step does, in words. */
export function wordsOf(step: string): string {
  const words: Record<string, string> = {
    parse: "Reading the header",
    reduce: "Reading the pixels",
    read: "Reading the pixels",
    histogram: "Finding the levels",
    tone: "Stretching",
    tiles: "Making tiles",
    encode: "Making the picture",
  };
  return words[step] ?? `Working (${step})`;
}

/** The step that a run is at. */
export function nowAt(run: RunState | null): string {
  if (run?.state === "completed") return "Making the picture";
  const step = run?.steps.findLast((each) => each.state !== "end");
  return step ? wordsOf(step.step) : "Waiting for the daemon";
}
