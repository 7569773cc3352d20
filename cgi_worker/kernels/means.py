"""Means: one pass over rows of 16-bit pixels that averages blocks and counts values together, as fast as can be.

It leaves to `narrow`: 8-bit pixels, highest ones, and large blocks.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.climb import FAR_MAX, ROWS, climb_rows, find_bases, turned
from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.fetching import fetch
from cgi_worker.kernels.lending import lend
from cgi_worker.kernels.pairs import FAR
from cgi_worker.kernels.pieces import PIECE, bringing
from cgi_worker.kernels.reduce import GRID, INTO, NOTHING, PAIRS, SCALING, Grid, Into, Scaling
from cgi_worker.kernels.settle import add_up, add_up_steps, settle, settle_channel, squeeze

SPAN: Final = 12_288  # Columns worked on at once, of one block row or of several, so that they stay in near caches.
LINE: Final = 64  # Octets of a cache line.
FACTOR_MAX: Final = 256  # Sums of larger blocks may be beyond 32 bits, and those of steps beyond 16.
CLIMBED_MIN: Final = 2  # Rows of a block, of one parity, from which on steps pay where nothing is counted.


def _ending(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that brings columns behind the last whole piece of a row to their sums, and to the counters."""

    @part
    def end(row: Any, left: Any, told: Any, scratch: Any, tables: Any) -> None:
        (whole, n, own), (swap, blank), (sums, goods, _), (first, second, _, _) = left, told, scratch, tables
        one, none = np.uint32(1), np.uint32(0)
        for column in range(whole, n):
            key = turned(row[column], swap)
            if blanking:
                goods[own + column] += none if key == blank else one
            sums[own + column] += none if blanking and key == blank else np.uint32(key)
            if counting:
                if column & np.uint64(1):
                    second[key] += one
                else:
                    first[key] += one

    return end


