"""Rice: decode tiles that were compressed by RICE_1, straight into rows.

Source  FITS Standard 4.0, section 10.4.1; R. White's coder as cfitsio has it. Twin with plain loops in tests/kernels.
"""

from typing import Any, Final, NamedTuple

import llvmlite.ir  # type: ignore[import-untyped]
import numba
import numba.extending
import numpy as np
from numba.cpython.unsafe import numbers
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record

_leading_zeros: Final[Any] = numbers.leading_zeros
_OCTETS: Final = numba.types.Array(numba.u1, 1, "C", readonly=True)

# Columns of `jobs`, one row a tile: its octets [start, stop); how many of its rows of how many pixels to skip and then
# to write, and where the first of those pixels lies in the flat output.
START, STOP, SKIP, ROWS, WIDTH, PLACE = range(6)
JOB: Final = 6

_AT_ONCE: Final = 2048  # Pixels, so that they stay in the nearest cache until they are written.
_SHORT: Final = 11  # Four pixels that take so many bits and a few mostly show in one window of 57 bits.


class _Lay(NamedTuple):
    block_px: int
    pitch: int


class _Into(NamedTuple):
    scratch: NDArray[Any]
    out: NDArray[Any]
    status: NDArray[np.int64]


def _eight_octets(_: Any, octets: Any, at: Any) -> Any:
    """Take eight octets at once wherever they lie, the first one highest. Nobody checks that they lie inside."""

    def generate(target: Any, builder: Any, signature: Any, given: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, given[0])
        word = llvmlite.ir.IntType(64)
        place = builder.bitcast(builder.gep(array.data, [given[1]]), word.as_pointer())
        return builder.bswap(builder.load(place, align=1))

    return numba.u8(octets, numba.u8), generate


_eight: Final[Any] = numba.extending.intrinsic(_eight_octets)


@part
def _load(octets: Any, at: Any) -> Any:
    """Take eight octets, the first one highest; zeros beyond the end."""
    if at + np.uint64(8) <= np.uint64(octets.size):
        return _eight(octets, at)
    word = np.uint64(0)
    for place in range(np.uint64(8)):
        if at + place < np.uint64(octets.size):
            word |= np.uint64(octets[at + place]) << (np.uint64(56) - np.uint64(8) * place)
    return word


@part
def _unmapped(mapped: Any) -> Any:
    """Turn 0, 1, 2, 3, 4 into 0, -1, 1, -2, 2, all modulo 2**32."""
    return np.uint32(mapped >> np.uint64(1)) ^ (np.uint32(0) - np.uint32(mapped & np.uint64(1)))


@part
def _fill(octets: Any, window: Any, have: Any, at: Any) -> Any:
    """Fill the window up to at least 57 bits. What is beyond its `have` bits is what follows them, or zero."""
    window |= _load(octets, at) >> have
    taken = (np.uint64(63) - have) >> np.uint64(3)
    return window, have + np.uint64(8) * taken, at + taken


@part
def _long_run(octets: Any, state: Any, stop: Any) -> Any:
    """Skip a run of zeros that the window does not show the end of; tell its length. None ends beyond `stop`."""
    window, have, at = state
    run = np.uint64(0)
    while True:
        zeros = _leading_zeros(window)
        if zeros < have:
            return window << zeros, have - zeros, at, run + zeros
        run += have
        window, have, at = _fill(octets, np.uint64(0), np.uint64(0), at)
        if at > stop + np.uint64(8):
            return np.uint64(1) << np.uint64(63), np.uint64(64), at, run


@part
def _one(octets: Any, state: Any, split: Any, stop: Any) -> Any:
    """Decode one pixel's difference, however long its code is."""
    window, have, at = _fill(octets, *state)
    run = _leading_zeros(window)
    if run + split >= have:
        window, have, at, run = _long_run(octets, (window, have, at), stop)
        window, have, at = _fill(octets, window, have, at) if have < np.uint64(57) else (window, have, at)
    else:
        window, have = window << run, have - run
    mapped = ((run - np.uint64(1)) << split) + (window >> (np.uint64(63) - split))
    return window << (split + np.uint64(1)), have - split - np.uint64(1), at, _unmapped(mapped)


@part
def _direct(octets: Any, state: Any, block: Any, pixels: Any) -> Any:
    """Decode pixels [start, end) whose differences are not coded."""
    (window, have, at, last), (bits, start, end) = state, block
    for index in range(start, end):
        window, have, at = _fill(octets, window, have, at) if have < bits else (window, have, at)
        last += _unmapped(window >> (np.uint64(64) - bits))
        window <<= bits
        have -= bits
        pixels[index] = last
    return window, have, at, last


