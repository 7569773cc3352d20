"""The engine through HTTP on loopback: cold, hot, 304, leaving, a crowd, and what an idle daemon costs."""

import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from bench.asker import Asker
from bench.frames import MONO16, MONO61, Renewal, copy_frames, make_star_frame
from bench.limit import Limit
from bench.table import Measure, median, percentile
from tests.daemon.http1 import Http1
from tests.daemon.rig import RunningDaemon, running_daemon

ROOT: Final = "bench"
QUALITY: Final = 85
WARM_UP: Final = 3
LEAVES: Final = 200
CROWD: Final = 50
CROWD_ROUNDS: Final = 5
WEBSOCKETS: Final = 200
SETTLE_S: Final = 1.0
ROOM_BYTES: Final = 12 << 30  # Free memory and disk that 50 frames of 61 megapixels need; with less, 16 megapixels.
POLL_S: Final = 0.003  # Each question takes the daemon's time, too: what is measured is longer than what is.
FIRST_POLL_S: Final = 0.012  # Nothing is measured below this; asking earlier would only hold up the daemon.
LEFT_MIN_S: Final = 0.003  # A client that stays this long has been heard.

# What has to be 0 for all bytes to be free again; idle and spare ones may be taken by anybody.
HELD: Final = ("imgd_engine_leased_bytes", "imgd_engine_reserved_bytes", "imgd_engine_jobs")


@dataclass
class _Rounds:
    """Milliseconds of each round, taken in turns so that the noise of a shared machine falls on all alike."""

    copy: list[float] = field(default_factory=list)
    encode: list[float] = field(default_factory=list)
    encode_hot: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    hot: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)


async def measure_engine(folder: Path, rounds: int) -> list[Measure]:
    """Make the frames in `folder`, start daemons on them, and measure."""
    renewal = Renewal()
    frame = folder / "mono61.fits"
    _say("making a frame of 61 megapixels")
    make_star_frame(frame, MONO61)
    os.sync()
    measures: list[Measure] = []
    async with running_daemon(f"{ROOT}={folder}") as daemon:
        _say("measuring an idle daemon")
        measures += await _idle(daemon)
        _say(f"measuring cold, hot and 304, {rounds} rounds")
        answers, cold_ms = await _answers(daemon, frame, rounds, renewal)
        measures += answers
        _say(f"measuring {LEAVES} clients that leave")
        measures.append(await _leaving(daemon, frame, cold_ms, renewal))
    crowd_frame = frame
    if not _has_room(folder):
        crowd_frame = folder / "mono16.fits"
        make_star_frame(crowd_frame, MONO16)
    _say(f"copying {crowd_frame.stem} {CROWD} times")
    copies = copy_frames(crowd_frame, folder / "crowd", CROWD)
    async with running_daemon(f"{ROOT}={folder / 'crowd'}", workers_max=2) as daemon:
        _say(f"measuring {CROWD} clients at once, {CROWD_ROUNDS} rounds")
        measures.append(await _crowd(daemon, copies, renewal))
    return measures


