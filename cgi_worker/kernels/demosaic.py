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


@part
def _weigh(y: int, x: int, sites: Any, weights: Any) -> None:
    """Tell how a pixel inside makes each channel: weights (3, 5) of itself, its row's neighbours, its column's, the
    diagonal ones; and what to divide by."""
    weights[:] = 0
    for place, pixels in enumerate((1, 2, 2, 4)):
        down, right = (0, 0, 1, 1)[place], (0, 1, 0, 1)[place]
        channel = sites[2 * ((y + down) & 1) + ((x + right) & 1)]
        if place == 0 or weights[channel, 0] == 0:  # A pixel's own colour is its own alone.
            weights[channel, place] = 1
            weights[channel, 4] += pixels


@part
def _fill_in(plane: Any, y: int, first: int, told: Any, row: Any) -> None:
    """Make every other pixel of one row of one channel, none of them at an edge of `plane`; NaN if one near is."""
    own, beside, above, across, count = told[0], told[1], told[2], told[3], told[4]
    up, here, down = plane[y - 1], plane[y], plane[y + 1]
    for x in range(first, row.size, 2):
        total = own * here[x] + beside * (here[x - 1] + here[x + 1]) + above * (up[x] + down[x])
        row[x] = (total + across * ((up[x - 1] + up[x + 1]) + (down[x - 1] + down[x + 1]))) / count


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
    height, width = plane.shape
    end = corner[1] + out.shape[2]
    weights, made = np.zeros((3, 5), np.float32), np.empty(max(0, min(end, width - 1)), np.float32)
    for row in range(out.shape[1]):
        y = row + corner[0]
        for channel in range(3):
            made[:] = np.nan
            for x in range(max(corner[1], 1), min(max(corner[1], 1) + 2, made.size) if 0 < y < height - 1 else 0):
                _weigh(y, x, sites, weights)
                if weights[channel, 4] > 0:
                    _fill_in(plane, y, x, weights[channel], made)
            for x in range(corner[1], end):
                value = made[x] if x < made.size else np.float32(np.nan)
                if np.isnan(value):  # At an edge, or bad, or beside a bad one.
                    own = sites[2 * (y & 1) + (x & 1)]
                    value = plane[y, x] if channel == own else _neighbours(plane, y, x, channel, sites)
                out[channel, row, x - corner[1]] = value
