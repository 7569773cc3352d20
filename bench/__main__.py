"""`python -m bench [NAME ...]`: measure, print a table, write bench-NAME.json."""

import argparse
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from bench.aborts import measure_aborts
from bench.engine import measure_engine
from bench.events import measure_events
from bench.fronts import measure_fronts
from bench.live import measure_live
from bench.load import measure_load
from bench.pixels import measure_pixels
from bench.sizing import measure_sizing
from bench.table import Measure, table_text, write_json
from bench.viewer import measure_viewer

BENCHES: Final[dict[str, tuple[Callable[[Path, int], Awaitable[list[Measure]]], int]]] = {
    "engine": (measure_engine, 15),
    "pixels": (measure_pixels, 9),
    "events": (measure_events, 3),
    "live": (measure_live, 3),
    "viewer": (measure_viewer, 5),
    "load": (measure_load, 3),
    "sizing": (measure_sizing, 1),
    "aborts": (measure_aborts, 8),
    "fronts": (measure_fronts, 3),
}
"""By name: what measures, and in how many rounds unless told otherwise."""


def main() -> int:
    """Run the named benches; the exit code is 1 if a bound is missed, or could not be measured."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure against the bounds that are asked. engine: what stands between a request and its "
        "picture, whatever the picture. pixels: every kind of frame against the machine's limit and against other "
        "programs. events: stores, deliveries, and how soon a new frame is at the browser. live: sessions and tiles. "
        "viewer: the page in Chromium. load: through nginx, as many users at once as there may be. "
        "sizing: what things cost that there may be more of, for docs/sizing.md. "
        "aborts: clients that leave, at eight points of a request, through every front. "
        "fronts: what each front lets through. "
        "Each prints a table and writes bench-NAME.json.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; engine if none is named")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="rounds, instead of 15 (engine), 9 (pixels), 8 (aborts), 5 (viewer), 3 (events, live, load, fronts)",
    )
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    names = given.names or ["engine"]
    for name in names:
        if name not in BENCHES:
            parser.error(f"there is no bench {name}; there are: {', '.join(BENCHES)}")
    return max(_run(name, given.rounds) for name in names)


def _run(name: str, rounds: int | None) -> int:
    measure, rounds_default = BENCHES[name]
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="imgd-bench-") as folder:
        measures = trio.run(measure, Path(folder), rounds or rounds_default)
    load_after = os.getloadavg()
    path = Path(f"bench-{name}.json")
    write_json(path, measures, load_before=load_before, load_after=load_after)
    print(table_text(measures))
    print(f"load average {load_before[0]:.2f} before, {load_after[0]:.2f} after; all samples in {path}")
    return 1 if any(each.missed for each in measures) else 0


if __name__ == "__main__":
    sys.exit(main())
