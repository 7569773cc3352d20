"""FITS structure: what each HDU is said to hold, and what is refused, in plain words."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgi_worker.formats.fits import SCAN_BYTES_MAX, walk
from cgi_worker.wire.facts import HDUS_MAX, Facts, Hdu, decode_facts, encode_facts
from cgi_worker.wire.failure import StepFailed
from tests.frames.make import (
    BLOCK,
    card,
    cut,
    empty_hdu,
    header,
    hostile,
    image_hdu,
    padded,
    raw_card,
    structure,
    table_hdu,
    write,
    write_compressed,
    write_gzip,
)

PIXELS = np.arange(35, dtype=np.int16).reshape(5, 7)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def facts_of(path: Path) -> Facts:
    with opened(path) as descriptor:
        facts = walk(descriptor).facts
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0  # Its position is nobody's business but the owner's.
    assert decode_facts(encode_facts(facts)) == facts
    return facts


def only(path: Path) -> Hdu:
    (hdu,) = facts_of(path).hdus
    return hdu


@pytest.mark.parametrize(
    ("kind", "stored", "zero"),
    [
        ("u1", "u1", 0), ("i2", "i2", 0), ("u2", "i2", 2**15), ("i4", "i4", 0), ("u4", "i4", 2**31),
        ("i8", "i8", 0), ("u8", "i8", 2**63), ("f4", "f4", 0), ("f8", "f8", 0), ("i1", "u1", -128),
    ],
)  # fmt: skip
def test_types(tmp_path: Path, kind: str, stored: str, zero: int) -> None:
    hdu = only(write(tmp_path / "a", image_hdu(PIXELS.astype(kind))))
    assert (hdu.kind, hdu.shape, hdu.stored, hdu.bzero, hdu.reason) == ("image", (5, 7), stored, zero, None)
    assert (hdu.offset, hdu.rows, hdu.data_bytes) == (BLOCK, 5, 35 * int(stored[1]))


def test_shapes(tmp_path: Path) -> None:
    assert only(write(tmp_path / "a", image_hdu(np.zeros(9, "f4")))).shape == (1, 9)
    cube = only(write(tmp_path / "a", image_hdu(np.zeros((2, 3, 4, 5), "f4"))))
    assert (cube.shape, cube.planes, cube.rows) == ((2, 3, 4, 5), 6, 24)


def test_several_hdus(tmp_path: Path) -> None:
    extension = image_hdu(PIXELS, primary=False, cards=[card("EXTNAME", "SCI")])
    facts = facts_of(write(tmp_path / "a", empty_hdu(), table_hdu(), extension))
    assert [(hdu.index, hdu.name, hdu.kind) for hdu in facts.hdus] == [
        (0, "PRIMARY", "empty"), (1, "EVENTS", "table"), (2, "SCI", "image"),
    ]  # fmt: skip
    assert facts.default_hdu == 2
    assert facts.hdus[1].reason == "a table, not an image"
    assert facts.warnings == ()


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        (structure(16, (0, 5)), "it holds no pixels (NAXIS1 is 0)"),
        (structure(16, ()), "it holds no data (NAXIS is 0)"),
        (structure(24, (4, 4)), "BITPIX is 24, which is none of the standard's pixel types"),
        ([*structure(16, (0, 5)), card("GROUPS", True), card("GCOUNT", 3)], "random groups, not an image"),
        (structure(8, (1,) * 40), "it has 40 axes; at most 32 are shown"),
        (structure(8, (2**31,)), "an axis has 2147483648 pixels; at most 2147483647 are shown"),
        (structure(8, (5000, 7)), "the file ends before the end of its first row"),
    ],
)
def test_reasons(tmp_path: Path, cards: list[bytes], reason: str) -> None:
    facts = facts_of(write(tmp_path / "a", header([card("SIMPLE", True), *cards]), bytes(BLOCK)))
    assert (facts.hdus[0].reason, facts.default_hdu) == (reason, None)


def test_other_extension(tmp_path: Path) -> None:
    other = header([card("XTENSION", "DUMP"), *structure(8, (10,)), card("PCOUNT", 0), card("GCOUNT", 1)])
    facts = facts_of(write(tmp_path / "a", empty_hdu(), other, bytes(BLOCK), image_hdu(PIXELS, primary=False)))
    assert facts.hdus[1].reason == "an extension of type DUMP, not an image"
    assert facts.default_hdu == 2


@pytest.mark.parametrize(
    ("cards", "cfa"),
    [
        ([card("BAYERPAT", "RGGB")], "RGGB"),
        ([card("COLORTYP", "grbg")], "GRBG"),
        ([card("BAYERPAT", "RGGB"), card("XBAYROFF", 1)], "GRBG"),
        ([card("BAYERPAT", "RGGB"), card("YBAYROFF", 1)], "GBRG"),
        ([card("BAYERPAT", "RGGB"), card("XBAYROFF", 1), card("YBAYROFF", 3)], "BGGR"),
        ([card("BAYERPAT", "RGGB"), card("XBAYROFF", "x")], "RGGB"),
        ([], None),
    ],
)
def test_bayer(tmp_path: Path, cards: list[bytes], cfa: str | None) -> None:
    assert only(write(tmp_path / "a", image_hdu(PIXELS, cards=cards))).cfa == cfa


def test_no_bayer_where_there_is_no_cell(tmp_path: Path) -> None:
    pattern = [card("BAYERPAT", "RGGB")]
    assert only(write(tmp_path / "a", image_hdu(PIXELS[:1], cards=pattern))).cfa is None
    assert only(write(tmp_path / "a", image_hdu(np.zeros((3, 4, 4), "u1"), cards=pattern))).cfa is None
    facts = facts_of(write(tmp_path / "a", image_hdu(PIXELS, cards=[card("BAYERPAT", "FOVEON")])))
    assert facts.hdus[0].cfa is None
    assert facts.warnings == ("HDU 0: 'FOVEON' is no known Bayer pattern; shown without colour",)


def test_scaling_cards(tmp_path: Path) -> None:
    cards = [card("BSCALE", 0.5), card("BZERO", -3), card("BLANK", -7), card("ROWORDER", "TOP-DOWN")]
    hdu = only(write(tmp_path / "a", image_hdu(PIXELS, cards=cards)))
    assert (hdu.bscale, hdu.bzero, hdu.blank, hdu.top_down) == (0.5, -3, -7, True)
    assert only(write(tmp_path / "a", image_hdu(PIXELS, cards=[card("BLANK", 70_000)]))).blank is None
    assert only(write(tmp_path / "a", image_hdu(PIXELS.astype("f4"), cards=[card("BLANK", 7)]))).blank is None
    eight = only(write(tmp_path / "a", image_hdu(PIXELS.astype("i8"), cards=[card("BLANK", -(2**63))])))
    assert eight.blank == -(2**63)
    facts = facts_of(write(tmp_path / "a", image_hdu(PIXELS, cards=[card("BSCALE", 0), card("BZERO", "x")])))
    assert (facts.hdus[0].bscale, facts.hdus[0].bzero) == (1.0, 0.0)
    assert facts.warnings == ("HDU 0: BSCALE is 0; taken as 1",)


def test_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.zeros((10, 1000), "i2")), image_hdu(PIXELS, primary=False))
    facts = facts_of(cut(path, BLOCK + 7 * 2000 + 500))
    assert [hdu.rows for hdu in facts.hdus] == [7]
    assert facts.warnings == ("HDU 0 is cut short: the file ends after 7 of 10 rows",)
    assert not facts.whole
    assert only(write(tmp_path / "b", image_hdu(PIXELS, pad=False))).rows == 5


def test_junk_after_the_end(tmp_path: Path) -> None:
    facts = facts_of(write(tmp_path / "a", image_hdu(PIXELS), b"not a header".ljust(BLOCK)))
    assert facts.warnings == (f"what follows HDU 0, from byte {2 * BLOCK} on, is not FITS",)
    assert facts_of(write(tmp_path / "a", image_hdu(PIXELS), bytes(3 * BLOCK))).warnings == ()


def test_a_later_hdu_that_is_wrong_hides_only_what_follows(tmp_path: Path) -> None:
    wrong = header([card("XTENSION", "IMAGE"), *structure(16, (5, -1))])
    facts = facts_of(write(tmp_path / "a", image_hdu(PIXELS), wrong, image_hdu(PIXELS, primary=False)))
    assert (facts.default_hdu, len(facts.hdus)) == (0, 1)
    assert facts.warnings == (
        "nothing after HDU 0 is shown; HDU 1: NAXIS2 is -1; an axis cannot be shorter than 0",
    )  # fmt: skip


def test_compressed(tmp_path: Path) -> None:
    path = write_compressed(tmp_path / "a.fz", PIXELS.astype("u2"))
    hdu = facts_of(path).hdus[1]
    assert (hdu.kind, hdu.shape, hdu.stored, hdu.bzero, hdu.rows) == ("compressed", (5, 7), "i2", 32768, 5)
    assert hdu.tiling is not None
    assert (hdu.tiling.method, hdu.tiling.tile, hdu.tiling.pixel_bytes) == ("RICE_1", (1, 7), 2)
    facts = facts_of(cut(path, path.stat().st_size - BLOCK))
    assert facts.hdus[1].reason == "tile-compressed, and the file ends before the end of its first row of tiles"


def test_unknown_compression(tmp_path: Path) -> None:
    lines = [card("XTENSION", "BINTABLE"), *structure(8, (8, 5)), card("PCOUNT", 0), card("GCOUNT", 1)]
    lines += [card("ZIMAGE", True), card("ZCMPTYPE", "MAGIC"), card("ZBITPIX", 16)]
    axes = [card("ZNAXIS", 2), card("ZNAXIS1", 7), card("ZNAXIS2", 5)]
    facts = facts_of(write(tmp_path / "a", empty_hdu(), header([*lines, *axes]), padded(bytes(40))))
    assert facts.hdus[1].reason == "compressed by 'MAGIC', which is not supported"
    facts = facts_of(write(tmp_path / "a", empty_hdu(), header(lines), padded(bytes(40))))
    assert facts.hdus[1].reason == "a compressed image, but ZNAXIS is missing"


def test_inside_gzip(tmp_path: Path) -> None:
    path = write_gzip(tmp_path / "a", image_hdu(PIXELS), image_hdu(PIXELS.astype("f4"), primary=False))
    facts = facts_of(path)
    assert facts.format == "fits.gz"
    assert [(hdu.kind, hdu.rows, hdu.offset) for hdu in facts.hdus] == [
        ("compressed", 5, BLOCK), ("compressed", 5, 3 * BLOCK),
    ]  # fmt: skip
    inner = write_compressed(tmp_path / "b.fz", PIXELS.astype("u2")).read_bytes()
    assert facts_of(write_gzip(tmp_path / "b", inner)).hdus[1].reason == (
        "tile-compressed inside a gzip file, which is not supported"
    )
    cut(path, path.stat().st_size - 20)
    assert "the gzip file is cut short" in facts_of(path).warnings
    assert not facts_of(path).whole


@pytest.mark.parametrize("what", sorted(hostile()))
def test_hostile_frames_are_refused(tmp_path: Path, what: str) -> None:
    with opened(write(tmp_path / "a", hostile()[what])) as descriptor, pytest.raises(StepFailed) as caught:
        walk(descriptor)
    assert caught.value.code == "bad_frame"
    assert len(caught.value.text) > 10
    assert str(tmp_path) not in caught.value.text


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"", "the file is empty"),
        (b"\x89HDF\r\n\x1a\n", "not FITS: this is an HDF5 file"),
        (b"\xff\xd8\xff\xe0", "not FITS: this is a JPEG picture"),
        (b"\x1f\x9d\x90", "not FITS: this is a file from compress (.Z)"),
        (b"hello", "not FITS: its first bytes are not 'SIMPLE  ='"),
        (b"\x1f\x8b", "the gzip file is cut short"),
        (b"\x1f\x8b\x09garbage follows", "the gzip file is damaged near its byte 0"),
    ],
)
def test_what_it_is_instead(tmp_path: Path, start: bytes, text: str) -> None:
    with opened(write(tmp_path / "a", start)) as descriptor, pytest.raises(StepFailed) as caught:
        walk(descriptor)
    assert caught.value.text == text


def test_not_a_regular_file(tmp_path: Path) -> None:
    with opened(tmp_path) as descriptor, pytest.raises(StepFailed, match="not a file with contents of its own"):
        walk(descriptor)
    reader, writer = os.pipe()
    try:
        with pytest.raises(StepFailed, match="not a file with contents of its own"):
            walk(reader)
    finally:
        os.close(reader)
        os.close(writer)


def test_gzip_of_something_else(tmp_path: Path) -> None:
    for inside, text in (
        (b"", "there is nothing inside the gzip file"),
        (b"II*\0", "this is a TIFF file inside the gzip file"),
    ):
        with opened(write_gzip(tmp_path / "a", inside)) as descriptor, pytest.raises(StepFailed, match=text):
            walk(descriptor)


def test_endless_headers_take_bounded_time(tmp_path: Path) -> None:
    endless = card("SIMPLE", True) + raw_card("LONG    = 'x&'")
    endless += raw_card("CONTINUE  '" + "y" * 60 + "&'") * (2 * SCAN_BYTES_MAX // 80)
    begun = time.monotonic()
    with opened(write(tmp_path / "a", endless)) as descriptor, pytest.raises(StepFailed, match="no END within"):
        walk(descriptor)
    many = facts_of(write(tmp_path / "b", empty_hdu(), image_hdu(PIXELS, primary=False) * (HDUS_MAX + 5)))
    assert len(many.hdus) <= HDUS_MAX
    assert many.warnings
    assert time.monotonic() - begun < 20  # Seconds where unbounded work would take hours.


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_frames_are_shown_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(
        image_hdu(PIXELS, cards=[card("BAYERPAT", "RGGB")]) + table_hdu() + image_hdu(PIXELS, primary=False)
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 800))
        some = data.draw(st.binary(min_size=1, max_size=12))
        whole[at : at + len(some)] = some
    path = write(tmp_path / "a", bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    with contextlib.suppress(StepFailed):  # Anything else that is raised fails this test.
        check_pixels_are_there(facts_of(path), path.stat().st_size)


def check_pixels_are_there(facts: Facts, size_bytes: int) -> None:
    for hdu in facts.hdus:
        if hdu.reason is None:
            assert hdu.rows > 0
            assert hdu.offset + hdu.rows * hdu.width_px * int(hdu.stored[1]) <= size_bytes
