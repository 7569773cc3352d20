"""Sizing: what each thing costs that there may be more of; the coefficients of docs/sizing.md, and its table."""

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import trio
from trio_websocket import WebSocketConnection

from bench.frames import MONO61, make_star_frame
from bench.memory import held_by
from bench.programs import cpu_s_of, say
from bench.table import Measure, median
from tests.daemon import kernel
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make

KB: Final = 1e3
MB: Final = 1e6
CONNECTIONS: Final = 400
SESSIONS: Final = 200
ROOTS: Final = 40
FRAMES: Final = 2000
WARMING: Final = 300  # Frames after which a daemon has grown by what it grows anyway.
ANNOUNCED: Final = 1000
FEW: Final = 12_000
MANY: Final = 32_000
WORKERS: Final = 4
PICTURES: Final = 3
SETTLE_S: Final = 2.0
LIMIT_S: Final = 300.0
SAMPLE_S: Final = 0.002
SCREEN_TILES: Final = 40  # 1920 x 1080 pixels, and a rim.


async def measure_sizing(folder: Path, rounds: int) -> list[Measure]:
    """Measure everything, one after the other; print the table that stands in the docs."""
    del rounds  # Differences of hundreds of things: each is a mean by itself.
    night = folder / "night"
    night.mkdir()
    make_star_frame(night / "mono61.fits", MONO61)
    settings: dict[str, Any] = {
        "keep_alive_s": 600, "worker_idle_s": 600, "workers_idle_max": WORKERS, "workers_max": WORKERS,
        "sessions_max": SESSIONS + 50, "connections_max": CONNECTIONS + SESSIONS + 50,
    }  # fmt: skip
    measures: list[Measure] = []
    async with running_daemon(f"night={night}", **settings) as daemon:
        say("processes that do nothing")
        measures += await _idle(daemon)
        say("workers")
        measures += await _workers(daemon, night)
        say("what is sent")
        measures += await _sent(daemon)
        say(f"{CONNECTIONS} connections, {SESSIONS} sessions")
        measures += await _clients(daemon)
    say(f"{ROOTS} roots")
    measures += await _roots(folder)
    say(f"{FRAMES} frames")
    measures += await _frames(folder)
    print(docs_table(measures))
    return measures


def docs_table(measures: Sequence[Measure]) -> str:
    """Write the table of coefficients in Markdown, as it stands in docs/sizing.md."""
    lines = ["| what | takes | how it was measured |", "|---|---|---|"]
    for each in measures:
        if each.reached is not None:
            lines.append(f"| {each.name} | {each.reached:.3g} {each.unit}".rstrip() + f" | {each.how} |")
    return "\n".join(lines)


def _told(name: str, unit: str, reached: float, how: str) -> Measure:
    return Measure(name, unit, reached, None, how)


def _own(pids: Sequence[int], frames: Path) -> float:
    """Add up what processes take for themselves: neither frames nor segments."""
    return sum(held_by(pid, frames).own_bytes for pid in pids)


async def _calm() -> None:
    await trio.sleep(SETTLE_S)


def _roles(daemon: RunningDaemon) -> tuple[int, list[int]]:
    """Find the template and the workers."""
    children = daemon.children()
    template = next(pid for pid in children if _parent(pid) == daemon.pid)
    return template, [pid for pid in children if pid != template]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def _idle(daemon: RunningDaemon) -> list[Measure]:
    await _calm()
    template, workers = _roles(daemon)
    assert not workers, "nobody has asked for anything"
    how = "PSS of a fresh daemon that has served nothing"
    own = "PSS beside the daemon, before any worker shares its pages"
    return [
        _told("daemon", "MB", kernel.pss_bytes([daemon.pid]) / MB, how),
        _told("template", "MB", kernel.pss_bytes([template]) / MB, own),
        _told("descriptors of a daemon", "", kernel.open_descriptors(daemon.pid), "one root, one listener"),
    ]


