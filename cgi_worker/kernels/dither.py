"""Dither: floats from the integers that they were quantised to, with the subtracted noise added again.

Source  FITS Standard 4.0, section 10.2 and appendix I (the random numbers); bit for bit as cfitsio rounds. Twin with
        plain loops in tests/kernels.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part, record
from cgi_worker.kernels.rice import JOB, PLACE, ROWS, SKIP, WIDTH

RANDOM: Final = 10_000
ZERO: Final = -2_147_483_646  # Marks a pixel that is exactly 0 (method 2).
NO_BLANK: Final = 1 << 40  # No 32-bit integer equals it.


class How(NamedTuple):
    """How each of n tiles was quantised.

    method   0: nothing was subtracted; 1 or 2: SUBTRACTIVE_DITHER_1 or _2.
    pitch    pixels from one row of the output to the next.
    numbers  the RANDOM random numbers of the standard; seeds (n,) is the index of a tile's first one among them.
    scales, zeros, blanks  (n,): value = stored * scale + zero, but NaN where stored is blank (or NO_BLANK: nowhere).
    """

    method: int
    pitch: int
    numbers: NDArray[np.float32]
    seeds: NDArray[np.int64]
    scales: NDArray[np.float64]
    zeros: NDArray[np.float64]
    blanks: NDArray[np.int64]


def _random_numbers() -> NDArray[np.float32]:
    numbers = np.empty(RANDOM, np.float32)
    seed = 1
    for index in range(RANDOM):
        seed = 16807 * seed % 2147483647
        numbers[index] = seed / 2147483647
    numbers.flags.writeable = False
    return numbers


NUMBERS: Final = _random_numbers()


@part
def _begin(numbers: Any, seed: int, skip: int) -> Any:
    """Tell where in the list of random numbers a tile's pixel stands, `skip` pixels after its first."""
    at = int(numbers[seed] * np.float32(500))
    while skip >= RANDOM - at:
        skip -= RANDOM - at
        seed = seed + 1 if seed + 1 < RANDOM else 0
        at = int(numbers[seed] * np.float32(500))
    return seed, at + skip


@part
def _restore(ints: Any, numbers: Any, how: Any, state: Any, out: Any) -> Any:
    """Turn one row of a tile into floats."""
    (scale, zero, blank, method), (seed, at) = how, state
    if method == 0:
        for column in range(out.size):
            value = np.float64(ints[column]) * scale + zero
            out[column] = np.nan if np.int64(ints[column]) == blank else value
        return seed, at
    for column in range(out.size):
        stored = np.int64(ints[column])
        value = (np.float64(stored) - np.float64(numbers[at]) + 0.5) * scale + zero
        value = 0.0 if method == 2 and stored == ZERO else value
        out[column] = np.nan if stored == blank else value
        at += 1
        if at == RANDOM:
            seed = seed + 1 if seed + 1 < RANDOM else 0
            at = int(numbers[seed] * np.float32(500))
    return seed, at


@part
def _restore_all(ints: Any, jobs: Any, how: Any, out: Any) -> None:
    for index in range(jobs.shape[0]):
        skip, rows, width, place = jobs[index, SKIP], jobs[index, ROWS], jobs[index, WIDTH], jobs[index, PLACE]
        seed = how.seeds[index]
        sound = 0 <= seed < RANDOM and skip >= 0 and place >= 0 and width >= 1 and rows >= 1 and how.pitch >= 0
        if not sound or place + (rows - 1) * how.pitch + width > min(out.size, ints.size):
            continue
        each = (how.scales[index], how.zeros[index], how.blanks[index], how.method)
        state = _begin(how.numbers, seed, skip * width) if how.method != 0 else (seed, np.int64(0))
        for row in range(rows):
            start = place + row * how.pitch
            state = _restore(ints[start : start + width], how.numbers, each, state, out[start : start + width])


def _kernel(kind: Any) -> Any:
    numbers, reals, whole = numba.types.Array(numba.f4, 1, "C", readonly=True), numba.f8[::1], numba.i8[::1]

    @compiled(
        numba.i4[::1],
        numba.i8[:, ::1],
        record(How, numba.i8, numba.i8, numbers, whole, reals, reals, whole),
        kind[::1],
    )
    def restore(ints: Any, jobs: Any, how: Any, out: Any) -> None:
        _restore_all(ints, jobs, how, out)

    return restore


_FLOAT32, _FLOAT64 = _kernel(numba.f4), _kernel(numba.f8)


def unquantise(ints: NDArray[np.int32], jobs: NDArray[np.int64], how: How, out: NDArray[Any]) -> None:
    """Turn the pixels of tiles into floats.

    ints  flat int32, laid out as `out`, which is flat float32 or float64. Pixels that no job names are not touched.
    jobs  (n, JOB) of the tiles, as `rice` takes them.

    Cost  one pass over the pixels wanted, without the GIL.
    """
    assert jobs.shape[1] == JOB and len(jobs) == len(how.seeds) == len(how.scales) == len(how.zeros) == len(how.blanks)
    (_FLOAT32 if out.dtype == np.float32 else _FLOAT64)(ints, jobs, how, out)
