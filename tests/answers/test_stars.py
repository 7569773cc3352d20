"""Stars: made ones are found where they are, as bright and as wide as they were made; hostile fields end in time."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sep
from numpy.typing import NDArray

from cgi_worker.answers import detect, stars
from cgi_worker.answers.field import measure_background, open_field
from cgi_worker.answers.stars import BLENDED, StarsAnswer, answer
from cgi_worker.formats.fits import walk
from cgi_worker.kernels import hfr
from cgi_worker.kernels.background import BAD, SATURATED, crowd, flatten
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import Stars
from cgi_worker.wire.steps import Measure
from cgi_worker.wire.view import Region
from tests.frames.make import card, cut, header, image_hdu, structure, write, write_compressed, write_gzip
from tests.steps.lending import Lending

HEIGHT, WIDTH = 700, 900


def field_of_stars(sigma: float = 2.0, *, noise: float = 10.0, top: float = 20_000.0, seed: int = 5) -> tuple[Any, Any]:
    """Draw stars on a lattice, each a little off it; return pixels (float64) and positions x, y from 0."""
    random = np.random.default_rng(seed)
    pixels = random.normal(0, noise, (HEIGHT, WIDTH)) + 1000
    centres = np.stack(np.meshgrid(np.arange(50, WIDTH - 40, 60), np.arange(50, HEIGHT - 40, 60)), -1).reshape(-1, 2)
    places = centres + random.uniform(-3, 3, centres.shape)
    for n, (x, y) in enumerate(places):
        x0, y0 = int(x) - 24, int(y) - 24
        ys, xs = np.ogrid[y0 : y0 + 49, x0 : x0 + 49]
        light = top / (1 + n % 7) * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
        pixels[y0 : y0 + 49, x0 : x0 + 49] += light
    return pixels, places


def ask(path: Path, *, threads: int = 1, **asked: Any) -> StarsAnswer:
    """Ask as the step does."""
    fd = os.open(path, os.O_RDONLY)
    try:
        facts = walk(fd).facts
        assert facts.default_hdu is not None
        hdu = facts.hdus[facts.default_hdu]
        question = Stars(frame="", hdu=hdu.index, **asked)
        found = answer(question, Measure(question, hdu), Lending(source_fd=fd, threads=threads))
    finally:
        os.close(fd)
    msgspec.json.encode(found)
    return found


def matched(found: StarsAnswer, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find for each star the place (counted from 0) nearest to it."""
    at = np.array([(star.x - 1, star.y - 1) for star in found.stars])
    return np.argmin(((at[:, None] - places[None]) ** 2).sum(-1), axis=1)


@pytest.mark.parametrize("sigma", [1.3, 2.0, 3.5, 6.0])
def test_made_stars_are_measured_as_they_were_made(tmp_path: Path, sigma: float) -> None:
    pixels, places = field_of_stars(sigma)
    found = ask(write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32))))
    assert found.found == found.listed == len(places) and not found.truncated
    nearest = matched(found, places)
    assert len(set(nearest.tolist())) == len(places)
    for star, place in zip(found.stars, places[nearest], strict=True):
        assert np.hypot(star.x - 1 - place[0], star.y - 1 - place[1]) < 0.05
        assert star.fwhm == pytest.approx(2.3548 * sigma, rel=0.03)
        assert star.hfr == pytest.approx(1.1774 * np.sqrt(sigma**2 + 1 / 12), rel=0.03)
        assert star.ellipticity < 0.05 and not star.flags and not star.saturated
    tops = 20_000 / (1 + np.array([int(n) for n in nearest]) % 7)
    assert np.array([star.flux for star in found.stars]) == pytest.approx(2 * np.pi * sigma**2 * tops, rel=0.03)
    assert found.fwhm == pytest.approx(2.3548 * sigma, rel=0.01)
    assert found.hfr == pytest.approx(1.1774 * np.sqrt(sigma**2 + 1 / 12), rel=0.01)
    assert sigma < 1.5 or found.hfr == pytest.approx(1.1774 * sigma, rel=0.03)
    assert found.background == pytest.approx(1000, abs=2)
    assert sigma > 4 or found.noise == pytest.approx(10, rel=0.05)  # Wide stars leave little room between them.
    assert [star.flux for star in found.stars] == sorted((star.flux for star in found.stars), reverse=True)


