"""Demosaicing equals its slow twin, edges included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgi_worker.kernels.demosaic import demosaic
from tests.kernels.twins import bilinear

PATTERNS = ((0, 1, 1, 2), (2, 1, 1, 0), (1, 0, 2, 1), (1, 2, 0, 1))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(PATTERNS), st.integers(0, 2**32), st.data())
def test_equals_twin(height: int, width: int, sites: tuple[int, int, int, int], seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    plane = random.integers(0, 60000, (height, width)).astype(np.float32)
    plane[random.random(plane.shape) < 0.15] = np.nan
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    out = np.zeros((3, height - top, width - left), np.float32)
    demosaic(plane, sites, (top, left), out)
    pixels = [[None if np.isnan(value) else float(value) for value in row] for row in plane]
    twin = np.array(bilinear(pixels, sites))[:, top:, left:]
    np.testing.assert_allclose(out, twin, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize("sites", PATTERNS)
def test_an_even_colour_stays_even(sites: tuple[int, int, int, int]) -> None:
    colour = (500.0, 300.0, 100.0)
    cell = np.array([colour[site] for site in sites], np.float32).reshape(2, 2)
    out = np.zeros((3, 6, 8), np.float32)
    demosaic(np.ascontiguousarray(np.tile(cell, (3, 4))), sites, (0, 0), out)
    for channel, value in zip(out, colour, strict=True):
        assert np.all(channel == value)
