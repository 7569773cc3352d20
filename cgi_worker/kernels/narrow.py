"""Narrow: one pass over rows of 8-bit or 16-bit pixels that pools blocks and counts values together.

`means` does most of 16-bit ones in less time.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.reduce import FLOAT32_MAX, GRID, HIGHEST, INTO, MEAN, NOTHING, SCALING, U1, Grid, Into, Scaling

SPAN: Final = 16_384  # Columns worked on at once, so that scratch rows stay in near caches.
BLOCKS: Final = 2048  # Of a span at most, for the same reason.


@part
def _load(row: Any, grid: Any, keys: Any) -> None:
    """Turn stored pixels into bins: the order of their values."""
    if grid.kind == U1:
        for column in range(keys.size):
            keys[column] = row[column]
    elif grid.swap == 1:
        words = row.view(np.uint16)
        for column in range(keys.size):
            word = words[column]
            keys[column] = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8))) ^ np.uint16(0x8000)
    else:
        words = row.view(np.uint16)
        for column in range(keys.size):
            keys[column] = words[column] ^ np.uint16(0x8000)


@part
def _add(keys: Any, sums: Any) -> None:
    for column in range(keys.size):
        sums[column] += np.uint32(keys[column])


@part
def _add_good(keys: Any, blank: Any, sums: Any, goods: Any) -> None:
    for column in range(keys.size):
        sums[column] += np.uint32(0) if keys[column] == blank else np.uint32(keys[column])
        goods[column] += np.uint32(0) if keys[column] == blank else np.uint32(1)


@part
def _raise_good(keys: Any, grid: Any, tops: Any, goods: Any) -> None:
    """Keep the highest good pixel of each column; bins are turned round where values fall as they rise."""
    turn = np.uint16(0xFFFF) if grid.lowering == 1 else np.uint16(0)
    blank = np.uint32(grid.blank) if grid.blanking == 1 else np.uint32(0xFFFFFFFF)
    for column in range(keys.size):
        good = np.uint32(keys[column]) != blank
        tops[column] = max(tops[column], np.uint32(keys[column] ^ turn) if good else np.uint32(0))
        goods[column] += np.uint32(1) if good else np.uint32(0)


@part
def _count(keys: Any, tables: Any) -> None:
    """Count values, each fourth one in a table of its own: a counter just written is slow to read again."""
    first, second, third, fourth = tables
    one, fours = np.uint32(1), np.uint64(keys.size // 4 * 4)
    for column in range(np.uint64(0), fours, np.uint64(4)):
        first[keys[column]] += one
        second[keys[column + np.uint64(1)]] += one
        third[keys[column + np.uint64(2)]] += one
        fourth[keys[column + np.uint64(3)]] += one
    for column in range(fours, np.uint64(keys.size)):
        if column & np.uint64(1):
            second[keys[column]] += one
        else:
            first[keys[column]] += one


def _adding(factor: int, step: int) -> Callable[[Any, Any, Any], None]:
    """Make the function that adds up whole blocks of one width; unrolled, it takes a third of the time."""

    @part
    def add(columns: Any, start: Any, totals: Any) -> None:
        for block in range(np.uint64(columns.size // factor)):
            at = block * np.uint64(factor) + start
            total = columns[at]
            for near in range(step, factor, step):
                total += columns[at + np.uint64(near)]
            totals[block] += np.float64(total)

    return add


_add1, _add2, _add3, _add4 = _adding(1, 1), _adding(2, 1), _adding(3, 1), _adding(4, 1)
_add5, _add6, _add7, _add8 = _adding(5, 1), _adding(6, 1), _adding(7, 1), _adding(8, 1)
_pick2, _pick4, _pick6, _pick8 = _adding(2, 2), _adding(4, 2), _adding(6, 2), _adding(8, 2)


@part
def _fold(columns: Any, start: Any, step: Any, factor: Any, totals: Any) -> None:
    """Add every column, or from `start` on every other one, to the block it lies in."""
    at, whole = np.uint64(start), columns.size // factor
    if step == 1 and factor == 1:
        _add1(columns, at, totals)
    elif step == 1 and factor == 2:
        _add2(columns, at, totals)
    elif step == 1 and factor == 3:
        _add3(columns, at, totals)
    elif step == 1 and factor == 4:
        _add4(columns, at, totals)
    elif step == 1 and factor == 5:
        _add5(columns, at, totals)
    elif step == 1 and factor == 6:
        _add6(columns, at, totals)
    elif step == 1 and factor == 7:
        _add7(columns, at, totals)
    elif step == 1 and factor == 8:
        _add8(columns, at, totals)
    elif step == 2 and factor == 2:
        _pick2(columns, at, totals)
    elif step == 2 and factor == 4:
        _pick4(columns, at, totals)
    elif step == 2 and factor == 6:
        _pick6(columns, at, totals)
    elif step == 2 and factor == 8:
        _pick8(columns, at, totals)
    else:
        whole = 0
    for block in range(whole, (columns.size + factor - 1) // factor):
        total = np.uint64(0)
        for column in range(block * factor + start, min((block + 1) * factor, columns.size), step):
            total += np.uint64(columns[column])
        totals[block] += np.float64(total)


@part
def _climb(columns: Any, start: Any, step: Any, factor: Any, totals: Any) -> None:
    """Bring the highest of every column, or from `start` on of every other one, to the block it lies in."""
    for block in range((columns.size + factor - 1) // factor):
        top = np.uint32(0)
        for column in range(block * factor + start, min((block + 1) * factor, columns.size), step):
            top = max(top, columns[column])
        totals[block] = max(totals[block], np.float64(top))


@part
def _fill(rows: Any, n: Any, odd: Any, grid: Any, counts: Any) -> None:
    """Count the pixels of each block where all are good; `odd`: of every column, or of these alone in a mosaic."""
    step, factor = grid.parities, grid.factor
    whole = np.float64(rows * ((factor - odd + step - 1) // step))
    for block in range(counts.size):
        counts[block] += whole
    rest = n - (counts.size - 1) * factor  # Columns of the last block, which may be narrower.
    counts[counts.size - 1] += np.float64(rows * (max(rest - odd + step - 1, 0) // step)) - whole


@part
def _pool(n: Any, rows: Any, grid: Any, scratch: Any) -> None:
    """Bring the columns of one block row together.

    n, rows  columns of this span, and rows of this block row.
    scratch  (parities, span) uint32 sums, or highest bins; as many numbers of good pixels, where some are blank;
             (channels, blocks) float64 sums or highest bins; as many numbers of good pixels.
    """
    columns, goods, totals, counts = scratch
    factor, parities = grid.factor, grid.parities
    blocks = (n + factor - 1) // factor
    sites = ((grid.site00, grid.site01), (grid.site10, grid.site11))
    for channel in range(totals.shape[0]):  # Rows are cut out one at a time, for so their numbers lie side by side.
        totals[channel, :blocks] = 0
        counts[channel, :blocks] = 0
    for parity in range(parities):
        for odd in range(min(parities, n)):
            channel = sites[parity][odd] if parities == 2 else 0
            if grid.pooling == MEAN:
                _fold(columns[parity, :n], odd, parities, factor, totals[channel, :blocks])
            else:
                _climb(columns[parity, :n], odd, parities, factor, totals[channel, :blocks])
            if grid.blanking == 1:
                _fold(goods[parity, :n], odd, parities, factor, counts[channel, :blocks])
            else:
                _fill((rows + parities - 1 - parity) // parities, n, odd, grid, counts[channel, :blocks])


@part
def _write(total: Any, count: Any, grid: Any, scaling: Any, out: Any) -> None:
    """Write one channel's blocks of one block row of one span, (blocks,) float32."""
    turn = grid.pooling == HIGHEST and grid.lowering == 1
    for block in range(out.size):
        mean = total[block] / count[block] if grid.pooling == MEAN else total[block]
        value = scaling.scale * (65535.0 - mean if turn else mean) + scaling.zero
        value = value if value < FLOAT32_MAX else FLOAT32_MAX
        value = value if value > -FLOAT32_MAX else -FLOAT32_MAX
        out[block] = np.float32(value if count[block] > 0 else np.nan)


