"""The wall clock without its leaps ahead: nothing is to be forgotten as too old because a clock was set wrong."""

import time
from collections.abc import Callable
from typing import Final

LEAP_S: Final = 60.0  # A clock that is ahead by more than this has been set.
BELIEVE_S: Final = 86_400.0  # For so long a clock that was set ahead may still be a mistake.


class SteadyClock:
    """Tell the time for ages. A leap back is followed at once: it keeps things longer; one ahead when it has lasted."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._seen = wall(), steady()
        self._leapt_at: float | None = None

    def now_s(self) -> float:
        """Tell the time, in seconds since 1970."""
        wall, steady = self._wall(), self._steady()
        due = self._seen[0] + steady - self._seen[1]
        if wall > due + LEAP_S:
            self._leapt_at = steady if self._leapt_at is None else self._leapt_at
            if steady < self._leapt_at + BELIEVE_S:
                return due
        self._leapt_at = None
        self._seen = wall, steady
        return wall