def _adding(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that brings whole pieces of one span of some block rows to their columns, and to the counters.

    One or two counters are written a cycle, which takes longer than all the rest; it is done meanwhile, piece by piece,
    and the row that comes next is fetched.
    """
    bring, end = bringing(counting, blanking), _ending(counting, blanking)

    @part
    def add(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> None:
        (top, taken, step), (pitch, high), (left, n, span) = lie
        (swap, blank), row_bytes, (sums, goods, values) = told, np.int64(source.shape[1]), scratch
        words, (first, second, third, fourth), one = source.view(np.uint16), tables, np.uint32(1)
        whole, piece = np.uint64(n // PIECE * PIECE), np.uint64(PIECE)
        for turn in range(high * taken):
            y, own = top + turn // taken * pitch + turn % taken * step, np.uint64(turn // taken * span)
            for start in range(np.uint64(0), whole, piece):
                at = y * row_bytes + 2 * (left + np.int64(start))
                for near in range(0, 2 * PIECE, LINE):
                    fetch(source, at + step * row_bytes + near)
                bring((source, sums, goods, values), (at, np.int64(swap), own + start, blank))
                if counting:
                    for near in range(np.uint64(0), piece, np.uint64(4)):  # Called, it takes a tenth longer.
                        first[values[near]] += one
                        second[values[near + np.uint64(1)]] += one
                        third[values[near + np.uint64(2)]] += one
                        fourth[values[near + np.uint64(3)]] += one
            end(words[y, left:], (whole, np.uint64(n), own), told, scratch, tables)

    return add


_add, _add_and_count = _adding(False, False), _adding(True, False)
_add_good, _add_good_and_count = _adding(False, True), _adding(True, True)


@part
def _add_rows(source: Any, lie: Any, grid: Any, scratch: Any, tables: Any) -> None:
    """Bring rows of one span of some block rows to their columns, and to the counters.

    lie  the first row, how many are taken, how many further the next one is; rows of a block row, block rows; the
         first column, columns, and how many there is room for.
    tables  four of counters.
    """
    counting, blanking = grid.counting == 1, grid.blanking == 1 and grid.pooling != NOTHING
    told = (grid.swap == 1, np.uint16(grid.blank))
    if counting and blanking:
        _add_good_and_count(source, lie, told, scratch, tables)
    elif counting:
        _add_and_count(source, lie, told, scratch, tables)
    elif blanking:
        _add_good(source, lie, told, scratch, tables)
    else:
        _add(source, lie, told, scratch, tables)


@part
def _room(grid: Any, shape: Any, high: Any) -> Any:
    """Give scratch for spans of some block rows: what `climb_rows` and `add_up_steps` take, and `_add_rows`."""
    (span, channels), parities = shape, grid.parities
    room, blocks = span * high, span // grid.factor * high
    steps, spares = np.empty(room + PIECE, np.uint16), np.empty(room, np.uint16)
    notes, ends = np.empty(ROWS * PIECE // 2, np.uint16), np.empty(ROWS * PIECE, np.uint16)
    far = (np.empty(FAR_MAX, np.uint64), np.empty(FAR_MAX, np.uint64))
    extras, lost = np.zeros((parities, blocks), np.uint32), np.zeros((parities, blocks), np.uint32)
    wide = (np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint32))
    sums = (np.empty((channels, blocks), np.uint32), np.empty((channels, blocks), np.uint32))
    return (steps, spares, notes, ends), far, (extras, lost), wide, sums, np.empty(PIECE, np.uint16)


@part
def _settle_columns(wide: Any, place: Any, size: Any, told: Any, sums: Any) -> None:
    """Bring columns of one channel together, and write their means."""
    (columns, goods, others), factor = wide, told[0].factor
    total = squeeze(columns, others, factor)
    if told[0].blanking == 1:
        kept = sums[0][0, : total.size]
        kept[:] = total
        settle_channel(0, place, size, told, (kept, squeeze(goods, others, factor)))
    else:
        settle_channel(0, place, size, told, (total, total))


@part
def _reduce(source: Any, told: Any, counts: Any, shape: Any, owned: Any) -> None:
    """Average and count; what is `owned` holds all scratch."""
    grid, (span, high), ((steps, spares, notes, ends), far, kept, wide, sums, values) = told[0], shape, lend(owned)
    factor, parities, width, pitch = grid.factor, grid.parities, grid.width, told[2].shape[2]
    noted, (columns, others, goods) = (steps, notes, ends, far[0], far[1]), wide
    upper, lower = (np.int64(FAR), np.int64(FAR)), (np.int64(FAR), np.int64(FAR))
    if grid.counting == 1 or grid.taken >= CLIMBED_MIN * parities:
        upper = find_bases(source, grid, 0, counts)
        if parities == 2:
            lower = find_bases(source, grid, 1, counts)
    row = grid.first
    while row < grid.last:
        top = (row - grid.first) * factor
        some = max(1, min(high, (source.shape[0] - top) // factor, grid.last - row))
        taken = min(grid.taken, source.shape[0] - top)
        for start in range(0, width, span):
            n = min(span, width - start)
            here = (n + factor - 1) // factor
            every, size = here * some, here * some * factor
            place = (row * pitch + start // factor, here, some)
            if parities == 2:
                sums[0][:, :every] = 0
                sums[1][:, :every] = 0
            for parity in range(parities):
                rows = (taken + parities - 1 - parity) // parities
                if rows == 0:
                    continue
                bases, left, right = lower if parity else upper, 2 * parity, 2 * parity + parities - 1
                lie = ((top + parity, rows, parities), (factor, some), (grid.x + start, n, span))
                if bases[0] != FAR:
                    pairs = (counts[PAIRS + left], counts[PAIRS + right])
                    climb_rows(source, lie, grid, (noted, kept), ((counts[left], counts[right]), pairs, bases))
                    if grid.pooling != NOTHING:
                        own = (parity, rows, n, here, some)
                        add_up_steps(own, grid, bases, (steps, spares, kept, (columns, others)), sums)
                    continue
                near = left + 2 * (2 - parities)  # 2 further: all four tables are of one channel.
                four = (counts[left], counts[left + 1], counts[near], counts[near + 1])
                columns[: span * some] = 0
                goods[: span * some if grid.blanking == 1 else 0] = 0
                _add_rows(source, lie, grid, (columns, goods, values), four)
                if grid.pooling != NOTHING and parities == 1:
                    _settle_columns((columns[:size], goods[:size], others[:size]), place, (taken, n), told, sums)
                elif grid.pooling != NOTHING:
                    add_up(columns[:size], others[:size], grid, parity, sums[0])
                    if grid.blanking == 1:
                        add_up(goods[:size], others[:size], grid, parity, sums[1])
            if grid.pooling != NOTHING and (parities == 2 or upper[0] != FAR):
                settle(place, (taken, n), told, sums)
        row += some


@compiled(BYTES, GRID, SCALING, INTO)
def reduce_means(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Average and count one band of 16-bit pixels, in blocks of a side up to FACTOR_MAX; as `reduce_narrow` does.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order; in a mosaic, every other row of a
             block row first.
    """
    factor, across = grid.factor, (grid.width + grid.factor - 1) // grid.factor
    span = factor * max(1, min(SPAN // factor, across))
    high = max(1, SPAN // span) if across == into.plane.shape[2] else 1  # Block rows at once.
    owned = _room(grid, (span, 3 if grid.parities == 2 else 1), high)
    told, counts = (grid, (scaling.scale, scaling.zero), lend(into.plane)), lend(into.counts)
    _reduce(lend(source), told, counts, (span, high), owned)