@part
def _emit(block_row: Any, first: Any, n: Any, told: Any, scratch: Any) -> None:
    """Write what was pooled of one span, n columns from block `first` on; and the numbers of good pixels if wanted."""
    grid, scaling, plane = told
    _, _, totals, counts = scratch
    channels, blocks = totals.shape[0], (n + grid.factor - 1) // grid.factor
    for channel in range(channels):
        out = plane[channel, block_row, first : first + blocks]
        _write(totals[channel, :blocks], counts[channel, :blocks], grid, scaling, out)
        if plane.shape[0] > channels:
            told = plane[channels + channel, block_row, first : first + blocks]
            for block in range(blocks):
                told[block] = np.float32(counts[channel, block])


@part
def _add_row(row: Any, grid: Any, tables: Any, scratch: Any) -> None:
    """Bring one row of one span to its columns, and to the counters."""
    keys, columns, goods = scratch
    _load(row, grid, keys)
    if grid.pooling == MEAN and grid.blanking == 1:
        _add_good(keys, np.uint16(grid.blank), columns, goods)
    elif grid.pooling == MEAN:
        _add(keys, columns)
    elif grid.pooling == HIGHEST:
        _raise_good(keys, grid, columns, goods)
    if grid.counting == 1:
        _count(keys, tables)


