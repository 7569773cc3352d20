"""Live: how soon a screen of tiles is there, how many tiles all get, and what sessions cost that do nothing."""

import http.client
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from bench.frames import MONO61, make_star_frame
from bench.limit import Limit
from bench.panners import ACROSS, DOWN, TILE_PX, Viewer
from bench.programs import cpu_s_of, expect, read_line, running_program, say
from bench.table import Measure, median, percentile
from tests.daemon.rig import RunningDaemon, running_daemon

CLIENTS: Final = 8
SECONDS: Final = 4.0
IDLE: Final = 500
SLOW: Final = 8
SCREENS_UNREAD: Final = 8  # More than all buffers on the way hold.
CALM_CONSTANT: Final = 2210  # Bodies a second of hypercorn's Trio worker where the bounds were set.
HIT_TILES: Final = 200
SETTLE_S: Final = 1.5
SCREENS: Final = 40
LIMIT_S: Final = 60.0
HEADER_BYTES: Final = 32
CANCELLED: Final = 10
SIZE: Final = (MONO61[1], MONO61[0])


async def measure_live(folder: Path, rounds: int) -> list[Measure]:
    """Measure one viewer, many viewers, hits, idle sessions, and what is left undone."""
    root = folder / "night"
    root.mkdir()
    make_star_frame(root / "mono61.fits", MONO61)
    measures: list[Measure] = []
    # Two services: one keeps tiles, as is usual; the other makes each one, whoever has asked for it before.
    async with running_daemon(f"night={root}", sessions_max=IDLE + 50) as usual:
        say(f"one viewer, {SCREENS} screens")
        alone = await _screens(usual)
        measures += _told(alone)
        measures.append(_beside_limit(root / "mono61.fits", alone["all"]))
        say(f"cache hits beside a constant body, {rounds} rounds")
        hits, constant = await _hits(usual, rounds)
        measures += hits
        say(f"{IDLE} sessions that do nothing")
        measures += await _idle(usual, alone["first"])
        say(f"{SLOW} clients that take nothing")
        measures.append(await _beside_slow(usual, alone["first"]))
    async with running_daemon(f"night={root}", sessions_max=IDLE + 50) as fresh:
        measures.append(await _memory(fresh))
    async with running_daemon(f"night={root}", tile_cache_bytes=0) as bare:
        say(f"{CLIENTS} viewers panning, {rounds} rounds")
        measures += await _panning(bare, rounds, constant)
        say("viewports that are closed at once")
        measures.append(await _closed(bare))
    return measures


