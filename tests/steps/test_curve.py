"""Curves: each the formula that it is said to be, ascending, and led back exactly to float32."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgi_worker.steps.curve import Curve, at_least, beginnings, midtone, stretched, thresholds, unstretched
from cgi_worker.wire.view import Stretch

STRETCHES: list[Stretch] = ["linear", "sqrt", "log", "asinh", "power", "mtf"]
curves = st.builds(Curve, st.sampled_from(STRETCHES), st.floats(0.05, 20))
mids = st.floats(0.0001, 0.9999)


@given(mids, st.floats(0, 1), st.floats(0, 1))
def test_midtone_ascends_and_keeps_its_ends(mid: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert midtone(mid, low) <= midtone(mid, high) + 1e-12
    assert midtone(mid, 0.0) == 0
    assert midtone(mid, 1.0) == pytest.approx(1)
    assert midtone(mid, mid) == pytest.approx(0.5)
    assert midtone(0.5, one) == pytest.approx(one)
    assert midtone(1 - mid, midtone(mid, one)) == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("power", [0.05, 0.5, 2.0, 20.0])
def test_stretches_ascend_from_0_to_1(stretch: Stretch, power: float) -> None:
    curve = Curve(stretch, power)
    t = np.linspace(0, 1, 1001)
    bent = stretched(curve, t)
    assert np.all(np.diff(bent) > 0)
    assert (bent[0], bent[-1]) == (0, pytest.approx(1))
    expected = {
        "sqrt": 0.5, "log": math.log(251) / math.log(1001), "asinh": math.asinh(2.5) / math.asinh(10),
        "power": 0.25**power,
    }  # fmt: skip
    assert bent[250] == pytest.approx(expected.get(stretch, 0.25))
    np.testing.assert_allclose(unstretched(curve, bent), t, atol=1e-12)


@settings(deadline=None, max_examples=300)
@given(curves, mids)
def test_greys_begin_where_the_curve_says(curve: Curve, mid: float) -> None:
    t = beginnings(curve, mid)
    assert len(t) == 255
    assert np.all(np.diff(t) >= 0) and t[0] > 0 and t[-1] <= 1
    y = curve.bend(t, mid)
    expected = (np.arange(1, 256) - 0.5) / 255
    with np.errstate(over="ignore"):
        slack = np.abs(curve.bend(np.nextafter(t, 1), mid) - curve.bend(np.nextafter(t, 0), mid))
    assert np.all(np.abs(y - expected) <= 1e-9 + 4 * slack)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_drawn_as_the_exact_curve(data: st.DataObject) -> None:
    """Against float64, for all stretches and parameters: within one grey, and next to no value is off at all."""
    curve, mid = data.draw(curves), data.draw(mids)
    black = data.draw(st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 1000.0, 1e-30]))
    span = data.draw(st.floats(2.0**-20, 2.0**20, width=32)) * max(abs(black), 2.0**-90)
    white = black + span
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    t = random.random(500) ** data.draw(st.sampled_from([0.05, 1.0, 20.0]))
    values = np.append(np.clip(black + t * (white - black), -3e38, 3e38), [black, white]).astype(np.float32)
    found = thresholds(curve, black, white, mid)
    assert np.all(found[1:] >= found[:-1]) and found[255] == np.inf
    drawn = np.searchsorted(found[:255], values, side="right")
    exact = curve.greys(values.astype(np.float64), black, white, mid)
    assert np.abs(drawn - exact).max() <= 1
    if len(np.unique(values)) > 400:  # Else many lie where a grey begins, to the last bit of float64.
        assert np.count_nonzero(drawn != exact) <= 2
    assert drawn[-2] == (0 if float(np.float32(black)) == black else drawn[-2])
    assert drawn[-1] == (255 if float(np.float32(white)) >= white else drawn[-1])
    drawn.sort()
    assert np.array_equal(drawn, np.searchsorted(found[:255], np.sort(values), side="right"))


def test_rounded_up_to_float32() -> None:
    values = np.array([0.1, -0.1, 1.0, 1e39, -1e39, 16777217.0])
    with np.errstate(over="ignore"):
        rounded = at_least(values)
        assert rounded.dtype == np.float32
        assert np.all(rounded >= values)
        assert np.all(np.nextafter(rounded, np.float32(-np.inf)) < values)
