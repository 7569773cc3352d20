"""Ranks: exact order statistics of more values than fit in memory, by reading them several times."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

SORTED_MAX: Final = 1 << 20  # So few candidates are sorted.
_BITS: Final = 16  # Found out in one pass.

Keys = Callable[[], Iterator[NDArray[np.uint64]]]


def middle(keys: Keys, count: int, ends: tuple[int, int]) -> tuple[int, int]:
    """Find the two middle ones of `count` keys in ascending order; twice the same for an odd number.

    ends  no key is below the first, or above the second, of these.

    Memory  2**16 counts, and SORTED_MAX keys.
    Cost    two or three passes, at most five; one more where the two lie far apart.
    """
    rank = (count - 1) // 2
    first, upto, following = _select(keys, rank, ends)
    if count % 2 or rank + 1 < upto:
        return first, first
    if following is None:
        after = [some[some > np.uint64(first)] for some in keys()]
        following = min(int(some.min()) for some in after if some.size)
    return first, following


def _select(keys: Keys, rank: int, ends: tuple[int, int]) -> tuple[int, int, int | None]:
    """Find the key of this rank, how many keys are not above it, and the one after those as far as it is known."""
    (low, high), below = ends, 0
    while True:
        shift = max((high - low).bit_length() - _BITS, 0)
        counts = np.zeros(1 << _BITS, np.int64)
        for some in keys():
            steps = (_between(some, low, high) - np.uint64(low)) >> np.uint64(shift)
            counts += np.bincount(steps.view(np.int64), minlength=1 << _BITS)
        upto = below + counts.cumsum()
        at = int(np.searchsorted(upto, rank, side="right"))
        if shift == 0:
            more = np.flatnonzero(counts[at + 1 :])
            return low + at, int(upto[at]), low + at + 1 + int(more[0]) if more.size else None
        below = int(upto[at] - counts[at])
        low += at << shift
        high = min(high, low + (1 << shift) - 1)
        if counts[at] <= SORTED_MAX:
            found = np.sort(np.concatenate([_between(some, low, high) for some in keys()]))
            key = int(found[rank - below])
            upto_key = int(np.searchsorted(found, np.uint64(key), side="right"))
            return key, below + upto_key, int(found[upto_key]) if upto_key < found.size else None


def _between(some: NDArray[np.uint64], low: int, high: int) -> NDArray[np.uint64]:
    return some[(some >= np.uint64(low)) & (some <= np.uint64(high))]
