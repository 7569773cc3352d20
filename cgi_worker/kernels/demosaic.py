"""Demosaic: a Bayer plane at full size into three channels, where no pixel may be lost to a superpixel."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, repeated

_PLANE = numba.types.Array(numba.f4, 2, "C", readonly=True)


@part
def _neighbours(plane: Any, y: int, x: int, want: int, sites: Any) -> Any:
    """Average the good pixels of one colour among the (up to) eight around a pixel."""
    total, count = np.float32(0), 0
    for row in range(max(0, y - 1), min(plane.shape[0], y + 2)):
        for column in range(max(0, x - 1), min(plane.shape[1], x + 2)):
            if sites[2 * (row & 1) + (column & 1)] == want and not np.isnan(plane[row, column]):
                total += plane[row, column]
                count += 1
    return total / np.float32(count) if count > 0 else np.float32(np.nan)


@compiled(_PLANE, repeated(numba.i8, 4), repeated(numba.i8, 2), numba.f4[:, :, ::1])
def demosaic(
    plane: NDArray[np.float32], sites: tuple[int, int, int, int], corner: tuple[int, int], out: NDArray[np.float32]
) -> None:
    """Fill in the two colours that each pixel of a Bayer mosaic lacks, by the mean of its neighbours of that colour.

    plane   (R, C) float32, NaN where bad: the wanted rows and columns with what borders on them. Unchanged.
    sites   channel of the pixels at (row & 1, column & 1) of `plane`: (0, 0), (0, 1), (1, 0), (1, 1).
    corner  row and column of `plane` where `out` begins.
    out     (3, r, c) float32; a bad pixel stays bad in its own colour, and lends nothing to others.

    Source  bilinear interpolation; at the edges the mean of those neighbours that there are. Twin in tests/kernels.
    """
    for row in range(out.shape[1]):
        y = row + corner[0]
        for column in range(out.shape[2]):
            x = column + corner[1]
            own = sites[2 * (y & 1) + (x & 1)]
            for channel in range(3):
                out[channel, row, column] = plane[y, x] if channel == own else _neighbours(plane, y, x, channel, sites)
