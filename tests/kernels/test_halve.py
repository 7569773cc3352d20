"""A level of a pyramid equals its slow twin, and the direct mean of what the level before was made of."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels.halve import halve
from tests.kernels.twins import block_goods, block_means, halved


def next_level(level: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.full((len(level), -(-level.shape[1] // 2), -(-level.shape[2] // 2)), -1, np.float32)
    for channel in range(len(level) // 2):
        halve(level, channel, out)
    return out


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_equals_twin(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, (height, width)).astype(np.float32)
    means = np.where(counts, random.normal(100, 50, counts.shape), random.choice([np.nan, np.inf, 7.0])).astype("f4")
    out = next_level(np.stack([means, counts]))
    twin = halved(means.astype(float).tolist(), counts.astype(float).tolist())
    np.testing.assert_allclose(out[0], twin[0], rtol=1e-6, equal_nan=True)
    assert np.array_equal(out[1], twin[1])


def test_each_channel_has_its_own_numbers() -> None:
    random = np.random.default_rng(3)
    means, counts = random.normal(0, 9, (3, 5, 7)).astype("f4"), random.integers(0, 3, (3, 5, 7)).astype("f4")
    out = next_level(np.concatenate([means, counts]))
    for channel in range(3):
        alone = next_level(np.stack([means[channel], counts[channel]]))
        assert np.array_equal(out[channel::3], alone, equal_nan=True)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 2**32))
def test_each_level_is_the_direct_mean(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.normal(1000, 300, (height, width)).astype("f4")
    pixels[random.random(pixels.shape) < random.choice([0, 0.2, 0.9])] = np.nan
    level = np.stack([pixels, ~np.isnan(pixels)]).astype("f4")
    seen = [[None if math.isnan(value) else float(value) for value in row] for row in pixels]
    for factor in (2, 4, 8, 16, 32, 64):
        level = next_level(level)
        np.testing.assert_allclose(
            level[0], block_means(seen, factor, (0, 0, 0, 0), 1)[0], rtol=1e-6, atol=1e-3, equal_nan=True
        )
        assert np.array_equal(level[1], block_goods(seen, factor, (0, 0, 0, 0), 1)[0])
    assert level.shape == (2, 1, 1)
