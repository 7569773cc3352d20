"""Halve: one level of a pyramid from the one before."""

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled


@compiled(numba.types.Array(numba.f4, 3, "C", readonly=True), numba.i8, numba.f4[:, :, ::1])
def halve(level: NDArray[np.float32], channel: int, out: NDArray[np.float32]) -> None:
    """Shrink one channel's means to half their size, each weighed by the number of good pixels it stands for.

    level  (2 * C, R, W) float32: C channels' means in data units, then their numbers of good pixels; a mean counts for
           nothing where its number is 0. Unchanged.
    out    (2 * C, ceil(R / 2), ceil(W / 2)) float32: the same of each block of 2 x 2, or of what there is of it at the
           edges; mean NaN where no pixel is good. Means are sums in float64; numbers are exact up to 2**24.

    Source  area average; twin with plain loops in tests/kernels.
    """
    channels = level.shape[0] // 2
    means, numbers = level[channel], level[channels + channel]
    height, width = means.shape
    for row in range(out.shape[1]):
        top, bottom = 2 * row, min(2 * row + 1, height - 1)
        low = np.float64(bottom > top)  # An edge block that is one row high has no second one.
        high_means, low_means, high_numbers, low_numbers = means[top], means[bottom], numbers[top], numbers[bottom]
        mean, number = out[channel, row], out[channels + channel, row]
        for column in range(width // 2):  # All that it may need is read whatever it is: so it becomes vectors.
            first, second = np.float64(high_numbers[2 * column]), np.float64(high_numbers[2 * column + 1])
            third, fourth = low_numbers[2 * column] * low, low_numbers[2 * column + 1] * low
            one, two = high_means[2 * column] * first, high_means[2 * column + 1] * second
            three, four = low_means[2 * column] * third, low_means[2 * column + 1] * fourth
            total = (one if first > 0 else 0.0) + (two if second > 0 else 0.0)
            total += (three if third > 0 else 0.0) + (four if fourth > 0 else 0.0)
            count = first + second + third + fourth
            mean[column] = np.float32(total / count)
            number[column] = np.float32(count)
        if width % 2:
            first, third = np.float64(high_numbers[width - 1]), low_numbers[width - 1] * low
            one, three = high_means[width - 1] * first, low_means[width - 1] * third
            mean[width // 2] = np.float32(
                ((one if first > 0 else 0.0) + (three if third > 0 else 0.0)) / (first + third)
            )
            number[width // 2] = np.float32(first + third)
