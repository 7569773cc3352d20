"""The tone kernel equals its slow twin: areas, flips, bad pixels, and the table's bins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels.tone import TABLE, Look, table_positions, taps, tone
from tests.kernels.twins import area_mean

GREY = np.floor(255 * np.clip(table_positions(), 0, 1) + 0.5).astype(np.uint8)


def draw_linear(  # noqa: PLR0913
    plane: NDArray[np.float32], size: tuple[int, int], *, factor: int, extent: tuple[int, int],
    flip_h: bool = False, flip_v: bool = False, black: float = 0.0, white: float = 1.0,
) -> NDArray[np.uint8]:  # fmt: skip
    """Draw a plane from black to white without any stretch."""
    channels = plane.shape[0]
    look = Look(
        np.full(channels, black), np.full(channels, 1 / (white - black)), np.tile(GREY, (channels, 1)),
        int(flip_h), int(flip_v), int(plane.shape[1:] == size), 0, size[0],
    )  # fmt: skip
    axes = (taps(extent[0], factor, plane.shape[1], size[0]), taps(extent[1], factor, plane.shape[2], size[1]))
    out = np.full((*size, channels), 77, np.uint8)
    tone(plane, axes, look, out)
    return out


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_equals_twin(data: st.DataObject) -> None:
    extent = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    factor = data.draw(st.integers(1, 5))
    shape = -(-extent[0] // factor), -(-extent[1] // factor)
    size = (
        data.draw(st.integers(1, max(1, extent[0] // factor))),
        data.draw(st.integers(1, max(1, extent[1] // factor))),
    )
    channels = data.draw(st.sampled_from([1, 3]))
    flip_h, flip_v = data.draw(st.booleans()), data.draw(st.booleans())
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    plane = random.uniform(-0.2, 1.2, (channels, *shape)).astype(np.float32)
    plane[random.random(plane.shape) < data.draw(st.sampled_from([0, 0.1, 0.9]))] = np.nan
    out = draw_linear(plane, size, factor=factor, extent=extent, flip_h=flip_h, flip_v=flip_v)
    for row in range(size[0]):
        for column in range(size[1]):
            cell = (
                row * extent[0] / size[0], (row + 1) * extent[0] / size[0],
                column * extent[1] / size[1], (column + 1) * extent[1] / size[1],
            )  # fmt: skip
            means = [area_mean(channel.tolist(), factor, extent, cell) for channel in plane]
            drawn = out[size[0] - 1 - row if flip_v else row, size[1] - 1 - column if flip_h else column]
            for mean, grey in zip(means, drawn, strict=True):
                expected = 0 if any(map(math.isnan, means)) else 255 * min(max(mean, 0), 1)
                assert abs(expected - grey) <= 0.52


def test_the_same_size_is_not_resampled() -> None:
    plane = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16)
    out = draw_linear(plane, (16, 16), factor=3, extent=(48, 48))
    assert np.array_equal(out[..., 0].ravel(), np.arange(256))


def test_bad_in_one_channel_is_black_in_all() -> None:
    plane = np.ones((3, 2, 2), np.float32)
    plane[1, 0, 1] = np.nan
    out = draw_linear(plane, (2, 2), factor=1, extent=(2, 2))
    assert out[0, 1].tolist() == [0, 0, 0]
    assert out[1, 1].tolist() == [255, 255, 255]


@settings(deadline=None, max_examples=100)
@given(st.floats(-1e30, 1e30), st.floats(1e-6, 1e30), st.integers(0, 2**32))
def test_brighter_is_never_drawn_darker(black: float, span: float, seed: int) -> None:
    if black + span == black:
        return
    values = np.sort(np.random.default_rng(seed).uniform(black - span, black + 2 * span, 500)).astype(np.float32)
    out = draw_linear(values.reshape(1, 1, 500), (1, 500), factor=1, extent=(1, 500), black=black, white=black + span)
    assert np.all(np.diff(out[0, :, 0].astype(int)) >= 0)


def test_values_beyond_all_bounds_are_drawn() -> None:
    plane = np.array([[[-3.4e38, 3.4e38, 0.0, 1.0]]], np.float32)
    out = draw_linear(plane, (1, 4), factor=1, extent=(1, 4), white=1e-300)
    assert out[0, :, 0].tolist() == [0, 255, 0, 255]


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 2**31 - 1), st.integers(1, 4096), st.data())
def test_taps_cover_each_source_pixel_once(length: int, factor: int, data: st.DataObject) -> None:
    blocks = -(-length // factor)
    size = data.draw(st.integers(max(1, blocks // 8), min(blocks, 3000)) if blocks // 8 <= 3000 else st.just(3000))
    found = taps(length, factor, blocks, size)
    assert np.all(found.firsts > 0)
    several = found.counts > 1
    assert np.array_equal(found.lasts > 0, several)
    shares = found.firsts.astype(np.float64) + np.where(several, found.lasts + (found.counts - 2) * found.inner, 0)
    np.testing.assert_allclose(shares, 1, rtol=1e-6)
    ends = found.starts + found.counts
    assert (found.starts[0], ends[-1]) == (0, blocks)
    assert np.all((found.starts[1:] == ends[:-1]) | (found.starts[1:] == ends[:-1] - 1))


def test_table_positions_ascend_from_black_to_white() -> None:
    positions = table_positions()
    assert len(positions) == TABLE
    assert np.all(np.diff(positions) > 0)
    assert 0 < positions[0] < 1e-8
    assert positions[-1] == pytest.approx(1, abs=1e-3)
