"""Reduce: one pass over source rows that makes block means and the histogram together.

Two kernels: `reduce_narrow` for 8 and 16 bit (exact integer sums, a bin per value) and `reduce_wide` for the rest
(float64, adaptive bins). Both work on a band of block rows, so that threads share nothing but their source.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part, record

BINS: Final = 65_536
COUNTED_MAX: Final = 2**32 - 1  # What the fast 32-bit counters hold; they are emptied before they could overflow.
FLOAT32_MAX: Final = 3.4028234663852886e38  # A pixel beyond it (or NaN) is bad: no float32 picture can hold it.
NARROW_SPAN: Final = 16_384  # Columns worked on at once, so that scratch rows stay in the nearest caches.
WIDE_SPAN: Final = 4_096

# Kinds of stored pixels.
U1, I2, I4, I8, U8, F4, F8 = range(7)


class Grid(NamedTuple):
    """Where a band lies in its source, and what is to be made of it. All positions relative to the region.

    x, width, rows   region's first column in a source row; its columns; its rows that really exist.
    factor           source pixels per output side.
    first, last      block rows [first, last) of this band.
    kind, swap       how pixels are stored; 1 if their bytes are to be swapped.
    blank, blanking  the stored value that marks a bad pixel (narrow: its bin), if blanking is 1.
    counting, averaging  1 to make the histogram; 1 to make the plane.
    parities         1 for one channel; 2 for a Bayer mosaic, whose factor is then even when averaging.
    site00..site11   channel of the pixel at (row & 1, column & 1).
    """

    x: int
    width: int
    rows: int
    factor: int
    first: int
    last: int
    kind: int
    swap: int
    blank: int
    blanking: int
    counting: int
    averaging: int
    parities: int
    site00: int
    site01: int
    site10: int
    site11: int


class Scaling(NamedTuple):
    """Data units = scale * stored + zero; per channel the centre and the inverse scale of adaptive bins."""

    scale: float
    zero: float
    center: NDArray[np.float64]
    inverse: NDArray[np.float64]


class Into(NamedTuple):
    """Where a band's results go.

    plane    (channels, R, C) float32, data units; only rows [first, last) are written.
    counts   (3, BINS + 1) uint32, fast counters of this thread; the last bin takes the bad pixels (wide only).
    pending  (1,) int64, pixels counted there since they were last added to `histogram`.
    histogram  (3, BINS) uint64 of this thread.
    sums     (3, 4) float64: sum, minimum, maximum of the band's good pixels by site (wide only).
    """

    plane: NDArray[np.float32]
    counts: NDArray[np.uint32]
    pending: NDArray[np.int64]
    histogram: NDArray[np.uint64]
    sums: NDArray[np.float64]


_GRID: Final = record(Grid, numba.i8)
_SCALING: Final = record(Scaling, numba.f8, numba.f8, numba.f8[::1], numba.f8[::1])
_INTO: Final = record(Into, numba.f4[:, :, ::1], numba.u4[:, ::1], numba.i8[::1], numba.u8[:, ::1], numba.f8[:, ::1])


@part
def _flush(into: Any) -> None:
    for channel in range(into.histogram.shape[0]):
        for value in range(BINS):
            into.histogram[channel, value] += np.uint64(into.counts[channel, value])
            into.counts[channel, value] = 0
        into.counts[channel, BINS] = 0
    into.pending[0] = 0


@part
def _count(keys: Any, even: Any, odd: Any) -> None:
    pairs = np.uint64(keys.size // 2 * 2)
    for column in range(np.uint64(0), pairs, np.uint64(2)):
        even[keys[column]] += np.uint32(1)
        odd[keys[column + np.uint64(1)]] += np.uint32(1)
    if keys.size % 2:
        even[keys[keys.size - 1]] += np.uint32(1)


@part
def _count_row(keys: Any, parity: int, grid: Any, into: Any) -> None:
    if into.pending[0] + keys.size > COUNTED_MAX:
        _flush(into)
    into.pending[0] += keys.size
    if parity == 0:
        _count(keys, into.counts[grid.site00], into.counts[grid.site01])
    else:
        _count(keys, into.counts[grid.site10], into.counts[grid.site11])


@part
def _span(grid: Any, limit: int) -> Any:
    """Columns worked on at once, in whole blocks."""
    return min(grid.factor * max(1, limit // grid.factor), grid.width)


@part
def _fold(columns: Any, start: int, factor: int, totals: Any) -> None:
    """Add every factor-th column, from `start` on, to the block it lies in."""
    step, at = np.uint64(factor), np.uint64(start)
    for block in range(np.uint64((columns.size - start + factor - 1) // factor)):
        totals[block] += columns[block * step + at]


@part
def _count_same(good: Any, columns: int, odd: int, grid: Any, counts: Any) -> None:
    """Count the good pixels of each block where all columns (of this parity) hold as many."""
    whole = good * ((grid.factor - odd + grid.parities - 1) // grid.parities)
    for block in range(counts.size):
        counts[block] += whole
    rest = columns - (counts.size - 1) * grid.factor  # Of the last block, which may be shorter.
    counts[counts.size - 1] += good * ((rest - odd + grid.parities - 1) // grid.parities) - whole


@part
def _emit(scratch: Any, n: int, grid: Any, scaling: Any, out: Any) -> None:
    """Write the means of one block row of one span.

    scratch  (parities, span) sums and good pixels by column, (3, span) of each for blocks.
    n        columns of this span.
    out      (channels, blocks of this span) float32.
    """
    sums, goods, totals, counts = scratch
    blocks = out.shape[1]
    sites = ((grid.site00, grid.site01), (grid.site10, grid.site11))
    totals[: out.shape[0], :blocks] = 0
    counts[: out.shape[0], :blocks] = 0
    same = grid.kind <= I2 and grid.blanking == 0
    for parity in range(grid.parities):
        for start in range(min(grid.factor, n)):
            channel = sites[parity][start & 1] if grid.parities == 2 else 0
            _fold(sums[parity, :n], start, grid.factor, totals[channel])
            if not same:
                _fold(goods[parity, :n], start, grid.factor, counts[channel])
        for odd in range(grid.parities if same else 0):
            channel = sites[parity][odd]
            _count_same(np.int64(goods[parity, 0]), n, odd, grid, counts[channel, :blocks])
    for channel in range(out.shape[0]):
        row, total, count = out[channel], totals[channel], counts[channel]
        for block in range(blocks):
            mean = scaling.scale * (np.float64(total[block]) / np.float64(count[block])) + scaling.zero
            mean = mean if mean < FLOAT32_MAX else FLOAT32_MAX
            mean = mean if mean > -FLOAT32_MAX else -FLOAT32_MAX
            row[block] = np.float32(mean if count[block] > 0 else np.nan)


@part
def _load_narrow(row: Any, grid: Any, keys: Any, sums: Any) -> None:
    """Turn stored pixels into bins (the order of values) and add them up by column."""
    if grid.kind == U1:
        for column in range(keys.size):
            keys[column] = row[column]
            sums[column] += np.uint32(row[column])
    elif grid.swap == 1:
        words = row.view(np.uint16)
        for column in range(keys.size):
            word = words[column]
            key = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8))) ^ np.uint16(0x8000)
            keys[column] = key
            sums[column] += np.uint32(key)
    else:
        words = row.view(np.uint16)
        for column in range(keys.size):
            key = words[column] ^ np.uint16(0x8000)
            keys[column] = key
            sums[column] += np.uint32(key)


@part
def _unblank(keys: Any, blank: Any, sums: Any, goods: Any) -> None:
    """Take the blank pixels out of the sums again, and count the others."""
    for column in range(keys.size):
        bad = keys[column] == blank
        sums[column] -= np.uint32(keys[column]) if bad else np.uint32(0)
        goods[column] += np.uint32(0) if bad else np.uint32(1)


@compiled(BYTES, _GRID, _SCALING, _INTO)
def reduce_narrow(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Average and count one band of 8-bit or 16-bit pixels.

    source   (rows, bytes of a source row) uint8; row 0 is the region's first. Unchanged.
    scaling  of bins: data units = scale * bin + zero, bins from 0 in the order of values.
    into     the band's rows of the plane; counters of this thread (blank pixels are counted like others).

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order.
    Source   area average; column sums of at most FACTOR_MAX 16-bit pixels are exact in uint32, a block's in float64
             (below 2**53); twin with plain loops in tests/kernels.
    """
    span = _span(grid, NARROW_SPAN)
    item = 1 if grid.kind == U1 else 2
    keys = np.empty(span, np.uint16)
    sums = np.zeros((grid.parities, span), np.uint32)
    goods = np.zeros((grid.parities, span), np.uint32)
    scratch = (sums, goods, np.empty((3, span), np.uint64), np.empty((3, span), np.int64))
    for block_row in range(grid.first, grid.last):
        top = block_row * grid.factor
        bottom = min(top + grid.factor, grid.rows)
        for start in range(0, grid.width, span):
            n = min(span, grid.width - start)
            sums[:, :n] = 0
            for parity in range(
                grid.parities
            ):  # As many good pixels in each column as rows, unless blank ones are looked for.
                rows = (bottom - top + grid.parities - 1 - parity) // grid.parities
                goods[parity, :n] = 0 if grid.blanking == 1 else rows
            at = (grid.x + start) * item
            for y in range(top, bottom):
                parity = y & 1 if grid.parities == 2 else 0
                _load_narrow(source[y, at : at + n * item], grid, keys[:n], sums[parity, :n])
                if grid.blanking == 1:
                    _unblank(keys[:n], np.uint16(grid.blank), sums[parity, :n], goods[parity, :n])
                if grid.counting == 1:
                    _count_row(keys[:n], parity, grid, into)
            if grid.averaging == 1:
                out = into.plane[:, block_row, start // grid.factor : (start + n + grid.factor - 1) // grid.factor]
                _emit(scratch, n, grid, scaling, out)


@part
def _load_four(row: Any, grid: Any, scaling: Any, bits: Any, values: Any) -> None:
    words = row.view(np.uint32)
    if grid.swap == 1:
        for column in range(values.size):
            word = words[column]
            bits[column] = (
                (word >> np.uint32(24))
                | ((word >> np.uint32(8)) & np.uint32(0xFF00))
                | ((word << np.uint32(8)) & np.uint32(0xFF0000))
                | (word << np.uint32(24))
            )
    else:
        for column in range(values.size):
            bits[column] = words[column]
    if grid.kind == F4:
        floats = bits.view(np.float32)
        for column in range(values.size):
            values[column] = np.float64(floats[column]) * scaling.scale + scaling.zero
    else:
        wholes = bits.view(np.int32)
        for column in range(values.size):
            value = np.float64(wholes[column]) * scaling.scale + scaling.zero
            bad = grid.blanking == 1 and np.int64(wholes[column]) == grid.blank
            values[column] = np.nan if bad else value


@part
def _load_eight(row: Any, grid: Any, scaling: Any, bits: Any, values: Any) -> None:
    words = row.view(np.uint64)
    if grid.swap == 1:
        for column in range(values.size):
            word = words[column]
            word = ((word >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
                (word & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
            )
            word = ((word >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
                (word & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
            )
            bits[column] = (word >> np.uint64(32)) | (word << np.uint64(32))
    else:
        for column in range(values.size):
            bits[column] = words[column]
    if grid.kind == F8:
        floats = bits.view(np.float64)
        for column in range(values.size):
            values[column] = floats[column] * scaling.scale + scaling.zero
    elif grid.kind == U8:
        for column in range(values.size):
            values[column] = np.float64(bits[column] ^ np.uint64(0x8000000000000000))
    else:
        wholes = bits.view(np.int64)
        for column in range(values.size):
            values[column] = np.float64(wholes[column]) * scaling.scale + scaling.zero
    if grid.blanking == 1:
        wholes = bits.view(np.int64)
        for column in range(values.size):
            values[column] = np.nan if wholes[column] == grid.blank else values[column]


@part
def _add_up(values: Any, sums: Any, goods: Any, lows: Any, highs: Any) -> None:
    for column in range(values.size):
        value = values[column]
        good = abs(value) <= FLOAT32_MAX
        sums[column] += value if good else 0.0
        goods[column] += np.uint32(1) if good else np.uint32(0)
        lows[column] = value if good and value < lows[column] else lows[column]
        highs[column] = value if good and value > highs[column] else highs[column]


@part
def _survey(sums: Any, lows: Any, highs: Any, into: Any) -> None:
    """Add the columns of one block row to the band's sum, minimum and maximum of each site."""
    for parity in range(sums.shape[0]):
        for odd in range(2):
            site = 2 * parity + odd
            total, low, high = 0.0, np.inf, -np.inf
            for column in range(odd, sums.shape[1], 2):
                total += sums[parity, column]
                low = min(low, lows[parity, column])
                high = max(high, highs[parity, column])
            into.sums[0, site] += total
            into.sums[1, site] = min(into.sums[1, site], low)
            into.sums[2, site] = max(into.sums[2, site], high)


@part
def _find_keys(values: Any, center: Any, inverse: Any, folded: Any, keys: Any) -> None:
    """Sort values into bins: a logarithm from the bits of 1 + |v - center| / scale, mirrored below the centre."""
    bits = folded.view(np.int32)
    for column in range(values.size):
        away = values[column] - center[column]
        folded[column] = np.float32(1.0 + abs(away) * inverse[column])
        keys[column] = np.uint32(0xFFFFFFFF) if away < 0 else np.uint32(0)
    for column in range(values.size):
        step = min((bits[column] - np.int32(0x3F800000)) >> np.int32(15), np.int32(32767))
        keys[column] = (np.uint32(step) ^ keys[column]) + np.uint32(32768)
    for column in range(values.size):
        keys[column] = keys[column] if abs(values[column]) <= FLOAT32_MAX else np.uint32(BINS)


@compiled(BYTES, _GRID, _SCALING, _INTO)
def reduce_wide(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Average, count and survey one band of 32-bit or 64-bit pixels; NaN, infinite and blank ones are bad.

    source   (rows, bytes of a source row) uint8; row 0 is the region's first. Unchanged.
    scaling  of stored values; centre and inverse scale of the bins by channel.
    into     the band's rows of the plane; counters of this thread; the band's own sums.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order.
    Source   area average in float64, blocks summed by columns; twin with plain loops in tests/kernels.
    """
    span = _span(grid, WIDE_SPAN)
    item = 4 if grid.kind in (I4, F4) else 8
    four, eight = np.empty(span, np.uint32), np.empty(span, np.uint64)
    values, folded, keys = np.empty(span, np.float64), np.empty(span, np.float32), np.empty(span, np.uint32)
    sums, goods = np.zeros((grid.parities, span)), np.zeros((grid.parities, span), np.uint32)
    lows, highs = np.empty((grid.parities, span)), np.empty((grid.parities, span))
    center, inverse = np.empty((2, span)), np.empty((2, span))
    scratch = (sums, goods, np.empty((3, span), np.float64), np.empty((3, span), np.int64))
    sites = (grid.site00, grid.site01, grid.site10, grid.site11)
    for site in range(4):
        center[site // 2, site % 2 :: 2] = scaling.center[sites[site]]
        inverse[site // 2, site % 2 :: 2] = scaling.inverse[sites[site]]
    unscaled = Scaling(1.0, 0.0, scaling.center, scaling.inverse)
    for block_row in range(grid.first, grid.last):
        top = block_row * grid.factor
        bottom = min(top + grid.factor, grid.rows)
        for start in range(0, grid.width, span):
            n = min(span, grid.width - start)
            sums[:, :n] = 0
            goods[:, :n] = 0
            lows[:, :n] = np.inf
            highs[:, :n] = -np.inf
            at = (grid.x + start) * item
            for y in range(top, bottom):
                parity = y & 1 if grid.parities == 2 else 0
                row = source[y, at : at + n * item]
                if item == 4:
                    _load_four(row, grid, scaling, four[:n], values[:n])
                else:
                    _load_eight(row, grid, scaling, eight[:n], values[:n])
                _add_up(values[:n], sums[parity, :n], goods[parity, :n], lows[parity, :n], highs[parity, :n])
                if grid.counting == 1:
                    _find_keys(values[:n], center[parity], inverse[parity], folded[:n], keys[:n])
                    _count_row(keys[:n], parity, grid, into)
            if grid.counting == 1:
                _survey(sums[:, :n], lows[:, :n], highs[:, :n], into)
            if grid.averaging == 1:
                out = into.plane[:, block_row, start // grid.factor : (start + n + grid.factor - 1) // grid.factor]
                _emit(scratch, n, grid, unscaled, out)
