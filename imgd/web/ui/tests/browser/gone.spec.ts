// Who leaves has the daemon's work for him ended: seen in its own figures.
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { asksPython, bench, closes, knownFrames, opens, serves, SIZES, temporary, until, type Service } from "./rig";

const [SLOW, SMALL] = ["known/slow.fits.gz", "known/blocks.fits"];
const FIGURES = ["imgd_live_sessions", "imgd_live_sessions_parked", "imgd_live_runners", "imgd_live_runs", "imgd_engine_jobs", "imgd_engine_jobs_waiting", "imgd_engine_workers_busy", "imgd_engine_leased_bytes", "imgd_events_feeds"];
const SOON_MS = 4000;

bench();
let service: Service;
let folder = "";
let number = 0;

beforeAll(async () => {
  folder = join(temporary(), "known");
  knownFrames(folder);
  const program = `
import gzip, sys
import numpy as np
from astropy.io import fits
noise = np.random.default_rng(1).integers(900, 1200, (6000, 8000), np.uint16)
with gzip.open(sys.argv[1], "wb", compresslevel=1) as file:
    fits.PrimaryHDU(noise).writeto(file)`;
  asksPython(program, join(folder, "slow.fits.gz"));
  service = await serves([`known=${folder}`], "--describe-pause-s", "0"); // It reads no headers of its own accord.
});

/** Make it a frame that nobody has seen, and wait until the daemon, which looks into what has changed, has nothing to do. */
async function renewed(): Promise<void> {
  const moment = new Date(Date.now() - 86_400_000 + 1000 * ++number);
  const head = await service.figure("imgd_events_head");
  utimesSync(join(folder, "slow.fits.gz"), moment, moment);
  await until(async () => (await service.figure("imgd_events_head")) > head, "the change is told of");
  await until(isIdle, "the daemon is idle", 20_000);
}

async function isIdle(): Promise<boolean> {
  return Object.values(await figures()).every((figure) => figure === 0);
}

async function figures(): Promise<Record<string, number>> {
  return Object.fromEntries(await Promise.all(FIGURES.map(async (name) => [name, await service.figure(name)] as const)));
}

/** The slow frame is being made for somebody. */
async function isUnderWay(): Promise<void> {
  await until(async () => (await service.figure("imgd_engine_workers_busy")) > 0 && (await service.admin()).runners.some((runner) => runner.running && runner.view.includes("slow")), "the daemon is at work");
}

describe.each(SIZES)("leaving at $name", (size) => {
  test("a tab that is closed ends what was made for it", async () => {
    await renewed();
    const stopped = await service.figure("imgd_engine_stopped_total");
    const watched = await opens(service, `#frame=${SLOW}&show=stars&panel=measure`, size);
    await isUnderWay();
    await watched.keeps("gone-under-way");
    const left = performance.now();
    await closes(watched);
    await until(isIdle, "the daemon is as idle as before", SOON_MS);
    console.log(`${size.name}: all as before ${Math.round(performance.now() - left)} ms after the tab was closed`);
    expect(await service.figure("imgd_engine_stopped_total"), "jobs that were stopped").toBeGreaterThan(stopped);
    expect((await service.admin()).sessions).toEqual([]);
  });

  test("another frame ends the work for the one before", async () => {
    await renewed();
    const watched = await opens(service, `#frame=${SMALL}`, size);
    await watched.shows(SMALL);
    const quiet = await figures();
    const cancelled = await service.figure("imgd_live_runs_cancelled_total");
    await watched.page.evaluate((hash) => (location.hash = hash), `#frame=${SLOW}`);
    await isUnderWay();
    expect(await watched.page.locator("[data-shown]").first().getAttribute("data-shown"), "the old picture stays").toBe(SMALL);
    await watched.page.evaluate((hash) => (location.hash = hash), "#frame=known/ramp.fits");
    await watched.shows("known/ramp.fits");
    expect(await service.figure("imgd_live_runs_cancelled_total"), "runs that were ended").toBeGreaterThan(cancelled);
    await until(async () => same(await figures(), quiet), "as before", SOON_MS);
    expect((await service.admin()).runners.map(({ view }) => view)).toEqual([expect.stringContaining("ramp.fits")]);
    await watched.keeps("gone-another");
    await closes(watched);
    await until(async () => (await service.admin()).runners.length === 0, "no runner");
  });

  test("what is measured is given up with the panel", async () => {
    await renewed();
    const watched = await opens(service, `#frame=${SMALL}&panel=measure`, size);
    await watched.shows(SMALL);
    const quiet = await figures();
    const asked: string[] = [];
    watched.page.on("requestfailed", (request) => asked.push(`${request.failure()?.errorText}`));
    await watched.page.evaluate((hash) => (location.hash = hash), `#frame=${SLOW}&panel=measure&show=stars`);
    await watched.shows(SLOW, 60_000);
    await watched.page.getByText("Finding stars").waitFor();
    await watched.keeps("gone-measuring");
    await watched.page.evaluate((hash) => (location.hash = hash), `#frame=${SMALL}`);
    await watched.shows(SMALL);
    await until(async () => same(await figures(), quiet), "as before", SOON_MS);
    expect(asked).toContain("net::ERR_ABORTED");
    await closes(watched);
  });
});

/** As many runners as before, and nothing under way, as there may have been when it was looked before; what is kept may differ. */
function same(now: Record<string, number>, before: Record<string, number>): boolean {
  const rests = ["imgd_live_runs", "imgd_engine_jobs", "imgd_engine_jobs_waiting", "imgd_engine_workers_busy"].every((name) => now[name] === 0);
  return rests && now.imgd_live_runners === before.imgd_live_runners;
}