async def _screens(daemon: RunningDaemon) -> dict[str, list[float]]:
    """Look at one screen after another; milliseconds until the first tile, and until all."""
    taken: dict[str, list[float]] = {"first": [], "all": [], "level first": [], "level all": []}
    async with daemon.websocket("/live") as live:
        await live.send_message(json.dumps({"id": 1, "op": "open", "view": "frame=night/mono61.fits"}))
        runner = (await _until(live, "opened"))["runner"]
        for number in range(SCREENS + 3):
            level = number % 3  # Another level each time, and another place.
            columns, rows = (side // (TILE_PX << level) - n + 1 for side, n in zip(SIZE, (ACROSS, DOWN), strict=True))
            left, top = 5 * number % columns, 3 * number % rows
            box = [left * TILE_PX, top * TILE_PX, ACROSS * TILE_PX, DOWN * TILE_PX]
            ask = {"id": 2, "op": "viewport", "runner": runner, "level": level, "box": box, "again": True}
            first, last, count = await _screen(live, ask)
            assert count >= ACROSS * DOWN
            await trio.sleep(0.12)  # A person: longer than the rest between two runs.
            changed = {"id": 3, "op": "set", "runner": runner, "changes": {"cut": f"{700 + number},2000"}}
            level_first, level_last, _ = await _screen(live, changed)
            await trio.sleep(0.12)
            if number >= 3:
                for name, value in zip(taken, (first, last, level_first, level_last), strict=True):
                    taken[name].append(value)
    return taken


async def _screen(live: Any, ask: dict[str, Any]) -> tuple[float, float, int]:
    began = time.perf_counter()
    await live.send_message(json.dumps(ask))
    first, count = 0.0, 0
    with trio.fail_after(LIMIT_S):
        while True:
            message = await live.get_message()
            if isinstance(message, bytes):
                first = first or time.perf_counter()
                count += 1
            elif (op := json.loads(message)["op"]) == "completed":
                return (first - began) * 1e3, (time.perf_counter() - began) * 1e3, count
            else:
                assert op not in ("error", "failed"), message


async def _until(live: Any, what: str) -> dict[str, Any]:
    with trio.fail_after(LIMIT_S):
        while True:
            message = await live.get_message()
            if isinstance(message, str) and (found := json.loads(message))["op"] == what:
                return dict(found)


def _told(taken: dict[str, list[float]]) -> list[Measure]:
    how = f"{ACROSS} x {DOWN} tiles of mono61, each time elsewhere; a client in Python on the same two cores"
    names = {
        "first": ("viewport, hot: first tile", 12.0), "all": ("viewport, hot: all 40 tiles", 50.0),
        "level first": ("levels changed: first tile", 12.0), "level all": ("levels changed: all 40 tiles", 50.0),
    }  # fmt: skip
    return [
        Measure(name, "ms", median(taken[key]), bound, f"best {min(taken[key]):.1f}; {how}", tuple(taken[key]))
        for key, (name, bound) in names.items()
    ]


def _beside_limit(frame: Path, took: Sequence[float]) -> Measure:
    """Compare a screen with what one core cannot do faster: to copy the frame's pixels once."""
    with Limit(frame) as limit:
        copies = [limit.copy_ms() for _ in range(9)]
    how = f"{median(took):.1f} ms against one copy of mono61, {median(copies):.1f} ms"
    return Measure("viewport, hot: all 40 tiles / limit", "x", median(took) / median(copies), None, how)


async def _panning(daemon: RunningDaemon, rounds: int, constant: float) -> list[Measure]:
    """Have many pan at once, by websockets and by plain HTTP, in turns."""
    jobs = {
        "websockets": {"by": "websocket", "view": "frame=night/mono61.fits"},
        "HTTP": {"by": "http", "target": "/tile?frame=night/mono61.fits&level=0&x={}&y={}&cut=800,{}"},
    }
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    cpu_us: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            before = cpu_s_of(daemon.pid)
            one = await _drive(daemon, {**job, "clients": CLIENTS, "seconds": SECONDS, "level": 0, "size": SIZE})
            cpu_us[name].append((cpu_s_of(daemon.pid) - before) / max(1, one["all"]) * 1e6)
            told[name].append(one)
    both = [median([one["rate"] for one in told[name]]) for name in jobs]
    how = "the same tiles of the same service"
    measures = [Measure("tiles by websockets / by HTTP", "x", both[0] / both[1], None, how)]
    for name, bound in (("websockets", 2400), ("HTTP", 900)):
        rates = [one["rate"] for one in told[name]]
        took = [ms for one in told[name] for ms in one["took_ms"]]
        how = f"level 0, nothing kept; the daemon takes {median(cpu_us[name]):.0f} us of CPU a tile"
        measures.append(
            Measure(f"{CLIENTS} pan by {name}: tiles", "/s", median(rates), bound, how, tuple(rates), at_least=True)
        )
        how = f"{constant:.0f}/s; where it gives {CALM_CONSTANT}/s, this is the same bound as the one above"
        ratio = Measure(
            f"{CLIENTS} pan by {name}: tiles / hypercorn's constant body",
            "x",
            median(rates) / constant,
            bound / CALM_CONSTANT,
            how,
            at_least=True,
        )
        measures.append(ratio)
        shown = f"median {median(took):.1f} ms, p99 {percentile(took, 0.99):.1f}"
        measures.append(
            Measure(f"{CLIENTS} pan by {name}: p99 / median", "x", percentile(took, 0.99) / median(took), 10, shown)
        )
    return measures


async def _drive(daemon: RunningDaemon, job: dict[str, Any]) -> dict[str, Any]:
    def run() -> dict[str, Any]:
        with running_program("bench.panners", daemon.host, str(daemon.port), json.dumps(job)) as program:
            told = read_line(program)
        assert told, "the viewers failed"
        return dict(json.loads(told))

    return await trio.to_thread.run_sync(run)


async def _hits(daemon: RunningDaemon, rounds: int) -> tuple[list[Measure], float]:
    """Ask for tiles that are kept, and for a constant body of the same size from hypercorn, in turns."""
    targets, size_bytes = await trio.to_thread.run_sync(_versioned, daemon)
    job = {"by": "http", "targets": targets, "clients": 1, "connections": CLIENTS, "seconds": SECONDS / 2}
    ours, theirs = [], []
    with running_program("bench.constant", str(size_bytes)) as constant:
        port = int(await trio.to_thread.run_sync(read_line, constant))
        for _ in range(rounds):
            ours.append((await _drive(daemon, job))["rate"])
            other = replace(daemon, port=port)
            theirs.append((await _drive(other, {**job, "targets": ["/"]}))["rate"])
    how = f"{median(ours):.0f}/s against {median(theirs):.0f}/s of {size_bytes} bytes; {CLIENTS} connections"
    rate = median(ours) / median(theirs)
    return [Measure("hits / hypercorn's constant body", "x", rate, 0.9, how, at_least=True)], median(theirs)


def _versioned(daemon: RunningDaemon) -> tuple[list[str], int]:
    """Find addresses of tiles that name their version, and have each made once."""
    connection = http.client.HTTPConnection(daemon.host, daemon.port, timeout=LIMIT_S)
    document = json.loads(_got(connection, "/tiles/night/mono61.fits/tiles.json"))
    template = document["template"]
    path = template[template.index("/tiles/") :] if "/tiles/" in template else template
    z = document["levels"] - 1
    targets = [
        path.replace("{z}", str(z)).replace("{x}", str(number % 20)).replace("{y}", str(number // 20))
        for number in range(HIT_TILES)
    ]
    sizes = [len(_got(connection, target)) for target in targets]
    connection.close()
    return targets, round(sum(sizes) / len(sizes))


def _got(connection: http.client.HTTPConnection, target: str) -> bytes:
    connection.request("GET", target)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{target}: {answer.status} {body[:300]!r}"
    return body


async def _idle(daemon: RunningDaemon, alone: Sequence[float]) -> list[Measure]:
    """Open sessions that each hold a runner and do nothing; what they do to one who looks."""
    async with _idlers(daemon, IDLE):
        beside = (await _screens(daemon))["first"]
    return [_compared(f"first tile's p99 beside {IDLE} idle sessions / alone", beside, alone, 1.2)]


async def _memory(daemon: RunningDaemon) -> Measure:
    async with _idlers(daemon, IDLE // 10):
        await trio.sleep(SETTLE_S)
    before = daemon.pss_bytes()
    async with _idlers(daemon, IDLE):
        await trio.sleep(SETTLE_S)
        each_kb = (daemon.pss_bytes() - before) / 1e3 / IDLE
    how = f"growth of PSS by {IDLE} websockets with an open runner, each"
    return Measure("an idle session", "kB", each_kb, 60, how)


async def _beside_slow(daemon: RunningDaemon, alone: Sequence[float]) -> Measure:
    """Have clients ask for many tiles that they do not take, while one looks."""
    viewers: list[Viewer] = []
    with ExitStack() as stack:
        for number in range(SLOW):
            job = {"clients": SLOW, "level": 0, "size": SIZE}
            viewer = await trio.to_thread.run_sync(Viewer, daemon.host, daemon.port, job, number)
            stack.callback(viewer.wire.socket.close)
            viewers.append(viewer)
        for _ in range(SCREENS_UNREAD):
            for viewer in viewers:
                viewer.pan()
            await trio.sleep(0.5)
        beside = (await _screens(daemon))["first"]
    return _compared(f"first tile's p99 beside {SLOW} clients that take nothing / alone", beside, alone, 1.2)


def _compared(name: str, beside: Sequence[float], alone: Sequence[float], bound: float) -> Measure:
    p99, alone_p99 = percentile(beside, 0.99), percentile(alone, 0.99)
    medians = f"medians {median(beside):.1f}, {median(alone):.1f}"
    how = f"{p99:.1f} ms against {alone_p99:.1f} ms of {len(alone)} screens; {medians}"
    return Measure(name, "x", p99 / alone_p99, bound, how)


@asynccontextmanager
async def _idlers(daemon: RunningDaemon, count: int) -> AsyncIterator[None]:
    arguments = (daemon.host, str(daemon.port), json.dumps({"by": "idling", "clients": count}))
    with running_program("bench.panners", *arguments) as program:
        await trio.to_thread.run_sync(expect, program, "ready")
        yield


async def _closed(daemon: RunningDaemon) -> Measure:
    """Ask for screens and close at once; count the tiles that are made after the closing was answered."""
    async with daemon.websocket("/live") as live:
        made = 0
        for number in range(CANCELLED):
            ask = {"id": 1, "op": "open", "view": f"frame=night/mono61.fits&cut=600,{3000 + number}"}
            await live.send_message(json.dumps(ask))
            runner = (await _until(live, "opened"))["runner"]
            box = [0, 0, 3 * ACROSS * TILE_PX, 3 * DOWN * TILE_PX]
            look = {"id": 2, "op": "viewport", "runner": runner, "level": 0, "box": box, "again": True}
            await live.send_message(json.dumps(look))
            with trio.fail_after(LIMIT_S):
                while not isinstance(await live.get_message(), bytes):
                    pass
            await live.send_message(json.dumps({"id": 3, "op": "close", "runner": runner}))
            await _until(live, "closed")
            before = await _tiles_made(daemon)
            await trio.sleep(0.5)
            made += await _tiles_made(daemon) - before
    how = f"of {9 * ACROSS * DOWN} that were asked for, by a client that closes when the first one comes; mean"
    return Measure("tiles made after their viewport was closed", "", made / CANCELLED, 4, how)


async def _tiles_made(daemon: RunningDaemon) -> int:
    figures = (await daemon.get("/metrics")).body.decode()
    return sum(
        int(float(each.rpartition(" ")[2])) for each in figures.splitlines() if each.startswith("imgd_desk_tiles_made")
    )
