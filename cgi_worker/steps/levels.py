"""Levels: from histograms to black, white and midtone of each channel. Pure."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.counts import filled_edges, middle_distance
from cgi_worker.kernels.greys import GREYS
from cgi_worker.steps.curve import Curve, midtone
from cgi_worker.steps.zscale import zscale
from cgi_worker.wire.steps import SAMPLES, Tone
from cgi_worker.wire.view import AutoLevels, Cut, Levels, PerChannel, Quantiles, Zscale

SIGMA_PER_MAD: Final = 1.4826  # Of a normal distribution.
BLACK_SIGMAS: Final = 2.8  # Below the median: nearly all of the sky's noise stays visible.
WHITE_SIGMAS: Final = 10.0  # Above the median: white is never within the noise.
WHITE_QUANTILE: Final = 0.9995
SKY: Final = 0.25  # Where the midtone brings the median to.
MID_MIN: Final = 0.0001
DIM: Final = 20.0  # The mean grey of a frame without asking: not below, and not above 255 - DIM.
TRIED: Final = 2048  # Values that stand for all when the mean grey is looked for.


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
    """One channel's histogram in figures; None where no pixel is good.

    saturated  good pixels at or above what the header calls saturated, or else, of whole numbers, at the largest one
               that can be stored.
    sigma      standard deviation of all good pixels.
    """

    bins: Linear | SplitLog
    good: int
    bad: int
    min: float | None
    max: float | None
    mean: float | None
    saturated: int = 0
    sigma: float | None = None


class Level(msgspec.Struct, frozen=True):
    """Data values of black and white, and the midtone 0..1 between them."""

    black: float
    white: float
    mid: float


@dataclass(frozen=True, eq=False)
class Distribution:
    """How many good pixels lie below which value.

    edges   (n + 1,) float64, ascending: of the bins that hold pixels, and of what lies between them.
    below   (n + 1,) float64, pixels below each edge.
    centred whether the pixels of a bin all have the value in its middle.
    crowd   the value that half of the pixels or more have, if there is one; and the first and last of these, in order.
    """

    edges: NDArray[np.float64]
    below: NDArray[np.float64]
    low: float
    high: float
    mean: float
    centred: bool = False
    crowd: tuple[float, float, float] | None = None

    def quantile(self, q: float) -> float:
        """Find the value below which a part q of the pixels lies, interpolated within its bin unless it is crowded."""
        rank = q * float(self.below[-1])
        if self.crowd and self.crowd[1] < rank < self.crowd[2]:
            return self.crowd[0]
        value = np.interp(rank, self.below, self.edges)
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
        found = np.empty(1)
        middle_distance(self.edges, self.below, median, max(self.high - median, median - self.low), found)
        return float(found[0])

    @cached_property
    def median(self) -> float:
        """The value below which half of the pixels lie."""
        return self.quantile(0.5)

    @cached_property
    def sigma(self) -> float:
        """What the median distance from the median says about the noise."""
        return SIGMA_PER_MAD * self.mad(self.median)

    def sample(self, most: int) -> NDArray[np.float64]:
        """Draw values, ascending, that lie as the pixels do: each pixel once, or `most` of them at equal ranks."""
        count = int(min(self.below[-1], most))
        ranks = (np.arange(count) + 0.5) * (self.below[-1] / count)
        if self.centred:
            at = np.searchsorted(self.below, ranks, side="right") - 1
            values = (self.edges[at] + self.edges[at + 1]) / 2
        else:
            values = np.interp(ranks, self.below, self.edges)
            if self.crowd:
                values[(ranks > self.crowd[1]) & (ranks < self.crowd[2])] = self.crowd[0]
        return np.asarray(np.clip(values, self.low, self.high))

    @cached_property
    def tried(self) -> NDArray[np.float64]:
        """A sample to try levels on."""
        return self.sample(TRIED)

    def moved(self, offset: float) -> "Distribution":
        """Add the same to all pixels."""
        if not offset:
            return self
        crowd = self.crowd and (self.crowd[0] + offset, *self.crowd[1:])
        low, high, mean = (value + offset for value in (self.low, self.high, self.mean))
        return Distribution(self.edges + offset, self.below, low, high, mean, self.centred, crowd)


def distribution(histogram: NDArray[np.uint64], channel: Channel) -> Distribution | None:
    """Read one channel's histogram, (bins,) uint64; None if it counts no pixel."""
    found, counted = np.empty(len(histogram) + 2, np.int64), np.empty(len(histogram) + 1)
    filled_edges(np.ascontiguousarray(histogram), found, counted)
    numbers, below = found[1 : 1 + found[0]], counted[: found[0]].copy()
    if channel.min is None or channel.max is None or channel.mean is None or not len(numbers):
        return None
    edges = bin_edges(channel.bins, numbers)
    if edges[0] > edges[-1]:
        edges, below = edges[::-1].copy(), (below[-1] - below)[::-1].copy()
    centred = isinstance(channel.bins, Linear)
    crowd = _crowd(edges, below, channel.bins)
    return Distribution(edges, below, channel.min, channel.max, channel.mean, centred, crowd)


