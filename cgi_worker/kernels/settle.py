"""Settle: columns added up over the rows of blocks become blocks' means; for `means`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cgi_worker.kernels.compiled import part
from cgi_worker.kernels.reduce import FLOAT32_MAX


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
    elif scaling.scale == 1 and scaling.zero == 0 and size % 512 > 0:
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
def settle(place: Any, size: Any, told: Any, scratch: Any) -> None:
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
