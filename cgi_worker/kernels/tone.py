"""Tone: reduced planes to 8 bits at their exact size: resample by area, find each value's grey by its thresholds.

No grey is computed: a stretch that ascends is told by the 255 values at which its grey changes, so that the picture is
the one of the exact curve, whatever the curve. A table of buckets tells where to look; a bucket that holds several of
these values is searched.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record, repeated
from cgi_worker.kernels.taps import Taps

GREYS: Final = 256
FLOAT32_MAX: Final = np.float32(3.4028234663852886e38)
BUCKETS: Final = 16_385  # 1024 an octave of 1 + SPREAD * t: fine near black, where stretches are steep; and t = 1.
SPREAD: Final = 65_535.0
REACH_MAX: Final = 1 << 16  # Input columns at once, where one output column does not take more.
ROWS: Final = 64  # Made at once, side by side in memory, so that columns are mixed by whole vectors.
PANEL: Final = 512  # Columns made at once: what is between the steps stays in the processor's second cache.


class Look(NamedTuple):
    """How values become greys, and greys colours.

    black, slope  (channels,) float32: a value's bucket is that of t = (value - black) * slope, clipped to 0..1. They
                  have no influence on the picture.
    low           (channels, BUCKETS + 1) uint8, how many thresholds lie in lower buckets.
    thresholds    (channels, 256) float32, ascending: [g] is the lowest value that is lighter than g; [255] infinite.
    deep          1 if a bucket holds two thresholds or more.
    palette       (256, 3) uint8, the colours of the greys of one channel, for a picture of three samples; of any other
                  picture only the greys' new greys, palette[:, 0], are looked at.
    plain         1 if palette[g] is g.
    beyond        (2, channels) float32: a value is under below the first, over above the second.
    marks         (3, 3) uint8, colours of the bad pixels, those under and those over in all channels.
    marked        (3,) uint8, which of these are drawn.
    """

    black: NDArray[np.float32]
    slope: NDArray[np.float32]
    low: NDArray[np.uint8]
    thresholds: NDArray[np.float32]
    deep: int
    palette: NDArray[np.uint8]
    plain: int
    beyond: NDArray[np.float32]
    marks: NDArray[np.uint8]
    marked: NDArray[np.uint8]


class Extent(NamedTuple):
    """What is to be made: how many channels there are, and rows [first, last) of the picture."""

    channels: int
    first: int
    last: int


_PLANES: Final = repeated(numba.types.Array(numba.f4, 2, "C", readonly=True), 3)
_TAPS: Final = record(Taps, numba.i8[:, ::1], numba.f4[:, ::1], numba.f8, numba.i8, numba.i8)
_LOOK: Final = record(
    Look,
    numba.f4[::1],
    numba.f4[::1],
    numba.u1[:, ::1],
    numba.f4[:, ::1],
    numba.i8,
    numba.u1[:, ::1],
    numba.i8,
    numba.f4[:, ::1],
    numba.u1[:, ::1],
    numba.u1[::1],
)
_EXTENT: Final = record(Extent, numba.i8)
_AXES: Final = repeated(_TAPS, 2)


@part
def _share(taps: Any, k: int, at: int) -> Any:
    """Tell what part of output pixel `at` its k-th input makes up."""
    if k == 0:
        return taps.shares[0, at]
    return taps.shares[1, at] if k == taps.places[1, at] - 1 else np.float32(taps.inner)


@part
def _blend(source: Any, row: int, taps: Any, place: Any, out: Any) -> None:
    """Mix the input rows of one output row into a row of out; not finite where any of them is NaN.

    source  the plane, flat, and how many columns it has.
    place   first column, how many, row of out.

    Said as the first one and differences to it, so that equal values stay exactly what they are.
    """
    first, width, into = place
    flat, wide, n = source[0], np.uint64(source[1]), np.uint64(width)
    at = np.uint64(taps.places[0, row]) * wide + np.uint64(first)
    count = taps.places[1, row]
    if count == 1:
        for column in range(np.uint64(0), n):
            out[into, column] = flat[at + column]
        return
    share, next_at = _share(taps, 1, row), at + wide
    for column in range(np.uint64(0), n):
        out[into, column] = flat[at + column] + (flat[next_at + column] - flat[at + column]) * share
    for k in range(2, count):
        share, next_at = _share(taps, k, row), next_at + wide
        for column in range(np.uint64(0), n):
            out[into, column] += (flat[next_at + column] - flat[at + column]) * share


@part
def _turn(rows: Any, count: int, out: Any) -> None:
    """Lay rows side by side: out[column, row]."""
    for column in range(rows.shape[1]):
        for row in range(count):
            out[column, row] = rows[row, column]


@part
def _squeeze_three(blended: Any, taps: Any, left: int, start: int, out: Any) -> None:
    """Mix up to three input columns into each output column, from column `left` on, for ROWS rows at once."""
    source, flat = blended.reshape(blended.size), out.reshape(out.size)
    n = np.uint64(ROWS)
    for column in range(out.shape[0]):
        second, third = taps.shares[2, left + column], taps.shares[3, left + column]
        at = np.uint64(taps.places[0, left + column] - start) * n
        to = np.uint64(column) * n
        for row in range(np.uint64(0), n):
            base = source[at + row]
            mixed = base + (source[at + n + row] - base) * second
            flat[to + row] = mixed + (source[at + n + n + row] - base) * third


@part
def _squeeze_many(blended: Any, taps: Any, left: int, start: int, out: Any) -> None:
    """Mix any number of input columns into each output column."""
    for column in range(out.shape[0]):
        first = taps.places[0, left + column] - start
        for row in range(ROWS):
            out[column, row] = blended[first, row]
        for k in range(1, taps.places[1, left + column]):
            share = _share(taps, k, left + column)
            for row in range(ROWS):
                out[column, row] += (blended[first + k, row] - blended[first, row]) * share


@part
def _count_bad(values: Any) -> Any:
    flat = values.reshape(values.size)
    found = np.uint32(0)
    for at in range(flat.size):
        found += np.uint32(0) if abs(flat[at]) <= FLOAT32_MAX else np.uint32(1)
    return found


@part
def _refill(plane: Any, corner: Any, axes: Any, values: Any) -> None:
    """Make again what is not finite, from what is good of its inputs; NaN if nothing is."""
    top, count, left = corner
    last = left + values.shape[0] - 1
    start = axes[1].places[0, left]
    width = axes[1].places[0, last] + axes[1].places[1, last] - start
    sums, goods = np.zeros((width, ROWS), np.float32), np.zeros((width, ROWS), np.float32)
    for row in range(count):
        for k in range(axes[0].places[1, top + row]):
            share = _share(axes[0], k, top + row)
            source = plane[axes[0].places[0, top + row] + k]
            for column in range(width):
                good = not np.isnan(source[start + column])
                sums[column, row] += share * source[start + column] if good else np.float32(0)
                goods[column, row] += share if good else np.float32(0)
    total, weight = np.empty(ROWS, np.float32), np.empty(ROWS, np.float32)
    for column in range(values.shape[0]):
        total[:] = 0
        weight[:] = 0
        for k in range(axes[1].places[1, left + column]):
            share = _share(axes[1], k, left + column)
            at = axes[1].places[0, left + column] - start + k
            for row in range(ROWS):
                total[row] += share * sums[at, row]
                weight[row] += share * goods[at, row]
        for row in range(ROWS):
            kept = values[column, row]
            made = total[row] / weight[row] if weight[row] > 0 else np.float32(np.nan)
            values[column, row] = kept if abs(kept) <= FLOAT32_MAX else made


@part
def _resample(plane: Any, corner: Any, axes: Any, scratch: Any, values: Any) -> Any:
    """Make values (columns, ROWS) of one channel from row and column `corner` on; return whether some may be bad.

    corner  top, rows, left. Bad pixels stay out of the averages.
    """
    top, count, left = corner
    mixed, blended = scratch
    last = left + values.shape[0] - 1
    start = axes[1].places[0, left]
    width = axes[1].places[0, last] + axes[1].places[1, last] - start
    flat = plane.reshape(plane.size)
    for row in range(count):
        _blend((flat, plane.shape[1]), top + row, axes[0], (start, width, row), mixed)
    if axes[1].direct == 1:
        _turn(mixed[:, :width], count, values)
    else:
        _turn(mixed[:, :width], count, blended)
        blended[width : width + 2] = 0
        if axes[1].short == 1:
            _squeeze_three(blended, axes[1], left, start, values)
        else:
            _squeeze_many(blended, axes[1], left, start, values)
    touched = _count_bad(values)
    if touched > 0 and axes[0].direct + axes[1].direct < 2:
        _refill(plane, corner, axes, values)
    return touched


@part
def _fold(value: Any, black: Any, slope: Any) -> Any:
    """Give the float whose bits tell a value's bucket; ascends with the value, is wrong for NaN."""
    t = max((value - black) * slope, np.float32(0))
    t = min(t, np.float32(1))
    return np.float32(1) + np.float32(SPREAD) * t


