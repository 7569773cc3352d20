"""Means are the float32 next to the quotient, also where it is next to the middle of two of them."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cgi_worker.kernels.reduce import Scaling
from cgi_worker.kernels.settle import _write_alike

PLAIN = Scaling(1.0, 0.0, math.inf, np.zeros(3), np.ones(3))


def written(sums: NDArray[np.uint32], size: int, scaling: Scaling) -> NDArray[np.float32]:
    out = np.empty(sums.size, np.float32)
    _write_alike(sums, size, scaling, out)
    return out


def next_to_middles(size: int, random: np.random.Generator) -> NDArray[np.uint32]:
    """Make sums whose means are as near to the middle of two float32 as any; of sizes with many twos, right there."""
    binades = random.integers(1, 17, 4000)
    middles = (2 * random.integers(2**23, 2**24, 4000) + 1) * 2.0 ** (binades - 25)
    return np.minimum(np.round(middles * size), 65535 * size).astype(np.uint32)


@pytest.mark.parametrize(
    "size", [*range(1, 101), *(side * side for side in range(11, 257)), 128 * 129, 255 * 256, 65521, 3 * 257, 13 * 4999]
)
def test_means_are_what_dividing_gives(size: int) -> None:
    random = np.random.default_rng(size)
    sums = np.concatenate([random.integers(0, 65535 * size + 1, 4000).astype(np.uint32), next_to_middles(size, random)])
    assert np.array_equal(written(sums, size, PLAIN), (sums / np.float64(size)).astype(np.float32))


@pytest.mark.parametrize(("scale", "zero"), [(1.0, -32768.0), (1.0, 0.5), (0.1, 0.0), (-2.0, 7.0)])
def test_scaled_means_are_too(scale: float, zero: float) -> None:
    for size in (1, 9, 49, 121, 256, 2500):
        sums = next_to_middles(size, np.random.default_rng(size))
        scaling = PLAIN._replace(scale=scale, zero=zero)
        assert np.array_equal(written(sums, size, scaling), (sums / np.float64(size) * scale + zero).astype(np.float32))


def test_no_pixels_have_no_mean() -> None:
    assert np.isnan(written(np.zeros(5, np.uint32), 0, PLAIN)).all()