def _crowd(
    edges: NDArray[np.float64], below: NDArray[np.float64], bins: Linear | SplitLog
) -> tuple[float, float, float] | None:
    """Find the bin that half of the pixels are in, and their value: adaptive bins begin at it."""
    at = int(np.argmax(np.diff(below)))
    if below[at + 1] - below[at] < below[-1] / 2:
        return None
    value = (edges[at] + edges[at + 1]) / 2
    if isinstance(bins, SplitLog):
        value = min(max(bins.center, edges[at]), edges[at + 1])
    return float(value), float(below[at]), float(below[at + 1])


def united(spreads: Sequence[Distribution]) -> Distribution:
    """Count the pixels of several channels together; exact to the bins of each."""
    edges = np.unique(np.concatenate([one.edges for one in spreads]))
    below = sum((np.interp(edges, one.edges, one.below) for one in spreads), np.zeros(len(edges)))
    counts = [float(one.below[-1]) for one in spreads]
    mean = sum(one.mean * (count / sum(counts)) for one, count in zip(spreads, counts, strict=True))
    steps = {float(one.edges[1] - one.edges[0]) for one in spreads}
    shifts = [(one.edges[0] - spreads[0].edges[0]) / max(steps) for one in spreads]
    aligned = len(steps) == 1 and all(float(shift).is_integer() for shift in shifts)
    crowds = [one.crowd for one in spreads if one.crowd]
    crowd = None
    if len(crowds) == len(spreads) and len({value for value, _, _ in crowds}) == 1:
        crowd = (crowds[0][0], sum(start for _, start, _ in crowds), sum(end for _, _, end in crowds))
    low, high = min(one.low for one in spreads), max(one.high for one in spreads)
    return Distribution(edges, below, low, high, mean, aligned and all(one.centred for one in spreads), crowd)


