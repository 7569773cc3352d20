"""Means: one pass over rows of 16-bit pixels that averages blocks and counts values together, as fast as can be.

It leaves to `narrow`: 8-bit pixels, highest ones, and large blocks.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.fetching import fetch
from cgi_worker.kernels.pairs import FAR, base_of, count_from
from cgi_worker.kernels.pieces import PIECE, bringing, stepping
from cgi_worker.kernels.reduce import BINS, GRID, INTO, NOTHING, PAIRS, SCALING, Grid, Into, Scaling
from cgi_worker.kernels.settle import settle
from cgi_worker.kernels.vectors import NEAR

SPAN: Final = 12_288  # Columns worked on at once, of one block row or of several, so that they stay in near caches.
LINE: Final = 64  # Octets of a cache line.
FACTOR_MAX: Final = 256  # Sums of larger blocks may be beyond 32 bits, and those of steps beyond 16.
CLIMBED_MIN: Final = 5  # Rows of a block from which on steps are worth their while by themselves.
ROWS_NOTED: Final = 4  # Of which pairs are noted before they are counted.
FETCHED: Final = 512  # Octets ahead of what is read.
SAMPLES: Final = 96  # By which the base is found; all but one have to be so near one another:
SPREAD_MAX: Final = 224  # Where they are further apart, many a piece has a pixel that is not near.
BRIM: Final = 8  # So near to the ends of what is near a base no sample may be, if the base is to stay.


@part
def _count_pairs(fours: Any, count: Any, pairs: Any) -> None:
    """Count pairs that were noted, four a word; PIECE // 2 of them at once where a frame is black or full."""
    one, words = np.uint32(1), np.uint64(PIECE // 8)
    for row in range(np.uint64(0), count * words, words):
        some = fours[row]
        if some == fours[row + np.uint64(1)]:
            other = (some >> np.uint64(16) | some << np.uint64(48)) ^ some
            for four in range(words):
                other |= fours[row + four] ^ some
            if other == 0:  # One by one, each would have to wait for the one before it.
                pairs[np.uint16(some)] += np.uint32(PIECE // 2)
                continue
        for four in range(words):
            some = fours[row + four]
            pairs[np.uint16(some)] += one
            pairs[np.uint16(some >> np.uint64(16))] += one
            pairs[np.uint16(some >> np.uint64(32))] += one
            pairs[some >> np.uint64(48)] += one


@part
def _count_values(values: Any, tables: Any) -> None:
    """Count PIECE values by four tables in turns."""
    (first, second, third, fourth), one = tables, np.uint32(1)
    for at in range(np.uint64(0), np.uint64(PIECE), np.uint64(4)):
        first[values[at]] += one
        second[values[at + np.uint64(1)]] += one
        third[values[at + np.uint64(2)]] += one
        fourth[values[at + np.uint64(3)]] += one


@part
def _turned(word: Any, swap: Any) -> Any:
    """Turn a stored pixel into its bin."""
    turned = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8)))
    return np.uint16((turned if swap else word) ^ np.uint16(0x8000))


