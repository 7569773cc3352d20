"""Greys: what each value is drawn as, by the values at which the grey changes; for `tone`.

A table of buckets tells where to look. What a bucket holds is one word: how many thresholds lie in lower ones, and
where in it the next one lies, so that most values need no second look.
"""

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part
from cgi_worker.kernels.vectors import FLOATS, LANES, OCTETS, WORDS, Vectors, in_vectors

GREYS: Final = 256
BUCKETS: Final = 8193  # 512 an octave of 1 + SPREAD * t: fine near black, where stretches are steep; and t = 1.
SPREAD: Final = 65_535.0
ONE_BITS: Final = 0x3F80_0000  # Of 1.0, as a float of 32 bits.
INSIDE_BITS: Final = 14  # Of a float, by which values of one bucket differ.
INSIDE: Final = (1 << INSIDE_BITS) - 1
NOWHERE: Final = 1 << INSIDE_BITS  # Beyond all that lies in a bucket.
BELOW_SHIFT: Final = 16  # Of the thresholds in lower buckets, in a word of the table.


@part
def _fold(value: Any, black: Any, slope: Any) -> Any:
    """Give the float whose bits tell a value's bucket, and where it lies in it; ascends with the value."""
    t = (value - black) * slope
    t = t if t > np.float32(0) else np.float32(0)
    t = t if t < np.float32(1) else np.float32(1)
    return np.float32(1) + t * np.float32(SPREAD)


@part
def _at_least(value: Any) -> Any:
    """Round to float32, up."""
    rounded = np.float32(value)
    return np.nextafter(rounded, np.float32(np.inf)) if np.float64(rounded) < value else rounded


@compiled(numba.types.Array(numba.f8, 1, "C", readonly=True), numba.f8, numba.f8, numba.f4[::1])
def lay_edges(beginnings: NDArray[np.float64], black: float, white: float, thresholds: NDArray[np.float32]) -> None:
    """Find the lowest float32 value that is drawn as each grey but the first.

    beginnings  (255,) float64, ascending: where between black (0) and white (1) they are.
    thresholds  (256,) float32, ascending, above black and not above white; the last one is infinite.
    """
    lowest, value = np.nextafter(black, np.inf), -np.inf
    for grey in range(GREYS - 1):
        t = beginnings[grey]
        value = max(value, min(max(black * (1 - t) + white * t, lowest), white))
        thresholds[grey] = _at_least(value)
    thresholds[GREYS - 1] = np.inf


@compiled(numba.f4[::1], numba.f4, numba.f4, numba.u4[::1], numba.i8[::1])
def lay(
    thresholds: NDArray[np.float32], black: float, slope: float, table: NDArray[np.uint32], deep: NDArray[np.int64]
) -> None:
    """Lay thresholds into buckets.

    thresholds  (256,) float32, ascending: [g] is the lowest value that is lighter than g; the last one is infinite, and
                is none.
    table       (BUCKETS + 1,) uint32, of each bucket: thresholds in lower ones << BELOW_SHIFT | where its first one
                lies, or NOWHERE.
    deep        (1,) int64, set to 1 if a bucket holds two or more.
    """
    at, folded = np.int64(0), np.empty(1, np.float32)
    for grey in range(GREYS - 1):
        folded[0] = _fold(thresholds[grey], np.float32(black), np.float32(slope))
        bits = np.int64(folded.view(np.int32)[0]) - ONE_BITS
        bucket = bits >> INSIDE_BITS
        if at <= bucket:
            table[at : bucket + 1] = grey << BELOW_SHIFT | NOWHERE
            table[bucket] = grey << BELOW_SHIFT | (bits & INSIDE)
            at = bucket + 1
        else:
            deep[0] = 1
    table[at:] = (GREYS - 1) << BELOW_SHIFT | NOWHERE


def _finding(say: Vectors, arrays: list[Any], told: list[Any]) -> None:
    """Build: find the greys of LANES values, where no bucket holds two thresholds."""
    (values, words, edges, drawn), (at, black, slope), builder = arrays, told, say.builder
    none, one = say.every(0, FLOATS), say.every(1, FLOATS)
    value = say.load_at(values, at, FLOATS)
    t = builder.fmul(builder.fsub(value, say.splat(black)), say.splat(slope))
    t = builder.select(builder.fcmp_ordered(">", t, none), t, none)
    t = builder.select(builder.fcmp_ordered("<", t, one), t, one)
    folded = builder.fadd(one, builder.fmul(t, say.every(SPREAD, FLOATS)))
    bits = builder.sub(builder.bitcast(folded, WORDS), say.every(ONE_BITS, WORDS))
    word = say.gather(words, builder.lshr(bits, say.every(INSIDE_BITS, WORDS)), WORDS)
    inside = builder.and_(bits, say.every(INSIDE, WORDS))
    next_one = builder.and_(word, say.every((1 << BELOW_SHIFT) - 1, WORDS))
    below = builder.lshr(word, say.every(BELOW_SHIFT, WORDS))
    grey = builder.add(below, builder.zext(builder.icmp_unsigned(">=", inside, next_one), WORDS))
    say.store_at(builder.trunc(grey, OCTETS), drawn, at)
    # Several values may be the same float when they are folded: only they themselves tell then.
    doubtful = builder.bitcast(builder.icmp_unsigned("==", inside, next_one), ir.IntType(LANES))
    with builder.if_then(builder.icmp_unsigned("!=", doubtful, doubtful.type(0)), likely=False):
        edge = say.gather(edges, below, FLOATS)
        grey = builder.add(below, builder.zext(builder.fcmp_ordered(">=", value, edge), WORDS))
        say.store_at(builder.trunc(grey, OCTETS), drawn, at)


_find: Final = in_vectors(_finding)


@part
def _search(value: Any, bucket: Any, table: Any, thresholds: Any) -> Any:
    """Find a value's grey among all the thresholds of its bucket."""
    grey, end = np.int64(table[bucket] >> BELOW_SHIFT), np.int64(table[bucket + 1] >> BELOW_SHIFT)
    while grey < end:
        middle = (grey + end) >> 1
        if value >= thresholds[middle]:
            grey = middle + 1
        else:
            end = middle
    return grey


@part
def find_greys(values: Any, count: int, channel: int, look: Any, out: Any) -> None:
    """Write the greys of a row's values; both are rooms of whole LANES. Of NaN some grey."""
    black, slope = look.black[channel], look.slope[channel]
    table, thresholds = look.table[channel], look.thresholds[channel]
    if look.deep == 1:
        folded = np.empty(count, np.float32)
        for at in range(count):
            folded[at] = _fold(values[at], black, slope)
        bits = folded.view(np.int32)
        for at in range(count):
            out[at] = _search(values[at], (np.int64(bits[at]) - ONE_BITS) >> INSIDE_BITS, table, thresholds)
        return
    for at in range(np.uint64(0), np.uint64(count), np.uint64(LANES)):
        _find((values, table, thresholds, out), (at, black, slope))