def bin_edges(bins: Linear | SplitLog, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Tell where the bins of these numbers begin; each ends where the next one begins."""
    if isinstance(bins, Linear):
        return np.asarray(bins.start + bins.step * (numbers - 0.5), np.float64)
    steps = numbers - 32768
    bits = (np.abs(steps) << 15) + 0x3F800000
    folded = np.minimum(bits, 0x7F7FFFFF).astype(np.int32).view(np.float32).astype(np.float64) - 1.0
    return np.asarray(bins.center + np.sign(steps) * folded * bins.scale, np.float64)


Samples = NDArray[np.float64] | None


def settle_all(
    step: Tone, spreads: Sequence[Distribution | None], samples: Sequence[Samples] = (None, None, None)
) -> tuple[Level, ...]:
    """Find the level of each channel that a tone step asks for.

    Linked channels have one black, white and midtone, from all their pixels together; levels given for each channel
    stay so. With `neutral`, each channel's median is first brought to the mean of the medians by an offset, and its
    black and white are given back by it.

    spreads  one for each channel; None where there is no good pixel, or no histogram was needed.
    samples  for zscale: of each channel the values that astropy would take, or None.
    """
    mids = step.mid if isinstance(step.mid, tuple) else (step.mid,) * len(spreads)
    curve = Curve(step.stretch, step.power)
    if isinstance(step.levels, PerChannel):
        asked: tuple[Levels, ...] = (step.levels.red, step.levels.green, step.levels.blue)
    else:
        asked = (step.levels,) * len(spreads)
    offsets, moved, union = _together(tuple(spreads), neutral=step.neutral, link=step.link)
    if step.link and not isinstance(step.levels, PerChannel):
        by_mid = {mid: settle(step.levels, mid, union, curve=curve) for mid in set(mids)}
        found = [by_mid[mid] for mid in mids]
    else:
        found = [
            settle(levels, mid, spread, curve=curve, sample=None if offset else sample)
            for levels, mid, spread, sample, offset in zip(asked, mids, moved, samples, offsets, strict=False)
        ]
    return tuple(
        Level(*_apart(level.black - offset, level.white - offset), level.mid)
        for level, offset in zip(found, offsets, strict=True)
    )


@functools.lru_cache(maxsize=2)
def _together(
    spreads: tuple[Distribution | None, ...], *, neutral: bool, link: bool
) -> tuple[tuple[float, ...], tuple[Distribution | None, ...], Distribution | None]:
    """Bring the medians to their mean, if `neutral`; count all pixels together, if `link`. Remembered for a frame."""
    offsets = (0.0,) * len(spreads)
    if neutral:
        medians = [None if one is None else one.median for one in spreads]
        seen = [median for median in medians if median is not None]
        offsets = tuple(0.0 if median is None else sum(seen) / len(seen) - median for median in medians)
    moved = tuple(None if one is None else one.moved(offset) for one, offset in zip(spreads, offsets, strict=True))
    good = [one for one in moved if one is not None]
    return offsets, moved, united(good) if link and good else None


def settle(
    levels: Levels,
    mid: float | None,
    spread: Distribution | None,
    *,
    curve: Curve = Curve("mtf", 2.0),  # noqa: B008 - a value
    sample: Samples = None,
) -> Level:
    """Find one channel's level; `mid` None asks for the one that brings the median to SKY."""
    assert not isinstance(levels, PerChannel)
    if isinstance(levels, Cut):
        black, white = _apart(levels.low, levels.high)
        return Level(black, white, 0.5 if mid is None else mid)
    if spread is None:
        return Level(0.0, 1.0, 0.5 if mid is None else mid)
    with np.errstate(over="ignore"):
        alike = np.float32(spread.low) == np.float32(spread.high)
    if alike:  # Nothing to be seen but that it is everywhere the same: grey.
        around = abs(spread.low) or 1.0
        return _lit(spread, Level(spread.low - around, spread.low + around, 0.5 if mid is None else mid), curve)
    match levels:
        case AutoLevels():
            black, white = _auto(spread)
            if mid is None and black < spread.median:  # No midtone is strong enough to show a sky below that.
                white = min(white, black + (spread.median - black) / midtone(1 - MID_MIN, SKY))
        case Quantiles(low, high):
            black, white = spread.quantile(low), spread.quantile(high)
        case Zscale():
            black, white = zscale(spread.sample(SAMPLES) if sample is None else sample)
    if not black < white:
        white = spread.high
    if not black < white:
        black = spread.low
    black, white = _apart(black, white)
    level = Level(black, white, _mid(spread, black, white) if mid is None else mid)
    plain = mid is None or mid == 0.5
    return _lit(spread, level, curve) if isinstance(levels, AutoLevels) and plain else level


def _apart(black: float, white: float) -> tuple[float, float]:
    """Keep white above black where rounding, or an offset, has made them one."""
    return (black, white) if black < white else (black, float(np.nextafter(black, np.inf)))


def _auto(spread: Distribution) -> tuple[float, float]:
    """Black a little below the sky, white above its noise and most of its stars.

    Source  the screen transfer function of astronomers' viewers: median and MAD; but white by quantile.
    """
    white = spread.quantile(WHITE_QUANTILE)
    if spread.sigma == 0:
        return spread.quantile(1 - WHITE_QUANTILE), white
    black = max(spread.low, spread.median - BLACK_SIGMAS * spread.sigma)
    return black, min(spread.high, max(white, spread.median + WHITE_SIGMAS * spread.sigma))


def _mid(spread: Distribution, black: float, white: float) -> float:
    """Bring the sky up to SKY; what is bright already stays as it is."""
    at = (spread.median - black) / (white - black)
    if not 0 < at < 1 or spread.crowded(spread.median):  # A mostly empty frame: what there is, is seen by its mean.
        at = float(np.clip((spread.tried - black) / (white - black), 0, 1).mean())
        if at == 0:  # So few pixels that none of those tried is among them.
            at = (spread.mean - black) / (white - black)
    return min(max(midtone(SKY, at), MID_MIN), 0.5) if 0 < at < 1 else 0.5


def _lit(spread: Distribution, level: Level, curve: Curve) -> Level:
    """Move black down, or white up, until the frame's mean grey is neither black nor white, reduced or not.

    The more a frame is reduced, the nearer is its mean grey to the grey of its mean: dark is what either says.
    """
    span = level.white - level.black

    def shown(black: float, white: float) -> tuple[float, float]:
        tried = np.clip(spread.tried, black, white)
        mean = float(curve.greys(tried, black, white, level.mid).mean())
        return mean, min(mean, float(curve.greys(tried.mean(keepdims=True), black, white, level.mid)[0]))

    light, dim = shown(level.black, level.white)
    if dim >= DIM and light <= GREYS - 1 - DIM:
        return level
    dark = dim < DIM

    def moved(by: float) -> Level:
        if dark:
            return Level(level.black - by * span, level.white, level.mid)
        return Level(level.black, level.white + by * span, level.mid)

    def enough(by: float) -> bool:
        there = moved(by)
        light, dim = shown(there.black, there.white)
        return dim >= DIM if dark else light <= GREYS - 1 - DIM

    near, far = 0.0, 2.0**-10
    while not enough(far) and far < 2.0**60:
        near, far = far, far * 4
    for _ in range(12):
        middle = (near + far) / 2
        near, far = (near, middle) if enough(middle) else (middle, far)
    return moved(far)
