"""The pixels: pictures, tiles and stars of every kind of frame, beside the limit and beside others, in one run."""

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench import peers
from bench.asker import Asker
from bench.frames import Renewal
from bench.limit import Limit
from bench.memory import Held, held_by, peak_mb
from bench.pixel_frames import ROOM_BYTES, Frames, make_frames
from bench.table import Measure
from bench.tiles import LEVELS, take_tiles
from bench.turns import Asked, Missing, Taken, Turn, in_turns, ratio, told
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon

ROOT: Final = "bench"
QUALITY: Final = 85
MEMORY_ROUNDS: Final = 20
MEMORY_ROUNDS_SLOW: Final = 4
SLOW_SHARE: Final = 3  # What takes a second and more is done in one of so many rounds.
KEEP_ALIVE_S: Final = 600  # While something else takes its turn, a connection is not to be dropped.
FLAT_FROM: Final = 16  # Megapixels; below that the difference to the smallest picture is noise.
FILL_MAX: Final = 1000
FILLED: Final = 50  # Buffers that went.
NO_ROOM: Final = f"needs {ROOM_BYTES >> 30} GiB of free memory and disk"

GREYS: Final = {"mono61": 3.5, "mono16": 4.0, "bayer26": 4.0}  # Cold on one core, in limits.
MONO61_TWO: Final = Asked("mono61 cold / limit, 2 threads", "x", 2.2)
VIPS: Final = Asked("vips / mono61 cold, 2 threads", "x", 4, at_least=True)
HOT_ONE: Final = Asked("mono61 hot / limit, 1 thread", "x", 0.6)
HOT_TWO: Final = Asked("mono61 hot / limit, 2 threads", "x", 0.6)
FIRST: Final = Asked("gigapixel, first picture, 2 threads", "ms", 150)
EXACT: Final = Asked("gigapixel cold, exact / limit, 1 thread", "x", 3.5)
FLAT: Final = Asked("cost a megapixel, highest / lowest", "x", 1.5)
TILE: Final = Asked("tile of 256 px, CPU", "ms", 0.5)
VIEWPORT: Final = Asked("40 tiles in one list, 2 threads", "ms", 30)
JPEG_MS: Final = 0.13  # What a tile's JPEG takes alone on the machine for which the two bounds above were set.
TILE_IN_JPEGS: Final = Asked("tile of 256 px, CPU / its JPEG alone", "x", 0.5 / JPEG_MS)
VIEWPORT_IN_JPEGS: Final = Asked("40 tiles in one list / one tile's JPEG alone", "x", 30 / JPEG_MS)
STARS: Final = Asked("stars of mono61 / sep by hand", "x", 1.1)
MEMORY_MB: Final = 45.0
POLL_S: Final = 3600  # Nobody is told of frames that are made new: telling is not what is timed, and takes processors.
_LIMIT: Final = ("copy", "JPEG")


@dataclass
class _Client:
    """One daemon, and one connection to it."""

    asker: Asker
    renewal: Renewal
    body: bytes = b""
    levels: str = ""

    def cold(self, frame: Path, more: str = "") -> Turn:
        """Ask for a picture of a frame that is new."""

        def turn() -> float:
            self.renewal.renew(frame)
            return self._ask(f"/img?frame={ROOT}/{frame.name}&size=1200,&quality={QUALITY}{more}")

        return turn

    def coarse(self, frame: Path) -> Turn:
        """Ask for the first picture of a huge frame that is new, which has to say that it is coarse."""
        cold = self.cold(frame, "&exact=0")

        def turn() -> float:
            spent_ms = cold()
            if not json.loads(self.levels or "{}").get("coarse"):
                raise Missing("the picture does not say that it is coarse")
            return spent_ms

        return turn

    def hot(self, frame: Path) -> Turn:
        """Ask for the picture just made with other levels."""
        numbers = itertools.cycle(range(50))

        def turn() -> float:
            levels = f"{0.01 + 0.001 * next(numbers)},0.997"
            return self._ask(f"/img?frame={ROOT}/{frame.name}&size=1200,&quality={QUALITY}&levels={levels}")

        return turn

    def stars(self, frame: Path) -> Turn:
        """Ask for the stars of a frame that is new."""

        def turn() -> float:
            self.renewal.renew(frame)
            return self._ask(f"/stars?frame={ROOT}/{frame.name}")

        return turn

    def encode(self, limit: Limit) -> Turn:
        """Encode the last picture once more."""

        def turn() -> float:
            if not self.body:
                raise Missing("there is no picture to encode")
            return limit.encode_ms(self.body, QUALITY)

        return turn

    def _ask(self, target: str) -> float:
        timed = self.asker.ask(target)
        if timed.status != 200:
            self.body = b""
            raise Missing(f"answered {timed.status}: {timed.body[:160].decode(errors='replace')}")
        self.body, self.levels = timed.body, timed.levels
        return timed.spent_ms


