"""Tone: reduced planes to 8 bits at their exact size, row by row: mix by area, find each value's grey, lay it down.

No grey is computed: a stretch that ascends is told by the 255 values at which its grey changes, so that the picture is
the one of the exact curve, whatever the curve.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record, repeated
from cgi_worker.kernels.greys import find_greys
from cgi_worker.kernels.lending import lend
from cgi_worker.kernels.mixing import gathered, is_any_bad, mix_columns, mix_rows, refill, span_of, widest_panel
from cgi_worker.kernels.taps import Taps
from cgi_worker.kernels.vectors import LANES, OCTETS, Vectors, in_vectors

ROWS: Final = 8  # Of one channel, before those of the next: its table stays in the processor's first cache.


class Look(NamedTuple):
    """How values become greys, and greys colours.

    black, slope  (channels,) float32: a value's bucket is that of t = (value - black) * slope, clipped to 0..1. They
                  have no influence on the picture.
    table         (channels, BUCKETS + 1) uint32, as `greys.lay` writes it.
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
    table: NDArray[np.uint32]
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
_TAPS: Final = record(Taps, numba.i8[:, ::1], numba.f4[:, ::1], numba.f8, numba.i8)
_LOOK: Final = record(
    Look,
    numba.f4[::1],
    numba.f4[::1],
    numba.u4[:, ::1],
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
def _colour(greys: Any, count: int, look: Any, lines: Any) -> None:
    """Write the colours of one channel's greys into lines (samples, columns): as the palette has them."""
    for sample in range(lines.shape[0]):
        for column in range(count):
            lines[sample, column] = look.palette[greys[column], sample]


def _laying(samples: int) -> Any:
    """Make the function that lays LANES columns of lines, `pitch` octets apart, into a row that lies in one piece."""

    def lay(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
        (source, into), (at, pitch), builder = arrays, told, say.builder
        laid = say.load_at(source, at, OCTETS)
        if samples == 3:
            second, third = (
                say.load_at(source, builder.add(at, builder.mul(pitch, pitch.type(line))), OCTETS) for line in (1, 2)
            )
            halves = say.woven((laid, second), range(2 * LANES)), say.woven((third, third), range(2 * LANES))
            laid = say.woven(halves, [LANES * line + column for column in range(LANES) for line in range(3)])
        say.store_at(laid, into, builder.mul(at, at.type(samples)))

    return in_vectors(lay)


_lay_one, _lay_three = _laying(1), _laying(3)


@part
def _lay_down(lines: Any, count: int, out: Any) -> None:
    """Write lines (samples, columns) into a row of the picture (columns, samples), of any strides."""
    samples, pitch, done = lines.shape[0], lines.shape[1], np.int64(0)
    if out.strides[0] == samples and (samples == 1 or out.strides[1] == 1):
        done = np.int64(count // LANES * LANES)
        for at in range(np.int64(0), done, np.int64(LANES)):
            if samples == 1:
                _lay_one((lines, out), (at, pitch))
            else:
                _lay_three((lines, out), (at, pitch))
    for sample in range(samples):
        for column in range(done, count):
            out[column, sample] = lines[sample, column]


@part
def _any_marked(values: Any, count: int, look: Any) -> Any:
    """Tell whether a row of values (channels, columns) may hold anything to be marked."""
    found = np.uint32(0)
    for channel in range(values.shape[0]):
        low = look.beyond[0, channel] if look.marked[1] == 1 else np.float32(-np.inf)
        high = look.beyond[1, channel] if look.marked[2] == 1 else np.float32(np.inf)
        row = values[channel]
        for column in range(np.uint64(0), np.uint64(count)):
            found += np.uint32(0) if low <= row[column] <= high else np.uint32(1)
    return found > 0


@part
def _mark(values: Any, count: int, look: Any, lines: Any) -> None:
    """Draw over what is bad in any channel, and under or over in all of them. values (channels, columns)."""
    for column in range(count):
        bad, under, over = False, look.marked[1] == 1, look.marked[2] == 1
        for channel in range(values.shape[0]):
            value = values[channel, column]
            bad |= np.isnan(value)
            under &= value < look.beyond[0, channel]
            over &= value > look.beyond[1, channel]
        if bad or under or over:
            kind = 0 if bad else (1 if under else 2)
            for sample in range(lines.shape[0]):
                lines[sample, column] = look.marks[kind, sample]


@part
def _tone(given: Any, look: Any, extent: Any, owned: Any, out: Any) -> None:
    """Make rows of the picture; what is `owned` holds all scratch, and the number of columns made at once."""
    (planes, axes), (panel, (mixed, values, greys, lines)) = given, lend(owned)
    (down, across), channels, samples, room = axes, extent.channels, out.shape[2], greys.size
    for left in range(0, out.shape[1], panel):
        count = min(panel, out.shape[1] - left)
        span = span_of(across, left, count)
        columns = gathered(across, left, count, room)
        for top in range(extent.first, extent.last, ROWS):
            rows = min(ROWS, extent.last - top)
            touched = look.marked[1] + look.marked[2] > 0
            for channel in range(channels):
                plane = planes[channel]
                source = plane.reshape(plane.size), plane.shape[1]
                for row in range(rows):
                    own = values[channel, row]
                    if across.direct == 1:
                        mix_rows(source, top + row, down, span, own)
                    else:
                        mix_rows(source, top + row, down, span, mixed)
                        mix_columns(mixed, columns, count, own)
                    if is_any_bad(own, count):
                        touched = True
                        if down.direct + across.direct < 2:
                            refill(plane, (top + row, left), axes, own, count)
                    if samples == channels and look.plain == 1:
                        find_greys(own, count, channel, look, lines[row, channel])
                    else:
                        find_greys(own, count, channel, look, greys)
                        _colour(
                            greys, count, look, lines[row, channel : channel + 1 if samples == channels else samples]
                        )
            for row in range(rows):
                if touched and _any_marked(values[:, row], count, look):
                    _mark(values[:, row], count, look, lines[row])
                _lay_down(lines[row], count, out[top + row, left : left + count])


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
    width, samples, channels = out.shape[1], out.shape[2], extent.channels
    panel, reach = widest_panel(axes[1], width)
    room = (panel + LANES - 1) // LANES * LANES
    mixed = np.zeros(reach + 2 * LANES, np.float32)
    values = np.zeros((channels, ROWS, room), np.float32)
    greys, lines = np.zeros(room, np.uint8), np.zeros((ROWS, samples, room), np.uint8)
    owned = panel, (mixed, values, greys, lines)
    _tone(lend((planes, axes)), lend(look), extent, owned, lend(out))
