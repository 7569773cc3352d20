"""Levels: from a histogram to black, white and midtone. Pure."""

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.wire.view import AutoLevels, Cut, Levels, Quantiles

SIGMA_PER_MAD: Final = 1.4826  # Of a normal distribution.
BLACK_SIGMAS: Final = 2.8  # Below the median: nearly all of the sky's noise stays visible.
WHITE_SIGMAS: Final = 10.0  # Above the median: white is never within the noise.
WHITE_QUANTILE: Final = 0.9995
SKY: Final = 0.25  # Where the midtone brings the median to.
MID_MIN: Final = 0.0001


class Linear(msgspec.Struct, frozen=True, tag="linear", tag_field="kind"):
    """Bin i holds the pixels of value start + step * i exactly."""

    start: float
    step: float


class SplitLog(msgspec.Struct, frozen=True, tag="split-log", tag_field="kind"):
    """Bins by the logarithm of 1 + |v - center| / scale, 256 an octave; those of values below the centre mirrored.

    Bin 32768 + k begins at center + scale * (x(k) - 1), where x(k) is the float32 with the bits of 1.0 plus k * 2**15.
    """

    center: float
    scale: float


class Channel(msgspec.Struct, frozen=True):
    """One channel's histogram in figures; None where no pixel is good."""

    bins: Linear | SplitLog
    good: int
    bad: int
    min: float | None
    max: float | None
    mean: float | None


class Level(msgspec.Struct, frozen=True):
    """Data values of black and white, and the midtone 0..1 between them."""

    black: float
    white: float
    mid: float


Bent = TypeVar("Bent", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many good pixels lie below which value.

    edges   (n + 1,) float64, ascending, of the bins from the first that holds a pixel to the last.
    below   (n + 1,) float64, pixels below each edge.
    """

    edges: NDArray[np.float64]
    below: NDArray[np.float64]
    low: float
    high: float
    mean: float

    def quantile(self, q: float) -> float:
        """Find the value below which a part q of the pixels lies, interpolated within its bin."""
        value = np.interp(q * self.below[-1], self.below, self.edges)
        return float(min(max(value, self.low), self.high))

    def crowded(self, median: float) -> bool:
        """Tell whether half of the pixels share the median's bin, and so say nothing about the others."""
        at = int(np.searchsorted(self.edges, median, side="right")) - 1
        at = min(max(at, 0), len(self.edges) - 2)
        return bool(self.below[at + 1] - self.below[at] >= self.below[-1] / 2)

    def mad(self, median: float) -> float:
        """Find the median distance from the median; 0 if half of the pixels share its bin."""
        if self.crowded(median):
            return 0.0
        half = self.below[-1] / 2
        near, far = 0.0, max(self.high - median, median - self.low)
        for _ in range(50):
            middle = (near + far) / 2
            inside = np.interp((median - middle, median + middle), self.edges, self.below)
            near, far = (middle, far) if inside[1] - inside[0] < half else (near, middle)
        return far


def distribution(histogram: NDArray[np.uint64], channel: Channel) -> Distribution | None:
    """Read one channel's histogram, (bins,) uint64; None if it counts no pixel."""
    filled = histogram != 0
    if channel.min is None or channel.max is None or channel.mean is None or not filled.any():
        return None
    first, last = int(filled.argmax()), len(filled) - int(filled[::-1].argmax())
    edges, counts = bin_edges(channel.bins, first, last), histogram[first:last]
    if edges[0] > edges[-1]:
        edges, counts = edges[::-1], counts[::-1]
    below = np.concatenate(([0.0], counts.cumsum().astype(np.float64)))
    return Distribution(edges, below, channel.min, channel.max, channel.mean)


def bin_edges(bins: Linear | SplitLog, first: int, last: int) -> NDArray[np.float64]:
    """Tell where bins [first, last) begin, and where the last of them ends."""
    if isinstance(bins, Linear):
        return bins.start + bins.step * (np.arange(first, last + 1, dtype=np.float64) - 0.5)
    steps = np.arange(first, last + 1, dtype=np.int64) - 32768
    bits = (np.abs(steps) << 15) + 0x3F800000
    folded = np.minimum(bits, 0x7F7FFFFF).astype(np.int32).view(np.float32).astype(np.float64) - 1.0
    return np.asarray(bins.center + np.sign(steps) * folded * bins.scale, np.float64)


def settle(levels: Levels, mid: float | None, spread: Distribution | None) -> Level:
    """Find one channel's level; `mid` None asks for the one that brings the median to SKY."""
    if isinstance(levels, Cut):
        return Level(levels.low, levels.high, 0.5 if mid is None else mid)
    if spread is None:
        return Level(0.0, 1.0, 0.5 if mid is None else mid)
    if spread.low == spread.high:  # Nothing to be seen but that it is everywhere the same: grey.
        around = abs(spread.low) or 1.0
        return Level(spread.low - around, spread.low + around, 0.5 if mid is None else mid)
    match levels:
        case AutoLevels():
            black, white = _auto(spread)
        case Quantiles(low, high):
            black, white = spread.quantile(low), spread.quantile(high)
    if not black < white:
        white = spread.high
    if not black < white:
        black = spread.low
    return Level(black, white, _mid(spread, black, white) if mid is None else mid)


def _auto(spread: Distribution) -> tuple[float, float]:
    """Black a little below the sky, white above its noise and most of its stars.

    Source  the screen transfer function of astronomers' viewers: median and MAD; but white by quantile.
    """
    median = spread.quantile(0.5)
    sigma = SIGMA_PER_MAD * spread.mad(median)
    white = spread.quantile(WHITE_QUANTILE)
    if sigma == 0:
        return spread.quantile(1 - WHITE_QUANTILE), white
    black = max(spread.low, median - BLACK_SIGMAS * sigma)
    return black, min(spread.high, max(white, median + WHITE_SIGMAS * sigma))


def _mid(spread: Distribution, black: float, white: float) -> float:
    median = spread.quantile(0.5)
    at = (median - black) / (white - black)
    if 0 < at < 1 and not spread.crowded(median):
        return _clamp(midtone(SKY, at))
    at = (spread.mean - black) / (white - black)  # A mostly empty frame: what there is, is seen by its mean.
    return _clamp(midtone(SKY, at)) if 0 < at < SKY else 0.5


def _clamp(mid: float) -> float:
    return min(max(mid, MID_MIN), 1 - MID_MIN)


def midtone(mid: float, t: Bent) -> Bent:
    """Bend t by the midtone transfer function, 0..1 to 0..1.

    It brings `mid` to 1/2; and the mid that would bring t to y is midtone(y, t).

    Source  (mid - 1) t / ((2 mid - 1) t - mid).
    """
    return (mid - 1) * t / ((2 * mid - 1) * t - mid)


def stretched(stretch: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bend t (0..1) before the midtone does."""
    match stretch:
        case "sqrt":
            return np.sqrt(t)
        case "log":
            return np.log1p(1000 * t) / math.log(1001)
        case "asinh":
            return np.arcsinh(10 * t) / math.asinh(10)
        case _:
            return t
