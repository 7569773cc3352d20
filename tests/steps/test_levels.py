"""Levels: figures from histograms against numpy, and no frame that is all black or all white."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.steps.levels import (
    SKY,
    Channel,
    Distribution,
    Level,
    Linear,
    SplitLog,
    bin_edges,
    distribution,
    midtone,
    settle,
    stretched,
)
from cgi_worker.wire.view import AutoLevels, Cut, Quantiles
from tests.kernels.twins import split_log_bin


def counted(values: NDArray[np.float64], bins: Linear | SplitLog) -> Distribution | None:
    """Count values the slow way."""
    histogram = np.zeros(65536, np.uint64)
    for value in values:
        if isinstance(bins, Linear):
            histogram[round((value - bins.start) / bins.step)] += 1
        else:
            histogram[split_log_bin(float(value), bins.center, 1 / bins.scale)] += 1
    channel = Channel(bins, len(values), 0, float(values.min()), float(values.max()), float(values.mean()))
    return distribution(histogram, channel)


LINEAR = Linear(0.0, 1.0)
AUTO = AutoLevels()


@settings(deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=60), st.floats(0, 1), st.sampled_from([1.0, -1.0]))
def test_quantile_lies_between_its_neighbours(numbers: list[int], q: float, step: float) -> None:
    values = np.array(numbers, np.float64)
    spread = counted(values * step, Linear(0.0, step))
    assert spread is not None
    below, above = np.quantile(values * step, q, method="lower"), np.quantile(values * step, q, method="higher")
    ordered = np.sort(values * step)
    at = int(np.clip(q * len(ordered), 0, len(ordered) - 1))
    assert min(below, ordered[at]) - 1 <= spread.quantile(q) <= max(above, ordered[at]) + 1
    assert values.min() <= spread.quantile(q) * step <= values.max()


def test_figures_of_noise() -> None:
    values = np.round(np.random.default_rng(1).normal(1000, 30, 20_000))
    for bins in (LINEAR, SplitLog(1003.0, 120.0)):
        spread = counted(values, bins)
        assert spread is not None
        median = spread.quantile(0.5)
        assert median == pytest.approx(np.median(values), abs=1)
        assert spread.mad(median) == pytest.approx(np.median(abs(values - median)), abs=1)
        for q in (0.001, 0.25, 0.999):
            assert spread.quantile(q) == pytest.approx(np.quantile(values, q), abs=1.5)


@settings(deadline=None)
@given(st.floats(-1e30, 1e30), st.floats(1e-30, 1e30), st.floats(-3e38, 3e38) | st.floats(-10, 10))
def test_edges_hold_their_bins(center: float, scale: float, value: float) -> None:
    assume(scale > abs(center) * 2.0**-40)  # Bins are laid so that float64 tells their edges apart.
    at = split_log_bin(value, center, 1 / scale)
    low, high = bin_edges(SplitLog(center, scale), at, at + 1)
    slack = 1e-6 * (abs(value - center) + scale)  # float32 rounds to the nearest, also past an edge.
    assert low < high
    assert low - slack <= value <= high + slack or at in (0, 65535)


def test_edges_ascend() -> None:
    for bins in (LINEAR, SplitLog(5.0, 2.0)):
        edges = bin_edges(bins, 0, 65536)
        assert len(edges) == 65537
        assert np.all(np.diff(edges) > 0)


def level_of(values: NDArray[np.float64], *, mid: float | None = None) -> Level:
    sixteen_bit = values.min() >= 0 and values.max() < 65536 and np.array_equal(values, np.round(values))
    return settle(AUTO, mid, counted(values, LINEAR if sixteen_bit else SplitLog(float(np.median(values)), 1.0)))


def drawn(values: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    t = np.clip((values - level.black) / (level.white - level.black), 0, 1)
    return 255 * midtone(level.mid, t)


def test_the_sky_of_a_star_field_is_a_quarter() -> None:
    random = np.random.default_rng(2)
    values = np.round(random.normal(1000, 30, 20_000))
    values[:200] += np.round(random.exponential(8000, 200))
    level = level_of(values)
    assert level.black == pytest.approx(1000 - 2.8 * 30, abs=6)
    assert drawn(np.array([np.median(values)]), level)[0] == pytest.approx(255 * SKY, abs=2)
    assert drawn(values, level).max() == 255


def few(background: float, others: Sequence[float]) -> NDArray[np.float64]:
    return np.array([background] * (2000 - len(others)) + [*others])


@pytest.mark.parametrize(
    "values",
    [
        few(0, [1]), few(0, [65535]), few(65535, [65534]), few(65535, [0]), few(1000, [999, 1001]),
        few(0, list(range(1, 900))), few(500, [0] * 900), few(500, [0] * 600 + [1000] * 300),
        few(-3.5, [-1e20]), few(0.0, [1e-12]), few(0.25, [-1e-3, 1e-3]), few(1e10, [1e10 + 4096]),
        np.arange(65536.0), np.repeat([0.0, 65535.0], 500), np.repeat([0.0, 65535.0], [400, 600]),
    ],
)  # fmt: skip
def test_structure_is_seen(values: NDArray[np.float64]) -> None:
    """The darkest and the brightest are told apart, whatever lies between."""
    level = level_of(values)
    assert level.black < level.white
    grey = drawn(np.array([values.min(), values.max()]), level)
    assert grey[1] - grey[0] > 60


@pytest.mark.parametrize("scale", [1.0, 2.0**-64])
def test_few_counts_are_told_apart(scale: float) -> None:
    """An X-ray picture: nothing in most pixels, one in some, more in a few."""
    values = np.random.default_rng(4).poisson(0.15, 20_000).astype(np.float64)
    for bins in (LINEAR, SplitLog(0.0, scale)):
        grey = drawn(np.array([0.0, 0.15, 1.0, 3.0]), settle(AUTO, None, counted(values, bins)))
        assert grey[0] < 5
        assert grey[1] == pytest.approx(255 * SKY, abs=15)
        assert grey[1] + 60 < grey[2] < 240
        assert grey[3] > 240


@pytest.mark.parametrize("value", [0.0, 1.0, 65535.0, -1e-12, 3e38])
def test_a_constant_frame_is_mid_grey(value: float) -> None:
    bins = LINEAR if value in (0, 1, 65535) else SplitLog(value, 1.0)
    for levels in (AUTO, Quantiles(0.05, 0.999)):
        level = settle(levels, None, counted(np.full(100, value), bins))
        assert drawn(np.array([value]), level)[0] == pytest.approx(127.5, abs=1)


def test_no_good_pixel() -> None:
    channel = Channel(LINEAR, 0, 10, None, None, None)
    spread = distribution(np.zeros(65536, np.uint64), channel)
    assert spread is None
    level = settle(AUTO, None, spread)
    assert level.black < level.white


def test_asked_for() -> None:
    spread = counted(np.arange(1001.0), LINEAR)
    assert settle(Cut(-5, 7), 0.3, spread) == Level(-5, 7, 0.3)
    level = settle(Quantiles(0.1, 0.9), 0.2, spread)
    assert level.black == pytest.approx(100, abs=1)
    assert level.white == pytest.approx(900, abs=1)
    assert level.mid == 0.2
    assert settle(Quantiles(0.1, 0.9), None, spread).mid == pytest.approx(midtone(SKY, 0.5), abs=0.01)
    assert settle(AUTO, 0.4, spread).mid == 0.4


def test_quantiles_of_a_nearly_constant_frame_show_what_differs() -> None:
    values = few(7, [90.0])
    level = settle(Quantiles(0.05, 0.999), None, counted(values, LINEAR))
    assert drawn(np.array([7.0, 90.0]), level).tolist() == [0, 255]


@given(st.floats(0.0001, 0.9999), st.floats(0, 1), st.floats(0, 1))
def test_midtone_ascends_and_keeps_its_ends(mid: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert midtone(mid, low) <= midtone(mid, high) + 1e-12
    assert midtone(mid, 0.0) == 0
    assert midtone(mid, 1.0) == pytest.approx(1)
    assert midtone(mid, mid) == pytest.approx(0.5)
    assert midtone(0.5, one) == pytest.approx(one)


@pytest.mark.parametrize("stretch", ["linear", "sqrt", "log", "asinh", "mtf"])
def test_stretches_ascend_from_0_to_1(stretch: str) -> None:
    bent = stretched(stretch, np.linspace(0, 1, 1001))
    assert np.all(np.diff(bent) > 0)
    assert (bent[0], bent[-1]) == (0, pytest.approx(1))
    expected = {"sqrt": 0.5, "log": math.log(251) / math.log(1001), "asinh": math.asinh(2.5) / math.asinh(10)}
    assert bent[250] == pytest.approx(expected.get(stretch, 0.25))