async def measure_pixels(folder: Path, rounds: int) -> list[Measure]:
    """Make the frames in `folder`, start daemons on them, and measure."""
    _say("making frames of 1 to 1074 megapixels, plain, RICE-compressed and zipped")
    frames = make_frames(folder)
    root = f"{ROOT}={folder}"
    vips = peers.Vips(frames.mono61, folder, QUALITY)
    slow = max(2, rounds // SLOW_SHARE)
    measures: list[Measure] = []
    renewal = Renewal()
    async with (
        running_daemon(root, worker_threads=1, keep_alive_s=KEEP_ALIVE_S, poll_s=POLL_S) as one,
        running_daemon(root, worker_threads=2, keep_alive_s=KEEP_ALIVE_S, poll_s=POLL_S) as two,
    ):
        with _client(one, renewal) as first, _client(two, renewal) as second:
            _say("filling both daemons' memory, as a night does")
            for daemon, client in ((one, first), (two, second)):
                await _fill(daemon, client.cold(frames.mono61))
            _say(f"measuring cold and hot pictures, vips and the limit, {rounds} rounds")
            measures += _pictures((first, second), frames, vips, rounds)
            _say(f"measuring other kinds of frames, {rounds} rounds")
            measures += await _kinds(one, first, frames, rounds)
            _say(f"measuring compressed frames, fitsio and zlib, {slow} rounds")
            measures += _compressed(second, frames, slow)
            _say(f"measuring stars, and sep by hand, {slow} rounds")
            measures.append(_stars(second, frames, slow))
            _say(f"measuring from 1 megapixel to the largest frame, {rounds // 2 + 1} rounds")
            measures += await _sizes(one, (first, second), frames, rounds // 2 + 1)
    measures += await _memory(root, frames, folder, renewal)
    measures.append(_vips_memory(vips))
    _say(f"measuring tiles, {3 * rounds} rounds")
    measures += _tiles(await take_tiles(frames.mono61, _known_levels(vips), 3 * rounds))
    return measures


async def _fill(daemon: RunningDaemon, cold: Turn) -> None:
    """Have pictures made until all others are gone: what is made in memory that is there already takes less time."""
    before = await metrics(daemon)
    enough = before["imgd_engine_evicted_total"] + before["imgd_engine_segments"] + FILLED
    for _ in range(FILL_MAX):
        _do(cold)
        if (await metrics(daemon))["imgd_engine_evicted_total"] > enough:
            return
    raise RuntimeError(f"nothing goes after {FILL_MAX} pictures")


def _pictures(clients: tuple[_Client, _Client], frames: Frames, vips: peers.Vips, rounds: int) -> list[Measure]:
    one, two = clients
    frame = frames.mono61
    with Limit(frame) as limit:
        taken = in_turns(
            rounds,
            {
                "cold, 1 thread": one.cold(frame),
                "JPEG": one.encode(limit),
                "hot, 1 thread": one.hot(frame),
                "JPEG of hot": one.encode(limit),
                "copy": limit.copy_ms,
                "vips": vips.picture_ms,
                "cold, 2 threads": two.cold(frame),
                "hot, 2 threads": two.hot(frame),
            },
        )
    in_process: dict[str, Turn] = {
        "a script": partial(peers.users_way_ms, frame, QUALITY),
        "fitsio": partial(peers.fitsio_read_ms, frame),
    }
    others = in_turns(max(2, rounds // SLOW_SHARE), in_process)
    levels = "levels {:.0f},{:.0f} given".format(*vips.levels)
    return [
        told(Asked("limit, mono61", "ms"), taken, ("copy", "JPEG"), "one core"),
        ratio(Asked("mono61 cold / limit, 1 thread", "x", GREYS["mono61"]), taken, ("cold, 1 thread",), _LIMIT),
        ratio(MONO61_TWO, taken, ("cold, 2 threads",), _LIMIT),
        ratio(HOT_ONE, taken, ("hot, 1 thread",), ("copy", "JPEG of hot")),
        ratio(HOT_TWO, taken, ("hot, 2 threads",), ("copy", "JPEG of hot")),
        ratio(VIPS, taken, ("vips",), ("cold, 2 threads",)),
        told(Asked("peer: vips shrink + linear, mono61", "ms"), taken, ("vips",), levels),
        told(Asked("peer: astropy + numpy + Pillow, mono61", "ms"), others, ("a script",), "zscale, one core"),
        told(Asked("peer: fitsio.read, mono61", "ms"), others, ("fitsio",)),
    ]


async def _kinds(daemon: RunningDaemon, one: _Client, frames: Frames, rounds: int) -> list[Measure]:
    """Measure other plain frames against their own limits, by one thread, each as if no others were taken that night.

    Those without a bound only tell.
    """
    measures = []
    for name, frame in {
        "mono16": frames.mono16,
        "bayer26": frames.bayer26,
        "float32 mono16": frames.float16,
        "mosaic of 20 HDUs": frames.mosaic,
    }.items():
        await _fill(daemon, one.cold(frame))
        with Limit(frame) as limit:
            turns: dict[str, Turn] = {"cold": one.cold(frame), "JPEG": one.encode(limit), "copy": limit.copy_ms}
            taken = in_turns(rounds, turns)
        measures.append(told(Asked(f"limit, {name}", "ms"), taken, _LIMIT))
        measures.append(ratio(Asked(f"{name} cold / limit, 1 thread", "x", GREYS.get(name)), taken, ("cold",), _LIMIT))
    return measures


def _compressed(two: _Client, frames: Frames, rounds: int) -> list[Measure]:
    measures = []
    for name, packed in frames.packed.items():
        asked = Asked(f"fitsio.read / {name}.fz cold, 2 threads", "x", 3, at_least=True)
        reading: dict[str, Turn] = {"cold": two.cold(packed), "fitsio.read": partial(peers.fitsio_read_ms, packed)}
        measures.append(ratio(asked, in_turns(rounds, reading), ("fitsio.read",), ("cold",)))
    for name, zipped in frames.zipped.items():
        asked = Asked(f"{name}.gz cold, 2 threads / zlib", "x", 1.2)
        inflate = peers.Zlib(zipped, zipped.with_suffix("")).inflate_ms
        inflating: dict[str, Turn] = {"cold": two.cold(zipped), "zlib": inflate}
        measures.append(ratio(asked, in_turns(rounds, inflating), ("cold",), ("zlib",)))
    return measures


def _stars(two: _Client, frames: Frames, rounds: int) -> Measure:
    turns: dict[str, Turn] = {"stars": two.stars(frames.mono61), "sep": partial(peers.sep_by_hand_ms, frames.mono61)}
    return ratio(STARS, in_turns(rounds, turns, warm_up=0), ("stars",), ("sep",))


async def _sizes(daemon: RunningDaemon, clients: tuple[_Client, _Client], frames: Frames, rounds: int) -> list[Measure]:
    """Measure the curve, and the gigapixel, which is its last point, against its limit."""
    one, two = clients
    turns: dict[str, Turn] = {f"{size} Mpx": one.cold(frame) for size, frame in frames.curve.items()}
    each = tuple(turns.values())
    await _fill(daemon, lambda: sum(turn() for turn in each))
    if frames.gigapixel is None:
        return [*_curve(in_turns(rounds, turns), frames), *(asked.missing(NO_ROOM) for asked in (FIRST, EXACT))]
    with Limit(frames.gigapixel) as limit:
        turns |= {
            "JPEG": one.encode(limit),
            "copy": limit.copy_ms,
            "first": two.coarse(frames.gigapixel),
            "exact, 2 threads": two.cold(frames.gigapixel, "&exact=1"),
        }
        taken = in_turns(rounds, turns)
    largest = f"{max(frames.curve)} Mpx"
    return [
        *_curve(taken, frames),
        told(Asked("limit, gigapixel", "ms"), taken, _LIMIT),
        told(FIRST, taken, ("first",), "new frame, parsed, some of its rows read, marked as coarse"),
        ratio(EXACT, taken, (largest,), _LIMIT),
        ratio(Asked("gigapixel cold, exact / limit, 2 threads", "x"), taken, ("exact, 2 threads",), _LIMIT),
    ]


def _curve(taken: Taken, frames: Frames) -> list[Measure]:
    """Tell each size's cost a megapixel, beyond what the smallest picture costs already, and how far they differ."""
    measures, costs = [], []
    smallest, *others = frames.curve
    try:
        least_ms = taken.median(f"{smallest} Mpx")
    except Missing as missing:
        return [FLAT.missing(str(missing))]
    points = [f"{smallest} Mpx in {least_ms:.1f} ms"]
    for size in others:
        asked = Asked(f"cost a megapixel, {size} Mpx", "ms")
        try:
            spent_ms = taken.median(f"{size} Mpx")
        except Missing as missing:
            measures.append(asked.missing(str(missing)))
            continue
        cost_ms = (spent_ms - least_ms) / (size - smallest)
        points.append(f"{size}: {cost_ms:.3f}")
        how = f"{spent_ms:.1f} ms, less the {least_ms:.1f} ms of {smallest} Mpx; with them {spent_ms / size:.3f} ms"
        measures.append(asked.reached(cost_ms, how, taken.all(f"{size} Mpx")))
        if size >= FLAT_FROM:
            costs.append(cost_ms)
    if len(costs) < 2:
        return [*measures, FLAT.missing("fewer than two sizes were measured")]
    return [*measures, FLAT.reached(max(costs) / min(costs), f"from {FLAT_FROM} Mpx on; {', '.join(points)}", costs)]


async def _memory(root: str, frames: Frames, folder: Path, renewal: Renewal) -> list[Measure]:
    """Measure peaks in fresh daemons: what an earlier picture left behind would make a later one look smaller."""
    measures = []
    wanted = {"mono61": (frames.mono61, MEMORY_ROUNDS), "gigapixel, exact": (frames.gigapixel, MEMORY_ROUNDS_SLOW)}
    for name, (frame, rounds) in wanted.items():
        asked = Asked(f"memory above idle, {name}", "MB", MEMORY_MB)
        if frame is None:
            measures.append(asked.missing(NO_ROOM))
            continue
        _say(f"measuring memory for {name}, {rounds} rounds")
        async with running_daemon(root, worker_threads=2, keep_alive_s=KEEP_ALIVE_S, poll_s=POLL_S) as daemon:
            with _client(daemon, renewal) as client:
                measures.append(_peak(asked, daemon.pid, folder, (client.cold(frame), rounds)))
    return measures


def _peak(asked: Asked, daemon_pid: int, folder: Path, work: tuple[Turn, int]) -> Measure:
    turn, rounds = work
    idle: Held = held_by(daemon_pid, folder)
    peaks, samples = [], 0
    try:
        for _ in range(rounds):
            peak, count = peak_mb(daemon_pid, folder, idle, lambda: _do(turn))
            peaks.append(peak)
            samples += count
    except Missing as missing:
        return asked.missing(str(missing))
    how = (
        f"highest of {samples} samples in {rounds} pictures, 2 threads, idle {idle.own_bytes / 1e6:.0f} MB; "
        "PSS of all processes and all segments, without the mapped frame"
    )
    return asked.reached(max(peaks), how, peaks)


def _do(turn: Turn) -> None:
    turn()


def _vips_memory(vips: peers.Vips) -> Measure:
    asked = Asked("peer: memory of vips, mono61", "MB")
    try:
        return asked.reached(vips.peak_mb(), "highest resident set of the larger of its two processes")
    except Missing as missing:
        return asked.missing(str(missing))


def _tiles(taken: Taken) -> list[Measure]:
    measures = [told(TILE, taken, (f"level {LEVELS[0]}",), "1:1, straight from the file, lists of 40, one thread")]
    for level in LEVELS[1:]:
        how = f"1:{2**level}, straight from the file"
        measures.append(told(Asked(f"tile of 256 px at level {level}, CPU", "ms"), taken, (f"level {level}",), how))
    viewport = told(VIEWPORT, taken, ("viewport",), "1:1, from the todo list sent to the last segment detached")
    measures += [ratio(TILE_IN_JPEGS, taken, (f"level {LEVELS[0]}",), ("JPEG",)), viewport]
    measures.append(ratio(VIEWPORT_IN_JPEGS, taken, ("viewport",), ("JPEG",)))
    return [*measures, told(Asked("40 tiles in one list, CPU", "ms"), taken, ("viewport, CPU",))]


def _known_levels(vips: peers.Vips) -> tuple[float, float]:
    return float(vips.levels[0]), float(vips.levels[1])


@contextmanager
def _client(daemon: RunningDaemon, renewal: Renewal) -> Iterator[_Client]:
    with Asker(daemon.host, daemon.port) as asker:
        yield _Client(asker, renewal)


def _say(text: str) -> None:
    print(f"imgd: {text}", file=sys.stderr, flush=True)
