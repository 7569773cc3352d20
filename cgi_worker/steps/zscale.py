"""Zscale: black and white by a line through the sorted values of a sample. Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLES: Final = 1000
CONTRAST: Final = 0.25
REJECTED_MAX: Final = 0.5  # The part of the sample that may be rejected.
KEPT_MIN: Final = 5
REJECT_SIGMAS: Final = 2.5
ROUNDS: Final = 5
CHUNK_ROWS: Final = 64


def zscale(sample: NDArray[np.float64]) -> tuple[float, float]:
    """Find black and white of a sample, (n,) ascending: the line through it, steeper by 1 / CONTRAST.

    Source  IRAF's zscale, as astropy.visualization.ZScaleInterval computes it with its defaults, to the last bit.
    """
    count = len(sample)
    low, high = float(sample[0]), float(sample[-1])
    kept_min = max(KEPT_MIN, int(count * REJECTED_MAX))
    kept, kept_before = count, count + 1
    places, slope = np.arange(count), 0.0
    bad, grow = np.zeros(count, bool), np.ones(max(1, int(count * 0.01)), bool)
    for _ in range(ROUNDS):
        if kept >= kept_before or kept < kept_min:
            break
        fit = np.polyfit(places, sample, deg=1, w=(~bad).astype(int))
        flat = sample - np.poly1d(fit)(places)
        limit = REJECT_SIGMAS * flat[~bad].std()
        bad[(flat < -limit) | (flat > limit)] = True
        bad = np.convolve(bad, grow, mode="same")
        kept_before, kept = kept, int(np.sum(~bad))
        slope = float(fit[0])
    if kept < kept_min:
        return low, high
    slope /= CONTRAST
    center, median = (count - 1) // 2, float(np.median(sample))
    return max(low, median - (center - 1) * slope), min(high, median + (count - center) * slope)


def strided(plane: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Take the values of a plane that astropy would take of it, ascending; None if no pixel is good.

    Of the good pixels, in order, each n-th: n is their number over SAMPLES, rounded down; the first SAMPLES of these.
    """
    chunks = range(0, len(plane), CHUNK_ROWS)
    goods = [int(np.count_nonzero(~np.isnan(plane[top : top + CHUNK_ROWS]))) for top in chunks]
    stride = max(1, sum(goods) // SAMPLES)
    taken, skip, left = [np.empty(0, np.float32)], 0, SAMPLES
    for top, good in zip(chunks, goods, strict=True):
        if skip < good and left > 0:
            rows = plane[top : top + CHUNK_ROWS].ravel()
            some = (rows if good == rows.size else rows[~np.isnan(rows)])[skip::stride][:left]
            taken.append(some)
            left -= len(some)
            skip += stride * len(some)
        skip -= good
    sample = np.sort(np.concatenate(taken)).astype(np.float64)
    return sample if sample.size else None