async def _workers(daemon: RunningDaemon, frames: Path) -> list[Measure]:
    """Have so many workers at once; what the whole grows by when they wait, and when they work."""
    before = kernel.pss_bytes(daemon.processes())
    segments = kernel.segment_bytes(daemon.processes())
    descriptors = kernel.open_descriptors(daemon.pid)
    await daemon.get("/stats?frame=night/mono61.fits")  # Its facts are known, and its pages are in memory.
    cpu_s = _cpu_s(daemon)
    peak = _Peak(daemon, frames)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peak.watch)
        for turn in range(PICTURES):
            async with trio.open_nursery() as asking:
                for number in range(WORKERS):  # Each another region, so that no work is shared.
                    view = f"size={600 + 10 * turn},&region=0,0,{9000 - number},{6000 - turn}"
                    asking.start_soon(daemon.get, f"/img?frame=night/mono61.fits&{view}")
        nursery.cancel_scope.cancel()
    await _calm()
    _, workers = _roles(daemon)
    idle = (kernel.pss_bytes(daemon.processes()) - before) / max(len(workers), 1)
    grown = kernel.open_descriptors(daemon.pid) - descriptors
    held = kernel.segment_bytes(daemon.processes()) - segments
    count = max(len(workers), 1)
    cold_s = (_cpu_s(daemon) - cpu_s) / PICTURES / WORKERS
    pictures = f"{PICTURES * WORKERS} pictures of {MONO61[1]} x {MONO61[0]} pixels"
    return [
        _told("worker that waits", "MB", idle / MB, f"{count} workers: PSS of all, more than before, each"),
        _told("worker at work", "MB", peak.highest / count / MB, f"the same, at {pictures}, at their peak"),
        _told("descriptors of a worker", "", grown / count, "of the daemon, with the segments of its last pictures"),
        _told("processor time of a cold picture", "s", cold_s, f"all processes, {pictures} in the page cache"),
        _told(
            "buffers of a picture", "MB", held / PICTURES / WORKERS / MB, f"600 pixels wide, and histogram; {pictures}"
        ),
    ]


def _cpu_s(daemon: RunningDaemon) -> float:
    return sum(map(cpu_s_of, daemon.processes()))


class _Peak:
    """The highest sum of what the workers took for themselves."""

    def __init__(self, daemon: RunningDaemon, frames: Path) -> None:
        self._daemon = daemon
        self._frames = frames
        self.highest = 0.0

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            _, workers = _roles(self._daemon)
            self.highest = max(self.highest, await trio.to_thread.run_sync(_own, workers, self._frames))
            await trio.sleep(SAMPLE_S)


