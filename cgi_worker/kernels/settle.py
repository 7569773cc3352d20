"""Settle: columns added up over the rows of blocks become blocks' means; for `means`."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from cgi_worker.kernels.compiled import part
from cgi_worker.kernels.reduce import FLOAT32_MAX

NARROW_MAX: Final = 16  # Blocks of this side, of pixels less than 256 above a base, add up to 16 bits.


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
def squeeze(columns: Any, spare: Any, factor: Any) -> Any:
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
def add_up(columns: Any, spares: Any, grid: Any, parity: Any, sums: Any) -> None:
    """Add up, by blocks, columns of a mosaic's rows of one parity, to the sums of their channels."""
    words = squeeze(columns.view(np.uint64), spares.view(np.uint64), grid.factor // 2)
    for side in range(2):
        own, shift = sums[_channel(grid, parity, side)], np.uint64(32 * side)
        for block in range(words.size):
            own[block] += np.uint32(words[block] >> shift)


@part
def _channel(grid: Any, parity: Any, side: Any) -> Any:
    if grid.parities == 1:
        return np.int64(0)
    if parity == 0:
        return grid.site01 if side else grid.site00
    return grid.site11 if side else grid.site10


@part
def add_up_steps(lie: Any, grid: Any, bases: Any, scratch: Any, sums: Any) -> None:
    """Add up, by blocks, what `climb` made of rows of one parity; in a mosaic, to the sums of their channels.

    lie      the parity; how many rows are taken of each block; its columns, blocks in a row, and block rows.
    bases    of even and odd columns.
    scratch  steps (columns,) uint16 and as many spares; extras and numbers of good pixels; columns and spares, uint32,
             for blocks whose sums of steps need them. All are used up; extras and numbers are emptied.
    sums     (channels, blocks) uint32; and as many numbers of good pixels, if some may be blank.
    """
    (steps, spares, kept, wide), factor, parities = scratch, grid.factor, grid.parities
    size, is_narrow = lie[3] * lie[4] * factor, factor <= NARROW_MAX * parities
    steps, spares, columns, others = steps[:size], spares[:size], wide[0][:size], wide[1][:size]
    if not is_narrow:
        columns[:] = steps
    if parities == 1 and is_narrow:
        _lift(squeeze(steps, spares, factor), (np.uint16(0), np.uint16(0)), lie, grid, (bases, kept, sums))
    elif parities == 1:
        _lift(squeeze(columns, others, factor), (np.uint32(0), np.uint32(0)), lie, grid, (bases, kept, sums))
    elif is_narrow:
        words = squeeze(steps.view(np.uint32), spares.view(np.uint32), factor // 2)
        _lift(words, (np.uint32(0xFFFF), np.uint32(16)), lie, grid, (bases, kept, sums))
    else:
        both = squeeze(columns.view(np.uint64), others.view(np.uint64), factor // 2)
        _lift(both, (np.uint64(0xFFFFFFFF), np.uint64(32)), lie, grid, (bases, kept, sums))


@part
def _lift(total: Any, halves: Any, lie: Any, grid: Any, told: Any) -> None:
    """Bring sums of steps, extras and the base of each pixel together, by even and odd columns; empty the extras.

    total   a word for each block, which holds both in a mosaic: the lower half of it, and so many bits on the other.
    """
    (parity, taken, n, across, _), (bases, (extras, lost), sums), (half, shift) = lie, told, halves
    factor, parities, none = grid.factor, grid.parities, np.uint32(0)
    for side in range(parities):
        own, lots, channel = extras[side], lost[side], _channel(grid, parity, side)
        each = np.uint32(taken * ((factor + parities - 1 - side) // parities))
        missing = each - np.uint32(taken * ((n - (across - 1) * factor + parities - 1 - side) // parities))
        into, base = sums[0][channel], np.uint32(bases[side])
        floor = np.uint32(each * base)
        if parities == 1:
            for block in range(total.size):
                into[block] = np.uint32(total[block]) + own[block] + floor
        elif side == 0:
            for block in range(total.size):
                into[block] += np.uint32(total[block] & half) + own[block] + floor
        else:
            for block in range(total.size):
                into[block] += np.uint32(total[block] >> shift) + own[block] + floor
        own[: total.size] = none
        for block in range(across - 1, total.size if missing > none else 0, across):
            into[block] -= np.uint32(missing * base)
        if grid.blanking == 1:
            goods = sums[1][channel]
            if parities == 1:
                goods[: total.size] = none
            for block in range(total.size):
                goods[block] += lots[block] + each
            lots[: total.size] = none
            for block in range(across - 1, total.size if missing > none else 0, across):
                goods[block] -= missing


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
    value = scaling[0] * mean + scaling[1]
    value = value if value < FLOAT32_MAX else FLOAT32_MAX
    return np.float32(value if value > -FLOAT32_MAX else -FLOAT32_MAX)


@part
def _write_alike(sums: Any, size: Any, scaling: Any, out: Any) -> None:
    """Write means of blocks of the same number of pixels."""
    inverse = 1 / size
    if size == 0:
        out[:] = np.nan
    elif scaling[0] == 1 and scaling[1] == 0 and size % 512 > 0:
        # A mean below 2**16 lies in the middle of two float32 only if its fraction has 9 bits or more, which other
        # sizes do not give; and nearer than 2**-41 of itself to one that does, it cannot be: the product is as good.
        for block in range(out.size):
            out[block] = np.float32(np.float64(sums[block]) * inverse)
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
def settle(place: Any, size: Any, told: Any, sums: Any) -> None:
    """Write the means of one span of some block rows.

    place, size  as in `_write`.
    sums         as `add_up_steps` takes them.
    """
    every = place[1] * place[2]
    for channel in range(3 if told[0].parities == 2 else 1):
        settle_channel(channel, place, size, told, (sums[0][channel, :every], sums[1][channel, :every]))


@part
def settle_channel(channel: Any, place: Any, size: Any, told: Any, sums: Any) -> None:
    """Write those of one channel: of sums, and numbers of good pixels if some may be blank, (blocks,) both."""
    if told[0].blanking == 1:
        _write_good(sums[0], sums[1], channel, place[0], told)
    else:
        _write(sums[0], channel, place, size, told)
