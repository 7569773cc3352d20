"""Zscale: astropy's own numbers for the same values; from a histogram within the spread of astropy's sampling."""

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from astropy.visualization import ZScaleInterval  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.steps.levels import Channel, Linear, distribution
from cgi_worker.steps.zscale import SAMPLES, strided, zscale
from tests.frames.real import real_frames


def by_astropy(values: NDArray[Any]) -> tuple[float, float]:
    low, high = ZScaleInterval().get_limits(values)
    return float(low), float(high)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_equals_astropy(data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 150))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    plane = random.normal(1000, 30, shape).astype(np.float32)
    stars = random.random(shape) < data.draw(st.sampled_from([0.0, 0.02, 0.6]))
    plane[stars] += random.exponential(5000, int(stars.sum())).astype(np.float32)
    holes = random.random(shape) < data.draw(st.sampled_from([0.0, 0.05]))
    plane[holes] -= 900
    if data.draw(st.booleans()):
        plane = np.round(plane / 20)
    plane[random.random(shape) < data.draw(st.sampled_from([0.0, 0.1, 0.95]))] = np.nan
    sample = strided(plane)
    if sample is None:
        assert np.all(np.isnan(plane))
        return
    good = plane[~np.isnan(plane)]
    assert np.array_equal(sample, np.sort(good[:: max(1, good.size // SAMPLES)][:SAMPLES]))
    assert zscale(sample) == pytest.approx(by_astropy(plane), rel=1e-6, abs=1e-9)


@functools.cache
def planes() -> list[tuple[str, NDArray[np.float32]]]:
    """The first plane of every image of every real frame."""
    found = []
    for path in real_frames():
        found += [(path.name, plane) for plane in _planes(path)]
    assert len(found) > 80
    return found


def _planes(path: Path) -> list[NDArray[np.float32]]:
    found = []
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # Real frames break many rules, and astropy says so.
        try:
            datas = [hdu.data for hdu in fits.open(file, memmap=False) if hdu.is_image]
        except (TypeError, ValueError, OSError, KeyError, AttributeError):
            return []  # Those that astropy cannot read.
    for data in datas:
        if data is not None and data.ndim >= 2 and data.size and data.dtype.kind in "iuf":
            with np.errstate(all="ignore"):
                plane = data.reshape(-1, *data.shape[-2:])[0].astype(np.float32)
            found.append(np.where(np.isfinite(plane), plane, np.float32(np.nan)))
    return found


def test_every_real_frame() -> None:
    for name, plane in planes():
        sample = strided(plane)
        if sample is not None:
            assert zscale(sample) == pytest.approx(by_astropy(plane), rel=1e-5), name


def test_from_the_histogram_it_lies_within_astropys_own_spread() -> None:
    """Astropy's answer depends on where its stride begins: ours is that of all pixels."""
    tried = 0
    for name, plane in planes():
        good = plane[~np.isnan(plane)]
        if good.size < 50_000 or not np.array_equal(good, np.round(good)) or good.min() < 0 or good.max() > 65535:
            continue
        counts = np.bincount(good.astype(int), minlength=65536).astype(np.uint64)
        channel = Channel(
            Linear(0.0, 1.0), good.size, 0, float(good.min()), float(good.max()), float(good.mean(dtype=np.float64))
        )
        spread = distribution(counts, channel)
        assert spread is not None
        black, white = zscale(spread.sample(SAMPLES))
        starts = np.linspace(0, good.size // SAMPLES, 12, endpoint=False).astype(int)
        limits = np.array([by_astropy(good[start :: good.size // SAMPLES]) for start in starts])
        (low, bright), wide = limits.min(axis=0), np.ptp(limits, axis=0) / 2 + 1
        assert low - wide[0] <= black <= limits[:, 0].max() + wide[0], name
        assert bright - wide[1] <= white <= limits[:, 1].max() + wide[1], name
        tried += 1
    assert tried >= 5


def test_few_values_are_shown_whole() -> None:
    assert zscale(np.array([1.0, 2.0, 9.0])) == (1.0, 9.0)
    assert strided(np.full((3, 3), np.nan, np.float32)) is None
