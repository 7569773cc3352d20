"""Taps: what each output pixel of one axis takes of its inputs, by area. Plain numpy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Taps(NamedTuple):
    """How one axis is resampled: output pixel j takes counts[j] inputs, from starts[j] on.

    places  (2, n) int64: starts, counts.
    shares  (2, n) float32, of output pixel j: of its first input, and of its last (0 if that is the first).
    inner   the share of each input between the first and the last one.
    direct  1 if each output pixel is its input.
    """

    places: NDArray[np.int64]
    shares: NDArray[np.float32]
    inner: float
    direct: int


def taps(length_px: int, factor: int, blocks: int, size_px: int) -> Taps:
    """Find what each of `size_px` output pixels takes of `blocks` input blocks, by area.

    The blocks are `factor` source pixels long, but for the last one, which may be shorter: `length_px` in all.
    Exact: computed in whole numbers of 1 / (factor * size_px) source pixels.
    """
    if size_px == blocks:
        places = np.stack((np.arange(blocks), np.ones(blocks, np.int64)))
        shares = np.zeros((2, blocks), np.float32)
        shares[0] = 1
        return Taps(places, shares, 0.0, 1)
    edges = np.arange(size_px + 1, dtype=np.int64) * length_px
    block = factor * size_px
    starts = edges[:-1] // block
    counts = -(-edges[1:] // block) - starts
    assert starts[-1] + counts[-1] == blocks
    firsts = np.minimum(edges[1:], (starts + 1) * block) - edges[:-1]
    lasts = np.where(counts > 1, edges[1:] - (starts + counts - 1) * block, 0)
    shares = (np.stack((firsts, lasts)) / length_px).astype(np.float32)
    return Taps(np.stack((starts, counts)), shares, block / length_px, 0)