@part
def _write_pixels(row: Any, block_row: Any, start: Any, told: Any, scratch: Any) -> None:
    """Write pixels as they are, where each is a block of its own; and count them if wanted."""
    grid, scaling, plane = told
    keys, tables = scratch
    _load(row, grid, keys)
    if grid.counting == 1:
        _count(keys, tables)
    blank = np.uint32(grid.blank) if grid.blanking == 1 else np.uint32(0xFFFFFFFF)
    out = plane[0, block_row, start : start + keys.size]
    for column in range(keys.size):
        value = scaling.scale * np.float64(keys[column]) + scaling.zero
        value = value if value < FLOAT32_MAX else FLOAT32_MAX
        value = value if value > -FLOAT32_MAX else -FLOAT32_MAX
        out[column] = np.float32(np.nan if np.uint32(keys[column]) == blank else value)
    if plane.shape[0] > 1:
        for column in range(keys.size):
            plane[1, block_row, start + column] = np.float32(0 if np.uint32(keys[column]) == blank else 1)


@compiled(BYTES, GRID, SCALING, INTO)
def reduce_narrow(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Pool and count one band of 8-bit or 16-bit pixels.

    source   (rows, bytes of a source row) uint8; row 0 is the band's first. Unchanged.
    scaling  of bins: bin 0 is the lowest number that can be stored.
    into     the band's rows of the plane; counters of this thread, blank pixels included; `sums` is not used.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order.
    Source   area average, or maximum, blocks brought together by columns; twin with plain loops in tests/kernels.
    """
    factor, parities = grid.factor, grid.parities
    span = min(factor * max(1, min(SPAN // factor, BLOCKS)), grid.width)
    keys = np.empty(span, np.uint16)
    columns, goods = np.empty((parities, span), np.uint32), np.empty((parities, span), np.uint32)
    pooled = (3 if parities == 2 else 1, (span + factor - 1) // factor)
    scratch = (columns, goods, np.empty(pooled), np.empty(pooled))
    counts, item = into.counts, 1 if grid.kind == U1 else 2
    for block_row in range(grid.first, grid.last):
        top = (block_row - grid.first) * factor
        bottom = min(top + grid.taken, source.shape[0])
        for start in range(0, grid.width, span):
            n = min(span, grid.width - start)
            at = (grid.x + start) * item
            if factor == 1 and parities == 1 and grid.pooling != NOTHING:
                own = (keys[:n], (counts[0], counts[1], counts[2], counts[3]))
                _write_pixels(source[top, at : at + n * item], block_row, start, (grid, scaling, into.plane), own)
                continue
            for parity in range(parities):
                columns[parity, :n] = 0
                goods[parity, :n] = 0
            for y in range(top, bottom):
                parity = y & 1 if parities == 2 else 0
                tables = (counts[0], counts[1], counts[2], counts[3])
                if parities == 2:
                    left, right = counts[2 * parity], counts[2 * parity + 1]
                    tables = (left, right, left, right)
                row = source[y, at : at + n * item]
                _add_row(row, grid, tables, (keys[:n], columns[parity, :n], goods[parity, :n]))
            if grid.pooling != NOTHING:
                _pool(n, bottom - top, grid, scratch)
                _emit(block_row, start // factor, n, (grid, scaling, into.plane), scratch)
