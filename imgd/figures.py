"""Figures that are more than one number: how often values fell into which range. Values only."""

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often a value was at most each bound.

    bounds  rising. counts  so many were above the bound before and at most this one; the last: above all bounds.
    sum     of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


class Spread:
    """A distribution while it grows."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds rise"
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def note(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def taken(self) -> Distribution:
        """Tell what it is by now."""
        return Distribution(self._bounds, tuple(self._counts), self._sum)
