"""Counts: bring counters together, and take figures from a histogram, or from how its pixels are distributed."""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, repeated
from cgi_worker.kernels.pairs import part_pairs
from cgi_worker.kernels.reduce import BINS, SITES


@compiled(numba.u4[:, ::1], repeated(numba.i8, SITES), numba.u8[:, ::1])
def collect(counts: NDArray[np.uint32], channels: tuple[int, int, int, int], histogram: NDArray[np.uint64]) -> None:
    """Add counters to the histogram, and empty them.

    counts     (TABLES, BINS + 1) uint32, of which the first four are added, pairs to their sites' before; the last bin
               of each is thrown away.
    channels   to which channel each of the four belongs.
    histogram  (channels, BINS) uint64.
    """
    part_pairs(counts)
    for table in range(SITES):
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


@compiled(numba.types.Array(numba.u8, 1, "C", readonly=True), numba.i8[::1], numba.f8[::1])
def filled_edges(histogram: NDArray[np.uint64], edges: NDArray[np.int64], below: NDArray[np.float64]) -> None:
    """Find the edges of bins that hold pixels, and of what lies between them.

    histogram  (bins,) uint64.
    edges      (bins + 2,) int64: how many edges there are; then edge n, where bin n begins and the one before it ends,
               if either holds pixels, ascending.
    below      (bins + 1,) float64: how many pixels lie below each of these edges.
    """
    found, before, total = np.int64(0), np.uint64(0), np.uint64(0)
    for number in range(histogram.size):
        count = histogram[number]
        if count | before:
            below[found] = total
            found += 1
            edges[found] = number
            total += count
        before = count
    if before:
        below[found] = total
        found += 1
        edges[found] = histogram.size
    edges[0] = found


@part
def _at(place: Any, places: Any, values: Any) -> Any:
    """Read a curve, straight between its points, beyond them as at the last one."""
    last = places.size - 1
    if place >= places[last]:
        return values[last]
    if place < places[0]:
        return values[0]
    low, high = np.int64(0), np.int64(last)
    while high - low > 1:
        middle = (low + high) >> 1
        if place >= places[middle]:
            low = middle
        else:
            high = middle
    return (values[high] - values[low]) / (places[high] - places[low]) * (place - places[low]) + values[low]


_POINTS: Final = numba.types.Array(numba.f8, 1, "C", readonly=True)


@compiled(_POINTS, _POINTS, numba.f8, numba.f8, numba.f8[::1])
def middle_distance(
    edges: NDArray[np.float64], below: NDArray[np.float64], median: float, most: float, out: NDArray[np.float64]
) -> None:
    """Find how far half of the pixels are from their median at most.

    edges, below  (n,) float64, ascending: below each of these values lie so many pixels.
    most          no pixel is further.
    out           (1,) float64: the distance, to a part in 2 ** 50 of `most`.
    """
    half, near, far = below[below.size - 1] / 2, 0.0, most
    for _ in range(50):
        middle = (near + far) / 2
        if _at(median + middle, edges, below) - _at(median - middle, edges, below) < half:
            near = middle
        else:
            far = middle
    out[0] = far
