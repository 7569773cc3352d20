"""`python -m bench [engine]`: measure, print a table, write bench-NAME.json."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import trio

from bench.engine import measure_engine
from bench.table import table_text, write_json


def main() -> int:
    """Run the named bench; the exit code is 1 if a bound is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure against the bounds that are asked.")
    parser.add_argument("name", nargs="?", default="engine", choices=["engine"])
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds of cold, hot and 304")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="imgd-bench-") as folder:
        measures = trio.run(measure_engine, Path(folder), given.rounds)
    load_after = os.getloadavg()
    path = Path(f"bench-{given.name}.json")
    write_json(path, measures, load_before=load_before, load_after=load_after)
    print(table_text(measures))
    print(f"load average {load_before[0]:.2f} before, {load_after[0]:.2f} after; all samples in {path}")
    return 1 if any(each.missed for each in measures) else 0


if __name__ == "__main__":
    sys.exit(main())