def test_ellipticity(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    ys, xs = np.mgrid[:200, :200]
    along, across = (xs - 100) * 0.8 + (ys - 90) * 0.6, (xs - 100) * -0.6 + (ys - 90) * 0.8
    light = 5000 * np.exp(-(along**2) / (2 * 4.0**2) - across**2 / (2 * 2.0**2))
    found = ask(write(tmp_path / "f.fits", image_hdu((light + random.normal(100, 5, light.shape)).astype(np.float32))))
    assert found.found == 1
    assert found.stars[0].ellipticity == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("band_px", [WIDTH * 170, WIDTH * 230])
def test_bands_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, band_px: int) -> None:
    """Each star is counted once, and measured alike, wherever the bands end."""
    pixels, places = field_of_stars(3.0)
    path = write(tmp_path / "f.fits", image_hdu(np.clip(pixels, 0, 65535).astype(np.uint16)))
    whole = ask(path, threads=threads)
    monkeypatch.setattr(detect, "BAND_PX", band_px)
    banded = ask(path, threads=threads)
    assert whole.found == len(places)
    assert banded == whole


def test_kinds_of_files_agree(tmp_path: Path) -> None:
    pixels = np.clip(field_of_stars()[0], 0, 65535).astype(np.uint16)
    plain = ask(write(tmp_path / "f.fits", image_hdu(pixels)))
    zipped = ask(write_gzip(tmp_path / "f.fits.gz", image_hdu(pixels)), threads=2)
    tiled = ask(write_compressed(tmp_path / "f.fits.fz", pixels), threads=2)
    assert zipped == plain
    assert msgspec.structs.replace(tiled, hdu=0) == plain


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8", "u4", "u8", "f8"])
def test_all_types(tmp_path: Path, kind: str) -> None:
    pixels, places = field_of_stars(noise=2.0, top=30_000)
    scaled = pixels / 150 if kind == "u1" else pixels * 0.5
    found = ask(write(tmp_path / "f.fits", image_hdu(np.round(scaled).astype(kind))), threshold=20.0)
    assert found.found == len(places)
    assert found.fwhm == pytest.approx(4.71, rel=0.03)


def test_tiny_units_and_large_offsets(tmp_path: Path) -> None:
    pixels, places = field_of_stars()
    small = ask(write(tmp_path / "f.fits", image_hdu((pixels - 1000) * 1e-19)))
    assert small.found == len(places) and small.noise == pytest.approx(1e-18, rel=0.05)
    cards = [card("BSCALE", 0.001), card("BZERO", 1000.0)]
    path = write(tmp_path / "g.fits", image_hdu(np.clip(pixels, 0, 30_000).astype(np.int16), cards=cards))
    assert ask(path).noise == pytest.approx(0.01, rel=0.05)


def test_region_keeps_the_planes_coordinates(tmp_path: Path) -> None:
    pixels, places = field_of_stars()
    path = write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32)))
    found = ask(path, region=Region(333, 201, 300, 250))
    inside = places[(places[:, 0] > 340) & (places[:, 0] < 626) & (places[:, 1] > 208) & (places[:, 1] < 444)]
    at = np.array([(star.x - 1, star.y - 1) for star in found.stars])
    assert len(inside) >= 12
    for x, y in inside:
        assert np.hypot(at[:, 0] - x, at[:, 1] - y).min() < 0.05


def test_count_lists_the_brightest_and_counts_all(tmp_path: Path) -> None:
    pixels, places = field_of_stars()
    path = write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32)))
    few, all_of_them = ask(path, count=10), ask(path)
    assert (few.found, few.listed) == (len(places), 10)
    assert few.stars == all_of_them.stars[:10]
    assert (few.fwhm, few.hfr, few.median_of) == (all_of_them.fwhm, all_of_them.hfr, all_of_them.median_of)


