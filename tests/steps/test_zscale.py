"""Zscale: astropy's own numbers for the same values; from a histogram within the spread of astropy's sampling."""

import functools
import json
import os
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

from cgi_worker import alone
from cgi_worker.steps import sample
from cgi_worker.steps.levels import Channel, Linear, distribution
from cgi_worker.steps.zscale import zscale
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.steps import SAMPLES, Sample
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import Region, view_from_pairs
from tests.frames.make import card, image_hdu, write, write_compressed, write_gzip
from tests.frames.real import real_frames
from tests.steps.lending import Lending


def by_astropy(values: NDArray[Any]) -> tuple[float, float]:
    low, high = ZScaleInterval().get_limits(values)
    return float(low), float(high)


def strided(plane: NDArray[Any], region: Region | None = None) -> NDArray[np.float64] | None:
    """Take the sample of a plane in memory; None if no pixel is good."""
    rows, columns = plane.shape
    hdu = Hdu(0, "", "compressed", plane.shape, "f4", 0, plane.nbytes, rows)
    out = np.zeros(SAMPLES)
    work = Lending(inputs=[plane.astype(np.float32)], outputs=[out])
    sample.do(Sample(hdu, 0, region or Region(0, 0, columns, rows)), work)
    good = out[~np.isnan(out)]
    assert np.isnan(out[len(good) :]).all()
    return good if good.size else None


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


@pytest.mark.parametrize("chunk_px", [1, 100, 1 << 20])
def test_where_pixels_are_bad_the_good_ones_are_counted(chunk_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "CHUNK_PX", chunk_px)
    random = np.random.default_rng(5)
    plane = random.normal(0, 1, (101, 67)).astype(np.float32)
    plane[random.random(plane.shape) < 0.3] = np.nan
    plane[40:60] = np.inf
    part = plane[7:91, 3:60]
    for region, values in ((None, plane), (Region(3, 7, 57, 84), part)):
        good = values[np.isfinite(values)]
        taken = strided(plane, region)
        assert taken is not None
        assert np.array_equal(taken, np.sort(good[:: good.size // SAMPLES][:SAMPLES]))


KINDS = ["plain", "blank", "gzip", "gzip blank", "RICE", "GZIP", "PLIO", "float RICE"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", ["max", "60,"])
def test_however_a_frame_is_stored_its_levels_are_astropys(tmp_path: Path, kind: str, threads: int, size: str) -> None:
    random = np.random.default_rng(9)
    sky = random.poisson(900, (211, 307)).astype(np.int16)
    sky[random.random(sky.shape) < 0.01] += 4000
    cards = [card("BLANK", 900), card("BSCALE", 2.0), card("BZERO", -100.0)] if "blank" in kind else []
    path = tmp_path / "a.fits"
    if "gzip" in kind:
        write_gzip(path, image_hdu(sky, cards=cards))
    elif kind in ("plain", "blank"):
        write(path, image_hdu(sky, cards=cards))
    else:
        values = sky.astype(np.float32) * 0.37 if "float" in kind else sky
        write_compressed(path, values, kind.rsplit(maxsplit=1)[-1])
    with warnings.catch_warnings(), fits.open(path) as units:
        data = next(unit.data for unit in units if unit.data is not None).astype(float)
    for parameters, part in (({}, data), ({"region": "20,30,250,170"}, data[30:200, 20:270])):
        facts = told(path, threads, size=size, levels="zscale", **parameters)
        level = facts["levels"][0]
        expected = by_astropy(part[np.isfinite(part)])
        assert (level["black"], level["white"]) == pytest.approx(expected, rel=1e-5)


def told(path: Path, threads: int, **parameters: str) -> dict[str, Any]:
    """Make a picture; tell what its levels are."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        read = tile_from_pairs if "level" in parameters else view_from_pairs
        _, _, facts = alone.render(descriptor, read([("frame", "x"), *parameters.items()]), threads)
    finally:
        os.close(descriptor)
    found: dict[str, Any] = json.loads(facts)
    return found


def test_colour_planes_have_a_sample_each_and_a_tile_those_of_the_whole_plane(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    cube = random.normal([[[500]], [[900]], [[70]]], 25, (3, 300, 500)).astype(np.float32)
    path = write(tmp_path / "a.fits", image_hdu(cube))
    for asked in ({"size": "50,"}, {"level": "0", "x": "1", "y": "0"}, {"level": "3", "x": "0", "y": "0"}):
        levels = told(path, 1, levels="zscale", **asked)["levels"]
        for level, plane in zip(levels, cube, strict=True):
            assert (level["black"], level["white"]) == pytest.approx(by_astropy(plane), rel=1e-6)
