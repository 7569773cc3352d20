"""Zscale: black and white by a line through the sorted values of a sample (`steps/sample.py` takes it). Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CONTRAST: Final = 0.25
REJECTED_MAX: Final = 0.5  # The part of the sample that may be rejected.
KEPT_MIN: Final = 5
REJECT_SIGMAS: Final = 2.5
ROUNDS: Final = 5


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
