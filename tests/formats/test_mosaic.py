"""Mosaics by DETSEC: what is joined, where every pixel comes to lie, and what is not joined, in plain words."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.formats.joined import Joined, JoinedStored
from cgi_worker.wire.facts import Facts, Part
from tests.formats.lending import find, opened, pixels_of, rows_of
from tests.frames.make import (
    card,
    cut,
    empty_hdu,
    image_hdu,
    star_field,
    table_hdu,
    write,
    write_compressed,
    write_gzip,
)

ROOMY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def section(x1: int, x2: int, y1: int, y2: int) -> str:
    return f"[{x1}:{x2},{y1}:{y2}]"


def tile_hdu(pixels: NDArray[Any], detector: str, **cards: Any) -> bytes:
    lines = [card("DETSEC", detector), card("DETSIZE", "[1:9,1:9]")]
    return image_hdu(pixels, primary=False, cards=lines + [card(keyword, value) for keyword, value in cards.items()])


def whole_mosaic(path: Path) -> tuple[Facts, NDArray[Any]]:
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, -1)
        assert (rows.count, rows.swap, rows.in_order) == (find(facts, -1).height_px, 0, False)
        return facts, pixels_of(rows, (0, rows.count, 0, find(facts, -1).width_px)).copy()


def not_joined(path: Path) -> str:
    with opened(path) as (_, facts):
        assert all(hdu.kind != "mosaic" for hdu in facts.hdus)
        assert facts.default_hdu == min((hdu.index for hdu in facts.hdus if hdu.reason is None), default=None)
        return facts.warnings[-1] if facts.warnings else ""


def test_two_sections_side_by_side(tmp_path: Path) -> None:
    left, right = star_field(5, 4), star_field(5, 6, seed=2)
    units = (tile_hdu(left, section(11, 14, 21, 25)), tile_hdu(right, section(16, 21, 23, 27), SATURATE=60000))
    facts, ours = whole_mosaic(write(tmp_path / "a", empty_hdu(), table_hdu(), *units))
    expected = np.full((7, 11), np.nan, np.float32)
    expected[:5, :4], expected[2:, 5:] = left, right
    assert np.array_equal(ours, expected, equal_nan=True)
    mosaic = facts.hdus[-1]
    assert (mosaic.index, mosaic.name, mosaic.kind, mosaic.shape) == (-1, "MOSAIC", "mosaic", (7, 11))
    assert (mosaic.stored, mosaic.rows, mosaic.bscale, mosaic.bzero, mosaic.blank) == ("f4", 7, 1, 0, None)
    assert (mosaic.saturate, mosaic.reason, facts.default_hdu, facts.warnings) == (60000, None, -1, ())
    assert mosaic.parts == (Part(2, 0, 0, 4, 5, 0, 0), Part(3, 0, 0, 6, 5, 5, 2))


class Piece(NamedTuple):
    """A tile of a random mosaic."""

    kind: str
    margin: tuple[int, int, int, int]  # Columns before and after, rows before and after, that are no data.
    flips: tuple[bool, bool, bool, bool]  # DETSEC in x and y, DATASEC in x and y.
    blank: bool
    keyword: str


pieces = st.builds(
    Piece,
    st.sampled_from(["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]),
    st.tuples(*[st.integers(0, 3)] * 4),
    st.tuples(*[st.booleans()] * 4),
    st.booleans(),
    st.sampled_from(["DATASEC", "TRIMSEC"]),
)


def lay_slowly(piece: Piece, array: NDArray[Any], blank: int, into: NDArray[Any]) -> None:
    """Copy a tile pixel by pixel to where it belongs."""
    before_x, _, before_y, _ = piece.margin
    height, width = into.shape
    for row in range(height):
        for column in range(width):
            y = height - 1 - row if piece.flips[1] != piece.flips[3] else row
            x = width - 1 - column if piece.flips[0] != piece.flips[2] else column
            value = array[before_y + y, before_x + x]
            into[row, column] = np.nan if piece.blank and value == blank else value


@ROOMY
@given(data=st.data())
def test_any_mosaic(tmp_path: Path, data: st.DataObject) -> None:
    columns = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    lines = data.draw(st.lists(st.integers(1, 9), min_size=1 if len(columns) > 1 else 2, max_size=3))
    origin = data.draw(st.integers(1, 50))
    by = data.draw(st.integers(1, 3))
    random = np.random.default_rng(1)
    expected = np.full((sum(lines), sum(columns)), np.nan)
    units, kinds = [empty_hdu()], []
    places = [(row, column) for row in range(len(lines)) for column in range(len(columns))]
    for row, column in data.draw(st.permutations(places)):
        piece = data.draw(pieces)
        kinds.append(piece.kind)
        height, width = lines[row], columns[column]
        x, y = sum(columns[:column]), sum(lines[:row])
        before_x, after_x, before_y, after_y = piece.margin
        array = random.integers(0, 99, (before_y + height + after_y, before_x + width + after_x)).astype(piece.kind)
        blank = int(array[before_y, before_x])
        dx, dy = (origin + x * by, origin + (x + width) * by - 1), (origin + y * by, origin + (y + height) * by - 1)
        ax, ay = (before_x + 1, before_x + width), (before_y + 1, before_y + height)
        flipped = [pair[::-1] if flip else pair for pair, flip in zip((dx, dy, ax, ay), piece.flips, strict=True)]
        cards: dict[str, Any] = {piece.keyword: section(*flipped[2], *flipped[3]), "CCDSUM": f"{by} {by}"}
        piece = piece._replace(blank=piece.blank and piece.kind in ("u1", "i2", "i4", "i8"))
        if piece.blank:
            cards["BLANK"] = blank
        units.append(tile_hdu(array, section(*flipped[0], *flipped[1]), **cards))
        lay_slowly(piece, array, blank, expected[y : y + height, x : x + width])
    path = write(tmp_path / "a", *units)
    with opened(path) as (descriptor, facts):
        mosaic = find(facts, -1)
        assert mosaic.shape == expected.shape
        assert mosaic.stored == ("f8" if {"i4", "u4", "i8", "f8"} & set(kinds) else "f4")
        rows = rows_of(descriptor, facts, -1)
        height, width = expected.shape
        boxes = [(0, height, 0, width)]
        first, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        boxes.append((first, data.draw(st.integers(first + 1, height)), left, data.draw(st.integers(left + 1, width))))
        for box in boxes:
            first, last, left, right = box
            assert np.array_equal(pixels_of(rows, box), expected[first:last, left:right], equal_nan=True)


def test_scaled_and_exact_parts(tmp_path: Path) -> None:
    large = np.array([[2**63 + 4096, 7]], "u8")
    units = (tile_hdu(large, "[1:2,1:1]"), tile_hdu(np.array([[10, 20]], "i2"), "[3:4,1:1]", BSCALE=0.5, BZERO=-3.0))
    _, ours = whole_mosaic(write(tmp_path / "a", empty_hdu(), *units))
    assert ours.tolist() == [[2.0**63 + 4096, 7, 2, 7]]


def test_a_file_cut_short_has_holes(tmp_path: Path) -> None:
    pixels = star_field(100, 80)
    units = (tile_hdu(pixels, section(1, 80, 1, 100)), tile_hdu(pixels, section(160, 81, 100, 1)))
    path = write(tmp_path / "a", empty_hdu(), *units)
    facts, whole = whole_mosaic(path)
    assert not np.isnan(whole).any()
    offset = facts.hdus[2].offset
    _, ours = whole_mosaic(cut(path, offset + 160 * 60))
    assert np.array_equal(ours[40:], whole[40:])
    assert np.isnan(ours[:40, 80:]).all() and np.array_equal(ours[:40, :80], whole[:40, :80])


@pytest.mark.parametrize("compress", ["RICE", "GZIP", "PLIO"])
def test_compressed_parts(tmp_path: Path, compress: str) -> None:
    import fitsio

    path = tmp_path / "a.fz"
    pixels = [star_field(40, 30, seed=seed) // 300 for seed in (1, 2)]
    with fitsio.FITS(str(path), "rw") as file:
        for number, each in enumerate(pixels):
            detector = section(1 + 30 * number, 30 + 30 * number, 40, 1)
            file.write(each.astype("i2"), compress=compress, tile_dims=(7, 30), header={"DETSEC": detector})
    _, ours = whole_mosaic(path)
    assert np.array_equal(ours, np.concatenate(pixels, axis=1)[::-1])


@pytest.mark.parametrize(
    ("second", "cards", "warning"),
    [
        ("[5:9,1:5]", {}, "those of HDU 1 and HDU 2 overlap"),
        ("[6:11,1:5]", {}, "HDU 2 has no section of the size that its DETSEC [6:11,1:5] says"),
        ("[6:10,1:5]", {"CCDSUM": "2 2"}, "HDU 2 has no section of the size that its DETSEC [6:10,1:5] says"),
        ("[6:15,1:10]", {"CCDSUM": "2 2"}, "not all have the same CCDSUM"),
        ("[2000001:2000005,1:5]", {}, "together they have a side of 2000005 pixels; at most 1048576 are shown"),
        ("[20001:20005,20001:20005]", {}, "they are lost in 20005 x 20005 pixels"),
    ],
)
def test_what_is_not_joined(tmp_path: Path, second: str, cards: dict[str, Any], warning: str) -> None:
    pixels = star_field(5, 5)
    path = write(tmp_path / "a", empty_hdu(), tile_hdu(pixels, "[1:5,1:5]"), tile_hdu(pixels, second, **cards))
    assert not_joined(path) == f"the sections that DETSEC names are not joined: {warning}"


@pytest.mark.parametrize("second", ["", "[0:4,1:5]", "[6:10]", "[-6:10,1:5]", "[9999999999:9,1:5]", "[6:10,1:5] "])
def test_what_names_no_section_is_no_part(tmp_path: Path, second: str) -> None:
    units = (tile_hdu(star_field(5, 5), "[1:5,1:5]"), tile_hdu(star_field(5, 5), second))
    path = write(tmp_path / "a", empty_hdu(), *units)
    if second.strip() == "[6:10,1:5]":
        assert whole_mosaic(path)[0].default_hdu == -1
    else:
        assert not_joined(path) == ""


def test_one_section_alone_and_cubes_are_no_mosaic(tmp_path: Path) -> None:
    cube = tile_hdu(star_field(10, 5).reshape(2, 5, 5), "[6:10,1:5]")
    path = write(tmp_path / "a", empty_hdu(), tile_hdu(star_field(5, 5), "[1:5,1:5]"), cube)
    assert not_joined(path) == ""
    assert not_joined(write(tmp_path / "b", empty_hdu(), tile_hdu(star_field(5, 5), "[1:9,1:5]"))) == ""


def test_too_many_sections(tmp_path: Path) -> None:
    units = [tile_hdu(np.ones((1, 1), "u1"), section(n, n, 1, 1)) for n in range(1, 202)]
    assert "there are 201; at most 200 are joined" in not_joined(write(tmp_path / "a", empty_hdu(), *units))
    facts, ours = whole_mosaic(write(tmp_path / "b", empty_hdu(), *units[:200]))
    assert ours.tolist() == [[1.0] * 200]
    assert len(find(facts, -1).parts) == 200


def test_not_inside_gzip(tmp_path: Path) -> None:
    units = (tile_hdu(star_field(5, 5), "[1:5,1:5]"), tile_hdu(star_field(5, 5), "[6:10,1:5]"))
    path = write_gzip(tmp_path / "a", empty_hdu(), *units)
    assert not_joined(path) == "the sections that DETSEC names are not joined: that needs a file outside gzip"


def test_single_hdus_stay(tmp_path: Path) -> None:
    pixels = star_field(5, 5)
    path = write_compressed(tmp_path / "a", pixels)
    with opened(path) as (_, facts):
        assert (facts.default_hdu, find(facts, 1).parts, find(facts, 1).has_wcs, find(facts, 1).rgb) == (
            1,
            (),
            False,
            False,
        )


def as_stored(path: Path) -> JoinedStored | None:
    with opened(path) as (descriptor, facts):
        joined = rows_of(descriptor, facts, -1)
        assert isinstance(joined, Joined)
        return joined.as_stored()


@ROOMY
@given(data=st.data())
def test_parts_alike_can_be_had_as_they_are_stored(tmp_path: Path, data: st.DataObject) -> None:
    blank, gap = data.draw(st.sampled_from([None, 7])), data.draw(st.integers(0, 2))
    units, height, width = [empty_hdu()], 6, 9
    for number in range(4):
        x, y = number % 2 * (width + gap) + 1, number // 2 * height + 1
        ends = [(x, x + width - 1), (y, y + height - 1)]
        ends = [pair[::-1] if data.draw(st.booleans()) else pair for pair in ends]
        before = data.draw(st.integers(0, 2))
        array = np.random.default_rng(number).integers(0, 30, (height + 1, width + before)).astype("i2")
        inside = section(before + 1, before + width, 2, height + 1)
        cards: dict[str, Any] = {"BSCALE": 0.5, "BZERO": 100.0} | ({} if blank is None else {"BLANK": blank})
        units.append(tile_hdu(array, section(*ends[0], *ends[1]), DATASEC=inside, **cards))
    path = write(tmp_path / "a", *units)
    with opened(path) as (descriptor, facts):
        joined = rows_of(descriptor, facts, -1)
        assert isinstance(joined, Joined)
        stored = joined.as_stored()
        if stored is None:
            assert gap and blank is None
            return
        assert (stored.bscale, stored.bzero, stored.blank, gap and blank is None) == (0.5, 100, blank, 0)
        for first in range(2 * height):
            for left in (0, 4, width, width + 3):
                box = (first, data.draw(st.integers(first + 1, 2 * height)), left, left + 5)
                pixels = pixels_of(stored, box)
                meant = np.where(pixels == blank, np.nan, 0.5 * pixels + 100)
                assert np.array_equal(meant, pixels_of(joined, box), equal_nan=True)


@pytest.mark.parametrize("cards", [{"BZERO": 1.0}, {"BSCALE": 2.0}, {"BLANK": 3}])
def test_parts_that_differ_are_only_to_be_had_in_data_units(tmp_path: Path, cards: dict[str, Any]) -> None:
    pixels = star_field(4, 4).astype("i2")
    units = (tile_hdu(pixels, "[1:4,1:4]"), tile_hdu(pixels, "[5:8,1:4]", **cards))
    assert as_stored(write(tmp_path / "a", empty_hdu(), *units)) is None
    assert as_stored(write(tmp_path / "b", empty_hdu(), units[0], tile_hdu(pixels, "[5:8,1:4]"))) is not None
    floats = tile_hdu(pixels.astype("f4"), "[5:8,1:4]")
    assert as_stored(write(tmp_path / "c", empty_hdu(), units[0], floats)) is None
    path = write(tmp_path / "d", empty_hdu(), units[0], tile_hdu(pixels, "[5:8,1:4]"))
    with opened(path) as (_, facts):
        offset = facts.hdus[2].offset
    assert as_stored(cut(path, offset + 20)) is None
