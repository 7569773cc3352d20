"""Mixing: rows of a plane at another size, each pixel the average by area of what is good of its inputs; for `tone`.

Everything is said as the first input and differences to it, so that equal values stay exactly what they are.
"""

from functools import partial
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

from cgi_worker.kernels.compiled import part
from cgi_worker.kernels.vectors import FLOATS, LANES, WORD, WORDS, Vectors, in_vectors

FLOAT32_MAX: Final = np.float32(3.4028234663852886e38)
REACH_MAX: Final = 1 << 16  # Input columns at once, where one output column does not take more.
PANEL: Final = 2048  # Output columns made at once: what is between the steps stays in the processor's first caches.


@part
def widest_panel(taps: Any, width: int) -> Any:
    """Tell how many output columns can be made at once, and how many input columns they take at most."""
    panel: Any = np.int64(min(PANEL, width))
    while True:
        reach = np.int64(0)
        for left in range(0, width, panel):
            last = min(left + panel, width) - 1
            reach = max(reach, taps.places[:, last].sum() - taps.places[0, left])
        if reach <= REACH_MAX or panel == 1:  # More are there only in a wide and low frame.
            return panel, reach
        panel = panel // 2


@part
def span_of(taps: Any, left: int, count: int) -> Any:
    """Tell the first input column of these output columns, and how many they take."""
    last, start = left + count - 1, taps.places[0, left]
    return start, taps.places[0, last] + taps.places[1, last] - start


