"""Reduce on threads: bands of block rows, shared out as threads become free. The result does not depend on how many."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.reduce import BINS, I2, Grid, Into, Scaling, reduce_narrow, reduce_wide

BAND_PX: Final = 1 << 22  # A band takes a few milliseconds; the same bands whatever the threads.


class Counted(NamedTuple):
    """What was counted in all bands.

    histogram  (channels, BINS) uint64; blank pixels included (narrow), bad pixels excluded (wide).
    totals     (channels,) float64 sum, minimum and maximum of the good pixels (wide only; no pixel: 0, inf, -inf).
    """

    histogram: NDArray[np.uint64]
    totals: NDArray[np.float64]
    minima: NDArray[np.float64]
    maxima: NDArray[np.float64]


def reduce_bands(
    source: NDArray[np.uint8], grid: Grid, scaling: Scaling, plane: NDArray[np.float32], *, threads: int
) -> Counted:
    """Reduce block rows [grid.first, grid.last) into `plane`, and count them.

    source  (rows, bytes of a source row) uint8, C order; row 0 is the region's first. Unchanged.
    plane   (channels, R, C) float32; R and C may be 0 if it is not to be made. Its other rows are not touched.

    Memory  about 2 MB a thread and channel.
    """
    channels = 3 if grid.parities == 2 else 1
    height = max(1, BAND_PX // (grid.factor * grid.width))
    starts = range(grid.first, grid.last, height)
    sums = np.zeros((len(starts), 3, 4))
    sums[:, 1], sums[:, 2] = np.inf, -np.inf
    bands = [grid._replace(first=first, last=min(first + height, grid.last)) for first in starts]
    waiting = iter(zip(bands, sums, strict=True))  # Threads take from it one after the other, under the GIL.
    kernel = reduce_narrow if grid.kind <= I2 else reduce_wide

    def carry_out() -> NDArray[np.uint64]:
        return _carry_out(kernel, waiting, (source, scaling, plane), channels)

    helpers = min(threads, len(bands)) - 1
    if helpers < 1:
        return _merge(carry_out(), sums, grid)
    with ThreadPoolExecutor(helpers) as pool:
        others = [pool.submit(carry_out) for _ in range(helpers)]
        histogram = carry_out()
        for other in others:
            histogram += other.result()
    return _merge(histogram, sums, grid)


_Lent = tuple[NDArray[np.uint8], Scaling, NDArray[np.float32]]


def _carry_out(
    kernel: Callable[[NDArray[np.uint8], Grid, Scaling, Into], None],
    waiting: Iterator[tuple[Grid, NDArray[np.float64]]],
    lent: _Lent,
    channels: int,
) -> NDArray[np.uint64]:
    source, scaling, plane = lent
    counts = np.zeros((channels, BINS + 1), np.uint32)
    histogram = np.zeros((channels, BINS), np.uint64)
    pending = np.zeros(1, np.int64)
    for grid, sums in waiting:
        kernel(source, grid, scaling, Into(plane, counts, pending, histogram, sums))
    histogram += counts[:, :BINS]
    return histogram


def _merge(histogram: NDArray[np.uint64], sums: NDArray[np.float64], grid: Grid) -> Counted:
    """Bring the bands' sums together, in order, from sites to channels."""
    channels = histogram.shape[0]
    totals, minima, maxima = np.zeros(channels), np.full(channels, np.inf), np.full(channels, -np.inf)
    sites = (grid.site00, grid.site01, grid.site10, grid.site11)
    for site, channel in enumerate(sites):
        totals[channel] += sums[:, 0, site].sum()
        minima[channel] = min(minima[channel], sums[:, 1, site].min(initial=np.inf))
        maxima[channel] = max(maxima[channel], sums[:, 2, site].max(initial=-np.inf))
    return Counted(histogram, totals, minima, maxima)