@part
def _blocks(octets: Any, state: Any, plan: Any, pixels: Any) -> Any:
    """Decode the next blocks; also tell whether they are sound.

    Coded pixels are decoded four at a time from what the window shows. Where it did not show that much its bits run
    out, below zero: nothing of these four counts then, and the next one is decoded alone.

    plan  (octets of a pixel, pixels of a block, pixels in all, where the tile's octets stop).
    """
    (window, have, at, last), (size, block_px, count, stop) = state, plan
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    width = three if size == 1 else np.uint64(4) if size == 2 else np.uint64(5)
    highest = np.uint64(7) if size == 1 else np.uint64(15) if size == 2 else np.uint64(26)
    inside = np.uint64(max(0, octets.size - 7))
    done = np.uint64(0)
    while done < count:
        end = min(done + block_px, count)
        window, have, at = _fill(octets, window, have, at)
        up = window >> (np.uint64(64) - width)
        window <<= width
        have -= width
        if up >= highest:
            bits = np.uint64(8) * size
            window, have, at, last = _direct(octets, (window, have, at, last), (bits, done, end), pixels)
            done = end if up == highest else count + one
        elif up == 0:
            while done < end:
                pixels[done] = last
                done += one
        split, down = up - one, np.uint64(64) - up
        short = end - three if up <= np.uint64(_SHORT) and end > three else np.uint64(0)
        while done < end:
            if done < short and at < inside:
                taken = (np.uint64(63) - have) >> three
                bits = window | (_eight(octets, at) >> have)
                left, value = have + (taken << three), last
                for place in range(np.uint64(4)):
                    run = _leading_zeros(bits)
                    bits <<= run & np.uint64(63)
                    value += _unmapped(((run - one) << split) + (bits >> down))
                    bits <<= up
                    left -= run + up
                    pixels[done + place] = value
                if left < np.uint64(64):
                    window, have, at, last = bits, left, at + taken, value
                    done += two + two
                    continue
            window, have, at, step = _one(octets, (window, have, at), split, stop)
            last += step
            pixels[done] = last
            done += one
        if done > end or np.uint64(8) * at - have > np.uint64(8) * stop:
            return (window, have, at, last), False
    return (window, have, at, last), True


@part
def _decode(octets: Any, span: Any, block_px: int, out: Any) -> bool:
    """Decode the first pixels of one tile; False if its octets end before, or break the code.

    span  (start, stop) of the tile's octets, inside `octets`.
    out   (n,) unsigned, the pixels wanted; their type tells which of the three codes it is.
    """
    size, block = np.uint64(out.itemsize), np.uint64(block_px)
    pixels = np.empty(min(block_px * max(1, _AT_ONCE // block_px), out.size), np.uint32)
    at, stop = np.uint64(span[0]), np.uint64(span[1])
    if at + size > stop:
        return False
    last = np.uint32(_load(octets, at) >> (np.uint64(64) - np.uint64(8) * size))
    state = (np.uint64(0), np.uint64(0), at + size, last)
    done, whole = np.uint64(0), np.uint64(out.size)
    while done < whole:
        count = min(np.uint64(pixels.size), whole - done)
        state, sound = _blocks(octets, state, (size, block, count, stop), pixels)
        if not sound:
            return False
        for index in range(count):
            out[done + index] = pixels[index]
        done += count
    return True


@part
def _decode_all(octets: Any, jobs: Any, lay: Any, into: Any) -> int:
    """Decode tiles one after the other; those whose rows lie side by side in the output need no scratch."""
    for index in range(jobs.shape[0]):
        start, stop, skip = jobs[index, START], jobs[index, STOP], jobs[index, SKIP]
        rows, width, place = jobs[index, ROWS], jobs[index, WIDTH], jobs[index, PLACE]
        sound = 0 <= start <= stop <= octets.size and skip >= 0 and rows >= 1 and width >= 1 and place >= 0
        if not sound or lay.pitch < width or place + (rows - 1) * lay.pitch + width > into.out.size:
            return index
        beside = skip == 0 and (rows == 1 or width == lay.pitch)
        if not beside and (skip + rows) * width > into.scratch.size:
            return index
        pixels = into.out[place : place + rows * width] if beside else into.scratch[: (skip + rows) * width]
        if not _decode(octets, (start, stop), lay.block_px, pixels):
            return index
        for row in range(0 if beside else rows):
            first, at = (skip + row) * width, place + row * lay.pitch
            into.out[at : at + width] = into.scratch[first : first + width]
    return -1


def _kernel(kind: Any) -> Any:
    into = record(_Into, kind[::1], kind[::1], numba.i8[::1])

    @compiled(_OCTETS, numba.i8[:, ::1], record(_Lay, numba.i8), into)
    def rice(octets: Any, jobs: Any, lay: Any, into: Any) -> None:
        into.status[0] = _decode_all(octets, jobs, lay, into) if lay.block_px >= 1 else 0

    return rice


_BY_SIZE: Final = {1: _kernel(numba.u1), 2: _kernel(numba.u2), 4: _kernel(numba.u4)}


def decode(
    octets: NDArray[np.uint8], jobs: NDArray[np.int64], out: NDArray[Any], *, block_px: int, pitch: int
) -> int:  # fmt: skip
    """Decode the first rows of tiles into `out`; tell the first damaged one, by its place in `jobs`, or -1.

    octets  flat uint8: the file. Nothing outside a tile's [START, STOP) counts.
    jobs    (n, JOB) int64, as above.
    out     flat unsigned integers of 1, 2 or 4 octets (RICE_1's BYTEPIX); pixels that no job names are not touched.
    pitch   pixels from one row of `out` to the next.

    Cost    ends after as many steps as there are octets and pixels, whatever the octets are. Without the GIL.
    Memory  the largest tile whose rows do not lie side by side in `out`.
    """
    assert jobs.shape[1] == JOB
    apart = (jobs[:, SKIP] > 0) | ((jobs[:, ROWS] > 1) & (jobs[:, WIDTH] != pitch))
    largest = int(((jobs[:, SKIP] + jobs[:, ROWS]) * jobs[:, WIDTH])[apart].max(initial=0))
    into = _Into(np.empty(largest, out.dtype), out, np.full(1, -1, np.int64))
    _BY_SIZE[out.itemsize](octets, jobs, _Lay(block_px, pitch), into)
    return int(into.status[0])
