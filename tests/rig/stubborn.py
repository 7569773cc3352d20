"""The daemon, with an event loop that can be held up from outside: SIGUSR1 stops it for as long as HOLD_S says."""

import os
import signal
import sys
import time

from imgd.cli import main


def hold(number: int, frame: object) -> None:
    """Do nothing at all in the main thread, as a bug could."""
    time.sleep(float(os.environ["HOLD_S"]))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, hold)
    sys.exit(main())