@part
def _bucket(bits: Any) -> Any:
    return np.uint64((bits - np.int32(0x3F800000)) >> np.int32(13))


@part
def _fold_all(values: Any, black: Any, slope: Any, touched: int, folded: Any) -> None:
    flat, out = values.reshape(values.size), folded.reshape(folded.size)
    for at in range(flat.size):
        out[at] = _fold(flat[at], black, slope)
    if touched > 0:
        for at in range(flat.size):
            out[at] = np.float32(1) if np.isnan(flat[at]) else out[at]


@part
def _grey(value: Any, bucket: Any, low: Any, thresholds: Any) -> Any:
    """Find a value's grey where its bucket holds one threshold at most."""
    grey = np.uint64(low[bucket])
    return grey + np.uint64(value >= thresholds[grey])


@part
def _search(value: Any, bucket: Any, low: Any, thresholds: Any) -> Any:
    """Find a value's grey among all the thresholds of its bucket."""
    grey, end = np.uint64(low[bucket]), np.uint64(low[bucket + np.uint64(1)])
    while grey < end:
        middle = (grey + end) >> np.uint64(1)
        if value >= thresholds[middle]:
            grey = middle + np.uint64(1)
        else:
            end = middle
    return grey


@part
def _draw(values: Any, folded: Any, channel: int, look: Any, out: Any) -> None:
    """Write the greys of values (columns, ROWS) into out (rows, columns): as they are, or as the palette has them."""
    bits = folded.view(np.int32)
    low, thresholds = look.low[channel], look.thresholds[channel]
    if look.deep == 0 and look.plain == 1:
        for column in range(out.shape[1]):
            for row in range(out.shape[0]):
                bucket = _bucket(bits[column, row])
                out[row, column] = _grey(values[column, row], bucket, low, thresholds)
        return
    for column in range(out.shape[1]):
        for row in range(out.shape[0]):
            bucket = _bucket(bits[column, row])
            if look.deep == 1:
                grey = _search(values[column, row], bucket, low, thresholds)
            else:
                grey = _grey(values[column, row], bucket, low, thresholds)
            out[row, column] = look.palette[grey, 0]