def _ending(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that brings columns behind the last whole piece of a row to their sums, and to the counters."""

    @part
    def end(row: Any, left: Any, told: Any, scratch: Any, tables: Any) -> None:
        (whole, n, own), (swap, blank), (sums, goods, _), (first, second, _, _) = left, told, scratch, tables
        one, none = np.uint32(1), np.uint32(0)
        for column in range(whole, n):
            key = _turned(row[column], swap)
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
                bring(source, (at, swap, own + start, blank), (sums, goods, values))
                if counting:
                    for near in range(np.uint64(0), piece, np.uint64(4)):  # Called, it takes a tenth longer.
                        first[values[near]] += one
                        second[values[near + np.uint64(1)]] += one
                        third[values[near + np.uint64(2)]] += one
                        fourth[values[near + np.uint64(3)]] += one
            end(words[y, left:], (whole, np.uint64(n), own), told, scratch, tables)

    return add


def _climbing(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that does so where nearly all pixels are near one base; of one channel.

    Neighbours are counted together, and sums are of half the width. What was just written keeps what is read next
    waiting now and then: so some rows of a piece are read before what was noted of them is counted.
    """
    bring, climb = bringing(counting, blanking), stepping(counting, blanking)
    end = _ending(counting, blanking)

    @part
    def add(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> None:
        (top, taken, step), (pitch, high), (left, n, span) = lie
        (swap, blank), row_bytes, (sums, goods, values) = told, np.int64(source.shape[1]), scratch[0]
        (steps, notes), (four, pairs, base) = scratch[1], tables
        fours, words = notes.view(np.uint64), source.view(np.uint16)
        whole, piece, below, one = np.uint64(n // PIECE * PIECE), np.uint64(PIECE), np.uint16(base), np.uint64(1)
        for block in range(high):
            own = np.uint64(block * span)
            for start in range(np.uint64(0), whole, piece):
                at, noted = (top + block * pitch) * row_bytes + 2 * (left + np.int64(start)), np.uint64(0)
                for _ in range(taken):
                    for near in range(0, 2 * PIECE, LINE):
                        fetch(source, at + FETCHED + near)
                    if climb(source, (at, swap, start, np.uint64(PIECE // 2) * noted, below, blank), (steps, notes)):
                        noted += one
                        if counting and noted == np.uint64(ROWS_NOTED):
                            _count_pairs(fours, noted, pairs)
                            noted = np.uint64(0)
                    else:
                        bring(source, (at, swap, own + start, blank), (sums, goods, values))
                        if counting:
                            _count_values(values, four)
                        for column in range(own + start, own + start + piece):  # For which it does not count below.
                            sums[column] -= np.uint32(base)
                            if blanking:
                                goods[column] -= np.uint32(1)
                    at += step * row_bytes
                if counting:
                    _count_pairs(fours, noted, pairs)
            for turn in range(taken):
                row = words[top + block * pitch + turn * step, left:]
                end(row, (whole, np.uint64(n), own), told, scratch[0], four)
            floor = np.uint32(taken) * np.uint32(base)
            for column in range(np.uint64(0), whole):
                sums[own + column] += np.uint32(steps[column]) + floor
                steps[column] = 0
                if blanking:
                    goods[own + column] += np.uint32(taken)

    return add


_add, _add_and_count = _adding(False, False), _adding(True, False)
_add_good, _add_good_and_count = _adding(False, True), _adding(True, True)
_climb, _climb_and_count = _climbing(False, False), _climbing(True, False)
_climb_good, _climb_good_and_count = _climbing(False, True), _climbing(True, True)


@part
def _find_base(source: Any, grid: Any, known: Any) -> Any:
    """Find the base that nearly all pixels are near to, by some of those in the middle row; FAR if there is none.

    known  the base of the band before: it stays if it does, as to begin with another one takes some time.
    """
    words, found, y = source.view(np.uint16), np.empty(SAMPLES, np.int64), source.shape[0] // 2
    for k in range(SAMPLES):
        key, at = np.int64(_turned(words[y, grid.x + k * grid.width // SAMPLES], grid.swap == 1)), k
        while at > 0 and found[at - 1] > key:
            found[at] = found[at - 1]
            at -= 1
        found[at] = key
    for low in range(2):
        high = SAMPLES - 2 + low
        if known != FAR and known + BRIM <= found[low] and found[high] < known + NEAR - BRIM:
            return known
        if found[high] - found[low] < SPREAD_MAX:
            return min(max((found[low] + found[high] - NEAR) // 2, 0), BINS - NEAR)
    return np.int64(FAR)


@part
def _add_rows(source: Any, lie: Any, grid: Any, scratch: Any, tables: Any) -> None:
    """Bring rows of one span of some block rows to their columns, and to the counters.

    lie  the first row, how many are taken, how many further the next one is; rows of a block row, block rows; the
         first column, columns, and how many there is room for.
    tables  four of counters, the one of pairs, and the base that these count from.
    """
    counting, blanking = grid.counting == 1, grid.blanking == 1 and grid.pooling != NOTHING
    told, (four, _, base) = (grid.swap == 1, np.uint16(grid.blank)), tables
    if base != FAR:
        if counting and blanking:
            _climb_good_and_count(source, lie, told, scratch, tables)
        elif counting:
            _climb_and_count(source, lie, told, scratch, tables)
        elif blanking:
            _climb_good(source, lie, told, scratch, tables)
        else:
            _climb(source, lie, told, scratch, tables)
    elif counting and blanking:
        _add_good_and_count(source, lie, told, scratch[0], four)
    elif counting:
        _add_and_count(source, lie, told, scratch[0], four)
    elif blanking:
        _add_good(source, lie, told, scratch[0], four)
    else:
        _add(source, lie, told, scratch[0], four)


@compiled(BYTES, GRID, SCALING, INTO)
def reduce_means(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Average and count one band of 16-bit pixels, in blocks of a side up to FACTOR_MAX; as `reduce_narrow` does.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order; in a mosaic, every other row of a
             block row first.
    """
    factor, parities, width, counts = grid.factor, grid.parities, grid.width, into.counts
    across = (width + factor - 1) // factor
    span = factor * max(1, min(SPAN // factor, across))
    high = max(1, SPAN // span) if across == into.plane.shape[2] else 1  # Block rows at once.
    shape, blocks = (parities, span * high), span // factor * high
    columns, goods, values = np.empty(shape, np.uint32), np.empty(shape, np.uint32), np.empty(PIECE, np.uint16)
    climbed = (np.zeros(span, np.uint16), np.empty(ROWS_NOTED * PIECE // 2, np.uint16))
    picked = (np.empty(blocks, np.uint32), np.empty(blocks, np.uint32))
    scratch = (columns, np.empty(shape, np.uint32), goods, np.empty(shape, np.uint32), picked)
    near, base = 2 * (2 - parities), np.int64(FAR)  # 2: all four tables are of one channel.
    if parities == 1 and source.shape[0] > 0 and (grid.counting == 1 or grid.taken >= CLIMBED_MIN):
        base = _find_base(source, grid, base_of(counts) if grid.counting == 1 else np.int64(FAR))
        if grid.counting == 1 and base != FAR:
            count_from(counts, base)
    tables = (
        ((counts[0], counts[1], counts[near], counts[near + 1]), counts[PAIRS], base),
        ((counts[2], counts[3], counts[2], counts[3]), counts[PAIRS], base),
    )
    row, told = grid.first, (grid, scaling, into.plane)
    while row < grid.last:
        top = (row - grid.first) * factor
        some = max(1, min(high, (source.shape[0] - top) // factor, grid.last - row))
        taken = min(grid.taken, source.shape[0] - top)
        for start in range(0, width, span):
            n = min(span, width - start)
            for parity in range(parities):
                columns[parity, :] = 0
                goods[parity, : span * some if grid.blanking == 1 else 0] = 0
                each = (taken + parities - 1 - parity) // parities
                lie = ((top + parity, each, parities), (factor, some), (grid.x + start, n, span))
                _add_rows(source, lie, grid, ((columns[parity], goods[parity], values), climbed), tables[parity])
            if grid.pooling != NOTHING:
                place = (row * into.plane.shape[2] + start // factor, (n + factor - 1) // factor, some)
                settle(place, (taken, n), told, scratch)
        row += some
