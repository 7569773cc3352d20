"""Tone: a reduced plane to 8 bits at its exact size: resample by area, look up the stretch, flip."""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record, repeated

TABLE: Final = 65_536
SPREAD: Final = 65_535.0  # The table's index is a logarithm of 1 + SPREAD * t: fine steps near black, where eyes are.


class Taps(NamedTuple):
    """How one axis is resampled: output pixel j takes counts[j] inputs, from starts[j] on.

    starts, counts  (n,) int64.
    firsts, lasts   (n,) float32, shares of the first and the last of them (0 if that is the first); they add up to
                    1 with
    inner           the share of each one between.
    """

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    firsts: NDArray[np.float32]
    lasts: NDArray[np.float32]
    inner: float


class Look(NamedTuple):
    """How values become grey: t = (value - black) * slope, clipped to 0..1, looked up.

    black, slope    (channels,) float64.
    table           (channels, TABLE) uint8, by the bins that `table_positions` tells.
    flip_h, flip_v  1 to mirror.
    direct          1 if the plane has the picture's size already; the taps are then not looked at.
    first, last     rows [first, last) of the picture, before it is flipped, are to be made.
    """

    black: NDArray[np.float64]
    slope: NDArray[np.float64]
    table: NDArray[np.uint8]
    flip_h: int
    flip_v: int
    direct: int
    first: int
    last: int


_PLANE: Final = numba.types.Array(numba.f4, 3, "C", readonly=True)
_TAPS: Final = record(Taps, numba.i8[::1], numba.i8[::1], numba.f4[::1], numba.f4[::1], numba.f8)
_LOOK: Final = record(
    Look, numba.f8[::1], numba.f8[::1], numba.u1[:, ::1], numba.i8, numba.i8, numba.i8, numba.i8, numba.i8
)
_AXES: Final = repeated(_TAPS, 2)