@part
def _paint(values: Any, folded: Any, look: Any, out: Any) -> None:
    """Write the colours of one channel's values (columns, ROWS) into out (rows, columns, 3)."""
    bits = folded.view(np.int32)
    low, thresholds = look.low[0], look.thresholds[0]
    for column in range(out.shape[1]):
        for row in range(out.shape[0]):
            bucket = _bucket(bits[column, row])
            if look.deep == 1:
                grey = _search(values[column, row], bucket, low, thresholds)
            else:
                grey = _grey(values[column, row], bucket, low, thresholds)
            out[row, column, 0] = look.palette[grey, 0]
            out[row, column, 1] = look.palette[grey, 1]
            out[row, column, 2] = look.palette[grey, 2]


@part
def _any_marked(values: Any, look: Any) -> Any:
    """Tell whether a column of values (channels, ROWS) may hold anything to be marked."""
    found = np.uint32(0)
    for channel in range(values.shape[0]):
        low = look.beyond[0, channel] if look.marked[1] == 1 else np.float32(-np.inf)
        high = look.beyond[1, channel] if look.marked[2] == 1 else np.float32(np.inf)
        for row in range(ROWS):
            value = values[channel, row]
            found += np.uint32(0) if low <= value <= high else np.uint32(1)
    return found > 0


