"""How much a client may make us do that brings nobody anything, such as pings, and requests that it takes back."""

import math
from typing import Final

import trio

BURST: Final = 1_000.0
PER_S: Final = 200.0


class Calm:
    """Counts what costs us work and has no limit of its own; who does more of it than any real client is sent away.

    A browser that pans quickly takes back some hundred requests, and then waits for what it shows.
    """

    def __init__(self, burst: float = BURST, per_s: float = PER_S) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = burst
        self._at = -math.inf

    def is_lost(self, cost: float) -> bool:
        """Take this much; tell whether that is too much, and then nothing is taken."""
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if cost > self._left:
            return True
        self._left -= cost
        return False
