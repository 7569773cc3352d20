"""Tone: a reduced plane to 8 bits at its exact size: resample by area, look up the stretch, flip."""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record, repeated

TABLE: Final = 65_536
SPREAD: Final = 65_535.0  # The table's index is a logarithm of 1 + SPREAD * t: fine steps near black, where eyes are.


class Taps(NamedTuple):
    """How one axis is resampled: output pixel j is the sum over k of weights[k, j] * input[starts[j] + k].

    starts   (n,) int64.
    weights  (taps, n) float32, each column adding up to 1; 0 where there is nothing to be taken.
    """

    starts: NDArray[np.int64]
    weights: NDArray[np.float32]


class Look(NamedTuple):
    """How values become grey: t = (value - black) * slope, clipped to 0..1, looked up.

    black, slope    (channels,) float64.
    table           (channels, TABLE) uint8, by the bins that `table_positions` tells.
    flip_h, flip_v  1 to mirror.
    direct          1 if the plane has the picture's size already; the taps are then not looked at.
    """

    black: NDArray[np.float64]
    slope: NDArray[np.float64]
    table: NDArray[np.uint8]
    flip_h: int
    flip_v: int
    direct: int


_PLANE: Final = numba.types.Array(numba.f4, 3, "C", readonly=True)
_TAPS: Final = record(Taps, numba.i8[::1], numba.f4[:, ::1])
_LOOK: Final = record(Look, numba.f8[::1], numba.f8[::1], numba.u1[:, ::1], numba.i8, numba.i8, numba.i8)
_AXES: Final = repeated(_TAPS, 2)


def taps(length_px: int, factor: int, blocks: int, size_px: int) -> Taps:
    """Find what each of `size_px` output pixels takes of `blocks` input blocks, by area.

    The blocks are `factor` source pixels long, but for the last one, which may be shorter: `length_px` in all.
    Exact: computed in whole numbers of 1 / (factor * size_px) source pixels.
    """
    edges = np.arange(size_px + 1, dtype=np.int64) * length_px
    block = factor * size_px
    starts = edges[:-1] // block
    count = int((-(-edges[1:] // block) - starts).max())
    lows = (starts + np.arange(count)[:, None]) * block
    overlaps = np.minimum(edges[1:], lows + block) - np.maximum(edges[:-1], lows)
    weights = np.maximum(overlaps, 0) / length_px
    assert starts[-1] + count <= blocks or not weights[blocks - starts[-1] :, -1].any()
    return Taps(starts, weights.astype(np.float32))


def table_positions() -> NDArray[np.float64]:
    """Tell the t (0..1) in the middle of each of the table's bins."""
    bits = (np.arange(TABLE, dtype=np.int32) << 11) + np.int32(0x3F800000 + (1 << 10))
    return (bits.view(np.float32).astype(np.float64) - 1.0) / SPREAD


@part
def _blend(plane: Any, row: int, taps: Any, out: Any) -> None:
    """Add up the input rows of one output row; NaN where any of them is."""
    out[:] = 0
    for k in range(taps.weights.shape[0]):
        weight = taps.weights[k, row]
        if weight > 0:
            source = plane[taps.starts[row] + k]
            for column in range(out.size):
                out[column] += weight * source[column]


@part
def _squeeze(row: Any, taps: Any, out: Any) -> None:
    """Add up the input columns of each output column; NaN where any of them is."""
    out[:] = 0
    last = row.size - 1
    for k in range(taps.weights.shape[0]):
        weights = taps.weights[k]
        for column in range(out.size):
            out[column] += weights[column] * row[min(taps.starts[column] + k, last)]


@part
def _patch(plane: Any, row: int, column: int, axes: Any) -> Any:
    """Average what is good of one output pixel; NaN if nothing is."""
    total, weight = np.float64(0), np.float64(0)
    for k in range(axes[0].weights.shape[0]):
        for j in range(axes[1].weights.shape[0]):
            share = np.float64(axes[0].weights[k, row]) * np.float64(axes[1].weights[j, column])
            if share > 0:
                value = plane[axes[0].starts[row] + k, axes[1].starts[column] + j]
                if not np.isnan(value):
                    total += share * value
                    weight += share
    return np.float32(total / weight) if weight > 0 else np.float32(np.nan)


@part
def _look_up(values: Any, channel: int, look: Any, folded: Any, out: Any) -> None:
    """Turn one row into grey."""
    black, slope = look.black[channel], look.slope[channel]
    for column in range(values.size):
        t = min(max((np.float64(values[column]) - black) * slope, 0.0), 1.0)
        folded[column] = np.float32(1.0 + SPREAD * t)
    bits = folded.view(np.int32)
    table = look.table[channel]
    for column in range(values.size):
        at = min((bits[column] - np.int32(0x3F800000)) >> np.int32(11), np.int32(TABLE - 1))
        out[column] = table[np.uint32(max(at, np.int32(0)))]


@compiled(_PLANE, _AXES, _LOOK, numba.u1[:, :, ::1])
def tone(plane: NDArray[np.float32], axes: tuple[Taps, Taps], look: Look, out: NDArray[np.uint8]) -> None:
    """Make the 8-bit picture of a reduced plane.

    plane   (channels, R, C) float32, data units; NaN marks no measurement. Unchanged.
    axes    how rows and columns are resampled.
    out     (height, width, channels) uint8; 0 in all channels where one of them has no good pixel.

    Memory  a few rows. Each good output pixel is an average by area; one that touches a bad pixel, of the good rest.
    Source  area-weighted resampling; twin with plain loops in tests/kernels.
    """
    channels, height, width = plane.shape[0], out.shape[0], out.shape[1]
    blended = np.empty(plane.shape[2], np.float32)
    values = np.empty((channels, width), np.float32)
    grey = np.empty((channels, width), np.uint8)
    folded = np.empty(width, np.float32)
    for row in range(height):
        for channel in range(channels):
            if look.direct == 1:
                values[channel] = plane[channel, row]
            else:
                _blend(plane[channel], row, axes[0], blended)
                _squeeze(blended, axes[1], values[channel])
                for column in range(width):
                    if np.isnan(values[channel, column]):
                        values[channel, column] = _patch(plane[channel], row, column, axes)
            _look_up(values[channel], channel, look, folded, grey[channel])
        for column in range(width):
            bad = False
            for channel in range(channels):
                bad = bad or np.isnan(values[channel, column])
            at = width - 1 - column if look.flip_h == 1 else column
            for channel in range(channels):
                out[height - 1 - row if look.flip_v == 1 else row, at, channel] = 0 if bad else grey[channel, column]