@part
def _mark(values: Any, look: Any, out: Any) -> None:
    """Draw over what is bad in any channel, and under or over in all of them. values (channels, columns, ROWS)."""
    for column in range(out.shape[1]):
        if not _any_marked(values[:, column], look):
            continue
        for row in range(out.shape[0]):
            bad, under, over = False, look.marked[1] == 1, look.marked[2] == 1
            for channel in range(values.shape[0]):
                value = values[channel, column, row]
                bad |= np.isnan(value)
                under &= value < look.beyond[0, channel]
                over &= value > look.beyond[1, channel]
            if bad or under or over:
                kind = 0 if bad else (1 if under else 2)
                for sample in range(out.shape[2]):
                    out[row, column, sample] = look.marks[kind, sample]


@part
def _reach(places: Any, width: int, panel: Any) -> Any:
    """Tell how many input columns the widest panel takes."""
    reach = np.int64(0)
    for left in range(0, width, panel):
        last = min(left + panel, width) - 1
        reach = max(reach, places[:, last].sum() - places[0, left])
    return reach


@compiled(numba.f4[::1], numba.f4, numba.f4, numba.u1[::1])
def lay(thresholds: NDArray[np.float32], black: float, slope: float, low: NDArray[np.uint8]) -> None:
    """Count the thresholds below each bucket.

    thresholds  (256,) float32, ascending; the last one is infinite, and is none.
    low         (BUCKETS + 1,) uint8.
    """
    at = np.int64(0)
    for grey in range(GREYS - 1):
        folded = np.empty(1, np.float32)
        folded[0] = _fold(thresholds[grey], np.float32(black), np.float32(slope))
        bucket = np.int64(_bucket(folded.view(np.int32)[0]))
        while at <= bucket:
            low[at] = grey
            at += 1
    low[at:] = GREYS - 1


@compiled(_PLANES, _AXES, _LOOK, _EXTENT, numba.types.Array(numba.u1, 3, "A"))
def tone(
    planes: tuple[NDArray[np.float32], ...], axes: tuple[Taps, Taps], look: Look, extent: Extent, out: NDArray[np.uint8]
) -> None:
    """Make rows of the 8-bit picture of reduced planes.

    planes  one (R, C) float32 a channel (if there is one channel, the others are not looked at), data units; NaN marks
            no measurement. Unchanged.
    axes    how rows and columns are resampled.
    out     (height, width, samples) uint8, of any strides, so that it may lie mirrored or turned: as many samples as
            channels, or three of one channel. Rows not in `extent` stay.

    Memory  a few hundred kB. Each output pixel is an average by area of what is good.
    Source  area-weighted resampling; twin with plain loops in tests/kernels.
    """
    width, channels = out.shape[1], extent.channels
    panel = np.int64(min(PANEL, width))
    while panel > 1 and _reach(axes[1].places, width, panel) > REACH_MAX:  # A wide and low frame.
        panel = panel // 2
    reach = _reach(axes[1].places, width, panel)
    scratch = np.zeros((ROWS, reach), np.float32), np.zeros((reach + 2, ROWS), np.float32)
    values, folded = np.zeros((channels, panel, ROWS), np.float32), np.empty((panel, ROWS), np.float32)
    for top in range(extent.first, extent.last, ROWS):
        count = min(ROWS, extent.last - top)
        for left in range(0, width, panel):
            n = min(panel, width - left)
            into = out[top : top + count, left : left + n]
            touched = np.int64(0)
            for channel in range(channels):
                corner = (top, count, left)
                found = _resample(planes[channel], corner, axes, scratch, values[channel, :n])
                touched += found
                _fold_all(values[channel, :n], look.black[channel], look.slope[channel], found, folded[:n])
                if into.shape[2] == channels:
                    _draw(values[channel, :n], folded, channel, look, into[:, :, channel])
                else:
                    _paint(values[channel, :n], folded, look, into)
            if touched > 0 or look.marked[1] + look.marked[2] > 0:
                _mark(values[:, :n], look, into)
