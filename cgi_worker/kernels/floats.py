"""Floats: one pass over rows of float32 pixels in data units that averages blocks, sorts values into bins and surveys
them, as fast as can be. It leaves to `wide`: all other types, and highest pixels.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part
from cgi_worker.kernels.fetching import fetch
from cgi_worker.kernels.reduce import (
    BINS,
    FULL,
    GRID,
    INTO,
    LOWEST,
    NOTHING,
    SCALING,
    SQUARES,
    SUM,
    TOP,
    Grid,
    Into,
    Scaling,
)

SPAN: Final = 2048  # Columns worked on at once, so that their sums stay in the nearest cache.
PIECE: Final = 128  # Columns that everything is done to before the next ones; even, as sites take turns.
LINE: Final = 16  # Pixels of a cache line.


def _in_any_order(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a part whose sums may be brought together in an order that suits the machine."""
    made = numba.njit(nogil=True, boundscheck=False, error_model="numpy", fastmath={"reassoc"})(function)
    return cast(Callable[..., Any], made)


@part
def _load(words: Any, place: Any, size: Any, swap: Any, bits: Any) -> Any:
    """Take a piece of stored pixels; those that are not good become NaN; tell how many are not."""
    (y, begin), bad = place, np.uint32(0)
    for near in range(size):
        word = words[y, begin + near]
        high = np.uint32(word >> np.uint32(24)) | np.uint32(np.uint32(word >> np.uint32(8)) & np.uint32(0xFF00))
        low = np.uint32(np.uint32(word << np.uint32(8)) & np.uint32(0xFF0000)) | np.uint32(word << np.uint32(24))
        word = np.uint32(high | low) if swap else word
        good = np.uint32(word & np.uint32(0x7FFFFFFF)) < np.uint32(0x7F800000)
        bits[near] = word if good else np.uint32(0x7FC00000)
        bad = np.uint32(bad + (np.uint32(0) if good else np.uint32(1)))
    return bad


@part
def _add(values: Any, bad: Any, place: Any, sums: Any, bads: Any) -> None:
    start, size = place
    if bad:
        for near in range(size):
            good = not np.isnan(values[near])
            sums[start + near] += np.float64(values[near]) if good else 0.0
            bads[start + near] += np.uint32(0) if good else np.uint32(1)
    else:
        for near in range(size):
            sums[start + near] += np.float64(values[near])


@part
def _stretch(values: Any, size: Any, lows: Any, highs: Any) -> None:
    for near in range(size):
        lows[near] = values[near] if values[near] < lows[near] else lows[near]
        highs[near] = values[near] if values[near] > highs[near] else highs[near]


@part
def _square(values: Any, size: Any, center: Any, squares: Any) -> None:
    for near in range(size):
        away = np.float64(values[near]) - np.float64(center[near])
        squares[near] += 0.0 if np.isnan(away) else away * away


@_in_any_order
def _squared(values: Any, size: Any, center: Any) -> Any:
    """Do so where all are good and have the same centre, in half of the time."""
    total = 0.0
    for near in range(size):
        away = np.float64(values[near]) - center
        total += away * away
    return total


@part
def _count_full(values: Any, size: Any, brim: Any, full: Any) -> None:
    for near in range(size):
        full[near] += 1.0 if np.float64(values[near]) >= brim else 0.0


@part
def _find_keys(values: Any, size: Any, laid: Any, folded: Any, keys: Any) -> None:
    """Sort values into bins, as `wide` does; bad ones into the last."""
    (center, inverse), (folds, bits) = laid, folded
    for near in range(size):
        away = np.float32(values[near] - center[near])
        folds[near] = np.float32(1) + abs(away) * inverse[near]
        keys[near] = np.uint32(0xFFFFFFFF) if away < np.float32(0) else np.uint32(0)
    for near in range(size):
        step = np.int32(np.int32(bits[near] - np.int32(0x3F800000)) >> np.int32(15))
        step = step if step < np.int32(32767) else np.int32(32767)
        key = np.uint32(np.uint32(np.uint32(step) ^ keys[near]) + np.uint32(32768))
        keys[near] = np.uint32(BINS) if np.isnan(values[near]) else key


