"""Levels: figures from histograms against numpy, and no frame that is all black or all white."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.steps.curve import Curve, midtone
from cgi_worker.steps.levels import (
    DIM,
    SKY,
    Channel,
    Distribution,
    Level,
    Linear,
    SplitLog,
    bin_edges,
    distribution,
    settle,
    settle_all,
    united,
)
from cgi_worker.wire.steps import Tone
from cgi_worker.wire.view import AutoLevels, Cut, Levels, PerChannel, Quantiles, Stretch, Zscale
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
    low, high = bin_edges(SplitLog(center, scale), np.array([at, at + 1]))
    slack = 1e-6 * (abs(value - center) + scale)  # float32 rounds to the nearest, also past an edge.
    assert low < high
    assert low - slack <= value <= high + slack or at in (0, 65535)


def test_edges_ascend() -> None:
    for bins in (LINEAR, SplitLog(5.0, 2.0)):
        edges = bin_edges(bins, np.arange(65537))
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
    assert settle(Quantiles(0.4, 0.9), None, spread).mid == pytest.approx(midtone(SKY, 0.2), abs=0.01)
    assert settle(Quantiles(0.1, 0.9), None, spread).mid == 0.5  # It is bright enough as it is.
    assert settle(AUTO, 0.4, spread).mid == 0.4


def test_quantiles_of_a_nearly_constant_frame_show_what_differs() -> None:
    values = few(7, [90.0])
    level = settle(Quantiles(0.05, 0.999), None, counted(values, LINEAR))
    assert drawn(np.array([7.0, 90.0]), level).tolist() == [0, 255]


STRETCHES: list[Stretch] = ["linear", "sqrt", "log", "asinh", "power", "mtf"]


def spread_of(values: NDArray[np.float32]) -> Distribution:
    """Count float32 values into bins that are laid as the reduce step lays them."""
    wide = values.astype(np.float64)
    center = float(np.median(wide))
    scale = 4 * 1.4826 * float(np.median(np.abs(wide - center))) or abs(center) * 2.0**-20 or 2.0**-64
    spread = counted(wide, SplitLog(center, min(max(scale, 1e-37), 1e37)))
    assert spread is not None
    return spread


def mean_grey(values: NDArray[np.float64], level: Level, curve: Curve) -> float:
    return float(curve.greys(values, level.black, level.white, level.mid).mean())


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_auto_is_never_black_nor_white(data: st.DataObject) -> None:
    """Constants, masks, hot pixels of 1e30, heavy tails, saturated for the most part: by any stretch."""
    some = data.draw(
        st.lists(st.floats(-1e30, 1e30) | st.sampled_from([0.0, 1.0, 65535.0, 1e30]), min_size=1, max_size=6)
    )
    times = data.draw(st.lists(st.sampled_from([1, 2, 30, 500]), min_size=len(some), max_size=len(some)))
    noise = data.draw(st.sampled_from([0.0, 1e-3, 30.0, 1e6]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = np.repeat(some, times)
    values = (values + noise * random.normal(size=values.size)).astype(np.float32)
    stretch = data.draw(st.sampled_from(STRETCHES))
    curve = Curve(stretch, data.draw(st.sampled_from([0.05, 0.5, 2.0, 20.0])))
    level = settle(AUTO, None if stretch == "mtf" else 0.5, spread_of(values), curve=curve)
    greys = curve.greys(values.astype(np.float64), level.black, level.white, level.mid)
    assert 8 <= greys.mean() <= 247
    assert values.min() == values.max() or greys.min() < greys.max()


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize(
    "values",
    [
        few(0, [1]), few(65535, [0]), few(0, [1e30]), few(1000, [-1e30] * 20), np.repeat([0.0, 1.0], [1999, 1]),
        np.repeat([0.0, 1.0], [1, 1999]), np.arange(100.0), np.append(np.arange(100.0), 1e30), np.full(9, -3.0),
    ],
)  # fmt: skip
def test_auto_on_hard_frames(values: NDArray[np.float64], stretch: Stretch) -> None:
    curve = Curve(stretch, 2.0)
    level = settle(AUTO, None if stretch == "mtf" else 0.5, spread_of(values.astype(np.float32)), curve=curve)
    assert DIM - 2 <= mean_grey(values, level, curve) <= 257 - DIM


def test_one_hot_pixel_does_not_hide_the_others() -> None:
    values = np.append(np.arange(100.0), 1e30)
    level = settle(AUTO, None, spread_of(values.astype(np.float32)))
    grey = drawn(values, level)
    assert grey[80] - grey[20] > 50


def test_mostly_empty_channels_together() -> None:
    """The crowd's place among all pixels is kept: adaptive bins would say that it is spread over one of them."""
    few_negative = np.concatenate((np.full(300, -7.0), np.zeros(1500), np.linspace(10, 90, 200)))
    one = counted(few_negative, SplitLog(0.0, 1e3))
    assert one is not None
    union = united([one, one, one])
    assert union.crowd == (0.0, 900.0, 5400.0)
    assert (union.quantile(0.2), union.quantile(0.5), union.quantile(0.89)) == (0.0, 0.0, 0.0)
    assert union.quantile(0.1) < -4
    assert np.count_nonzero(union.sample(1000) == 0) == pytest.approx(750, abs=2)