def test_saturated_stars_are_marked_and_do_not_count(tmp_path: Path) -> None:
    pixels, places = field_of_stars(2.0, top=400_000)
    full = np.clip(pixels, 0, 65535)
    by_type = ask(write(tmp_path / "f.fits", image_hdu(full.astype(np.uint16))))
    expected = {n for n in range(len(places)) if full[_around(places[n])].max() == 65535}
    assert {n for n, star in zip(matched(by_type, places), by_type.stars, strict=True) if star.saturated} == expected
    assert by_type.saturation == 65535 and by_type.median_of == by_type.found - len(expected) > 0
    by_card = ask(write(tmp_path / "g.fits", image_hdu(full.astype(np.float32), cards=[card("SATURATE", 60_000.0)])))
    assert by_card.saturation == 60_000 and any(star.saturated and "saturated" in star.flags for star in by_card.stars)


def _around(place: NDArray[np.float64]) -> tuple[slice, slice]:
    x, y = place.round().astype(int)
    return slice(y - 3, y + 4), slice(x - 3, x + 4)


def test_bad_pixels_are_no_stars(tmp_path: Path) -> None:
    pixels, places = field_of_stars()
    pixels[100:140, :] = np.nan
    pixels[:, 300] = np.inf
    pixels[_around(places[-1])][3, 3] = -np.inf
    found = ask(write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32))))
    kept = (np.abs(places[:, 1] - 120) > 35) & (np.abs(places[:, 0] - 300) > 12)
    kept[-1] = False
    at = np.array([(star.x - 1, star.y - 1) for star in found.stars])
    for x, y in places[kept]:
        assert np.hypot(at[:, 0] - x, at[:, 1] - y).min() < 0.05
    assert any("has bad pixels" in star.flags for star in found.stars)
    assert found.found <= len(places)
    blank = np.clip(pixels, -1e6, 30_000)
    blank[~np.isfinite(pixels)] = -32768
    path = write(tmp_path / "g.fits", image_hdu(blank.astype(np.int16), cards=[card("BLANK", -32768)]))
    assert ask(path).background == pytest.approx(1000, abs=2)


def test_two_close_stars_are_told_apart_and_do_not_count(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    ys, xs = np.mgrid[:128, :128]
    pixels = random.normal(0, 1, xs.shape) + sum(
        1000 * np.exp(-((xs - x) ** 2 + (ys - 60) ** 2) / (2 * 1.5**2)) for x in (60, 66)
    )
    found = ask(write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32))))
    assert found.found == 2 and found.median_of == 0 and found.fwhm is None
    assert all(BLENDED in star.flags for star in found.stars)


def test_hot_pixels_are_called_sharp(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).normal(100, 2, (200, 200))
    pixels[50, 60] = 5000
    found = ask(write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32))))
    assert found.found == 1 and "sharper than a star" in found.stars[0].flags
    assert (found.stars[0].x, found.stars[0].y) == (pytest.approx(61, abs=0.05), pytest.approx(51, abs=0.05))


def test_bayer_positions_and_sizes_are_those_of_the_mosaic(tmp_path: Path) -> None:
    pixels, places = field_of_stars(3.0)
    gain = np.where((np.mgrid[:HEIGHT, :WIDTH].sum(0) % 2) == 0, 1.0, 1.6)
    mosaic = np.clip(pixels * gain, 0, 65535).astype(np.uint16)
    path = write(tmp_path / "f.fits", image_hdu(mosaic, cards=[card("BAYERPAT", "RGGB")]))
    found = ask(path)
    assert found.found == len(places) and "Bayer" in found.notes[0]
    nearest = places[matched(found, places)]
    assert all(np.hypot(s.x - 1 - p[0], s.y - 1 - p[1]) < 0.1 for s, p in zip(found.stars, nearest, strict=True))
    assert found.fwhm == pytest.approx(2.3548 * 3, rel=0.04) and found.hfr == pytest.approx(1.1774 * 3, rel=0.04)
    odd = ask(path, region=Region(101, 99, 401, 399))
    assert odd.fwhm == pytest.approx(found.fwhm, rel=0.02)


