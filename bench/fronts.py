"""What each front lets through: pictures that are kept, pictures and tiles that are made, one after the other."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from bench.frames import MONO16, make_star_frame
from bench.hammer import Hammered, wrk
from bench.table import Measure, median
from tests.fronts.rig import KINDS, Front, Kind, open_front

SECONDS: Final = 4.0
CONNECTIONS: Final = 8
LOOKS: Final = 4000  # More than can be made in that time.
FRAME: Final = "frame=f/mono16.fits"


@dataclass(frozen=True)
class Asked:
    """What is asked for, again and again; `fresh`: each in another look, so that it has to be made."""

    name: str
    target: str
    fresh: bool = False

    def targets(self, number: int) -> Sequence[str]:
        """List the addresses of one round."""
        if not self.fresh:
            return (self.target,)
        return [f"{self.target}&cut=800,{1800 + look}.{number}" for look in range(LOOKS)]


ASKED: Final = (
    Asked("a kept picture of 1200 px", f"/img?{FRAME}"),
    Asked("pictures of 1200 px that are made", f"/img?{FRAME}", fresh=True),
    Asked("tiles that are made", f"/tile?{FRAME}&level=0&x=3&y=4", fresh=True),
    Asked("a pixel's value", f"/pixel?{FRAME}&x=100&y=200"),
)


async def measure_fronts(folder: Path, rounds: int) -> list[Measure]:
    """Make a frame in `folder`, and measure one front after the other."""
    frames = folder / "frames"
    frames.mkdir()
    make_star_frame(frames / "mono16.fits", MONO16)
    measures: list[Measure] = []
    for kind in KINDS:
        print(f"imgd: what is let through: {kind}", file=sys.stderr, flush=True)
        place = folder / kind
        place.mkdir()
        async with open_front(kind, f"f={frames}", place, tile_cache_bytes=0) as front:
            measures += [await _measure(front, kind, asked, rounds) for asked in ASKED]
    return measures


async def _measure(front: Front, kind: Kind, asked: Asked, rounds: int) -> Measure:
    await front.get(asked.target)
    told = [await _hammer(front, asked.targets(number)) for number in range(rounds)]
    rates = tuple(each.rate for each in told)
    p99, errors = median([each.p99_ms for each in told]), sum(each.errors for each in told)
    how = f"{CONNECTIONS} connections, HTTP/1.1; p99 {p99:.0f} ms; {errors} errors"
    return Measure(f"{kind}: {asked.name}", "/s", median(rates), None, how, rates)


async def _hammer(front: Front, targets: Sequence[str]) -> Hammered:
    return await trio.to_thread.run_sync(wrk, front.base_url, targets, CONNECTIONS, SECONDS)
