"""Climb: 16-bit pixels that are nearly all near one base, averaged and counted in half the time; for `means`.

Neighbours are counted together, in pairs, and sums are of half the width. A pixel that is not near, or blank, is taken
for the base itself first, and made good by itself.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from cgi_worker.kernels.compiled import part
from cgi_worker.kernels.pairs import FAR, base_of, count_from
from cgi_worker.kernels.pieces import PIECE, PLACE_SHIFT, SIGN, count_pairs, making_good, stepping
from cgi_worker.kernels.reduce import BINS, NOTHING
from cgi_worker.kernels.vectors import NEAR, lowest

ROWS: Final = 4  # Of a piece, read before what was noted of them is counted: what is just written is slow to read.
SAMPLES: Final = 96  # By which a base is found; all but a few have to be so near one another:
SPREAD_MAX: Final = 224  # Where they are further apart, many pixels are not near.
INVERSE_BITS: Final = 32  # Of an inverse of the factor, which is exact: both it and columns have 14 bits at most.
APART_MAX: Final = 3  # Of the samples, stars and defects.
FAR_MAX: Final = 256  # Rows of pieces that wait to be looked at again.
BRIM: Final = 8  # So near to the ends of what is near a base no other sample may be, if the base is to stay.


@part
def _swapped(word: Any, swap: Any) -> Any:
    turned = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8)))
    return np.uint16(turned if swap else word)


@part
def turned(word: Any, swap: Any) -> Any:
    """Turn a stored pixel into its bin."""
    return np.uint16(_swapped(word, swap) ^ np.uint16(SIGN))


@part
def _stored(key: Any, swap: Any) -> Any:
    """Turn a bin into the pixel that is stored for it."""
    return _swapped(np.uint16(key ^ np.uint16(SIGN)), swap)


@part
def _find_base(source: Any, grid: Any, site: Any, known: Any) -> Any:
    """Find the base that nearly all pixels of a site are near to, by some of a row in the middle; FAR if there is none.

    site   its row and column in a cell.
    known  the base of the band before: it stays if it does, as to begin with another one takes some time.
    """
    words, found, step = source.view(np.uint16), np.empty(SAMPLES, np.int64), grid.parities
    y = source.shape[0] // 2 // step * step + site[0]
    if y >= source.shape[0] or grid.width < step:
        return np.int64(FAR)
    for k in range(SAMPLES):
        x = grid.x + k * grid.width // SAMPLES // step * step + site[1]
        key, at = np.int64(turned(words[y, x], grid.swap == 1)), k
        while at > 0 and found[at - 1] > key:
            found[at] = found[at - 1]
            at -= 1
        found[at] = key
    for low in range(APART_MAX + 1):
        high = SAMPLES - 1 - APART_MAX + low
        if known != FAR and known + BRIM <= found[low] and found[high] < known + NEAR - BRIM:
            return known
    for low in range(APART_MAX + 1):
        high = SAMPLES - 1 - APART_MAX + low
        if found[high] - found[low] < SPREAD_MAX:
            return min(max((found[low] + found[high] - NEAR) // 2, 0), BINS - NEAR)
    return np.int64(FAR)


@part
def find_bases(source: Any, grid: Any, parity: Any, counts: Any) -> Any:
    """Find the bases of even and odd columns in rows of one parity, and count pairs from them; both FAR if one is."""
    even = 2 * parity
    odd = even + grid.parities - 1
    above = _find_base(source, grid, (parity, 0), base_of(counts, even) if grid.counting == 1 else np.int64(FAR))
    other = above
    if odd != even:
        other = _find_base(source, grid, (parity, 1), base_of(counts, odd) if grid.counting == 1 else np.int64(FAR))
    if FAR in (above, other):
        return np.int64(FAR), np.int64(FAR)
    if grid.counting == 1:
        count_from(counts, even, above)
        count_from(counts, odd, other)
    return above, other


@part
def _fill_ends(rows: Any, done: Any, some: Any, rest: Any, ends: Any) -> None:
    """Copy the last columns of some rows, and fill up with what is stored for the bases."""
    (words, y, apart, left), (start, n, even, odd) = rows, rest
    for turn in range(some):
        end = ends[turn * PIECE : (turn + 1) * PIECE]
        end[: n - start] = words[y + (done + turn) * apart, left + start : left + n]
        for lane in range(n - start, PIECE):
            end[lane] = odd if lane & 1 else even


def _climbing(counting: bool, blanking: bool) -> Callable[..., None]:
    """Make the function that brings rows of one span of some block rows to steps, extras and counters."""
    step, make_good = stepping(counting, blanking), making_good(counting, blanking)

    @part
    def bring_far(rows: Any, told: Any, scratch: Any, place: Any, values: Any) -> None:
        """Bring the pixels that were taken for the base."""
        (words, y, apart, left), (lanes, places, count) = rows, scratch
        (swap, blank, (even, odd)), (first, factor, (extras, goods)) = told, place
        arrays, sides, blocks = (values[0], values[1], extras, goods), extras.shape[0] - 1, extras.shape[1]
        inverse = np.int64(((1 << INVERSE_BITS) + factor - 1) // factor)
        for number in range(count):
            far, turn = lanes[number], np.int64(places[number] >> np.uint64(PLACE_SHIFT))
            start, y_of = np.int64(places[number] & np.uint64((1 << PLACE_SHIFT) - 1)), y + turn * apart
            while far:
                column = start + np.int64(lowest((), (far,)))
                far &= far - np.uint64(1)
                key, block = turned(words[y_of, left + column], swap), first + (column * inverse >> INVERSE_BITS)
                base = odd if column & 1 else even
                make_good(arrays, (key, column, base, blank, (column & sides) * blocks + block, np.int64(1)))

    @part
    def climb(source: Any, lie: Any, told: Any, scratch: Any, tables: Any) -> None:
        (top, taken, apart), (factor, high), (left, n, span) = lie
        (steps, notes, ends, lanes, places), sums = scratch
        (swap, blank, (even, odd)), (values, pairs, _) = told, tables
        words, row_bytes, room = source.view(np.uint16), np.int64(source.shape[1]), np.int64(lanes.size - ROWS)
        whole = n // PIECE * PIECE
        for block in range(high):
            y, own, far = top + block * factor, block * span, np.int64(0)
            rows, place = (words, y, apart, left), (block * (span // factor), factor, sums)
            for start in range(0, n, PIECE):
                at, pitch, is_end = y * row_bytes + 2 * (left + start), apart * row_bytes, start == whole
                for done in range(0, taken, ROWS):
                    some = min(ROWS, taken - done)
                    if is_end:
                        at, pitch = np.int64(0), np.int64(2 * PIECE)
                        rest = (start, n, _stored(even, swap), _stored(odd, swap))
                        _fill_ends(rows, done, some, rest, ends)
                    where = (at, pitch, some, np.int64(is_end), np.int64(swap), done, start, own + start)
                    far = step((source, ends, steps, notes, lanes, places), (*where, even, odd, blank, far))
                    if counting:
                        count_pairs((notes, pairs[0], pairs[1]), (some,))
                    if far > room:
                        bring_far(rows, told, (lanes, places, far), place, values)
                        far = np.int64(0)
                    at += some * pitch
            bring_far(rows, told, (lanes, places, far), place, values)
            rest = n - whole
            if counting and rest > 0:  # What filled up was counted, too.
                values[0][even] -= np.uint32(taken * (PIECE // 2 - (rest + 1) // 2))
                values[1][odd] -= np.uint32(taken * (PIECE // 2 - rest // 2))
            steps[own + (n + PIECE - 1) // PIECE * PIECE : own + span] = 0

    return climb


_climb, _climb_and_count = _climbing(False, False), _climbing(True, False)
_climb_good, _climb_good_and_count = _climbing(False, True), _climbing(True, True)


@part
def climb_rows(source: Any, lie: Any, grid: Any, scratch: Any, tables: Any) -> None:
    """Bring rows of one span of some block rows to steps above their bases, to blocks' extras, and to the counters.

    lie      as in `means`.
    scratch  steps, (columns + PIECE,) uint16; notes of ROWS, (ROWS * PIECE / 2,) uint16; and the rows' ends,
             (ROWS * PIECE,) uint16; room for FAR_MAX lanes and places, uint64 both. Then extras, what blocks have
             beyond their steps and what the bases make up, by even and odd columns in a mosaic, (parities, blocks)
             uint32, modulo 2**32; and numbers of good pixels beyond all, alike. To both is added.
    tables   of values, and of pairs, of even and odd columns; and their bases.
    """
    counting, blanking = grid.counting == 1, grid.blanking == 1 and grid.pooling != NOTHING
    bases = (np.uint16(tables[2][0]), np.uint16(tables[2][1]))
    told = (grid.swap == 1, np.uint16(grid.blank), bases)
    if counting and blanking:
        _climb_good_and_count(source, lie, told, scratch, tables)
    elif counting:
        _climb_and_count(source, lie, told, scratch, tables)
    elif blanking:
        _climb_good(source, lie, told, scratch, tables)
    else:
        _climb(source, lie, told, scratch, tables)
