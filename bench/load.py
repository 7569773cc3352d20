"""Load, through nginx, as users come: tiles kept and made, very many at once, many who open the page, idle ones."""

import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from bench.frames import MONO61, make_star_frame
from bench.hammer import Hammered, h2load, wrk
from bench.programs import cpu_s_of, expect, read_line, running_program, say
from bench.table import Measure, median, percentile
from bench.turns import Missing
from imgd.web.pages import load_pages
from tests.daemon import kernel
from tests.daemon.asking import Asking
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.fronts.nginx import members, running_nginx
from tests.fronts.place import Certificate, make_certificate

TILES: Final = (MONO61[1] // 256, MONO61[0] // 256)  # Columns and rows that are whole, at full size.
LOOKS: Final = 200  # Of the frame: so many times as many tiles as it has, none asked for twice.
KEPT: Final = 200
PANNERS: Final = 8
MANY: Final = 200
BROWSERS: Final = 50
IDLE: Final = 1000
IDLE_S: Final = 10.0
SECONDS: Final = 8.0
SAMPLE_S: Final = 0.02
SPARE_BYTES: Final = 4 << 30  # Of memory and disk, beside the frames.
BUDGET: Final = 512 << 20  # The default.
VISIOMATIC: Final = "VisiOmatic 3, measured on another two-core machine"
VISIOMATIC_COLD_MS: Final = 1930
VISIOMATIC_TILES: Final = 626  # A second, with its chunking repaired; 49 to 369 as it is shipped.
SMALL: Final = os.environ.get("BENCH_SMALL", "") == "1"  # Small frames, for trying out the bench itself.


@dataclass(frozen=True)
class Place:
    """A daemon, and nginx before it. `direct` asks the daemon without nginx, by TLS as well."""

    daemon: RunningDaemon
    door: Asking
    certificate: Certificate
    front: int

    @property
    def front_pids(self) -> list[int]:
        """Processes of nginx."""
        return members(self.front)


async def measure_load(folder: Path, rounds: int) -> list[Measure]:
    """Measure all of it; what takes a service of its own gets one."""
    root = folder / "night"
    root.mkdir()
    shape = (640, 960) if SMALL else MONO61
    make_star_frame(root / "mono61.fits", shape)
    measures: list[Measure] = []
    async with _service(folder / "kept", root) as place:
        say("kept tiles")
        measures += await _kept(place, rounds)
    async with _service(folder / "made", root, tile_cache_bytes=0) as place:
        say(f"tiles that are made, direct and through nginx in turns, {rounds} rounds")
        measures += await _made(place, shape, rounds)
        say(f"{MANY} connections")
        measures += await _many(place, shape)
    count = 4 if SMALL else BROWSERS
    with _cold_frames(root / "mono61.fits", folder / "cold", count + rounds) as (how, frames):
        async with _service(folder / "opened", folder / "cold") as place:
            say(f"{rounds} browsers, one after another, then {count} at the same time")
            measures += await _opened(place, frames, rounds, how)
    async with _service(folder / "idle", root, sessions_max=IDLE + 50, sessions_owner_max=IDLE + 50) as place:
        say(f"{IDLE} connections that do nothing")
        measures += await _idle(place, 50 if SMALL else IDLE)
    return measures


@asynccontextmanager
async def _service(folder: Path, root: Path, **settings: object) -> AsyncIterator[Place]:
    certificate = _certificate_in(folder)
    socket = folder / "d.sock"
    binds: dict[str, Any] = {"bind": f"127.0.0.1:0,unix:{socket}", **settings}
    async with (
        running_daemon(f"night={root}", certificate=certificate, **binds) as daemon,
        running_nginx(folder / "n", socket, certificate) as front,
    ):
        door = Asking(host=front.host, port=front.tls_port, certificate=certificate)
        yield Place(daemon, door, certificate, _read_pid(folder / "n" / "nginx.pid"))


def _certificate_in(folder: Path) -> Certificate:
    folder.mkdir()
    return make_certificate(folder)


def _read_pid(path: Path) -> int:
    return int(path.read_text())


async def _kept(place: Place, rounds: int) -> list[Measure]:
    """Ask for tiles by addresses with a version, again and again; nginx alone answers."""
    document = json.loads((await place.door.get("/tiles/night/mono61.fits/tiles.json")).body)
    template, z = document["template"], document["levels"] - 1
    path = template[template.index("/tiles/") :]
    across, down = (-(-document[side] // 256) for side in ("width", "height"))
    targets = [
        path.replace("{z}", str(z)).replace("{x}", str(n % across)).replace("{y}", str(n // across % down))
        for n in range(KEPT)
    ]
    sizes = []
    for _ in range(3):  # nginx keeps what is asked for a second time.
        async with place.door.connect() as connection:
            for target in targets:
                answer = await connection.get(target)
                assert answer.status == 200, answer
                sizes.append(len(answer.body))
    before = cpu_s_of(place.daemon.pid)
    by1 = [await _hammer(wrk, place.door, targets, 64) for _ in range(rounds)]
    used_s = cpu_s_of(place.daemon.pid) - before
    by2 = [await _hammer(h2load, place.door, targets, 16) for _ in range(rounds)]
    rates = tuple(each.rate for each in by1)
    how = (
        f"TLS, HTTP/1.1, 64 connections, {sum(sizes) / len(sizes):.0f} bytes each, p99 "
        f"{median([each.p99_ms for each in by1]):.1f} ms; the daemon took {used_s * 1e3:.0f} ms of CPU in all"
    )
    rates2 = tuple(each.rate for each in by2)
    return [
        Measure("kept tiles", "/s", median(rates), 10_000, how, rates, at_least=True),
        Measure("kept tiles: errors", "", sum(each.errors for each in (*by1, *by2)), 0, "by HTTP/1.1 and HTTP/2"),
        Measure("kept tiles by HTTP/2", "/s", median(rates2), None, "16 connections, 8 requests at a time", rates2),
        Measure("kept tiles / VisiOmatic's", "x", median(rates) / VISIOMATIC_TILES, None, f"{VISIOMATIC_TILES}/s, "
                f"where a hit is no faster than a miss: {VISIOMATIC}"),
    ]  # fmt: skip


async def _made(place: Place, shape: tuple[int, int], rounds: int) -> list[Measure]:
    """Ask for tiles that were never asked for: of the daemon itself, and through nginx, in turns."""
    targets = _fresh_tiles(shape)
    share = len(targets) // (2 * rounds)
    taken: dict[str, list[Hammered]] = {"direct": [], "nginx": []}
    for number in range(rounds):
        for at, (name, door) in enumerate((("direct", place.daemon), ("nginx", place.door))):
            first = (2 * number + at) * share
            taken[name].append(await _hammer(wrk, door, targets[first : first + share], PANNERS))
    direct, nginx = (median([each.rate for each in taken[name]]) for name in ("direct", "nginx"))
    rates = tuple(each.rate for each in taken["nginx"])
    p99 = median([each.p99_ms for each in taken["nginx"]])
    errors = sum(each.errors for each in (*taken["nginx"], *taken["direct"]))
    how = f"{nginx:.0f}/s against {direct:.0f}/s, both by TLS, {PANNERS} connections"
    return [
        Measure("tiles that are made: through nginx / direct", "x", nginx / direct, 0.9, how, at_least=True),
        Measure("tiles that are made, through nginx", "/s", nginx, None, f"p99 {p99:.1f} ms", rates),
        Measure("tiles that are made: errors", "", errors, 0, "direct and through nginx"),
        Measure("tiles that are made / VisiOmatic's", "x", nginx / VISIOMATIC_TILES, None,
                f"{VISIOMATIC_TILES}/s with its chunking repaired, 49 to 369 as shipped: {VISIOMATIC}"),
    ]  # fmt: skip


async def _many(place: Place, shape: tuple[int, int]) -> list[Measure]:
    """Have very many ask at the same time for tiles at full size that were never asked for."""
    told = await _hammer(wrk, place.door, [f"{each}&mid=0.4" for each in _fresh_tiles(shape)], MANY)
    how = f"{told.rate:.0f}/s, median {told.median_ms:.0f} ms; full size, through nginx by TLS"
    return [
        Measure(f"{MANY} connections, tiles that are made: p99", "ms", told.p99_ms if told.rate else None, 1500, how),
        Measure(f"{MANY} connections: errors", "", told.errors, 0, "answers that are none, connections that broke"),
    ]


def _fresh_tiles(shape: tuple[int, int]) -> list[str]:
    """Make addresses of tiles at full size, each of another look or place."""
    across, down = -(-shape[1] // 256), -(-shape[0] // 256)
    return [
        f"/tile?frame=night/mono61.fits&level=0&x={x}&y={y}&cut=800,{1800 + look}"
        for look in range(LOOKS) for y in range(down) for x in range(across)
    ]  # fmt: skip


async def _hammer(with_what: Any, door: Asking, targets: Sequence[str], connections: int) -> Hammered:
    seconds = 1.0 if SMALL else SECONDS
    told: Hammered = await trio.to_thread.run_sync(with_what, door.base_url, targets, connections, seconds)
    return told


@contextmanager
def _cold_frames(frame: Path, folder: Path, count: int) -> Iterator[tuple[str, list[str]]]:
    """Lay down so many frames of their own, whose pages are warm, and take them away at the end.

    Where there is no room for all their pixels, the rows after the first ones are holes: as much to read and to count.
    """
    folder.mkdir()
    size = frame.stat().st_size
    room = min(shutil.disk_usage(folder).free, _available_bytes()) - SPARE_BYTES
    written = size if count * size <= room else max(size // 20, room // count)
    octets = memoryview(frame.read_bytes())[:written]
    names = []
    try:
        for number in range(count):
            path = folder / f"{number}.fits"
            with path.open("wb") as file:
                file.write(octets)
                file.truncate(size)
            names.append(f"night/{path.name}")
        os.sync()  # Else the kernel writes them back while something is being timed.
        for path in folder.iterdir():
            path.read_bytes()
        yield ("" if written == size else f"; all but {written / size:.0%} of each frame are holes"), names
    finally:
        shutil.rmtree(folder)


def _available_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))


async def _opened(place: Place, frames: list[str], rounds: int, holes: str) -> list[Measure]:
    """Open the page at cold frames: one browser after another, then all the others at the same time."""
    alone = [(await _open_pages(place, [frame]))[0] for frame in frames[:rounds]]
    crowd = frames[rounds:]
    memory = _Memory(place.daemon)
    with memory:
        told = await _open_pages(place, crowd)
    complete = tuple(each["complete"] * 1e3 for each in told)
    first = tuple(each["first"] * 1e3 for each in told)
    one = tuple(each["complete"] * 1e3 for each in alone)
    how = (
        "from the first connect, coarse if the exact one is not there yet; 61 Mpx uint16, through nginx by TLS; "
        f"p90 {percentile(first, 0.9):.0f} ms, slowest {max(first):.0f}{holes}"
    )
    name, slowest = f"{len(crowd)} browsers open {len(crowd)} cold frames: ", f"slowest {max(complete):.0f} ms"
    pss = "PSS with mapped frames, which are page cache"
    peak = f"{len(memory.samples)} looks at the kernel's figures; the budget is {BUDGET / 1e6:.0f} MB"
    return [
        Measure(f"{name}first picture, median", "ms", median(first), 1500, how, first),
        Measure(f"{name}whole exact picture", "ms", median(complete), None, slowest, complete),
        Measure("shared memory meanwhile: peak", "MB", max(memory.samples) / 1e6, BUDGET / 1e6, peak),
        Measure("all processes meanwhile: peak", "MB", max(memory.pss) / 1e6, None, pss),
        Measure("one browser opens a cold frame", "ms", median(one), None, "the same, alone; median", one),
        Measure("VisiOmatic's cold frame / one browser's", "x", VISIOMATIC_COLD_MS / median(one), None,
                f"{VISIOMATIC_COLD_MS} ms for the picture alone: {VISIOMATIC}"),
    ]  # fmt: skip


async def _open_pages(place: Place, frames: list[str]) -> list[dict[str, float]]:
    files = ["/", *(path for path in load_pages() if path.startswith("/ui/index-"))]
    job = {"by": "opening", "count": len(frames), "frames": frames, "files": files}
    with running_program("bench.browsers", *_arguments(place, job)) as program:
        told = await trio.to_thread.run_sync(read_line, program)
    if not told:
        raise Missing("the browsers failed")
    found: list[dict[str, float]] = json.loads(told)
    return found


def _arguments(place: Place, job: dict[str, Any]) -> tuple[str, str, str, str]:
    return place.door.host, str(place.door.port), str(place.certificate.authority), json.dumps(job)


class _Memory:
    """Looks at all segments, and at all memory, again and again, in a thread."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.samples: list[int] = []
        self.pss: list[int] = []
        self._daemon = daemon
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._watching.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        while True:
            pids = self._daemon.processes()
            self.samples.append(kernel.segment_bytes(pids))
            if len(self.samples) % 10 == 1:  # This takes the kernel longer.
                self.pss.append(kernel.pss_bytes(pids))
            if self._ended.wait(SAMPLE_S):
                return


async def _idle(place: Place, count: int) -> list[Measure]:
    """Have very many websockets open that do nothing; somebody else is served meanwhile."""
    picture = "/img?frame=night/mono61.fits"
    await place.door.get(picture)
    before, front_before = place.daemon.pss_bytes(), kernel.pss_bytes(place.front_pids)
    with running_program("bench.browsers", *_arguments(place, {"by": "staying", "count": count})) as program:
        await trio.to_thread.run_sync(expect, program, "ready")
        after, front_after = place.daemon.pss_bytes(), kernel.pss_bytes(place.front_pids)
        cpu_s = cpu_s_of(place.daemon.pid)
        await trio.sleep(IDLE_S)
        cpu_s = cpu_s_of(place.daemon.pid) - cpu_s
        took = []
        for _ in range(20):
            began_s = trio.current_time()
            answer = await place.door.get(picture)
            assert answer.status == 200, answer
            took.append((trio.current_time() - began_s) * 1e3)
        assert program.stdin is not None
        program.stdin.write("leave\n")
        program.stdin.flush()
        still = float(await trio.to_thread.run_sync(read_line, program))
    each_kb, front_kb = (after - before) / 1e3 / count, (front_after - front_before) / 1e3 / count
    growth = f"growth of the daemon's PSS; nginx takes {front_kb:.0f} kB more"
    share, of_core = cpu_s / IDLE_S * 100, f"of one core, for {IDLE_S:.0f} s"
    new = "with a new connection and TLS each"
    return [
        Measure("idle connections that stay", "", still, count, f"of {count}, through nginx by TLS", at_least=True),
        Measure("an idle connection", "kB", each_kb, None, growth),
        Measure("idle connections: the daemon's CPU", "%", share, None, of_core),
        Measure("a kept picture beside them", "ms", median(took), None, new, tuple(took)),
    ]
