"""Rows: every way to an image's pixels gives the same ones, in whatever pieces they are asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgi_worker.formats.rows import Held, Mapped, Stream, open_rows, read_plane
from cgi_worker.formats.tiled import Tiled
from cgi_worker.wire.failure import StepFailed
from tests.formats.lending import find, opened, pixels_of, rows_of
from tests.frames.make import card, cut, image_hdu, star_field, write, write_compressed, write_gzip

ROOMY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
KINDS = ("u1", "i2", "i4", "i8", "f4", "f8")


@ROOMY
@given(data=st.data())
def test_any_pieces_of_a_plain_or_gzip_image(tmp_path: Path, data: st.DataObject) -> None:
    planes, height, width = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 50))
    kind = data.draw(st.sampled_from(KINDS))
    pixels = np.random.default_rng(1).integers(0, 100, (planes, height, width)).astype(kind)
    plane = data.draw(st.integers(0, planes - 1))
    wrapped = data.draw(st.booleans())
    unit = image_hdu(pixels if planes > 1 else pixels[0])
    path = (write_gzip if wrapped else write)(tmp_path / "a", unit)
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, 0, plane)
        assert type(rows) is (Stream if wrapped else Mapped)
        assert (rows.stored, rows.count, rows.swap, rows.in_order) == (kind, height, 1, wrapped)
        first = 0
        for _ in range(4):
            first = data.draw(st.integers(first if wrapped else 0, height - 1))
            last = data.draw(st.integers(first + 1, height))
            left = data.draw(st.integers(0, width - 1))
            right = data.draw(st.integers(left + 1, width))
            expected = pixels[plane, first:last, left:right]
            assert np.array_equal(pixels_of(rows, (first, last, left, right)), expected)
            first = last
            if wrapped and first >= height:
                break


def test_held() -> None:
    plane = star_field(9, 7)
    rows = Held(plane, "i2", 8)
    assert (rows.stored, rows.count, rows.swap, rows.in_order) == ("i2", 8, 0, False)
    assert np.array_equal(pixels_of(rows, (2, 5, 3, 6)), plane.view("i2")[2:5, 3:6])


def test_a_way_for_each(tmp_path: Path) -> None:
    pixels = star_field(9, 7)
    with opened(write_compressed(tmp_path / "a", pixels)) as (descriptor, facts):
        assert type(rows_of(descriptor, facts, 1)) is Tiled


def test_what_was_lent_outlives_the_rows(tmp_path: Path) -> None:
    pixels = star_field(50, 70)
    for path in (write(tmp_path / "a", image_hdu(pixels)), write_gzip(tmp_path / "b", image_hdu(pixels))):
        with opened(path) as (descriptor, facts):
            rows = rows_of(descriptor, facts, 0)
            pieces = [pixels_of(rows, (first, first + 10, 0, 70)) for first in range(0, 50, 10)]
            del rows
        assert np.array_equal(np.concatenate(pieces), (pixels ^ 0x8000).view("i2"))


@pytest.mark.parametrize("threads", [1, 3])
def test_planes_are_read_by_any_number_of_threads(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("cgi_worker.formats.rows._READ_BYTES", 1000)
    pixels = star_field(90, 70)
    stored = (pixels ^ 0x8000).view("i2")
    for path, index in (
        (write(tmp_path / "a", image_hdu(pixels)), 0),
        (write_gzip(tmp_path / "b", image_hdu(pixels)), 0),
        (write_compressed(tmp_path / "c", pixels), 1),
        (write_compressed(tmp_path / "d", pixels, tile_dims=(40, 30)), 1),
    ):
        out = np.full((90, 70), 99, "i2")
        with opened(path) as (descriptor, facts):
            read_plane(descriptor, find(facts, index), 0, out, threads=threads)
        assert np.array_equal(out, stored)


def test_missing_rows_are_zero(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "a", image_hdu(star_field(90, 70))), 2880 + 140 * 33 + 7)
    out = np.full((90, 70), 99, "i2")
    with opened(path) as (descriptor, facts):
        assert open_rows(descriptor, find(facts, 0), 0).count == 33
        read_plane(descriptor, find(facts, 0), 0, out)
    assert np.array_equal(out[:33], (star_field(90, 70) ^ 0x8000).view("i2")[:33])
    assert not out[33:].any()


def test_a_gzip_file_that_shrinks_has_changed(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 60000, (200, 100)).astype("u2")
    path = write_gzip(tmp_path / "a", image_hdu(noise))
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, 0)
        cut(path, 9000)
        with pytest.raises(StepFailed) as caught:
            rows.lend(0, 200, 0, 100)
    assert caught.value.code == "changed"


@pytest.mark.parametrize(
    ("cards", "saturate"),
    [
        ([], None),
        ([card("SATURATE", 65000)], 65000.0),
        ([card("DATAMAX", 7.5), card("SATURAT", 9)], 9.0),
        ([card("SATLEVEL", "x"), card("DATAMAX", 7)], 7.0),
        ([card("SATURATE", True)], None),
    ],
)
def test_saturation(tmp_path: Path, cards: list[bytes], saturate: float | None) -> None:
    with opened(write(tmp_path / "a", image_hdu(star_field(5, 5), cards=cards))) as (_, facts):
        assert find(facts, 0).saturate == saturate


@pytest.mark.parametrize(
    ("shape", "cards", "rgb", "wcs"),
    [
        ((3, 4, 5), [], True, False),
        ((4, 4, 5), [card("CTYPE1", "RA---TAN")], False, False),
        ((1, 3, 4, 5), [card("CTYPE1", "RA---TAN"), card("CTYPE2", "DEC--TAN")], False, True),
        ((3, 5), [], False, False),
    ],
)
def test_colour_and_sky(tmp_path: Path, shape: tuple[int, ...], cards: list[bytes], rgb: bool, wcs: bool) -> None:
    pixels: Any = np.zeros(shape, "u1")
    with opened(write(tmp_path / "a", image_hdu(pixels, cards=cards))) as (_, facts):
        assert (find(facts, 0).rgb, find(facts, 0).has_wcs) == (rgb, wcs)