@part
def _count(keys: Any, size: Any, tables: Any) -> None:
    (first, second, third, fourth), one, fours = tables, np.uint32(1), size - size % np.uint64(4)
    for near in range(np.uint64(0), fours, np.uint64(4)):
        first[keys[near]] += one
        second[keys[near + np.uint64(1)]] += one
        third[keys[near + np.uint64(2)]] += one
        fourth[keys[near + np.uint64(3)]] += one
    for near in range(fours, size):
        if near & np.uint64(1):
            second[keys[near]] += one
        else:
            first[keys[near]] += one


def _adding(counting: bool) -> Callable[..., Any]:
    """Make the function that brings some rows of one span to their columns, and to the counters."""

    @part
    def add(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> Any:
        """Tell how many pixels are bad; lie: first row, end, how many further the next is; first column, columns."""
        ((top, end, step), (left, n)), (swap, brim, center, inverse, figures) = lie, told
        (values, folded, keys), (sums, bads), (squares, lows, highs, full) = scratch[0], scratch[1], figures
        words, row_bytes, all_bad = source.view(np.uint32), np.int64(source.shape[1]), np.int64(0)
        bits = values.view(np.uint32)
        folds, laid, columns = (folded.view(np.float32), folded.view(np.int32)), (center, inverse), np.uint64(n)
        for y in range(top, end, step):
            for start in range(np.uint64(0), columns, np.uint64(PIECE)):
                size, begin = min(np.uint64(PIECE), columns - start), np.uint64(left) + start
                for near in range(np.uint64(0), np.uint64(PIECE), np.uint64(LINE)):
                    fetch(source, (y + step) * row_bytes + 4 * np.int64(begin + near))
                bad = _load(words, (y, begin), size, swap, bits)
                _add(values, bad, (start, size), sums, bads)
                if counting:
                    _stretch(values, size, lows, highs)
                    if bad or step == 2:
                        _square(values, size, center, squares)
                    else:
                        squares[0] += _squared(values, size, np.float64(center[0]))
                    if brim < np.inf:
                        _count_full(values, size, brim, full)
                    _find_keys(values, size, laid, folds, keys)
                    _count(keys, size, tables)
                all_bad += np.int64(bad)
        return all_bad

    return add


_add_rows, _add_and_count_rows = _adding(False), _adding(True)


@part
def _fold(columns: Any, start: Any, step: Any, factor: Any, totals: Any) -> None:
    """Add every column, or from `start` on every other one, to the block it lies in."""
    wide = np.uint64(factor)
    for near in range(start, min(factor, columns.size), step):
        at = np.uint64(near)
        for block in range(np.uint64((columns.size - near + factor - 1) // factor)):
            totals[block] += np.float64(columns[block * wide + at])


@part
def _settle(place: Any, size: Any, bad: Any, told: Any, scratch: Any) -> None:
    """Bring the columns of one span together, and write them: block row, first block; rows and columns."""
    (grid, plane), (sums, bads, total, count) = told, scratch
    (block_row, first), (rows, n), factor, step = place, size, grid.factor, grid.parities
    blocks, sites = (n + factor - 1) // factor, ((grid.site00, grid.site01), (grid.site10, grid.site11))
    channels, out, rest = 3 if step == 2 else 1, total[:blocks], n - (blocks - 1) * factor
    bad_of, good_of = count[0, :blocks], count[1, :blocks]
    for channel in range(channels):
        out[:], bad_of[:], whole, last = 0.0, 0.0, 0, 0
        for parity in range(step):
            for odd in range(min(step, n)):
                if sites[parity][odd] == channel or step == 1:
                    _fold(sums[parity, :n], odd, step, factor, out)
                    high = (rows + step - 1 - parity) // step
                    whole += high * ((factor + step - 1 - odd) // step)
                    last += high * ((rest + step - 1 - odd) // step)
                    if bad:
                        _fold(bads[parity, :n], odd, step, factor, bad_of)
        for block in range(blocks):
            good_of[block] = np.float64(whole) - bad_of[block]
        good_of[blocks - 1] = np.float64(last) - bad_of[blocks - 1]
        into = plane[channel, block_row, first : first + blocks]
        for block in range(blocks):  # A mean of good pixels is never beyond float32 itself.
            into[block] = np.float32(out[block] / good_of[block] if good_of[block] > 0 else np.nan)
        if plane.shape[0] > channels:
            plane[channels + channel, block_row, first : first + blocks] = good_of


@part
def _gather(figures: Any, parity: Any, into: Any) -> None:
    """Add what the columns of a piece have gathered to the band's figures of their sites."""
    squares, lows, highs, full = figures
    for near in range(PIECE):
        site = 2 * parity + (near & 1)
        into[SQUARES, site] += squares[near]
        into[FULL, site] += full[near]
        into[LOWEST, site] = min(into[LOWEST, site], np.float64(lows[near]))
        into[TOP, site] = max(into[TOP, site], np.float64(highs[near]))


@compiled(BYTES, GRID, SCALING, INTO)
def reduce_floats(source: NDArray[np.uint8], grid: Grid, scaling: Scaling, into: Into) -> None:
    """Average, count and survey one band of float32 pixels that are data units already; as `reduce_wide` does.

    Memory   a few scratch rows beyond `into`; each pixel is read once, in order; in a mosaic, every other row of a
             block row first.
    """
    factor, parities, counts = grid.factor, grid.parities, into.counts
    span = min(factor * max(1, SPAN // factor), grid.width)
    sums, bads, blocks = (
        np.empty((parities, span)),
        np.empty((parities, span), np.uint32),
        (span + factor - 1) // factor,
    )
    total, count, of = np.empty(blocks), np.empty((2, blocks)), (parities, PIECE)
    piece = (np.empty(PIECE, np.float32), np.empty(PIECE, np.uint32), np.empty(PIECE, np.uint32))
    center, inverse = np.empty(of, np.float32), np.empty(of, np.float32)
    squares, full, lows, highs = np.zeros(of), np.zeros(of), np.full(of, np.inf, np.float32), np.empty(of, np.float32)
    highs[:] = -np.inf
    sites = (grid.site00, grid.site01, grid.site10, grid.site11)
    for site in range(2 * parities):
        center[site // 2, site % 2 :: 2] = scaling.center[sites[site]]
        inverse[site // 2, site % 2 :: 2] = scaling.inverse[sites[site]]
    brim, near = scaling.brim if grid.brimming == 2 else np.inf, 2 * (2 - parities)
    tables = ((counts[0], counts[1], counts[near], counts[near + 1]), (counts[2], counts[3], counts[2], counts[3]))
    for block_row in range(grid.first, grid.last):
        top = (block_row - grid.first) * factor
        bottom = min(top + grid.taken, source.shape[0])
        for start in range(0, grid.width, span):
            n, bad = min(span, grid.width - start), 0
            for parity in range(parities):
                own, tall = (sums[parity], bads[parity]), (squares[parity], lows[parity], highs[parity], full[parity])
                own[0][:], own[1][:] = 0, 0
                lie = ((top + parity, bottom, parities), (grid.x + start, n))
                told = (grid.swap == 1, brim, center[parity], inverse[parity], tall)
                if grid.counting == 1:
                    bad += _add_and_count_rows(source, lie, told, (piece, own), tables[parity])
                    for column in range(n):
                        into.sums[SUM, 2 * parity + (column & 1)] += own[0][column]
                else:
                    bad += _add_rows(source, lie, told, (piece, own), tables[parity])
            if grid.pooling != NOTHING:
                _settle(
                    (block_row, start // factor), (bottom - top, n), bad, (grid, into.plane), (sums, bads, total, count)
                )
    for parity in range(parities if grid.counting == 1 else 0):
        _gather((squares[parity], lows[parity], highs[parity], full[parity]), parity, into.sums)
