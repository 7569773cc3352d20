"""The reduce kernels equal their slow twins, whatever the type, shape, contents and number of threads."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels import bands
from cgi_worker.kernels.bands import Counted, reduce_bands
from cgi_worker.kernels.reduce import (
    BINS,
    COUNTED_MAX,
    F4,
    F8,
    FLOAT32_MAX,
    I2,
    I4,
    I8,
    U1,
    U8,
    Grid,
    Into,
    Scaling,
    reduce_narrow,
    reduce_wide,
)
from tests.kernels.twins import Pixel, block_means, split_log_bin

KINDS = {U1: "u1", I2: "i2", I4: "i4", I8: "i8", U8: "u8", F4: "f4", F8: "f8"}
PATTERNS = ((0, 1, 1, 2), (2, 1, 1, 0), (1, 0, 2, 1), (1, 2, 0, 1))
CENTER, SCALE = 100.0, 50.0


def contents(kind: int, shape: tuple[int, int], seed: int, style: str) -> NDArray[Any]:
    """Make stored values in native order."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(KINDS[kind])
    if style == "flat":
        return np.full(shape, random.integers(0, 100), dtype)
    if dtype.kind == "f":
        values = (
            random.normal(100, 30, shape)
            if style == "near"
            else random.normal(0, 1, shape) * 10.0 ** random.uniform(-30, 30, shape)
        )
        values = values.astype(dtype)
        odd = random.random(shape)
        values[odd < 0.1] = np.nan
        values[odd < 0.05] = np.inf
        values[odd < 0.02] = -np.inf
        return values
    if style == "near":
        return random.integers(90, 110, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def run(  # noqa: PLR0913
    stored: NDArray[Any], kind: int, *, factor: int, x: int = 0, width: int | None = None, blank: int | None = None,
    sites: tuple[int, int, int, int] = (0, 0, 0, 0), swap: int = 1, threads: int = 1,
    scale: float = 1.0, zero: float = 0.0, averaging: int = 1, counting: int = 1,
) -> tuple[NDArray[np.float32], Counted]:  # fmt: skip
    """Reduce an array by the real kernels; zero is that of stored values."""
    rows = stored.shape[0]
    width = width or stored.shape[1] - x
    channels = 3 if any(sites) else 1
    raw = stored.view(np.int64) ^ np.int64(-(2**63)) if kind == U8 else stored
    if swap:
        raw = raw.byteswap()
    source = np.ascontiguousarray(raw).view(np.uint8).reshape(rows, -1)
    source.flags.writeable = False
    grid = Grid(
        x, width, rows, factor, 0, -(-rows // factor), kind, swap,
        (blank or 0) + 32768 * (kind == I2), int(blank is not None), counting, averaging, channels // 2 + 1, *sites,
    )  # fmt: skip
    bin_zero = zero - 32768 * scale if kind == I2 else zero
    scaling = Scaling(scale, bin_zero, np.full(3, CENTER), np.full(3, 1 / SCALE))
    plane = np.full((channels, -(-rows // factor), -(-width // factor)), -1, np.float32)
    return plane, reduce_bands(source, grid, scaling, plane, threads=threads)


def pixels_of(stored: NDArray[Any], scale: float, zero: float, blank: int | None) -> list[list[Pixel]]:
    """Tell each pixel's value in data units, None if bad."""

    def one(value: Any) -> Pixel:
        physical = float(value) * scale + zero
        good = abs(physical) <= FLOAT32_MAX and (blank is None or int(value) != blank)
        return physical if good else None

    return [[one(value) for value in row] for row in stored]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    height, full = draw(st.integers(1, 23)), draw(st.integers(1, 37))
    x = draw(st.integers(0, full - 1))
    bayer = draw(st.booleans())
    factor = draw(st.integers(1, 12)) * (2 if bayer else 1)
    stored = contents(
        kind, (height, full), draw(st.integers(0, 2**32)), draw(st.sampled_from(["near", "wild", "flat"]))
    )
    blank = None
    if kind in (U1, I2, I4, I8) and draw(st.booleans()):
        blank = int(stored[draw(st.integers(0, height - 1)), draw(st.integers(0, full - 1))])
    scaled = kind != U8 and draw(st.booleans())
    return {
        "kind": kind, "stored": stored, "factor": factor, "x": x, "blank": blank,
        "width": draw(st.integers(1, full - x)),
        "sites": draw(st.sampled_from(PATTERNS)) if bayer else (0, 0, 0, 0), "swap": draw(st.integers(0, 1)),
        "scale": draw(st.sampled_from([0.5, -2.0, 1e-3])) if scaled else 1.0, "zero": 1000.0 if scaled else 0.0,
    }  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(cases())
def test_plane_equals_twin(case: dict[str, Any]) -> None:
    stored = case["stored"][:, case["x"] : case["x"] + case["width"]]
    pixels = pixels_of(stored, case["scale"], case["zero"], case["blank"])
    plane, _ = run(**case)
    twin = np.array(block_means(pixels, case["factor"], case["sites"], plane.shape[0]))
    assert np.array_equal(np.isnan(plane), np.isnan(twin))
    magnitude = max((abs(value) for row in pixels for value in row if value is not None), default=0.0)
    np.testing.assert_allclose(plane, twin, rtol=2e-7, atol=magnitude * 1e-13, equal_nan=True)


@settings(deadline=None, max_examples=200)
@given(cases())
def test_histogram_equals_twin(case: dict[str, Any]) -> None:
    stored = case["stored"][:, case["x"] : case["x"] + case["width"]]
    narrow = case["kind"] in (U1, I2)
    pixels = pixels_of(stored, case["scale"], case["zero"], None if narrow else case["blank"])
    _, counted = run(**case)
    twin = np.zeros(counted.histogram.shape, np.uint64)
    found: list[list[float]] = [[] for _ in twin]
    for y, row in enumerate(pixels):
        for x, value in enumerate(row):
            channel = case["sites"][2 * (y % 2) + x % 2]
            if narrow:
                twin[channel, int(stored[y, x]) + 32768 * (case["kind"] == I2)] += 1
            elif value is not None:
                twin[channel, split_log_bin(value, CENTER, 1 / SCALE)] += 1
                found[channel].append(value)
    assert np.array_equal(counted.histogram, twin)
    if not narrow:
        for channel, values in enumerate(found):
            assert counted.minima[channel] == min(values, default=math.inf)
            assert counted.maxima[channel] == max(values, default=-math.inf)
            assert math.isclose(
                counted.totals[channel], math.fsum(values), rel_tol=1e-9, abs_tol=1e-12 * sum(map(abs, values))
            )


@settings(deadline=None, max_examples=100)
@given(cases(), st.integers(2, 5))
def test_threads_change_nothing(case: dict[str, Any], threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_PX", 40)  # Many bands even in a small frame.
        one, several = run(**case, threads=1), run(**case, threads=threads)
    assert one[0].tobytes() == several[0].tobytes()
    for left, right in zip(one[1], several[1], strict=True):
        assert left.tobytes() == right.tobytes()


@settings(deadline=None, max_examples=50)
@given(cases())
def test_each_result_can_be_had_without_the_other(case: dict[str, Any]) -> None:
    plane, counted = run(**case)
    only_plane, _ = run(**case, counting=0)
    _, only_counted = run(**case, averaging=0)
    assert plane.tobytes() == only_plane.tobytes()
    assert np.array_equal(counted.histogram, only_counted.histogram)


@pytest.mark.parametrize("kind", [U1, I2, I4, F4, F8])
@pytest.mark.parametrize("factor", [1, 7, 4096])
def test_rows_longer_than_what_is_worked_on_at_once(kind: int, factor: int) -> None:
    stored = contents(kind, (2, 40_001), 5, "near")
    plane, counted = run(stored, kind, factor=factor)
    good = np.isfinite(stored.astype(np.float64))
    values = np.where(good, stored, 0).astype(np.float64)
    starts = np.arange(0, 40_001, factor)
    groups = np.arange(0, 2, factor)
    sums = np.add.reduceat(np.add.reduceat(values, starts, axis=1), groups, axis=0)
    counts = np.add.reduceat(np.add.reduceat(good, starts, axis=1, dtype=np.int64), groups, axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(plane[0], sums / counts, rtol=1e-6, equal_nan=True)
    assert int(counted.histogram.sum()) == int(good.sum())


@pytest.mark.parametrize("kernel", [reduce_narrow, reduce_wide])
def test_fast_counters_are_emptied_before_they_overflow(kernel: Any) -> None:
    narrow = kernel is reduce_narrow
    source = np.zeros((4, 16), np.uint8)
    counts = np.zeros((1, BINS + 1), np.uint32)
    bin_of_zero = 32768
    counts[0, bin_of_zero] = COUNTED_MAX - 10
    into = Into(
        np.zeros((1, 0, 0), np.float32),
        counts,
        np.array([COUNTED_MAX - 10]),
        np.zeros((1, BINS), np.uint64),
        np.zeros((3, 4)),
    )
    width = 8 if narrow else 4
    grid = Grid(0, width, 4, 4, 0, 1, I2 if narrow else F4, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0)
    kernel(source, grid, Scaling(1.0, 0.0, np.zeros(3), np.ones(3)), into)
    total = int(into.histogram[0, bin_of_zero]) + int(counts[0, bin_of_zero])
    assert total == COUNTED_MAX - 10 + 4 * width
    assert int(into.histogram.sum()) > 0


def test_sums_of_the_brightest_largest_block_are_exact() -> None:
    stored = np.full((4096, 64), 32767, np.int16)
    stored[0, 0] = -32768
    plane, _ = run(stored, I2, factor=4096, zero=32768.0)
    assert plane[0, 0, 0] == np.float32((65535 * (4096 * 64 - 1)) / (4096 * 64))