@part
def gathered(taps: Any, left: int, count: int, room: int) -> Any:
    """Give what `mix_columns` is told of these output columns.

    Filled up to a room of whole LANES: where the first input of each is in their span (int32), how many it has (int32),
    the share of the last one (float32); the most inputs that one has; the share of what is neither first nor last; 1 if
    LANES columns never take more than twice as many inputs.
    """
    first, counts, lasts = np.zeros(room, np.int32), np.ones(room, np.int32), np.zeros(room, np.float32)
    start, most, near = taps.places[0, left], np.int64(1), np.int64(1)
    for column in range(count):
        first[column] = taps.places[0, left + column] - start
        counts[column] = taps.places[1, left + column]
        lasts[column] = taps.shares[1, left + column]
        most = max(most, taps.places[1, left + column])
        if first[column] + counts[column] > first[column // LANES * LANES] + 2 * LANES:
            near = np.int64(0)
    first[count:] = first[count - 1]
    return first, counts, lasts, most, np.float32(taps.inner), near


@part
def _share(taps: Any, k: int, at: int) -> Any:
    """Tell what part of output pixel `at` its k-th input makes up."""
    if k == 0:
        return taps.shares[0, at]
    return taps.shares[1, at] if k == taps.places[1, at] - 1 else np.float32(taps.inner)


@part
def mix_rows(source: Any, row: int, taps: Any, span: Any, out: Any) -> None:
    """Mix the input rows of one output row, between the columns of a span; not finite where any of them is NaN.

    source  the plane, flat, and how many columns it has.
    """
    (flat, wide), (start, width) = source, span
    pitch, n, count = np.uint64(wide), np.uint64(width), taps.places[1, row]
    at = np.uint64(taps.places[0, row]) * pitch + np.uint64(start)
    if count == 1:
        for column in range(np.uint64(0), n):
            out[column] = flat[at + column]
        return
    share, second = _share(taps, 1, row), at + pitch
    if count == 3:
        other, third = _share(taps, 2, row), second + pitch
        for column in range(np.uint64(0), n):
            base = flat[at + column]
            out[column] = base + (flat[second + column] - base) * share + (flat[third + column] - base) * other
        return
    for column in range(np.uint64(0), n):
        out[column] = flat[at + column] + (flat[second + column] - flat[at + column]) * share
    for k in range(2, count):
        share, second = _share(taps, k, row), second + pitch
        for column in range(np.uint64(0), n):
            out[column] += (flat[second + column] - flat[at + column]) * share


def _mixing(near: bool) -> Any:
    """Make the function that mixes LANES output columns; those that are `near` take no more than twice as many inputs.

    It takes the inputs, taps as in `mix_columns`, and the result; and which columns.
    """

    def mix(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
        (source, first, counts, lasts, into), (at, most, inner), builder = arrays, told, say.builder
        places, share = say.load_at(first, at, WORDS), say.load_at(lasts, at, FLOATS)
        last = builder.sub(say.load_at(counts, at, WORDS), say.every(1, WORDS))
        between, none = say.splat(inner), say.every(0, FLOATS)
        if near and say.can_pick:  # Less than half the time of gathering.
            begin = builder.extract_element(places, WORD(0))
            two = [say.load_at(source, builder.add(begin, WORD(part)), FLOATS) for part in (0, LANES)]
            places = builder.sub(places, say.splat(begin))
            find = partial(say.picked, two)
        else:
            find = partial(say.gather, source, kind=FLOATS)
        base = find(places)
        mixed = cgutils.alloca_once_value(builder, base)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, builder.sub(most, most.type(1))) as loop:
            k = say.splat(builder.trunc(builder.add(loop.index, loop.index.type(1)), WORD))
            is_inner, is_last = builder.icmp_signed("<", k, last), builder.icmp_signed("==", k, last)
            portion = builder.select(is_inner, between, builder.select(is_last, share, none))
            found = find(builder.add(places, builder.select(is_inner, k, last)))
            more = builder.fmul(builder.fsub(found, base), portion)
            builder.store(builder.fadd(builder.load(mixed), more), mixed)
        say.store_at(builder.load(mixed), into, at)

    return in_vectors(mix)


_mix, _mix_near = _mixing(near=False), _mixing(near=True)


@part
def mix_columns(inputs: Any, taps: Any, count: int, out: Any) -> None:
    """Mix the columns of a row into output columns; not finite where any input is NaN.

    inputs  and LANES of any numbers behind them, twice.
    taps    as `gathered` gives them.
    """
    first, counts, lasts, most, inner, near = taps
    for at in range(np.uint64(0), np.uint64(count), np.uint64(LANES)):
        if near == 1:
            _mix_near((inputs, first, counts, lasts, out), (at, most, inner))
        else:
            _mix((inputs, first, counts, lasts, out), (at, most, inner))


def _looking(say: Vectors, arrays: list[Any], told: list[Any]) -> Any:
    """Build: tell in bits which of LANES values are not finite."""
    value, most, builder = say.load_at(arrays[0], told[0], FLOATS), say.every(float(FLOAT32_MAX), FLOATS), say.builder
    beyond = builder.fcmp_unordered(">", value, most)
    return builder.bitcast(
        builder.or_(beyond, builder.fcmp_unordered("<", value, builder.fneg(most))), ir.IntType(LANES)
    )


_unmeasured: Final = in_vectors(_looking, numba.types.uint16)


@part
def is_any_bad(values: Any, count: int) -> Any:
    """Tell whether a row, whose room is of whole LANES, has values that are not finite."""
    found = np.uint16(0)
    for at in range(np.uint64(0), np.uint64(count), np.uint64(LANES)):
        found |= _unmeasured((values,), (at,))
    return found != 0


@part
def refill(plane: Any, corner: Any, axes: Any, values: Any, count: int) -> None:
    """Make again what is not finite of an output row, from what is good of its inputs; NaN if nothing is.

    corner  its row and first column.
    """
    row, left = corner
    down, across = axes
    start, width = span_of(across, left, count)
    sums, goods = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for k in range(down.places[1, row]):
        share, source = _share(down, k, row), plane[down.places[0, row] + k]
        for column in range(width):
            good = not np.isnan(source[start + column])
            sums[column] += share * source[start + column] if good else np.float32(0)
            goods[column] += share if good else np.float32(0)
    for column in range(count):
        if abs(values[column]) <= FLOAT32_MAX:
            continue
        total, weight = np.float32(0), np.float32(0)
        for k in range(across.places[1, left + column]):
            share = _share(across, k, left + column)
            at = across.places[0, left + column] - start + k
            total += share * sums[at]
            weight += share * goods[at]
        values[column] = total / weight if weight > 0 else np.float32(np.nan)
