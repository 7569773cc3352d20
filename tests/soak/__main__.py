"""`python -m tests.soak`: a soak of an hour, or longer; prints a table; the exit code is 1 if it is not passed."""

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from tests.soak.course import USERS, Wish, new_seed, soak


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Random users, broken and changing frames, killed and stopped workers, through nginx; then "
        "everything must be as before, and no answer wrong.",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--hours", type=float, default=1.0, metavar="N", help="how long, in all; 1 unless told otherwise"
    )
    length.add_argument("--minutes", type=float, metavar="N", help="the same in minutes")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the same users and faults again, as far as timing lets them"
    )
    parser.add_argument("--users", type=int, default=USERS, metavar="N", help=f"at the same time, instead of {USERS}")
    parser.add_argument("--direct", action="store_true", help="without nginx")
    given = parser.parse_args()
    seconds = given.minutes * 60 if given.minutes is not None else given.hours * 3600
    if seconds < 20 or given.users < 1:
        parser.error("a soak has at least 20 seconds and one user")
    seed = new_seed() if given.seed is None else given.seed
    print(f"imgd: a soak of {seconds:.0f} s, seed {seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="imgd-soak-") as folder:
        wish = Wish(seconds, seed, not given.direct, given.users)
        report = trio.run(soak, Path(folder), wish, lambda text: print(f"imgd: {text}", file=sys.stderr, flush=True))
    print(report.text())
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
