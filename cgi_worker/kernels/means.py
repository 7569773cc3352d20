"""Means: one pass over rows of 16-bit pixels that averages blocks and counts values together, as fast as can be.

It leaves to `narrow`: 8-bit pixels, highest ones, and large blocks.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.fetching import fetch
from cgi_worker.kernels.reduce import (
    BINS,
    FLOAT32_MAX,
    GRID,
    INTO,
    NOTHING,
    PAIRS,
    SCALING,
    Grid,
    Into,
    Scaling,
)
from cgi_worker.kernels.vectors import LANES, NEAR, OCTET, SHORTS, TURN_BITS, TURN_SHIFT, WORDS, Vectors, pairs_of

SPAN: Final = 12_288  # Columns worked on at once, of one block row or of several, so that they stay in near caches.
PIECE: Final = 64  # Columns added and counted in turns: adders have time while counters are written.
LINE: Final = 64  # Octets of a cache line.
FACTOR_MAX: Final = 256  # Sums of larger blocks may be beyond 32 bits, and those of steps beyond 16.
ROWS_NOTED: Final = 4  # Of which pairs are noted before they are counted.
FETCHED: Final = 512  # Octets ahead of what is read.
SAMPLES: Final = 96  # By which the base is found; all but one have to be near it.
FAR: Final = -1  # No base: values are counted one by one.


def _reading(work: Callable[[Vectors, list[Any], list[Any], list[Any]], Any], placed: tuple[int, ...]) -> Any:
    """Make a function that reads PIECE pixels of one row and does something with them.

    It takes the rows; the first octet, 1 if bytes are to be swapped, and numbers of its own; and rooms that it writes.

    work    builds what is done: of the values, those numbers and those rooms. What it returns, an octet, is returned.
    placed  which of its numbers tells where its first room, and the next ones, begin.
    """

    def read(_typing: Any, source: Any, told: Any, into: Any) -> Any:
        def generate(build: Any, builder: Any, signature: Any, given: Any) -> Any:
            say, (of, _, kinds) = Vectors(builder), signature.args
            told, into = (cgutils.unpack_tuple(builder, each) for each in given[1:])  # type: ignore[no-untyped-call]
            rooms = [build.make_array(kind)(build, builder, room).data for kind, room in zip(kinds, into, strict=True)]
            for room, number in enumerate(placed):
                rooms[room] = builder.gep(rooms[room], [told[2 + number]])
            start = builder.gep(build.make_array(of)(build, builder, given[0]).data, [told[0]])
            stored, before = [say.load(start, 2 * at) for at in range(0, PIECE, LANES)], builder.block
            with builder.if_then(builder.trunc(told[1], ir.IntType(1)), likely=True):
                turned, after = [say.swapped(each) for each in stored], builder.block
            keys = []
            for one, other in zip(turned, stored, strict=True):
                either = builder.phi(SHORTS)
                either.add_incoming(one, after)
                either.add_incoming(other, before)
                keys.append(either)
            return work(say, [builder.xor(key, say.every(0x8000)) for key in keys], told[2:], rooms)

        return numba.types.uint8(source, told, into), generate

    return numba.extending.intrinsic(read)


def _bringing(counting: bool, blanking: bool) -> Any:
    """Make the function that adds pixels to their columns, and notes their values if they are to be counted.

    It takes the first column and the blank bin; the columns' sums, and numbers of good pixels; room for values.
    """

    def bring(say: Vectors, keys: list[Any], told: list[Any], into: list[Any]) -> Any:
        (_, blank), (sums, goods, values), builder = told, into, say.builder
        for at, key in enumerate(keys):
            added = builder.zext(key, WORDS)
            if blanking:
                good = builder.zext(builder.icmp_unsigned("!=", key, say.splat(blank)), WORDS)
                added = builder.mul(good, added)
                say.add(good, goods, at * LANES)
            say.add(added, sums, at * LANES)
            if counting:
                say.store(key, values, at * LANES)
        return ir.Constant(OCTET, 1)

    return _reading(bring, (0, 0))


def _stepping(counting: bool, blanking: bool) -> Any:
    """Make the function that adds pixels' steps above the base to those of their columns, and notes pairs of them.

    It takes the first column, where to note, the base and the blank bin; the columns' steps; room for notes. Unless
    all pixels are near the base, and good, it does nothing and returns 0.
    """

    def step(say: Vectors, keys: list[Any], told: list[Any], into: list[Any]) -> Any:
        (_, _, base, blank), (steps, notes), builder = told, into, say.builder
        above = [builder.sub(key, say.splat(base)) for key in keys]
        apart = say.every(0)
        for each in above:
            apart = builder.or_(apart, each)
        apart = builder.and_(apart, say.every(0x10000 - NEAR))
        if blanking:
            for key in keys:
                blanks = builder.icmp_unsigned("==", key, say.splat(blank))
                apart = builder.or_(apart, builder.sext(blanks, SHORTS))
        found = say.filled_lanes(apart)
        near = builder.icmp_unsigned("==", found, found.type(0))
        with builder.if_then(near, likely=True):
            for at, each in enumerate(above):
                say.add(each, steps, at * LANES)
            for at in range(0, len(above) if counting else 0, 2):
                say.store(pairs_of(say, above[at], above[at + 1]), notes, at // 2 * LANES)
        return builder.zext(near, OCTET)

    return _reading(step, (0, 1))


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
def _load(words: Any, y: Any, x: Any, swap: Any) -> Any:
    """Turn a stored pixel into its bin."""
    word = words[y, x]
    turned = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8)))
    return np.uint16((turned if swap else word) ^ np.uint16(0x8000))


def _ending(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that brings columns behind the last whole piece of a row to their sums, and to the counters."""

    @part
    def end(row: Any, left: Any, told: Any, scratch: Any, tables: Any) -> None:
        (whole, n, own), (swap, blank, _, _), (sums, goods, _), (first, second, _, _) = left, told, scratch, tables
        one, none = np.uint32(1), np.uint32(0)
        for column in range(whole, n):
            word = row[column]
            turned = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8)))
            key = np.uint16((turned if swap else word) ^ np.uint16(0x8000))
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
    bring, end = _bringing(counting, blanking), _ending(counting, blanking)

    @part
    def add(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> None:
        (top, taken, step), (pitch, high), (left, n, span) = lie
        (swap, blank, _, _), row_bytes, (sums, goods, values) = told, np.int64(source.shape[1]), scratch
        words = source.view(np.uint16)
        whole, piece = np.uint64(n // PIECE * PIECE), np.uint64(PIECE)
        for turn in range(high * taken):
            y, own = top + turn // taken * pitch + turn % taken * step, np.uint64(turn // taken * span)
            for start in range(np.uint64(0), whole, piece):
                at = y * row_bytes + 2 * (left + np.int64(start))
                for near in range(0, 2 * PIECE, LINE):
                    fetch(source, at + step * row_bytes + near)
                bring(source, (at, swap, own + start, blank), (sums, goods, values))
                if counting:
                    _count_values(values, tables)
            end(words[y, left:], (whole, np.uint64(n), own), told, scratch, tables)

    return add


def _climbing(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that does so where nearly all pixels are near one base; of one channel.

    Neighbours are counted together, and sums are of half the width. What was just written keeps what is read next
    waiting now and then: so some rows of a piece are read before what was noted of them is counted.
    """
    bring, climb = _bringing(counting, blanking), _stepping(counting, blanking)
    end = _ending(counting, blanking)

    @part
    def add(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> None:
        (top, taken, step), (pitch, high), (left, n, span) = lie
        (swap, blank, _, _), row_bytes, (sums, goods, values) = told, np.int64(source.shape[1]), scratch[0]
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
def _find_base(source: Any, grid: Any) -> Any:
    """Find the base that nearly all pixels are near to, by some of those in the middle row; FAR if there is none."""
    words, found, y = source.view(np.uint16), np.empty(SAMPLES, np.int64), source.shape[0] // 2
    for k in range(SAMPLES):
        key, at = np.int64(_load(words, y, grid.x + k * grid.width // SAMPLES, grid.swap == 1)), k
        while at > 0 and found[at - 1] > key:
            found[at] = found[at - 1]
            at -= 1
        found[at] = key
    for low in range(2):
        high = SAMPLES - 2 + low
        if found[high] - found[low] < NEAR:
            return min(max((found[low] + found[high] - NEAR) // 2, 0), BINS - NEAR)
    return np.int64(FAR)


@part
def _part_pairs(pairs: Any, base: Any, table: Any) -> None:
    """Bring what was counted in pairs to a table of values, and empty it."""
    found = np.zeros(NEAR, np.uint32)
    for high in range(np.uint64(NEAR)):
        total, turn = np.uint32(0), high << np.uint64(TURN_SHIFT) & np.uint64(TURN_BITS)
        for less in range(high + np.uint64(1)):
            at = high * np.uint64(NEAR) + (less ^ turn)
            total += pairs[at]
            found[high - less] += pairs[at]
            pairs[at] = 0
        found[high] += total
    for near in range(NEAR):
        table[base + near] += found[near]


def _summing(count: int) -> Callable[[Any, Any], None]:
    """Make the function that adds up so many neighbours; unrolled, it takes a third of the time."""

    @part
    def add(columns: Any, sums: Any) -> None:
        for block in range(np.uint64(sums.size)):
            at = block * np.uint64(count)
            total = columns[at]
            for near in range(1, count):
                total += columns[at + np.uint64(near)]
            sums[block] = total

    return add


_sum2, _sum3, _sum5, _sum7 = _summing(2), _summing(3), _summing(5), _summing(7)


@part
def _squeeze(columns: Any, spare: Any, factor: Any) -> Any:
    """Add up each `factor` neighbours, and give the sums: they are in one of the two, which are both used up."""
    size = columns.size
    while factor > 1:
        by = 2 if factor & 1 == 0 else factor
        size //= by
        sums = spare[:size]
        if by == 2:
            _sum2(columns, sums)
        elif by == 3:
            _sum3(columns, sums)
        elif by == 5:
            _sum5(columns, sums)
        elif by == 7:
            _sum7(columns, sums)
        else:
            for block in range(size):
                total = columns[block * by]
                for near in range(1, by):
                    total += columns[block * by + near]
                sums[block] = total
        columns, spare = sums, columns
        factor //= by
    return columns[:size]


@part
def _squeeze_pairs(columns: Any, spares: Any, n: Any, factor: Any) -> Any:
    """Do so with rows of both parities; even and odd columns are kept apart, as halves of words."""
    upper, lower = columns[0, :n].view(np.uint64), columns[1, :n].view(np.uint64)
    above, below = spares[0].view(np.uint64), spares[1].view(np.uint64)
    return _squeeze(upper, above, factor // 2), _squeeze(lower, below, factor // 2)


@part
def _pick(pairs: Any, grid: Any, channel: Any, sums: Any) -> None:
    """Add up the halves that are of one channel."""
    above, below = pairs
    left, right, none = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFF00000000), np.uint64(0)
    upper = (left if grid.site00 == channel else none) | (right if grid.site01 == channel else none)
    lower = (left if grid.site10 == channel else none) | (right if grid.site11 == channel else none)
    for block in range(sums.size):
        both = (above[block] & upper) + (below[block] & lower)
        sums[block] = np.uint32(both) + np.uint32(both >> np.uint64(32))


@part
def _size(rows: Any, columns: Any, grid: Any, channel: Any) -> Any:
    """Tell how many pixels of one channel there are in so many rows and columns."""
    if grid.parities == 1:
        return rows * columns
    upper, lower, left, right = (rows + 1) // 2, rows // 2, (columns + 1) // 2, columns // 2
    size = upper * left if grid.site00 == channel else 0
    size += upper * right if grid.site01 == channel else 0
    size += lower * left if grid.site10 == channel else 0
    return size + (lower * right if grid.site11 == channel else 0)


@part
def _scaled(mean: Any, scaling: Any) -> Any:
    value = scaling.scale * mean + scaling.zero
    value = value if value < FLOAT32_MAX else FLOAT32_MAX
    return np.float32(value if value > -FLOAT32_MAX else -FLOAT32_MAX)


@part
def _write_alike(sums: Any, size: Any, scaling: Any, out: Any) -> None:
    """Write means of blocks of the same number of pixels."""
    inverse = 1 / size
    if size == 0:
        out[:] = np.nan
    elif size & (size - 1) == 0:  # Then multiplying is as exact as dividing.
        for block in range(out.size):
            out[block] = _scaled(np.float64(sums[block]) * inverse, scaling)
    else:
        for block in range(out.size):
            out[block] = _scaled(np.float64(sums[block]) / size, scaling)


@part
def _write(sums: Any, channel: Any, place: Any, size: Any, told: Any) -> None:
    """Write one channel whose pixels are all good: only edge blocks have fewer than others.

    place  the first block in the plane, blocks in a row, and block rows.
    size   rows and columns that there are of each.
    """
    grid, scaling, plane = told
    (first, blocks, _), (rows, n) = place, size
    each = _size(rows, grid.factor, grid, channel)
    last = _size(rows, n - (blocks - 1) * grid.factor, grid, channel)
    out, channels = plane[channel].reshape(-1)[first : first + sums.size], 3 if grid.parities == 2 else 1
    _write_alike(sums, each, scaling, out)
    for block in range(blocks - 1, sums.size if last != each else 0, blocks):
        _write_alike(sums[block : block + 1], last, scaling, out[block : block + 1])
    if plane.shape[0] > channels:
        counts = plane[channels + channel].reshape(-1)[first : first + sums.size]
        counts[:] = each
        counts[blocks - 1 :: blocks] = last


@part
def _write_good(sums: Any, goods: Any, channel: Any, first: Any, told: Any) -> None:
    """Write one channel some of whose pixels are bad."""
    grid, scaling, plane = told
    out, channels = plane[channel].reshape(-1)[first : first + sums.size], 3 if grid.parities == 2 else 1
    for block in range(sums.size):
        value = _scaled(np.float64(sums[block]) / np.float64(goods[block]), scaling)
        out[block] = value if goods[block] > np.uint32(0) else np.float32(np.nan)
    if plane.shape[0] > channels:
        plane[channels + channel].reshape(-1)[first : first + sums.size] = goods


@part
def _settle(place: Any, size: Any, told: Any, scratch: Any) -> None:
    """Bring the columns of one span of some block rows together, and write them."""
    grid, (columns, spares, goods, others, (sums, counts)) = told[0], scratch
    every, factor, first = place[1] * place[2], grid.factor, place[0]
    n = every * factor
    if grid.parities == 1:
        total = _squeeze(columns[0, :n], spares[0, :n], factor)
        if grid.blanking == 1:
            _write_good(total, _squeeze(goods[0, :n], others[0, :n], factor), 0, first, told)
        else:
            _write(total, 0, place, size, told)
        return
    pairs = _squeeze_pairs(columns, spares, n, factor)
    good = _squeeze_pairs(goods, others, n, factor) if grid.blanking == 1 else pairs
    for channel in range(3):
        _pick(pairs, grid, channel, sums[:every])
        if grid.blanking == 1:
            _pick(good, grid, channel, counts[:every])
            _write_good(sums[:every], counts[:every], channel, first, told)
        else:
            _write(sums[:every], channel, place, size, told)


@part
def _add_rows(source: Any, lie: Any, grid: Any, scratch: Any, tables: Any) -> None:
    """Bring rows of one span of some block rows to their columns, and to the counters.

    lie  the first row, how many are taken, how many further the next one is; rows of a block row, block rows; the
         first column, columns, and how many there is room for.
    tables  four of counters, the one of pairs, and the base that these count from.
    """
    counting, blanking = grid.counting == 1, grid.blanking == 1 and grid.pooling != NOTHING
    told, (four, _, base) = (grid.swap == 1, np.uint16(grid.blank), blanking, counting), tables
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
    if parities == 1 and source.shape[0] > 0:
        base = _find_base(source, grid)
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
                _settle(place, (taken, n), told, scratch)
        row += some
    if base != FAR and grid.counting == 1:
        _part_pairs(counts[PAIRS], base, counts[0])
