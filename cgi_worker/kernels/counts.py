"""Counts: bring counters together, and take figures from a histogram."""

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, repeated
from cgi_worker.kernels.reduce import BINS


@compiled(numba.u4[:, ::1], repeated(numba.i8, 4), numba.u8[:, ::1])
def collect(counts: NDArray[np.uint32], channels: tuple[int, int, int, int], histogram: NDArray[np.uint64]) -> None:
    """Add counters to the histogram, and empty them.

    counts     (TABLES, BINS + 1) uint32, of which the first four are added; the last bin of each is thrown away.
    channels   to which channel each of the four belongs.
    histogram  (channels, BINS) uint64.
    """
    for table in range(4):
        for value in range(BINS):
            histogram[channels[table], value] += np.uint64(counts[table, value])
        counts[table] = 0


@compiled(numba.u8[::1], numba.u8[::1])
def moments(histogram: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
    """Take exact figures from one channel's histogram, (BINS,) uint64.

    out  (6,) uint64: pixels; first and last bin that holds one (0 if none does); the sum of their bins' numbers; and of
         the squares of those, in two parts: what exceeds 16 bits, and the lower 16 bits.
    """
    out[:] = 0
    first = BINS
    for value in range(BINS):
        count = histogram[value]
        if count:
            number = np.uint64(value)
            first = min(first, value)
            out[0] += count
            out[2] = number
            out[3] += count * number
            out[4] += count * (number * number >> np.uint64(16))
            out[5] += count * (number * number & np.uint64(0xFFFF))
    if first < BINS:
        out[1] = np.uint64(first)
