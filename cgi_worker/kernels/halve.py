"""Halve: one level of a pyramid from the one before."""

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled


@compiled(numba.types.Array(numba.f4, 3, "C", readonly=True), numba.f4[:, :, ::1])
def halve(level: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Shrink means to half their size, each weighed by the number of good pixels it stands for.

    level  (2, R, C) float32: mean in data units, and number of good pixels; the mean counts for nothing where that is
           0. Unchanged.
    out    (2, ceil(R / 2), ceil(C / 2)) float32: the same of each block of 2 x 2, or of what there is of it at the
           edges; mean NaN where no pixel is good. Means are sums in float64; numbers are exact up to 2**24.

    Source  area average; twin with plain loops in tests/kernels.
    """
    height, width = level.shape[1], level.shape[2]
    for row in range(out.shape[1]):
        top, bottom = 2 * row, min(2 * row + 1, height - 1)
        low = np.float64(bottom > top)  # An edge block that is one row high has no second one.
        for column in range(out.shape[2]):
            left, right = 2 * column, min(2 * column + 1, width - 1)
            wide = np.float64(right > left)
            first, second = np.float64(level[1, top, left]), np.float64(level[1, top, right]) * wide
            third, fourth = np.float64(level[1, bottom, left]) * low, np.float64(level[1, bottom, right]) * low * wide
            count = first + second + third + fourth
            total = np.float64(level[0, top, left]) * first if first > 0 else 0.0
            total += np.float64(level[0, top, right]) * second if second > 0 else 0.0
            total += np.float64(level[0, bottom, left]) * third if third > 0 else 0.0
            total += np.float64(level[0, bottom, right]) * fourth if fourth > 0 else 0.0
            out[0, row, column] = np.float32(total / count if count > 0 else np.nan)
            out[1, row, column] = np.float32(count)