async def _sent(daemon: RunningDaemon) -> list[Measure]:
    """See how large pictures and tiles are."""
    picture = len((await daemon.get("/img?frame=night/mono61.fits&size=1200,")).body)
    document = json.loads((await daemon.get("/tiles/night/mono61.fits/tiles.json")).body)
    top = document["levels"] - 1
    sizes, cpu_s = [], _cpu_s(daemon)
    async with daemon.connect() as connection:
        for number in range(SCREEN_TILES):
            address = document["template"]
            for name, value in (("{z}", top), ("{x}", 5 + number % 8), ("{y}", 5 + number // 8)):
                address = address.replace(name, str(value))
            sizes.append(len((await connection.get(address)).body))
    tile_s = (_cpu_s(daemon) - cpu_s) / SCREEN_TILES
    return [
        _told("processor time of a tile", "s", tile_s, f"all processes, {SCREEN_TILES} asked for one by one"),
        _told("picture of 1200 pixels", "kB", picture / KB, "JPEG of quality 85, of a field of stars"),
        _told("tile", "kB", median(sizes) / KB, f"median of {SCREEN_TILES} at full resolution: noise compresses badly"),
    ]


async def _clients(daemon: RunningDaemon) -> list[Measure]:
    """Let many be connected, then many have a session with an open picture."""
    measures = []
    await daemon.get("/stats?frame=night/mono61.fits")
    await _calm()
    async with AsyncExitStack() as stack:
        before, descriptors = _of_daemon(daemon)
        for _ in range(CONNECTIONS):
            connection = await stack.enter_async_context(daemon.connect())
            assert (await connection.get("/healthz")).status == 200
        await _calm()
        after, open_now = _of_daemon(daemon)
        how = f"{CONNECTIONS} that were answered once and stay open"
        measures.append(_told("connection", "kB", (after - before) / CONNECTIONS / KB, how))
        measures.append(_told("descriptors of a connection", "", (open_now - descriptors) / CONNECTIONS, how))
    await _calm()
    async with AsyncExitStack() as stack:
        before, descriptors = _of_daemon(daemon)
        for _ in range(SESSIONS):
            socket = await stack.enter_async_context(daemon.websocket("/live"))
            await _be_shown(socket)
        await _calm()
        after, open_now = _of_daemon(daemon)
        how = f"{SESSIONS} websockets that have been shown one picture each"
        measures.append(_told("session", "kB", (after - before) / SESSIONS / KB, how))
        measures.append(_told("descriptors of a session", "", (open_now - descriptors) / SESSIONS, how))
    return measures


async def _be_shown(socket: WebSocketConnection) -> None:
    """Open a picture and look at it once, so that the session is as one that is used."""
    await socket.send_message(json.dumps({"id": 1, "op": "open", "view": "frame=night/mono61.fits&size=600,"}))
    with trio.fail_after(LIMIT_S):
        while not isinstance(message := await socket.get_message(), bytes):
            told = json.loads(message)
            if told["op"] == "opened":
                await socket.send_message(json.dumps({"id": 2, "op": "run", "runner": told["runner"]}))


def _of_daemon(daemon: RunningDaemon) -> tuple[int, int]:
    return kernel.pss_bytes([daemon.pid]), kernel.open_descriptors(daemon.pid)


async def _roots(folder: Path) -> list[Measure]:
    roots = []
    for number in range(ROOTS):
        roots.append(folder / f"root{number}")
        roots[-1].mkdir()
    figures = []
    for some in (roots[:1], roots):
        async with running_daemon(some) as daemon:
            await _calm()
            figures.append(_of_daemon(daemon))
    how = f"a daemon of {ROOTS} empty roots beside one of one"
    return [
        _told("root", "kB", (figures[1][0] - figures[0][0]) / (ROOTS - 1) / KB, how),
        _told("descriptors of a root", "", (figures[1][1] - figures[0][1]) / (ROOTS - 1), how),
    ]


async def _frames(folder: Path) -> list[Measure]:
    """Have frames announced, then have them be there at the start; differences leave out what is there anyway."""
    many = folder / "many"
    many.mkdir()
    async with running_daemon(many, describe_pause_s=0.001) as daemon:
        _write(many, 0, WARMING)
        before = await _known(daemon, WARMING)
        _write(many, WARMING, WARMING + ANNOUNCED)
        after = await _known(daemon, WARMING + ANNOUNCED)
    disk = []
    for count in (WARMING + ANNOUNCED, WARMING + ANNOUNCED + FRAMES):
        _write(many, WARMING + ANNOUNCED, count)
        async with running_daemon(many, describe_pause_s=0.001) as daemon:
            disk.append((await _known(daemon, count))[1])
    there = f"{FRAMES} frames more that were there at the start, headers read; small headers, in the SQLite file"
    announced = f"{ANNOUNCED} that were announced; in memory bounded by ring_max"
    return [
        *await _crowd(folder / "crowd"),
        _told("1000 frames on disk", "kB", (disk[1] - disk[0]) / FRAMES, there),
        _told("1000 new frames in memory", "kB", (after[0] - before[0]) / ANNOUNCED, announced),
        _told("1000 new frames on disk", "kB", (after[1] - before[1]) / ANNOUNCED, "the same, with their events"),
    ]


async def _crowd(folder: Path) -> list[Measure]:
    """Have very many frames, more than a root's latest that are kept in memory."""
    taken = []
    for first, end in ((0, FEW), (FEW, MANY)):
        _write(folder, first, end)
        async with running_daemon(folder) as daemon:
            taken.append((await _known(daemon, end, "frames"))[0])
    how = f"{MANY} frames that were there at the start beside {FEW}"
    return [_told("1000 frames in memory", "kB", (taken[1] - taken[0]) / (MANY - FEW), how)]


def _write(folder: Path, first: int, end: int) -> None:
    folder.mkdir(exist_ok=True)
    cards = [make.card("OBJECT", "M 31"), make.card("EXPTIME", 30.0), make.card("FILTER", "Ha")]
    unit = make.image_hdu(make.star_field(16, 16), cards=cards)
    for number in range(first, end):
        make.write(folder / f"{number:06}.fits", unit)


async def _known(daemon: RunningDaemon, count: int, what: str = "described") -> tuple[int, int]:
    """Wait until the catalogue has so many frames; tell the daemon's memory, and the database's size."""
    with trio.fail_after(LIMIT_S):
        while json.loads((await daemon.get("/catalogue?limit=1")).body)[what] < count:  # noqa: ASYNC110  # Another process.
            await trio.sleep(0.2)
    await _calm()
    return kernel.pss_bytes([daemon.pid]), _database_bytes(daemon.folder / "events.sqlite")


def _database_bytes(path: Path) -> int:
    """Tell the size of a database, with what stands in its log of writes only as yet."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page_bytes)