def test_mostly_saturated_frames_are_bright() -> None:
    values = np.append(np.full(1200, 65535.0), np.linspace(20_000, 60_000, 800))
    assert 150 < mean_grey(values, level_of(values), Curve("mtf", 2.0)) <= 247


def tone(levels: Levels, **fields: Any) -> Tone:
    return Tone(9, 9, levels, fields.pop("mid", None), "mtf", False, False, False, **fields)


def sky(middle: float, sigma: float, seed: int) -> NDArray[np.float64]:
    return np.round(np.random.default_rng(seed).normal(middle, sigma, 5000))


COLOURS = [sky(1000, 30, 1), sky(1400, 50, 2), sky(700, 20, 3)]
SPREADS = [counted(values, LINEAR) for values in COLOURS]


def test_united_counts_as_one() -> None:
    everything = counted(np.concatenate(COLOURS), LINEAR)
    assert everything is not None
    adaptive: list[Linear | SplitLog] = [LINEAR, SplitLog(1400.3, 99.0), SplitLog(705.0, 20.0)]
    for bins in ([LINEAR] * 3, adaptive):
        spreads = [counted(values, laid) for values, laid in zip(COLOURS, bins, strict=True)]
        union = united([spread for spread in spreads if spread is not None])
        assert (union.low, union.high) == (everything.low, everything.high)
        assert union.mean == pytest.approx(everything.mean)
        assert union.below[-1] == 15_000
        for q in (0.01, 0.3, 0.5, 0.9, 0.999):
            assert union.quantile(q) == pytest.approx(everything.quantile(q), abs=2)
        assert union.centred == (bins[1] == LINEAR)


def test_each_channel_has_its_own_levels_unless_linked() -> None:
    own = settle_all(tone(AUTO), SPREADS)
    assert own == tuple(settle(AUTO, None, spread) for spread in SPREADS)
    everything = counted(np.concatenate(COLOURS), LINEAR)
    assert everything is not None
    for levels in (AUTO, Quantiles(0.1, 0.9), Zscale()):
        one, *others = settle_all(tone(levels, link=True), SPREADS)
        assert others == [one, one]
        expected = settle(levels, None, everything)
        assert one.black == pytest.approx(expected.black, abs=2)
        assert one.white == pytest.approx(expected.white, abs=2)


def test_neutral_brings_the_backgrounds_together() -> None:
    found = settle_all(tone(AUTO, link=True, neutral=True), SPREADS)
    assert len({round(level.white - level.black, 6) for level in found}) == 1
    greys = [drawn(np.array([np.median(v)]), level)[0] for v, level in zip(COLOURS, found, strict=True)]
    assert greys == pytest.approx([greys[0]] * 3, abs=1)
    assert 255 * SKY - 2 <= greys[0] <= 100
    medians = np.array([np.median(values) for values in COLOURS])
    found = settle_all(tone(Cut(1000, 1100), mid=0.5, link=True, neutral=True), SPREADS)
    blacks = 1000 - medians.mean() + medians
    assert [level.black for level in found] == pytest.approx(blacks, abs=1)


def test_channels_and_midtones_of_their_own() -> None:
    asked = PerChannel(Cut(0, 1), Cut(2, 3), Quantiles(0.1, 0.9))
    found = settle_all(tone(asked, mid=(0.1, 0.2, 0.3), link=True), SPREADS)
    assert found[:2] == (Level(0, 1, 0.1), Level(2, 3, 0.2))
    assert found[2] == settle(Quantiles(0.1, 0.9), 0.3, SPREADS[2])
    found = settle_all(tone(AUTO, mid=(0.1, 0.2, 0.1), link=True), SPREADS)
    assert [level.mid for level in found] == [0.1, 0.2, 0.1]


def test_a_channel_without_a_good_pixel() -> None:
    for fields in ({}, {"link": True}, {"link": True, "neutral": True}):
        found = settle_all(tone(AUTO, **fields), [SPREADS[0], None, SPREADS[2]])
        assert all(level.black < level.white for level in found)
        assert all(level.black < level.white for level in settle_all(tone(AUTO, **fields), [None] * 3))


@settings(deadline=None, max_examples=100)
@given(st.floats(-1e300, 1e300), st.sampled_from([1e-300, 1e-9, 1.0, 1e300]))
def test_white_stays_above_black(low: float, span: float) -> None:
    for fields in ({}, {"link": True, "neutral": True}):
        for level in settle_all(tone(Cut(low, low + span), mid=0.5, **fields), SPREADS):
            assert level.black < level.white
