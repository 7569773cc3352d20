"""The profile question, against samples taken one by one."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.answers import profile
from cgi_worker.answers.plane import Plane
from cgi_worker.answers.profile import follow, lay
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.question import PROFILE_PX_MAX, Profile
from tests.answers.asking import Noted, ask
from tests.frames.make import BLOCK, cut, image_hdu, star_field, write, write_compressed, write_gzip


def on(pixels: NDArray[np.float64], *, in_order: bool = False) -> Plane:
    """Hold an array as a plane."""
    return Plane(Noted(pixels, "f8", in_order=in_order), Hdu(0, "", "image", pixels.shape, "f8"))


def sample(pixels: NDArray[np.float64], x: float, y: float) -> float:
    """Interpolate at one place, x and y counted from 0; NaN where less than half of the weight is good."""
    total = weight = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            part = (1 - abs(x - column)) * (1 - abs(y - row))
            if 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1] and not math.isnan(pixels[row, column]):
                total += part * float(pixels[row, column])
                weight += part
    return total / weight if weight >= 0.5 - 1e-9 else math.nan


def slowly(pixels: NDArray[np.float64], line: tuple[float, float, float, float], width: int) -> list[list[float]]:
    """Take all good samples of all points, one by one."""
    x1, y1, x2, y2 = line
    length = math.hypot(x2 - x1, y2 - y1)
    points = max(2, round(length) + 1)
    found = []
    for point in range(points):
        part = point / (points - 1)
        x, y = x1 + (x2 - x1) * part, y1 + (y2 - y1) * part
        samples = []
        for aside in range(width):
            off = aside - (width - 1) / 2
            dx, dy = (-(y2 - y1) / length * off, (x2 - x1) / length * off) if length else (0, off)
            value = sample(pixels, x + dx - 1, y + dy - 1)
            if not math.isnan(value):
                samples.append(value)
        found.append(samples)
    return found


COORDINATE = st.one_of(st.integers(-3, 16), st.floats(-3, 16).map(lambda x: round(x * 64) / 64))


@given(
    st.integers(1, 13), st.integers(1, 13), st.tuples(*[COORDINATE] * 4), st.integers(1, 6), st.integers(0, 2**32 - 1),
    st.integers(1, 40), st.booleans(),
)  # fmt: skip
def test_against_samples_one_by_one(  # noqa: PLR0913, PLR0917
    height: int, width: int, line: tuple[float, float, float, float], across: int, seed: int, band: int, in_order: bool,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    pixels = random.integers(-50, 50, (height, width)).astype("f8")
    pixels[random.random(pixels.shape) < 0.15] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "BAND_PX", band)
        patch.setattr(profile, "SAMPLES_MAX", 7)
        value, good = follow(on(pixels, in_order=in_order), lay(line, across))
    expected = slowly(pixels, line, across)
    # Within rounding of the bound on its weight a sample may go either way.
    for got, count, samples in zip(value.tolist(), good.tolist(), expected, strict=True):
        if count == len(samples):
            assert got == pytest.approx(np.mean(samples) if samples else 0, abs=1e-6)
        else:
            assert np.isnan(pixels).any() or not (min(line) >= 1 and max(line[::2]) <= width)


def test_along_a_row(tmp_path: Path) -> None:
    pixels = star_field(50, 40)
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Profile(frame="", line=(3, 7, 30, 7)))
    assert answer["value"] == pixels[6, 2:30].tolist()
    assert answer["x"] == list(range(3, 31)) and set(answer["y"]) == {7}
    assert answer["distance"] == list(range(28)) and answer["length"] == 27


def test_width_is_a_mean_across(tmp_path: Path) -> None:
    pixels = star_field(50, 40)
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Profile(frame="", line=(9, 1, 9, 50), width=5))
    np.testing.assert_allclose(answer["value"], pixels[:, 6:11].mean(axis=1), rtol=1e-9)
    assert answer["good"] == [5] * 50


def test_nothing_off_the_plane_nor_where_rows_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.ones((4, 4), "i2")))
    assert ask(path, Profile(frame="", line=(-2, 2, 6, 2)))["value"] == [None] * 3 + [1] * 4 + [None] * 2
    assert set(ask(path, Profile(frame="", line=(1e9, 1e9, 1e9, 1e9)))["value"]) == {None}
    path = cut(write(tmp_path / "b", image_hdu(np.ones((9, 1000), "i2"))), BLOCK + 2000 * 3)
    assert ask(path, Profile(frame="", line=(5, 1, 5, 6)))["value"] == [1, 1, 1, None, None, None]


def test_a_sample_is_good_if_half_of_its_weight_is() -> None:
    value, good = follow(on(np.array([[3.0, math.nan, 5.0]])), lay((1.4, 1, 2.4, 1), 1))
    assert (value[0], good.tolist()) == (3.0, [1, 0])
    value, good = follow(on(np.array([[3.0, math.nan, 5.0]])), lay((1.5, 1, 2.75, 1), 1))
    assert (value.tolist(), good.tolist()) == ([3.0, 5.0], [1, 1])


def test_a_point_has_two_points(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.full((4, 4), 9, "u1")))
    assert ask(path, Profile(frame="", line=(2, 2, 2, 2)))["value"] == [9, 9]


def test_compressed_and_gzipped(tmp_path: Path) -> None:
    pixels = star_field(60, 50)
    question = Profile(frame="", line=(1, 1, 50, 60), width=3)
    plain = ask(write(tmp_path / "a", image_hdu(pixels)), question)
    assert ask(write_gzip(tmp_path / "a.gz", image_hdu(pixels)), question) == plain
    assert ask(write_compressed(tmp_path / "a.fz", pixels), question) == plain | {"hdu": 1}


def test_a_long_diagonal_reads_what_it_passes_only() -> None:
    pixels = np.zeros((2000, 2000))
    plane = on(pixels)
    follow(plane, lay((1, 1, 2000, 2000), 1))
    rows = plane.rows
    assert isinstance(rows, Noted)
    assert rows.asked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "BAND_PX", 20_000)
        plane = on(pixels)
        follow(plane, lay((1, 1, 2000, 2000), 1))
    assert isinstance(plane.rows, Noted)
    assert sum((last - first) * (right - left) for first, last, left, right in plane.rows.asked) < 2000 * 20


def test_the_longest_fits(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.ones((3, 3), "u1")))
    answer = ask(path, Profile(frame="", line=(0.1, 0.1, PROFILE_PX_MAX + 0.1, PROFILE_PX_MAX + 0.1), width=255))
    assert len(answer["value"]) == round(math.hypot(PROFILE_PX_MAX, PROFILE_PX_MAX)) + 1
