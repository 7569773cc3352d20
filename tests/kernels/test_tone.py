"""The tone kernel equals its slow twin: areas, strides, bad pixels, marks, and every threshold where it lies."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels.greys import BELOW_SHIFT, BUCKETS, lay
from cgi_worker.kernels.mixing import PANEL, REACH_MAX
from cgi_worker.kernels.taps import taps
from cgi_worker.kernels.tone import Extent, Look, tone
from tests.kernels.twins import area_mean

LIMIT_S = 120
PLAIN = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


@dataclass
class Drawing:
    """Planes to be drawn, from thresholds, or in equal steps from 0 to 1."""

    planes: NDArray[np.float32]
    size: tuple[int, int]
    factor: int = 1
    extent: tuple[int, int] = (0, 0)
    thresholds: NDArray[np.float32] | None = None
    palette: NDArray[np.uint8] | None = None
    beyond: tuple[float, float] | None = None
    samples: int = 0

    def look(self) -> Look:
        channels = len(self.planes)
        found = self.thresholds
        if found is None:
            found = np.append((np.arange(1, 256) - 0.5) / 255, np.inf).astype(np.float32)
        black, white = np.float32(max(found[0], -1e38)), np.float32(min(found[254], 1e38))
        slope = np.float32(np.clip(1 / max(float(white) - float(black), 1e-37), 1e-37, 3e38))
        table, deep = np.empty(BUCKETS + 1, np.uint32), np.zeros(1, np.int64)
        lay(found, float(black), float(slope), table, deep)
        assert deep[0] == (np.diff((table >> BELOW_SHIFT).astype(int)).max() > 1)
        marked = [1, self.beyond is not None, self.beyond is not None]
        return Look(
            np.full(channels, black), np.full(channels, slope), np.tile(table, (channels, 1)),
            np.tile(found, (channels, 1)), int(deep[0]),
            PLAIN.copy() if self.palette is None else self.palette, int(self.palette is None),
            np.tile(np.array([self.beyond or (0, 0)], np.float32).T, (1, channels)),
            np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8), np.array(marked, np.uint8),
        )  # fmt: skip

    def draw(self, out: NDArray[np.uint8] | None = None, rows: range | None = None) -> NDArray[np.uint8]:
        shape = self.planes.shape[1:]
        extent = self.extent if any(self.extent) else (shape[0] * self.factor, shape[1] * self.factor)
        axes = tuple(taps(extent[axis], self.factor, shape[axis], self.size[axis]) for axis in (0, 1))
        if out is None:
            out = np.full((*self.size, self.samples or len(self.planes)), 77, np.uint8)
        three = tuple(self.planes) if len(self.planes) == 3 else (self.planes[0],) * 3
        rows = rows or range(self.size[0])
        tone(three, (axes[0], axes[1]), self.look(), Extent(len(self.planes), rows.start, rows.stop), out)
        return out


def line(*values: Any, **fields: Any) -> list[Any]:
    """Draw one row of values."""
    plane = np.array([[values]], np.float32)
    drawn = Drawing(plane, (1, len(values)), **fields).draw()[0]
    return list((drawn[:, 0] if drawn.shape[1] == 1 else drawn).tolist())


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
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    planes = random.uniform(-0.2, 1.2, (channels, *shape)).astype(np.float32)
    planes[random.random(planes.shape) < data.draw(st.sampled_from([0, 0.1, 0.9]))] = np.nan
    out = Drawing(planes, size, factor, extent).draw()
    for row in range(size[0]):
        for column in range(size[1]):
            cell = (
                row * extent[0] / size[0], (row + 1) * extent[0] / size[0],
                column * extent[1] / size[1], (column + 1) * extent[1] / size[1],
            )  # fmt: skip
            means = [area_mean(channel.tolist(), factor, extent, cell) for channel in planes]
            if any(map(math.isnan, means)):
                assert out[row, column].tolist() == [1, 2, 3][:channels]
                continue
            for mean, grey in zip(means, out[row, column], strict=True):
                assert abs(255 * min(max(mean, 0), 1) - grey) <= 0.501


def test_wide_and_high_pictures_are_made_in_parts() -> None:
    height, width = 133, 2 * PANEL + 7
    plane = np.random.default_rng(3).random((1, 2 * height, 2 * width), np.float32)
    plane[0, 130:133, 1000:1010] = np.nan
    out = Drawing(plane, (height, width)).draw()[:, :, 0]
    with np.errstate(invalid="ignore"):
        blocks = plane[0].reshape(height, 2, width, 2)
        expected = 255 * np.nanmean(np.where(np.isnan(blocks).all((1, 3), keepdims=True), 2, blocks), axis=(1, 3))
    good = expected <= 255
    assert good.sum() < good.size
    assert np.abs(expected - out)[good].max() <= 0.501
    assert np.all(out[~good] == 1)


@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (9, 5), (2, 30), (7, 7)])
def test_many_inputs_a_pixel(rows: int, columns: int) -> None:
    plane = np.random.default_rng(5).random((1, 3 * rows, 4 * columns), np.float32)
    out = Drawing(plane, (3, 4)).draw()[:, :, 0]
    expected = plane[0].reshape(3, rows, 4, columns).mean((1, 3))
    assert np.abs(255 * expected - out).max() <= 0.501


@pytest.mark.parametrize("width", [7, 40, 2100])
def test_a_wide_and_low_frame(width: int) -> None:
    """More inputs than are mixed at once: of one output pixel, and of many."""
    each = 3 * REACH_MAX // (2 * min(width, 40))
    plane = np.random.default_rng(6).random((1, 2, width * each), np.float32)
    plane[0, :, each : each + 9] = np.nan
    out = Drawing(plane, (1, width)).draw()[0, :, 0]
    expected = np.nanmean(plane[0].astype(float).reshape(2, width, each), axis=(0, 2))
    assert np.abs(255 * expected - out).max() <= 0.51


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [(1368, 1200), (33, 32), (40, 39), (63, 32), (64, 32), (65, 33), (97, 64), (300, 151), (301, 150), (640, 100)],
)
def test_columns_of_any_ratio(inputs: int, outputs: int) -> None:
    """Of some of these a few neighbouring columns take at most twice as many inputs, which are found in another way."""
    plane = np.random.default_rng(inputs).random((1, 3, inputs), np.float32)
    plane[0, 1, [0, 5, inputs // 2, inputs - 1]] = np.nan
    out = Drawing(plane, (3, outputs)).draw()[:, :, 0]
    edges, starts = np.arange(outputs + 1) * (inputs / outputs), np.arange(inputs)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    shares = np.where(overlap > 1e-9, overlap, 0)
    good = ~np.isnan(plane[0])
    with np.errstate(invalid="ignore"):
        expected = np.where(good, plane[0], 0) @ shares.T / (good @ shares.T)
    assert np.abs(255 * expected - out)[~np.isnan(expected)].max() <= 0.501
    assert np.all(out[np.isnan(expected)] == 1)


def test_a_processor_without_long_vectors_draws_the_same(tmp_path: Path) -> None:
    features = llvmlite.binding.get_host_cpu_features()
    lesser = ",".join(
        f"{'+' if there and not name.startswith('avx512') else '-'}{name}" for name, there in features.items()
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": lesser}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", f"{__file__}::{test_columns_of_any_ratio.__name__}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout


def test_the_same_size_is_not_resampled() -> None:
    plane = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16)
    out = Drawing(plane, (16, 16), 3, (48, 48)).draw()
    assert np.array_equal(out[..., 0].ravel(), np.arange(256))


def test_equal_values_stay_what_they_are() -> None:
    """However they are averaged: else the steepest stretch would show where blocks end."""
    value = np.float32(1000.3)
    plane = np.full((1, 70, 97), value)
    just_above = np.append(np.full(255, np.nextafter(value, np.float32(np.inf))), np.inf).astype(np.float32)
    exactly = np.append(np.full(255, value), np.inf).astype(np.float32)
    for size in ((61, 83), (3, 5), (70, 50)):
        assert np.all(Drawing(plane, size, thresholds=just_above).draw() == 0)
        assert np.all(Drawing(plane, size, thresholds=exactly).draw() == 255)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_each_threshold_is_where_it_lies(data: st.DataObject) -> None:
    """Evenly, crowded in one bucket, equal, denormal and infinite ones."""
    some = data.draw(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=255))
    near = data.draw(st.floats(-(2.0**100), 2.0**100, width=32))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    spread = data.draw(st.sampled_from([0.0, 1e-6, 1.0, 1e6]))
    with np.errstate(over="ignore"):
        others = (np.float32(near) + random.normal(0, spread, 255 - len(some))).astype(np.float32)
    found = np.append(np.sort(np.concatenate((np.array(some, np.float32), others))), np.float32(np.inf))
    finite = found[np.isfinite(found)]
    assume(finite.size)
    with np.errstate(over="ignore"):
        values = np.concatenate(
            (finite, np.nextafter(finite, np.float32(-np.inf)), np.array([0, -3e38, 3e38], np.float32))
        )
    values = values[np.isfinite(values)]
    drawn = line(*values, thresholds=found)
    assert drawn == [int((found[:255] <= value).sum()) for value in values]


def test_values_beyond_all_bounds_are_drawn() -> None:
    assert line(-3.4e38, 3.4e38, 0.0, 1.0) == [0, 255, 0, 255]
    plane = np.array([[[-3.4e38, 3.4e38, 3.4e38, -3.4e38]]], np.float32)
    drawn = Drawing(plane, (1, 2), thresholds=np.append(np.linspace(-1, 1, 255), np.inf).astype(np.float32)).draw()
    assert np.all(abs(drawn[0, :, 0].astype(int) - 128) <= 1)


def test_palettes() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    assert line(0.0, 0.5, 1.0, palette=colours) == colours[[0, 128, 255], 0].tolist()
    assert line(0.0, 0.5, 1.0, palette=colours, samples=3) == colours[[0, 128, 255]].tolist()
    assert line(0.2, samples=3) == [[51, 51, 51]]


def test_bad_in_one_channel_is_bad_in_all() -> None:
    planes = np.ones((3, 2, 2), np.float32)
    planes[1, 0, 1] = np.nan
    out = Drawing(planes, (2, 2)).draw()
    assert out[0, 1].tolist() == [1, 2, 3]
    assert out[1, 1].tolist() == [255, 255, 255]


def test_marks() -> None:
    low, high = 0.2, 0.8
    below, above = (float(np.nextafter(np.float32(at), np.float32(to))) for at, to in ((low, 0), (high, 1)))
    drawn = line(below, low, 0.5, high, above, math.nan, beyond=(low, high), samples=3)
    assert drawn[0] == [4, 5, 6]
    assert drawn[1:4] == [[51] * 3, [128] * 3, [204] * 3]
    assert drawn[4:] == [[7, 8, 9], [1, 2, 3]]


def test_colour_is_marked_where_all_channels_are_beyond() -> None:
    planes = np.array([[[0.1, 0.1, 0.9, 0.9]], [[0.1, 0.5, 0.9, 0.9]], [[0.1, 0.1, 0.9, 0.1]]], np.float32)
    out = Drawing(planes, (1, 4), beyond=(0.2, 0.8)).draw()[0].tolist()
    assert out == [[4, 5, 6], [26, 128, 26], [7, 8, 9], [230, 230, 26]]


@pytest.mark.parametrize("channels", [1, 3])
def test_any_strides_and_any_rows(channels: int) -> None:
    planes = np.random.default_rng(7).random((channels, 90, 70), np.float32)
    planes[:, 3, 3] = np.nan
    whole = Drawing(planes, (83, 61)).draw()
    turned = np.zeros((61, 83, channels), np.uint8)
    Drawing(planes, (83, 61)).draw(np.rot90(turned)[::-1])
    assert np.array_equal(np.rot90(turned)[::-1], whole)
    parts = np.full_like(whole, 9)
    Drawing(planes, (83, 61)).draw(parts, range(5, 70))
    assert np.array_equal(parts[5:70], whole[5:70])
    assert np.all(parts[:5] == 9) and np.all(parts[70:] == 9)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 2**31 - 1), st.integers(1, 4096), st.data())
def test_taps_cover_each_source_pixel_once(length: int, factor: int, data: st.DataObject) -> None:
    blocks = -(-length // factor)
    size = data.draw(st.integers(max(1, blocks // 8), min(blocks, 3000)) if blocks // 8 <= 3000 else st.just(3000))
    found = taps(length, factor, blocks, size)
    (starts, counts), (firsts, lasts) = found.places, found.shares
    assert np.all(firsts > 0)
    several = counts > 1
    assert np.array_equal(lasts > 0, several)
    shares = firsts.astype(np.float64) + np.where(several, lasts + (counts - 2) * found.inner, 0)
    np.testing.assert_allclose(shares, 1, rtol=1e-6)
    ends = starts + counts
    assert (starts[0], ends[-1]) == (0, blocks)
    assert np.all((starts[1:] == ends[:-1]) | (starts[1:] == ends[:-1] - 1))
