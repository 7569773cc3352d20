"""Figures: what is told of each channel's histogram. Takes out of it what is bad: blank, or beyond float32."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels import reduce as kernels
from cgi_worker.kernels.bands import Counted
from cgi_worker.kernels.counts import moments
from cgi_worker.steps.bins import Bins
from cgi_worker.steps.levels import Channel, Linear, SplitLog
from cgi_worker.wire.facts import Hdu


def describe(bins: Bins, counted: Counted, grid: kernels.Grid, hdu: Hdu, *, missing: int) -> Iterator[Channel]:
    """Tell each channel's figures; exact, but for the rounding of what is no whole number.

    missing  rows of the region that the file does not have; all their pixels are bad.
    """
    for channel, laid in enumerate(bins):
        histogram = counted.histogram[channel]
        if grid.kind <= kernels.I2 and grid.blanking and 0 <= grid.blank < kernels.BINS:
            histogram[grid.blank] = 0
        if isinstance(laid, Linear) and not all_held(laid):
            histogram[~(np.abs(_values(laid)) <= kernels.FLOAT32_MAX)] = 0
        told = np.empty(6, np.uint64)
        moments(histogram, told)
        good, bad = int(told[0]), _pixels(grid, channel, missing) - int(told[0])
        if not good:
            yield Channel(laid, 0, bad, None, None, None)
        elif isinstance(laid, Linear):
            yield _of_values(laid, told, bad, _full(laid, histogram, grid, hdu))
        else:
            yield _of_sums(laid, counted, channel, (good, bad))


def _pixels(grid: kernels.Grid, channel: int, missing: int) -> int:
    """Tell how many pixels of this channel are looked at, those of missing rows with them."""
    found = 0
    for site, of in enumerate(grid.sites[: 2 * grid.parities]):
        if of == channel:
            parity, odd = divmod(site, 2)
            wide = (grid.width + 1 - odd) // 2
            found += wide * (_rows(grid, grid.rows + missing, parity))
    return found


def _rows(grid: kernels.Grid, height: int, parity: int) -> int:
    """Tell how many rows, of this parity in a mosaic, are looked at."""
    step = grid.parities
    whole, rest = divmod(height, grid.factor)
    counted = [(size + step - 1 - parity) // step for size in (grid.taken, min(rest, grid.taken))]
    return whole * counted[0] + counted[1]


def _full(laid: Linear, histogram: NDArray[np.uint64], grid: kernels.Grid, hdu: Hdu) -> int:
    """Count the good pixels that are full."""
    if hdu.saturate is None:
        return int(histogram[255 if grid.kind == kernels.U1 else kernels.BINS - 1])
    return int(histogram[_values(laid) >= hdu.saturate].sum())


def all_held(laid: Linear) -> bool:
    """Tell whether float32 holds the values of all bins."""
    return abs(laid.start) + abs(laid.step) * kernels.BINS <= kernels.FLOAT32_MAX


def _values(laid: Linear) -> NDArray[np.float64]:
    """Tell the value of each bin."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(laid.start + laid.step * np.arange(kernels.BINS), np.float64)


def _of_values(laid: Linear, told: NDArray[np.uint64], bad: int, full: int) -> Channel:
    good, first, last, total, high, low = (int(number) for number in told)
    ends = sorted(laid.start + laid.step * end for end in (first, last))
    spread = good * ((high << 16) + low) - total * total  # Variance times good ** 2, exact.
    sigma = abs(laid.step) * math.sqrt(spread) / good
    return Channel(laid, good, bad, ends[0], ends[1], _rounded(laid.start + laid.step * (total / good)), full, sigma)


def _of_sums(laid: SplitLog, counted: Counted, channel: int, pixels: tuple[int, int]) -> Channel:
    good, bad = pixels
    mean = float(counted.totals[channel]) / good
    with np.errstate(over="ignore", invalid="ignore"):
        variance = float(counted.squares[channel]) / good - (mean - laid.center) ** 2
    low, high = float(counted.minima[channel]), float(counted.maxima[channel])
    sigma = _rounded(math.sqrt(max(variance, 0.0))) if low < high else 0.0
    return Channel(laid, good, bad, low, high, _rounded(mean), int(counted.full[channel]), sigma)


def _rounded(number: float) -> float:
    """Round to float32: the last bits of a float64 sum depend on the order of its blocks."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(number))
    return rounded if math.isfinite(rounded) else number
