"""Reduce: what the kernels of the one pass over source rows are told, and where their results go.

`narrow` has the kernel for 8 and 16 bit (exact integer sums, a bin per value), `wide` the one for the rest (float64,
adaptive bins); `means` and `floats` do what is asked for most, 16-bit and float32 pixels averaged, in a fraction of the
time. All work on a band of block rows, so that threads share nothing but their source.
"""

from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import record

BINS: Final = 65_536
SITES: Final = 4  # Of a cell of a Bayer mosaic; any other frame has one.
PAIRS: Final = SITES  # The first of the tables in which `means` counts pairs, one for each site.
TABLES: Final = PAIRS + SITES  # Of counters.
FLOAT32_MAX: Final = 3.4028234663852886e38  # A pixel beyond it (or NaN) is bad: no float32 picture can hold it.

# Kinds of stored pixels.
U1, I2, I4, I8, U8, F4, F8 = range(7)

# What is made of each block.
NOTHING, MEAN, HIGHEST = range(3)

# Rows of `Into.sums`.
SUM, LOWEST, TOP, SQUARES, FULL = range(5)


class Grid(NamedTuple):
    """Where a band lies in its source, and what is to be made of it. Positions are relative to the region.

    x          column of the rows lent at which the region begins.
    width, rows  the region's columns; its rows that really exist.
    factor     source pixels per output side.
    taken      rows that are read of each block row, 1..factor.
    first, last  block rows [first, last) of this band; row 0 of what is lent is the first row of `first`.
    kind, swap  how pixels are stored; 1 if their bytes are to be swapped.
    blank, blanking  the stored value that marks a bad pixel (narrow: its bin), if blanking is 1.
    brim, brimming   what counts as full (wide only), if brimming is 1: the stored whole number `brim`; if it is 2: data
               values from `Scaling.brim` on.
    counting   1 to make the histogram and what belongs to it.
    pooling    what to make of each block; NOTHING leaves the plane alone.
    lowering   1 if higher stored values are lower data values, which matters for HIGHEST (narrow only).
    parities   1 for one channel; 2 for a Bayer mosaic: factor and taken are even then.
    site00..site11  channel of the pixel at (row & 1, column & 1).
    """

    x: int
    width: int
    rows: int
    factor: int
    taken: int
    first: int
    last: int
    kind: int
    swap: int
    blank: int
    blanking: int
    brim: int
    brimming: int
    counting: int
    pooling: int
    lowering: int
    parities: int
    site00: int
    site01: int
    site10: int
    site11: int

    @property
    def sites(self) -> tuple[int, int, int, int]:
        """Channel of each site: (0, 0), (0, 1), (1, 0), (1, 1)."""
        return (self.site00, self.site01, self.site10, self.site11)


class Scaling(NamedTuple):
    """Data units = scale * stored + zero (narrow: scale * bin + zero).

    brim     data units from which on a pixel is full.
    center, inverse  (channels,) float64: the centre and the inverse scale of adaptive bins.
    """

    scale: float
    zero: float
    brim: float
    center: NDArray[np.float64]
    inverse: NDArray[np.float64]


class Into(NamedTuple):
    """Where a band's results go.

    plane   (channels, R, C) float32, data units; only rows [first, last) are written. With twice as many channels the
            second half gets the number of good pixels of each block.
    counts  (TABLES, BINS + 1) uint32, counters of this thread: one row for every fourth pixel, or for each site of a
            Bayer mosaic, so that equal neighbours do not wait for each other; the last bin takes the bad pixels (wide
            only). Rows from PAIRS on count pairs, by site; their last bin tells from which base on, plus 1.
    sums    (5, 4) float64, of the band's good pixels by site (wide only): sum, minimum, maximum, sum of squares about
            the bins' centre, number of full ones.
    """

    plane: NDArray[np.float32]
    counts: NDArray[np.uint32]
    sums: NDArray[np.float64]


GRID: Final = record(Grid, numba.i8)
SCALING: Final = record(Scaling, numba.f8, numba.f8, numba.f8, numba.f8[::1], numba.f8[::1])
INTO: Final = record(Into, numba.f4[:, :, ::1], numba.u4[:, ::1], numba.f8[:, ::1])