async def _idle(daemon: RunningDaemon) -> list[Measure]:
    await trio.sleep(SETTLE_S)
    idle_mb = daemon.pss_bytes() / 1e6
    processes = len(daemon.processes())
    async with _websockets(daemon, WEBSOCKETS // 10):
        await trio.sleep(SETTLE_S)
    before = daemon.pss_bytes()
    async with _websockets(daemon, WEBSOCKETS):
        await trio.sleep(SETTLE_S)
        each_kb = (daemon.pss_bytes() - before) / 1e3 / WEBSOCKETS
    return [
        Measure("idle daemon", "MB", idle_mb, 250, f"PSS of {processes} processes, template included"),
        Measure("idle websocket", "kB", each_kb, 100, f"growth of PSS by {WEBSOCKETS} of them, each"),
    ]


@asynccontextmanager
async def _websockets(daemon: RunningDaemon, count: int) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(daemon.websocket("/live"))
        yield


async def _answers(daemon: RunningDaemon, frame: Path, rounds: int, renewal: Renewal) -> tuple[list[Measure], float]:
    took = _Rounds()
    with Limit(frame) as limit, Asker(daemon.host, daemon.port) as asker:
        for number in range(-WARM_UP, rounds):
            if number == 0:
                took = _Rounds()
            _one_round(asker, frame, number, (limit, renewal, took))
    cold, hot, unchanged = median(took.cold), median(took.hot), median(took.unchanged)
    copy, encode, encode_hot = median(took.copy), median(took.encode), median(took.encode_hot)
    parts = (
        f"copy {copy:.1f} + JPEG {encode:.1f} ms on one core; of the hot picture, with more noise, {encode_hot:.1f} ms"
    )
    cold_how = f"new frame: {cold:.1f} ms, median of {rounds}, best {min(took.cold):.1f}"
    hot_how = f"other levels: {hot:.1f} ms, median of {rounds}, best {min(took.hot):.1f}"
    same_how = f"median of {rounds}, best {min(took.unchanged):.2f}"
    return [
        Measure("limit", "ms", copy + encode, None, parts, tuple(took.copy)),
        Measure("cold / limit", "x", cold / (copy + encode), 5, cold_how, tuple(took.cold)),
        Measure("hot / limit", "x", hot / (copy + encode_hot), 1, hot_how, tuple(took.hot)),
        Measure("304", "ms", unchanged, 2, same_how, tuple(took.unchanged)),
        Measure("least", "ms", median(took.least), None, "/healthz: what HTTP and the client cost", tuple(took.least)),
    ], cold


def _one_round(asker: Asker, frame: Path, number: int, tools: tuple[Limit, Renewal, _Rounds]) -> None:
    """Measure each once, the limit in between; blocks, as nothing else goes on."""
    limit, renewal, took = tools
    view = f"/img?frame={ROOT}/{frame.name}&size=1200,&quality={QUALITY}"
    renewal.renew(frame)
    cold = asker.picture(view)
    took.cold.append(cold.spent_ms)
    hot = asker.picture(f"{view}&levels={0.01 + 0.001 * (number % 50)},0.997")
    took.hot.append(hot.spent_ms)
    for _ in range(3):
        same = asker.ask(view, if_none_match=cold.etag)
        assert same.status == 304, f"asked for what it has, it answered {same.status}"
        took.unchanged.append(same.spent_ms)
        took.least.append(asker.ask("/healthz").spent_ms)
    took.copy.append(limit.copy_ms())
    took.encode.append(limit.encode_ms(cold.body, QUALITY))
    took.encode_hot.append(limit.encode_ms(hot.body, QUALITY))


async def _leaving(daemon: RunningDaemon, frame: Path, cold_ms: float, renewal: Renewal) -> Measure:
    """Leave at a moment that chance chooses; then ask until nothing is held any more."""
    chance = random.Random(1)
    took_ms: list[float] = []
    finished = 0
    with Asker(daemon.host, daemon.port) as asker:
        for number in range(LEAVES):
            renewal.renew(frame)
            async with daemon.connect() as leaver:
                await leaver.send("GET", f"/img?frame={ROOT}/{frame.name}&size=1200,")
                with trio.move_on_after(chance.uniform(LEFT_MIN_S, cold_ms / 1e3)):
                    await leaver.response()
                    finished += 1
                began = time.perf_counter()
                await leaver.leave(reset=number % 2 == 0)
            await trio.sleep(FIRST_POLL_S)
            while _holds_anything(asker):  # noqa: ASYNC110  # Another process is asked.
                await trio.sleep(POLL_S)
            took_ms.append((time.perf_counter() - began) * 1e3)
    how = f"p99 of {LEAVES}, FIN and RST; {finished} had their answer begun; median {median(took_ms):.1f} ms"
    return Measure("close to all bytes free", "ms", percentile(took_ms, 0.99), 25, how, tuple(took_ms))


def _holds_anything(asker: Asker) -> bool:
    text = asker.ask("/metrics").body.decode()
    values = dict(line.split(" ")[:2] for line in text.splitlines() if line and not line.startswith("#"))
    return any(float(values[name]) for name in HELD)


async def _crowd(daemon: RunningDaemon, frames: list[Path], renewal: Renewal) -> Measure:
    ratios: list[float] = []
    alone_ms: list[float] = []
    first_ms: list[float] = []
    for number in range(-1, CROWD_ROUNDS):
        alone = [await _alone(daemon, frame, renewal) for frame in frames[:3]]
        first, last = await _all_at_once(daemon, frames, renewal)
        if number >= 0:
            alone_ms.append(median(alone))
            first_ms.append(first)
            ratios.append(first / median(alone))
    how = (
        f"{CROWD} x {frames[0].stem[:6]} at once, 2 workers: first after {median(first_ms):.0f} ms, "
        f"one alone {median(alone_ms):.0f} ms, last after {last:.0f} ms; median of {CROWD_ROUNDS}"
    )
    return Measure("first of a crowd / alone", "x", median(ratios), 2, how, tuple(ratios))


async def _alone(daemon: RunningDaemon, frame: Path, renewal: Renewal) -> float:
    renewal.renew(frame)
    async with daemon.connect() as connection:
        return (await _timed(connection, f"/img?frame={ROOT}/{frame.name}&size=1200,"))[0]


async def _all_at_once(daemon: RunningDaemon, frames: list[Path], renewal: Renewal) -> tuple[float, float]:
    """Ask for all frames in the same moment; return milliseconds to the first and to the last answer."""
    ended: list[float] = []

    async def ask(connection: Http1, frame: Path) -> None:
        await _timed(connection, f"/img?frame={ROOT}/{frame.name}&size=1200,")
        ended.append(time.perf_counter())

    async with AsyncExitStack() as stack:
        connections = []
        for frame in frames:
            renewal.renew(frame)
            connections.append(await stack.enter_async_context(daemon.connect()))
        began = time.perf_counter()
        async with trio.open_nursery() as asking:
            for connection, frame in zip(connections, frames, strict=True):
                asking.start_soon(ask, connection, frame)
    return (min(ended) - began) * 1e3, (max(ended) - began) * 1e3


async def _timed(connection: Http1, target: str) -> tuple[float, bytes, str]:
    """Ask, and return milliseconds to the last byte, the body, and its ETag."""
    began = time.perf_counter()
    answer = await connection.get(target)
    spent = (time.perf_counter() - began) * 1e3
    assert answer.status == 200, f"{target}: {answer.status} {answer.body[:500]!r}"
    return spent, answer.body, answer.headers["etag"]


def _has_room(folder: Path) -> bool:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    return min(free, shutil.disk_usage(folder).free) > ROOM_BYTES


def _say(text: str) -> None:
    print(f"imgd: {text}", file=sys.stderr, flush=True)
