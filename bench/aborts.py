"""Clients that leave, through every front: how soon the worker is gone and all bytes are free."""

import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from bench.table import Measure, median, percentile
from tests.daemon.figures import HELD, held
from tests.daemon.http1 import Http1
from tests.fronts.leaving import (
    MOMENTS,
    WAYS,
    Moment,
    Visit,
    Way,
    bring_to,
    is_gone,
    programs_of,
    visiting,
    write_frames,
)
from tests.fronts.rig import KINDS, Front, Kind, open_front

PROTOCOLS: Final[dict[str, tuple[Way, ...]]] = {"HTTP/1.1": WAYS[:2], "HTTP/2": WAYS[2:]}
LEFT: Final[tuple[Moment, ...]] = MOMENTS[1:]  # Before its head is complete a request holds nothing.
DIRECT_MS: Final = 50
THROUGH_MS: Final = 100
LIMIT_S: Final = 60.0
LOOK_S: Final = 0.0005
ASK_S: Final = 0.03
REST_S: Final = 0.02  # Long enough for a front to have taken its leave, too.


@dataclass
class _Left:
    """Milliseconds from the leaving on.

    gone  until the worker's process was gone. free: until nothing was held, by moments.
    """

    gone: list[float] = field(default_factory=list)
    free: dict[str, list[float]] = field(default_factory=dict)

    @property
    def all_free(self) -> tuple[float, ...]:
        """List all."""
        return tuple(each for samples in self.free.values() for each in samples)


@dataclass(frozen=True)
class _Visitor:
    """Who leaves when, and how; `unseen` is a frame that nobody has asked for yet."""

    moment: Moment
    way: Way
    unseen: str


async def measure_aborts(folder: Path, rounds: int) -> list[Measure]:
    """Make the frames in `folder`, and measure one front after the other."""
    frames = folder / "frames"
    frames.mkdir()
    write_frames(frames, unseen=(rounds + 1) * len(WAYS))
    measures: list[Measure] = []
    for kind in KINDS:
        print(f"imgd: clients that leave: {kind}", file=sys.stderr, flush=True)
        place = folder / kind
        place.mkdir()
        async with open_front(kind, f"f={frames}", place, workers_max=1, worker_threads=1) as front:
            measures += await _measure(front, kind, rounds)
    return measures


async def _measure(front: Front, kind: Kind, rounds: int) -> list[Measure]:
    left = {protocol: _Left() for protocol in PROTOCOLS}
    least: list[float] = []
    unseen = 0
    async with front.daemon.connect() as watch:
        for number in range(-1, rounds):
            for protocol, ways in PROTOCOLS.items():
                for way in ways:
                    for moment in LEFT:
                        frame = f"f/unseen/{unseen}.fits"
                        unseen += moment == "parse"
                        gone, free = await _leave_once(front, watch, _Visitor(moment, way, frame))
                        if number >= 0:  # The round before warms everything up.
                            left[protocol].free.setdefault(moment, []).append(free)
                            left[protocol].gone += [] if gone is None else [gone]
            least.append(await _question_ms(watch))
    return [_told(kind, protocol, each, median(least)) for protocol, each in left.items()]


async def _leave_once(front: Front, watch: Http1, visitor: "_Visitor") -> tuple[float | None, float]:
    """Leave at a moment; tell how soon the worker was gone (None: there was none), and all was free."""
    with trio.fail_after(LIMIT_S):
        await front.daemon.get("/frame/f/big.fits")
        async with AsyncExitStack() as others, visiting(front, visitor.way) as visit:
            pid = await bring_to(visitor.moment, visit, visitor.unseen, others)
            found = await _watch_end(watch, visit, pid, 1 if visitor.moment == "queue" else 0)
        while await held(front.daemon) or programs_of(front):  # noqa: ASYNC110  # Others are asked.
            await trio.sleep(REST_S)
        await trio.sleep(REST_S)
    return found


async def _watch_end(watch: Http1, visit: Visit, pid: int, jobs: int) -> tuple[float | None, float]:
    """Leave, and look until its work is over; `jobs` are others'."""
    began = time.perf_counter()
    await visit.leave()
    gone_ms: float | None = None
    if pid:
        asks_s = began + ASK_S  # The kernel is asked for nothing; a question would keep the daemon from its work.
        while not is_gone(pid):
            if time.perf_counter() >= asks_s:
                if await _is_over(watch, jobs):  # It had done its work, and waits for more.
                    return None, (time.perf_counter() - began) * 1e3
                asks_s = time.perf_counter() + ASK_S
            await trio.sleep(LOOK_S)
        gone_ms = (time.perf_counter() - began) * 1e3
    while not await _is_over(watch, jobs):  # noqa: ASYNC110  # Another process is asked.
        await trio.sleep(LOOK_S)
    return gone_ms, (time.perf_counter() - began) * 1e3


async def _is_over(watch: Http1, jobs: int) -> bool:
    """Ask whether nothing is held but by so many jobs of others."""
    figures = json.loads((await watch.get("/admin")).body)["figures"]["engine"]
    if jobs:
        return bool(figures["jobs"] <= jobs)
    return not any(figures[name] for name in HELD)


async def _question_ms(watch: Http1) -> float:
    """Time the question itself: by so much what is measured is longer than what is."""
    began = time.perf_counter()
    await _is_over(watch, 0)
    return (time.perf_counter() - began) * 1e3


def _told(kind: Kind, protocol: str, left: _Left, least_ms: float) -> Measure:
    free = left.all_free
    worst = max(left.free, key=lambda moment: median(left.free[moment]))
    how = (
        f"p99 of {len(free)}, median {median(free):.1f} ms, of which the question {least_ms:.1f}; "
        f"worker gone: median {median(left.gone):.1f}, p99 {percentile(left.gone, 0.99):.1f} ms; "
        f"slowest when left at: {worst}, median {median(left.free[worst]):.1f} ms"
    )
    asked = DIRECT_MS if kind in ("direct", "tls") else THROUGH_MS
    beside = {moment: tuple(samples) for moment, samples in left.free.items()}
    name = f"leaving, {kind}, {protocol}"
    return Measure(name, "ms", percentile(free, 0.99), asked, how, tuple(left.gone), beside)
