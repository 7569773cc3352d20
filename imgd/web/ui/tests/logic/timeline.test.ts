import { describe, expect, it, vi } from "vitest";
import { barsOf, duration, runMs } from "../../src/inspect/timeline";
import type { RunState, StepNews } from "../../src/state/types";

vi.mock("../../src/picture/pictures", () => ({ runnerOf: () => null }));
const { joined } = await import("../../src/inspect/console");

function step(number: number, change: Partial<StepNews>): StepNews {
  return { number, step: "reduce", state: "end", cached: false, joined: false, bytes: 0, ms: 10, from_ms: 0, to_ms: 10, ...change };
}

function run(steps: StepNews[], change: Partial<RunState> = {}): RunState {
  return { turn: 1, run: "r", frame: "a/b", state: "completed", steps, began: 1000, ended: 1100, trouble: null, ...change };
}

describe("the timeline", () => {
  it("lays bars in the time of the whole run", () => {
    const [second, first] = barsOf(run([step(1, { from_ms: 20, to_ms: 70, ms: 50, joined: true }), step(0, { cached: true, ms: 0 })]), 0).reverse();
    expect(first).toMatchObject({ number: 0, origin: "cached", from: 0, state: "done" });
    expect(second).toMatchObject({ number: 1, origin: "joined", from: 0.2, length: 0.5 });
  });

  it("shows how long a step took though the page heard of its start late", () => {
    const [bar] = barsOf(run([step(0, { from_ms: 79, to_ms: 80, ms: 60 })]), 0);
    expect(bar?.from).toBeCloseTo(0.2, 9);
    expect(bar?.length).toBeCloseTo(0.6, 9);
  });

  it("grows with what is under way", () => {
    const running = run([step(0, { state: "start", to_ms: null, from_ms: 50, ms: 0 })], { state: "running", ended: null });
    expect(barsOf(running, 1200)[0]).toMatchObject({ state: "running", from: 0.25, length: 0.75, ms: 150 });
    expect(runMs(running, 1300)).toBe(300);
  });

  it("never leaves the plot", () => {
    for (const bar of barsOf(run([step(0, { from_ms: 500, to_ms: 900, ms: 2000 }), step(1, { from_ms: 0, to_ms: 0, ms: 0 })]), 0)) {
      expect(bar.from >= 0 && bar.length >= 0 && bar.from + bar.length <= 1 + 1e-9).toBe(true);
    }
  });

  it("tells durations", () => {
    expect([0.4, 12.3, 1234, 45678].map(duration)).toEqual(["0.4 ms", "12 ms", "1.23 s", "45.7 s"]);
  });
});

it("the console keeps what is new, once", () => {
  const entry = (n: number) => ({ n, turn: 1, severity: "info" as const, text: String(n) });
  const before = [entry(1), entry(2)];
  expect(joined(before, [entry(2), entry(3)]).map(({ n }) => n)).toEqual([1, 2, 3]);
  expect(joined(before, [entry(1)])).toBe(before);
});
