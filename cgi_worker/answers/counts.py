"""Counts: a channel's histogram as values with how often they occur, where a bin holds one value each."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.steps.levels import Channel, Distribution, Linear
from cgi_worker.steps.reduce import Reduced
from cgi_worker.steps.work import Work

_NAMES: Final = {1: ("grey",), 3: ("red", "green", "blue")}


class Counted(NamedTuple):
    """One channel's histogram.

    counts  (bins,) uint64.
    """

    name: str
    counts: NDArray[np.uint64]
    channel: Channel


class Exact(NamedTuple):
    """Good pixels of a channel whose bins hold one value each.

    values  (n,) float64, ascending; the values that occur: start + step * steps.
    counts  (n,) int64, how often.
    steps   (n,) int64, ascending.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    steps: NDArray[np.int64]
    start: float
    step: float

    def at(self, rank: int) -> float:
        """Find the value of this rank, counted from 0 at the lowest."""
        return float(self.values[np.searchsorted(self.counts.cumsum(), rank, side="right")])

    def quantile(self, q: float) -> float:
        """Find a quantile, interpolated between the two values next to it, as numpy's default does."""
        place = q * (int(self.counts.sum()) - 1)
        low, high = self.at(math.floor(place)), self.at(math.ceil(place))
        return low + (high - low) * (place - math.floor(place))

    def mad(self, median: float) -> float:
        """Find the median distance from the median."""
        away = np.abs(self.values - median)
        order = np.argsort(away, kind="stable")
        return Exact(away[order], self.counts[order], self.steps, 0.0, 1.0).quantile(0.5)

    def moments(self) -> tuple[float, float]:
        """Compute mean and standard deviation (of the population) from exact sums."""
        number, first, second = 0, 0, 0
        for count, step in zip(self.counts.tolist(), self.steps.tolist(), strict=True):
            number += count
            first += count * step
            second += count * step * step
        mean = Fraction(self.start) + Fraction(self.step) * Fraction(first, number)
        variance = Fraction(number * second - first * first, number * number)
        return float(mean), abs(self.step) * math.sqrt(variance)


def counted(work: Work) -> Iterator[Counted]:
    """Lend the channels of all inputs: one input of one channel, or of three, or three inputs of one."""
    found: list[tuple[NDArray[Any], Channel]] = []
    for index in range(work.input_count):
        facts = msgspec.json.decode(work.input_facts(index), type=Reduced)
        found += zip(work.input_array(index), facts.channels, strict=True)
    for name, (counts, channel) in zip(_NAMES[len(found)], found, strict=True):
        yield Counted(name, counts, channel)


def exact(one: Counted) -> Exact | None:
    """Take a histogram apart; None if its bins are wider than one value, or no pixel is good."""
    if not isinstance(one.channel.bins, Linear) or one.channel.min is None:
        return None
    bins = one.channel.bins
    steps = np.flatnonzero(one.counts).astype(np.int64)
    counts = one.counts[steps].astype(np.int64)
    values = bins.start + bins.step * steps.astype(np.float64)
    if bins.step < 0:
        steps, counts, values = -steps[::-1], counts[::-1], values[::-1]
    return Exact(values, counts, steps, bins.start, abs(bins.step))


def quantile(spread: Distribution, q: float) -> float:
    """Find a quantile of adaptive bins; never beyond the lowest or the highest pixel."""
    return min(max(spread.quantile(q), spread.low), spread.high)
