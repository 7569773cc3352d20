"""Wide: one pass over rows of 32-bit or 64-bit pixels that pools blocks, sorts values into bins and surveys them."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.fetching import fetch
from cgi_worker.kernels.reduce import (
    BINS,
    F4,
    F8,
    FLOAT32_MAX,
    FULL,
    GRID,
    HIGHEST,
    I4,
    INTO,
    LOWEST,
    MEAN,
    NOTHING,
    SCALING,
    SQUARES,
    SUM,
    TOP,
    U8,
    Grid,
    Into,
    Scaling,
)

SPAN: Final = 2048  # Columns worked on at once, so that scratch rows stay in the nearest caches.
PIECE: Final = 16  # Pixels of a cache line of 32-bit ones, or of two of 64-bit ones.


@part
def _turned(word: Any) -> Any:
    """Swap the four bytes of a word."""
    high = np.uint32(word >> np.uint32(24)) | np.uint32(np.uint32(word >> np.uint32(8)) & np.uint32(0xFF00))
    low = np.uint32(np.uint32(word << np.uint32(8)) & np.uint32(0xFF0000)) | np.uint32(word << np.uint32(24))
    return np.uint32(high | low)


@part
def _load_floats(row: Any, grid: Any, _scaling: Any, values: Any, _bits: Any) -> Any:
    """Turn stored float32 pixels into native ones; those that are not good become NaN; tell how many are not."""
    words, bits, bad = row.view(np.uint32), values.view(np.uint32), np.uint32(0)
    for column in range(bits.size):
        word = _turned(words[column]) if grid.swap == 1 else words[column]
        good = np.uint32(word & np.uint32(0x7FFFFFFF)) < np.uint32(0x7F800000)
        bits[column] = word if good else np.uint32(0x7FC00000)
        bad = np.uint32(bad + (np.uint32(0) if good else np.uint32(1)))
    return bad


@part
def _load_four(row: Any, grid: Any, scaling: Any, bits: Any, values: Any) -> None:
    """Turn stored 32-bit pixels into data units; NaN where they are blank."""
    words = row.view(np.uint32)
    for column in range(bits.size):
        bits[column] = _turned(words[column]) if grid.swap == 1 else words[column]
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
    """Turn stored 64-bit pixels into data units; NaN where they are blank."""
    words = row.view(np.uint64)
    for column in range(bits.size):
        word = words[column]
        high, low = _turned(np.uint32(word)), _turned(np.uint32(word >> np.uint64(32)))
        bits[column] = (np.uint64(high) << np.uint64(32)) | np.uint64(low) if grid.swap == 1 else word
    floats, wholes = bits.view(np.float64), bits.view(np.int64)
    for column in range(values.size):
        if grid.kind == F8:
            value = floats[column] * scaling.scale + scaling.zero
        elif grid.kind == U8:
            value = np.float64(bits[column] ^ np.uint64(0x8000000000000000))
        else:
            value = np.float64(wholes[column]) * scaling.scale + scaling.zero
        values[column] = np.nan if grid.blanking == 1 and wholes[column] == grid.blank else value


# Below here values are float32 or float64, and a bad one is NaN.


@part
def _add(values: Any, sums: Any) -> None:
    for column in range(values.size):
        sums[column] += np.float64(values[column])


@part
def _add_good(values: Any, sums: Any, bads: Any) -> None:
    for column in range(values.size):
        good = not np.isnan(values[column])
        sums[column] += np.float64(values[column]) if good else 0.0
        bads[column] += np.uint32(0) if good else np.uint32(1)


@part
def _stretch(values: Any, lows: Any, highs: Any) -> None:
    for column in range(values.size):
        lows[column] = values[column] if values[column] < lows[column] else lows[column]
        highs[column] = values[column] if values[column] > highs[column] else highs[column]


@part
def _square(values: Any, center: Any, squares: Any) -> None:
    for column in range(values.size):
        away = np.float64(values[column]) - center[column]
        squares[column] += 0.0 if np.isnan(away) else away * away


@part
def _find_keys(values: Any, center: Any, inverse: Any, folded: Any, keys: Any) -> None:
    """Sort values into bins: a logarithm from the bits of 1 + |v - center| / scale, mirrored below the centre.

    In float32 after the difference; roundings never change the order of two values.
    """
    folds, bits = folded.view(np.float32), folded.view(np.int32)
    for column in range(values.size):
        away = np.float32(values[column] - center[column])
        folds[column] = np.float32(1) + abs(away) * inverse[column]
        keys[column] = np.uint32(0xFFFFFFFF) if away < np.float32(0) else np.uint32(0)
    for column in range(values.size):
        step = np.int32(np.int32(bits[column] - np.int32(0x3F800000)) >> np.int32(15))
        step = step if step < np.int32(32767) else np.int32(32767)
        keys[column] = np.uint32(np.uint32(np.uint32(step) ^ keys[column]) + np.uint32(32768))


@part
def _forget_bad(values: Any, keys: Any) -> None:
    for column in range(values.size):
        keys[column] = np.uint32(BINS) if np.isnan(values[column]) else keys[column]


@part
def _count(keys: Any, tables: Any, coming: Any, stride: Any) -> None:
    """Count bins, each fourth one in a table of its own; the row that comes next is fetched meanwhile.

    stride  bytes of PIECE columns.
    """
    first, second, third, fourth = tables
    one, piece, whole, at = np.uint32(1), np.uint64(PIECE), np.uint64(keys.size // PIECE * PIECE), np.int64(0)
    for start in range(np.uint64(0), whole, piece):
        fetch(coming, at)
        fetch(coming, at + stride // 2)
        at += stride
        for column in range(start, start + piece, np.uint64(4)):
            first[keys[column]] += one
            second[keys[column + np.uint64(1)]] += one
            third[keys[column + np.uint64(2)]] += one
            fourth[keys[column + np.uint64(3)]] += one
    for column in range(whole, np.uint64(keys.size)):
        if column & np.uint64(1):
            second[keys[column]] += one
        else:
            first[keys[column]] += one


@part
def _count_full(values: Any, bits: Any, parity: Any, told: Any) -> None:
    """Count the good pixels that are full, by site; bits: the stored whole numbers."""
    grid, scaling, into = told
    short, long = bits.view(np.int32), bits.view(np.int64)
    for odd in range(2):
        full = 0
        for column in range(odd, values.size, 2):
            stored = np.int64(short[column]) if grid.kind == I4 else long[column]
            brimful = stored == grid.brim if grid.brimming == 1 else values[column] >= scaling.brim
            full += brimful and not np.isnan(values[column])
        into.sums[FULL, 2 * parity + odd] += np.float64(full)


@part
def _survey(sums: Any, squares: Any, lows: Any, highs: Any, figures: Any) -> None:
    """Add the columns of one row of the scratch to the band's figures of its two sites, (5, 2); they are used up.

    The second half is brought upon the first until two columns are left, an even one and an odd one.
    """
    n = sums.size
    while n > 2:
        half = ((n + 1) // 2 + 1) // 2 * 2
        for column in range(n - half):
            sums[column] += sums[half + column]
            squares[column] += squares[half + column]
        for column in range(n - half):
            lows[column] = lows[half + column] if lows[half + column] < lows[column] else lows[column]
            highs[column] = highs[half + column] if highs[half + column] > highs[column] else highs[column]
        n = half
    for odd in range(n):
        figures[SUM, odd] += sums[odd]
        figures[SQUARES, odd] += squares[odd]
        figures[LOWEST, odd] = min(figures[LOWEST, odd], np.float64(lows[odd]))
        figures[TOP, odd] = max(figures[TOP, odd], np.float64(highs[odd]))


@part
def _fold(columns: Any, start: Any, step: Any, factor: Any, totals: Any) -> None:
    """Add every column, or from `start` on every other one, to the block it lies in."""
    wide = np.uint64(factor)
    for near in range(start, min(factor, columns.size), step):
        at = np.uint64(near)
        for block in range(np.uint64((columns.size - near + factor - 1) // factor)):
            totals[block] += np.float64(columns[block * wide + at])


@part
def _fill(rows: Any, n: Any, odd: Any, grid: Any, counts: Any) -> None:
    """Count the pixels of each block: of all of n columns, or of the odd or even ones in a mosaic."""
    step, factor = grid.parities, grid.factor
    whole = np.float64(rows * ((factor - odd + step - 1) // step))
    for block in range(counts.size):
        counts[block] += whole
    rest = n - (counts.size - 1) * factor  # Columns of the last block, which may be narrower.
    counts[counts.size - 1] += np.float64(rows * (max(rest - odd + step - 1, 0) // step)) - whole


@part
def _climb(columns: Any, start: Any, step: Any, factor: Any, totals: Any) -> None:
    """Bring the highest of every column, or from `start` on of every other one, to the block it lies in."""
    for block in range((columns.size + factor - 1) // factor):
        top = totals[block]
        for column in range(block * factor + start, min((block + 1) * factor, columns.size), step):
            top = max(top, np.float64(columns[column]))
        totals[block] = top


@part
def _pool(n: Any, rows: Any, bad: Any, told: Any, pooled: Any) -> None:
    """Bring n columns of one block row, of so many rows and bad pixels, together: (channels, blocks) float64 each."""
    grid, (sums, bads, _, _, highs) = told
    totals, counts = pooled
    parities, factor = grid.parities, grid.factor
    blocks, sites = (n + factor - 1) // factor, ((grid.site00, grid.site01), (grid.site10, grid.site11))
    for channel in range(totals.shape[0]):  # Rows are cut out one at a time, for so their numbers lie side by side.
        totals[channel, :blocks] = 0.0 if grid.pooling == MEAN else -np.inf
        counts[channel, :blocks] = 0
    for parity in range(parities if bad else 0):
        for odd in range(min(parities, n)):
            _fold(bads[parity, :n], odd, parities, factor, counts[sites[parity][odd], :blocks])
    for channel in range(totals.shape[0]):
        counts[channel, :blocks] *= -1
    for parity in range(parities):
        for odd in range(min(parities, n)):
            channel = sites[parity][odd]
            _fill((rows + parities - 1 - parity) // parities, n, odd, grid, counts[channel, :blocks])
            if grid.pooling == MEAN:
                _fold(sums[parity, :n], odd, parities, factor, totals[channel, :blocks])
            else:
                _climb(highs[parity, :n], odd, parities, factor, totals[channel, :blocks])


@part
def _write(total: Any, count: Any, grid: Any, out: Any) -> None:
    for block in range(out.size):  # A mean of good pixels is never beyond float32 itself.
        value = total[block] / count[block] if grid.pooling == MEAN else total[block]
        out[block] = np.float32(value if count[block] > 0 else np.nan)


@part
def _emit(first: Any, block_row: Any, n: Any, told: Any, pooled: Any) -> None:
    """Write what was pooled of one span, n columns from block `first` on; and the numbers of good pixels if wanted."""
    grid, into = told
    totals, counts = pooled
    channels, blocks = totals.shape[0], (n + grid.factor - 1) // grid.factor
    for channel in range(channels):
        out = into.plane[channel, block_row, first : first + blocks]
        _write(totals[channel, :blocks], counts[channel, :blocks], grid, out)
        if into.plane.shape[0] > channels:
            into.plane[channels + channel, block_row, first : first + blocks] = counts[channel, :blocks]


@part
def _load_scaled(row: Any, grid: Any, scaling: Any, values: Any, bits: Any) -> Any:
    """Turn stored pixels into data units, float64; those that are not good become NaN; tell how many are not."""
    if grid.kind in (F4, I4):
        _load_four(row, grid, scaling, bits.view(np.uint32)[: values.size], values)
    else:
        _load_eight(row, grid, scaling, bits, values)
    bad = np.uint32(0)
    for column in range(values.size):
        good = abs(values[column]) <= FLOAT32_MAX
        values[column] = values[column] if good else np.nan
        bad = np.uint32(bad + (np.uint32(0) if good else np.uint32(1)))
    return bad


@part
def _bytes_of(grid: Any) -> Any:
    return 4 if grid.kind in (F4, I4) else 8


def _reducing(load: Callable[..., Any]) -> Callable[..., None]:
    """Make the pass for one way to load a row into `values` and `bits`, which are its scratch."""

    @part
    def add_row(row: Any, coming: Any, parity: Any, told: Any, scratch: Any) -> Any:
        """Bring one row of one span to its columns, and to the counters; tell how many of its pixels are bad."""
        grid, scaling, into = told
        values, bits, (folded, keys), (center, inverse), (sums, bads, squares, lows, highs) = scratch
        n, counts = keys.size, into.counts
        bad = load(row, grid, scaling, values, bits)
        if bad:
            _add_good(values, sums[parity, :n], bads[parity, :n])
        else:
            _add(values, sums[parity, :n])
        if grid.counting == 1 or grid.pooling == HIGHEST:
            _stretch(values, lows[parity, :n], highs[parity, :n])
        if grid.counting == 1:
            _find_keys(values, center[parity, :n], inverse[parity, :n], folded, keys)
            _square(values, center[parity, :n], squares[parity, :n])
            if bad:
                _forget_bad(values, keys)
            near = 2 * parity if grid.parities == 2 else 2
            tables = (counts[2 * parity], counts[2 * parity + 1], counts[near], counts[near + 1])
            _count(keys, tables, coming, PIECE * _bytes_of(grid))
            if grid.brimming != 0:
                _count_full(values, bits, parity, told)
        return bad

    @part
    def reduce(source: Any, grid: Any, scaling: Any, into: Any, scratch: Any) -> None:
        values, bits, (folded, keys), near, columns = scratch
        sums, bads, squares, lows, highs = columns
        factor, item, span = grid.factor, _bytes_of(grid), keys.size
        blocks = (3 if grid.parities == 2 else 1, (span + factor - 1) // factor)
        totals, counts = np.empty(blocks), np.empty(blocks)
        for block_row in range(grid.first, grid.last):
            top = (block_row - grid.first) * factor
            bottom = min(top + grid.taken, source.shape[0])
            for start in range(0, grid.width, span):
                n = min(span, grid.width - start)
                row = (values[:n], bits[:n], (folded[:n], keys[:n]), near, columns)
                for parity in range(grid.parities):
                    sums[parity, :n], bads[parity, :n], squares[parity, :n] = 0, 0, 0
                    lows[parity, :n], highs[parity, :n] = np.inf, -np.inf
                at, bad = (grid.x + start) * item, 0
                for y in range(top, bottom):
                    coming = source[min(y + 1, source.shape[0] - 1), at : at + n * item]
                    parity = y & 1 if grid.parities == 2 else 0
                    bad += add_row(source[y, at : at + n * item], coming, parity, (grid, scaling, into), row)
                if grid.pooling != NOTHING:
                    _pool(n, bottom - top, bad, (grid, columns), (totals, counts))
                    _emit(start // factor, block_row, n, (grid, into), (totals, counts))
                for parity in range(grid.parities if grid.counting == 1 else 0):
                    figures = into.sums[:, 2 * parity : 2 * parity + 2]
                    _survey(sums[parity, :n], squares[parity, :n], lows[parity, :n], highs[parity, :n], figures)

    return reduce


_reduce_scaled, _reduce_as_they_are = _reducing(_load_scaled), _reducing(_load_floats)


@compiled(BYTES, GRID, SCALING, INTO)
def reduce_wide(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Pool, count and survey one band of 32-bit or 64-bit pixels; NaN, infinite and blank ones are bad.

    source   (rows, bytes of a source row) uint8; row 0 is the band's first. Unchanged.
    scaling  of stored values; centre (float32 numbers) and inverse scale of the bins by channel.
    into     the band's rows of the plane; counters of this thread; the band's own sums.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order.
    Source   area average in float64, or maximum, blocks brought together by columns; twin with plain loops in
             tests/kernels.
    """
    factor, parities = grid.factor, grid.parities
    span = min(factor * max(1, SPAN // factor), grid.width)
    shape = (parities, span)
    binned = (np.empty(span, np.uint32), np.empty(span, np.uint32))
    sums, bads, squares = np.empty(shape), np.empty(shape, np.uint32), np.empty(shape)
    center, inverse = np.empty(shape), np.empty(shape, np.float32)
    sites = (grid.site00, grid.site01, grid.site10, grid.site11)
    for site in range(2 * parities):
        center[site // 2, site % 2 :: 2] = scaling.center[sites[site]]
        inverse[site // 2, site % 2 :: 2] = scaling.inverse[sites[site]]
    bits = np.empty(span, np.uint64)
    if grid.kind == F4 and scaling.scale == 1 and scaling.zero == 0:
        values, near = np.empty(span, np.float32), (center.astype(np.float32), inverse)
        short = (sums, bads, squares, np.empty(shape, np.float32), np.empty(shape, np.float32))
        _reduce_as_they_are(source, grid, scaling, into, (values, bits, binned, near, short))
    else:
        long = (sums, bads, squares, np.empty(shape), np.empty(shape))
        _reduce_scaled(source, grid, scaling, into, (np.empty(span), bits, binned, (center, inverse), long))