def taps(length_px: int, factor: int, blocks: int, size_px: int) -> Taps:
    """Find what each of `size_px` output pixels takes of `blocks` input blocks, by area.

    The blocks are `factor` source pixels long, but for the last one, which may be shorter: `length_px` in all.
    Exact: computed in whole numbers of 1 / (factor * size_px) source pixels.
    """
    edges = np.arange(size_px + 1, dtype=np.int64) * length_px
    block = factor * size_px
    starts = edges[:-1] // block
    counts = -(-edges[1:] // block) - starts
    assert starts[-1] + counts[-1] == blocks
    firsts = np.minimum(edges[1:], (starts + 1) * block) - edges[:-1]
    lasts = np.where(counts > 1, edges[1:] - (starts + counts - 1) * block, 0)
    return Taps(
        starts,
        counts,
        (firsts / length_px).astype(np.float32),
        (lasts / length_px).astype(np.float32),
        block / length_px,
    )


def table_positions() -> NDArray[np.float64]:
    """Tell the t (0..1) in the middle of each of the table's bins."""
    bits = (np.arange(TABLE, dtype=np.int32) << 11) + np.int32(0x3F800000 + (1 << 10))
    return (bits.view(np.float32).astype(np.float64) - 1.0) / SPREAD


@part
def _share(taps: Any, k: int, at: int) -> Any:
    """Tell what part of output pixel `at` its k-th input makes up."""
    if k == 0:
        return taps.firsts[at]
    return taps.lasts[at] if k == taps.counts[at] - 1 else np.float32(taps.inner)


@part
def _blend(plane: Any, row: int, taps: Any, out: Any) -> None:
    """Add up the input rows of one output row; NaN where any of them is."""
    out[:] = 0
    for k in range(taps.counts[row]):
        share = _share(taps, k, row)
        source = plane[taps.starts[row] + k]
        for column in range(out.size):
            out[column] += share * source[column]


@part
def _squeeze(row: Any, taps: Any, seconds: Any, out: Any) -> None:
    """Add up the input columns of each output column; NaN where any of them, or one past them, is.

    row      with one column more than there is.
    seconds  (n,) the share of the second of three inputs; empty if some output column has more than three.
    """
    starts, counts, firsts, lasts = taps.starts, taps.counts, taps.firsts, taps.lasts
    if seconds.size > 0:  # One loop a share: each is then done with many columns at once.
        for column in range(out.size):
            out[column] = firsts[column] * row[np.uint64(starts[column])]
        for column in range(out.size):
            out[column] += seconds[column] * row[np.uint64(starts[column]) + np.uint64(1)]
        for column in range(out.size):
            out[column] += lasts[column] * row[np.uint64(starts[column] + counts[column] - 1)]
        return
    for column in range(out.size):
        total = firsts[column] * row[starts[column]]
        for at in range(starts[column] + 1, starts[column] + counts[column] - 1):
            total += np.float32(taps.inner) * row[at]
        out[column] = total + lasts[column] * row[starts[column] + counts[column] - 1]


@part
def _seconds(taps: Any) -> Any:
    if taps.counts.max() > 3:
        return np.empty(0, np.float32)
    return np.where(taps.counts == 3, np.float32(taps.inner), np.float32(0)).astype(np.float32)


@part
def _patch(plane: Any, row: int, column: int, axes: Any) -> Any:
    """Average what is good of one output pixel; NaN if nothing is."""
    total, weight = np.float64(0), np.float64(0)
    for k in range(axes[0].counts[row]):
        for j in range(axes[1].counts[column]):
            share = np.float64(_share(axes[0], k, row)) * np.float64(_share(axes[1], j, column))
            value = plane[axes[0].starts[row] + k, axes[1].starts[column] + j]
            if not np.isnan(value):
                total += share * value
                weight += share
    return np.float32(total / weight) if weight > 0 else np.float32(np.nan)


@part
def _look_up(values: Any, channel: int, look: Any, folded: Any, grey: Any) -> None:
    """Turn one row into grey; what a NaN becomes does not matter, since `good` covers it."""
    black, slope = look.black[channel], look.slope[channel]
    for column in range(values.size):
        t = (np.float64(values[column]) - black) * slope
        t = t if t > 0.0 else 0.0  # NaN goes here too.
        folded[column] = np.float32(1.0 + SPREAD * (t if t < 1.0 else 1.0))
    bits = folded.view(np.int32)
    table = look.table[channel]
    for column in range(values.size):
        at = (bits[column] - np.int32(0x3F800000)) >> np.int32(11)
        grey[column] = table[np.uint64(min(at, np.int32(TABLE - 1)))]


@part
def _resample(plane: Any, row: int, axes: Any, seconds: Any, scratch: Any) -> None:
    """Make one row of one channel in scratch[1], by way of scratch[0]; bad pixels stay out of its averages."""
    blended, values = scratch
    blended[plane.shape[1]] = 0
    _blend(plane, row, axes[0], blended[: plane.shape[1]])
    _squeeze(blended, axes[1], seconds, values)
    touched = 0
    for column in range(values.size):
        touched += 1 if np.isnan(values[column]) else 0
    if touched > 0:
        for column in range(values.size):
            if np.isnan(values[column]):
                values[column] = _patch(plane, row, column, axes)


@part
def _put(grey: Any, good: Any, backwards: int, out: Any) -> None:
    """Write one row, (channels, width), into out (width, channels)."""
    last = grey.shape[1] - 1
    for channel in range(grey.shape[0]):
        if backwards == 1:
            for column in range(grey.shape[1]):
                out[last - column, channel] = grey[channel, column] & good[column]
        else:
            for column in range(grey.shape[1]):
                out[column, channel] = grey[channel, column] & good[column]


@compiled(numba.types.Array(numba.f8, 1, "C", readonly=True), numba.f8, numba.i8, numba.u1[::1])
def bend(positions: NDArray[np.float64], mid: float, invert: int, out: NDArray[np.uint8]) -> None:
    """Make one channel's table: bend positions (0..1) by the midtone, to grey values rounded to the nearest.

    positions  (TABLE,) float64, ascending. Unchanged.
    invert     1: white becomes black.
    out        (TABLE,) uint8, monotone.

    Source  midtone transfer function, (mid - 1) t / ((2 mid - 1) t - mid).
    """
    for at in range(out.size):
        t = positions[at]
        grey = 255.0 * ((mid - 1.0) * t / ((2.0 * mid - 1.0) * t - mid)) + 0.5
        value = np.uint8(min(max(grey, 0.0), 255.0))
        out[at] = np.uint8(255) - value if invert == 1 else value


@compiled(_PLANE, _AXES, _LOOK, numba.u1[:, :, ::1])
def tone(plane: NDArray[np.float32], axes: tuple[Taps, Taps], look: Look, out: NDArray[np.uint8]) -> None:
    """Make rows of the 8-bit picture of a reduced plane.

    plane   (channels, R, C) float32, data units; NaN marks no measurement. Unchanged.
    axes    how rows and columns are resampled.
    out     (height, width, channels) uint8; 0 in all channels where one of them has no good pixel. Other rows stay.

    Memory  a few rows. Each good output pixel is an average by area; one that touches a bad pixel, of the good rest.
    Source  area-weighted resampling; twin with plain loops in tests/kernels.
    """
    channels, height, width = plane.shape[0], out.shape[0], out.shape[1]
    blended = np.empty(plane.shape[2] + 1, np.float32)
    values, folded = np.empty(width, np.float32), np.empty(width, np.float32)
    grey, good = np.empty((channels, width), np.uint8), np.empty(width, np.uint8)
    seconds = _seconds(axes[1])
    for row in range(look.first, look.last):
        good[:] = 255
        for channel in range(channels):
            if look.direct == 1:
                values[:] = plane[channel, row]
            else:
                _resample(plane[channel], row, axes, seconds, (blended, values))
            _look_up(values, channel, look, folded, grey[channel])
            for column in range(width):
                good[column] &= np.uint8(0) if np.isnan(values[column]) else np.uint8(255)
        _put(grey, good, look.flip_h, out[height - 1 - row if look.flip_v == 1 else row])