def test_a_truncated_frame_shows_the_rows_it_has(tmp_path: Path) -> None:
    pixels, places = field_of_stars()
    path = write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32)))
    cut(path, 2880 + 400 * WIDTH * 4 + 5)
    found = ask(path)
    assert "300 rows" in found.notes[0]
    assert found.found == pytest.approx((places[:, 1] < 398).sum(), abs=15)
    assert max(star.y for star in found.stars) <= 401
    beyond = ask(path, region=Region(0, 500, 100, 100))
    assert beyond.found == 0 and beyond.background is None


@pytest.mark.parametrize(
    ("pixels", "note"),
    [
        (np.full((50, 60), 7, np.uint16), "alike"),
        (np.full((50, 60), np.nan, np.float32), "no good pixel"),
        (np.full((1, 1), 5, np.int32), "alike"),
    ],
)
def test_fields_without_anything(tmp_path: Path, pixels: NDArray[Any], note: str) -> None:
    found = ask(write(tmp_path / "f.fits", image_hdu(pixels)))
    assert (found.found, found.fwhm, found.stars) == (0, None, ())
    assert any(note in each for each in found.notes)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (2, 2), (3, 1000), (65, 129)])
def test_odd_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).normal(100, 3, shape).astype(np.float32)
    pixels[shape[0] // 2, shape[1] // 2] = 5000
    assert ask(write(tmp_path / "f.fits", image_hdu(pixels)), threads=2).found <= 1


def test_stars_without_noise_are_found(tmp_path: Path) -> None:
    pixels, places = field_of_stars(noise=0.0)
    found = ask(write(tmp_path / "f.fits", image_hdu(np.round(pixels).astype(np.int32))))
    assert found.found == len(places)


_YS, _XS = np.mgrid[:600, :2000]
_NOISE = np.random.default_rng(7).normal(1000, 20, _XS.shape)
HOSTILE = {
    "noise": _NOISE,
    "uniform": np.random.default_rng(8).random(_XS.shape) * 6e4,
    "checkerboard": (_XS + _YS) % 2 * 1000.0,
    "dots": ((_XS % 6 < 2) & (_YS % 6 < 2)) * 1000.0 + _NOISE,
    "lines": ((_XS - _YS) % 50 < 3) * 2000.0 + _NOISE,
    "blob": (np.hypot(_XS - 1000, _YS - 300) < 250) * 5e4 + _NOISE,
    "noisy blob": (np.hypot(_XS - 1000, _YS - 300) < 280) * np.random.default_rng(9).random(_XS.shape) * 5e4 + _NOISE,
    "salt": (np.random.default_rng(9).random(_XS.shape) < 0.05) * 3e4 + _NOISE,
    "heavy tails": _NOISE * np.abs(np.random.default_rng(9).standard_cauchy(_XS.shape)),
    "huge": np.where((_XS % 97 == 0) & (_YS % 89 == 0), 3e38, _NOISE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_fields_end(tmp_path: Path, name: str) -> None:
    """1.2 Mpx each, so 30 s for 61 Mpx are 0.6 s here; the limit is wide because other work may be going on."""
    path = write(tmp_path / "f.fits", image_hdu(HOSTILE[name].astype(np.float32)))
    began = time.process_time()
    found = ask(path)
    assert time.process_time() - began < 3.0
    assert found.truncated == (found.threshold > 5.0)
    assert found.truncated <= any("too many" in note for note in found.notes)


def test_too_many_raise_the_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = field_of_stars(top=5000)
    path = write(tmp_path / "f.fits", image_hdu(pixels.astype(np.float32)))
    monkeypatch.setattr(detect, "FOUND_MAX", 60)
    found = ask(path)
    assert found.truncated and found.threshold > found.asked == 5.0 and 0 < found.found <= 60
    assert "too many" in found.notes[0]


def test_seps_own_limits_are_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "f.fits", image_hdu(field_of_stars()[0].astype(np.float32)))
    monkeypatch.setattr(detect, "_STACK_PX", 200)
    found = ask(path)
    assert found.truncated and found.found > 0


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    lines = [card("SIMPLE", True), *structure(8, (1 << 17, 1 << 12))]
    path = tmp_path / "f.fits"
    path.write_bytes(header(lines))
    with path.open("r+b") as file:
        file.truncate(2880 + (1 << 29))
    with pytest.raises(StepFailed, match="region") as failed:
        ask(path)
    assert failed.value.code == "too_big"
    wide = header([card("SIMPLE", True), *structure(8, (1 << 17, 9))])
    path.write_bytes(wide + bytes(range(251)) * (9 * (1 << 17) // 250))
    wide = header([card("SIMPLE", True), *structure(8, (1 << 17, 9))])
    path.write_bytes(wide + bytes(range(251)) * (9 * (1 << 17) // 250))
    with pytest.raises(StepFailed, match="columns"):
        ask(path)


def test_background_is_as_good_as_seps(tmp_path: Path) -> None:
    pixels, _ = field_of_stars()
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    slope = 0.1 * xs + 60 * np.sin(ys / 200)
    pixels = (pixels + slope).astype(np.float32)
    path = write(tmp_path / "f.fits", image_hdu(pixels))
    with path.open("rb") as file:
        hdu = walk(file.fileno()).facts.hdus[0]
        ours = measure_background(open_field(file.fileno(), hdu, 0, Region(0, 0, WIDTH, HEIGHT)))
    assert ours is not None
    theirs = sep.Background(pixels)
    assert ours.level == pytest.approx(theirs.globalback, abs=6)  # Of a slope of 90.
    assert ours.noise == pytest.approx(theirs.globalrms, rel=0.1)
    flat, flags = pixels.copy(), np.empty(pixels.shape, np.uint8)
    flatten(flat, flags, ours.mesh, np.array([0, HEIGHT]), np.array([1.0, np.inf]))
    off = np.abs(pixels - flat - 1000 - slope)
    off_theirs = np.abs(theirs.back() - 1000 - slope)
    assert np.median(off) <= 1.2 * np.median(off_theirs) and off.max() <= 1.2 * off_theirs.max()
    assert not flags.any()


def test_flatten_by_rows_is_flatten_at_once() -> None:
    random = np.random.default_rng(3)
    plane = random.normal(100, 3, (150, 210)).astype(np.float32)
    plane[7, 9], plane[8, 10], plane[140, 200] = np.nan, np.inf, 900.0
    mesh = random.normal(100, 3, (7, 8))
    whole, parts = plane.copy(), plane.copy()
    flags, some = np.full((2, 150, 210), 0xA7, np.uint8)
    scale = np.array([3.0, 900.0])
    flatten(whole, flags, mesh, np.array([0, 150]), scale)
    for row in range(0, 150, 37):
        flatten(parts[row : row + 37], some[row : row + 37], mesh, np.array([row, 150]), scale)
    assert np.array_equal(whole, parts) and np.array_equal(flags, some)
    assert (flags[7, 9], flags[8, 10], flags[140, 200]) == (BAD, BAD | SATURATED, SATURATED)
    assert whole[7, 9] == whole[8, 10] == 0


def test_crowd_counts_pixels_and_patches() -> None:
    plane = np.zeros((9, 12), np.float32)
    plane[1, 1:4] = plane[2, 4:6] = plane[3, 2] = 6.0  # One patch by its corners, and one alone.
    plane[8, 11] = 5.0  # Not above.
    counts = np.full(2, 77, np.int64)
    crowd(plane, 5.0, counts)
    assert counts.tolist() == [6, 2]


def test_half_flux_radius_is_seps() -> None:
    pixels, places = field_of_stars(2.5, noise=1.0)
    plane = (pixels - 1000).astype(np.float32)
    start = np.column_stack([places, np.full(len(places), 2.0)])
    out = np.empty((len(places), hfr.FIELDS))
    hfr.measure_stars(plane, np.zeros(plane.shape, np.uint8), start, out)
    theirs, _ = sep.flux_radius(plane, out[:, hfr.X], out[:, hfr.Y], 5 * out[:, hfr.MAJOR], 0.5, subpix=5)
    assert out[:, hfr.HALF] == pytest.approx(theirs, rel=0.01)
    assert (out[:, hfr.STEADY] == 1).all()


def test_pixels_of_a_question_are_bounded() -> None:
    assert stars.PX_MAX * 20e-9 < 15  # Seconds, by what `detect` says of its cost.
