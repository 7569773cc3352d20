"""Facts and source identities travel as JSON and come back equal."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import (
    MOSAIC_SIDE_MAX,
    PARTS_MAX,
    TILE_ROW_PX_MAX,
    Column,
    Facts,
    Hdu,
    Part,
    Tiling,
    decode_facts,
    encode_facts,
)
from tests.wire.made import hdus, text


@given(st.builds(Facts, text, st.lists(hdus, max_size=3).map(tuple), st.none() | st.integers(0, 9)))
def test_facts_written_and_read_are_the_same(facts: Facts) -> None:
    assert decode_facts(encode_facts(facts)) == facts


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b'{"format":"fits","hdus":[],"default_hdu":null,"more":1}'])
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_facts(octets)


@pytest.mark.parametrize(
    "odd",
    [
        {"shape": ()}, {"shape": (5,)}, {"shape": (0, 5)}, {"shape": (1,) * 1000}, {"rows": -1}, {"offset": -1},
        {"index": -1}, {"bscale": 1e999}, {"bzero": 1e999}, {"cfa": "RG"}, {"cfa": "RGGX"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(odd: dict[str, object]) -> None:
    sound = Hdu(0, "", "image", shape=(5, 5), rows=5)
    assert decode_facts(encode_facts(Facts("fits", (sound,), 0))).hdus == (sound,)
    with pytest.raises(msgspec.DecodeError):
        decode_facts(encode_facts(Facts("fits", (msgspec.structs.replace(sound, **odd),), 0)))


def test_planes_are_the_axes_beyond_the_second() -> None:
    hdu = Hdu(0, "", "image", shape=(3, 4, 5, 6))
    assert (hdu.planes, hdu.height_px, hdu.width_px) == (12, 5, 6)
    assert Hdu(0, "", "image", shape=(5, 6)).planes == 1


TILING = Tiling(
    "RICE_1", (1, 2, 50), 24, 4000, data=Column(0, "B", 32), gzip=Column(8, "B", 64), scale=Column(0, "D"), zero=1.5,
    blank=Column(8, "J"), quantised=True,
)  # fmt: skip
TILED = Hdu(1, "", "compressed", shape=(3, 5, 100), stored="f4", offset=2880, rows=15, tiling=TILING)
PARTS = (Part(1, 0, 0, 5, 5, 0, 0), Part(2, 7, 0, 3, 5, 5, 0, True, False))
MOSAIC = Hdu(-1, "MOSAIC", "mosaic", shape=(5, 8), stored="f4", rows=5, parts=PARTS)


def check(sound: Hdu, odd: Hdu) -> None:
    assert decode_facts(encode_facts(Facts("fits", (sound,), -1))).hdus == (sound,)
    with pytest.raises(msgspec.DecodeError):
        decode_facts(encode_facts(Facts("fits", (odd,), -1)))


@pytest.mark.parametrize(
    "odd",
    [
        {"tile": (2, 50)}, {"tile": (1, 0, 50)}, {"tile": (1, 6, 50)}, {"tile": (1, 2, 101)}, {"row_bytes": 0},
        {"row_bytes": 23}, {"heap": 2880 + 18 * 24 - 1}, {"heap": 2**63 - 1}, {"row_bytes": 2**60}, {"heap": -1},
        {"data": Column(17, "B", 32)}, {"data": Column(-1, "B", 32)}, {"data": Column(0, "B")},
        {"raw": Column(9, "E", 64)}, {"scale": Column(17, "D")}, {"scale": Column(0, "D", 32)}, {"zero": 1e999},
        {"blank": 2**63}, {"seed": 0}, {"seed": 10_001}, {"block_px": 0}, {"block_px": 65_537}, {"dither": 3},
        {"pixel_bytes": 3}, {"method": "MAGIC"},
    ],
)  # fmt: skip
def test_tilings_that_cannot_be_are_refused(odd: dict[str, Any]) -> None:
    check(TILED, msgspec.structs.replace(TILED, tiling=msgspec.structs.replace(TILING, **odd)))


@pytest.mark.parametrize(
    "odd",
    [
        {"stored": "i4"}, {"kind": "image"}, {"shape": (2**40, 2**40, 2**40)}, {"offset": 2**62}, {"rows": 2**63},
        {"parts": PARTS}, {"data_bytes": -1},
    ],
)  # fmt: skip
def test_tiled_images_that_cannot_be_are_refused(odd: dict[str, Any]) -> None:
    check(TILED, msgspec.structs.replace(TILED, **odd))


def test_a_row_of_tiles_has_a_limit() -> None:
    heap = 2880 + 24
    for width, sound in ((TILE_ROW_PX_MAX // 4, True), (TILE_ROW_PX_MAX // 4 + 1, False)):
        tiling = msgspec.structs.replace(TILING, tile=(2, 2, width), heap=heap)
        tiled = msgspec.structs.replace(TILED, shape=(2, 2, width), tiling=tiling)
        if sound:
            assert decode_facts(encode_facts(Facts("fits", (tiled,), 1))).hdus == (tiled,)
        else:
            check(TILED, tiled)


@pytest.mark.parametrize(
    "odd",
    [
        {"index": -2}, {"index": 3}, {"kind": "image"}, {"parts": PARTS[:1]}, {"parts": PARTS * (PARTS_MAX // 2 + 1)},
        {"shape": (5, 7)}, {"shape": (4, 8)}, {"rows": 4}, {"stored": "i2"}, {"shape": (5, MOSAIC_SIDE_MAX + 1)},
        {"parts": (PARTS[0], Part(-1, 0, 0, 1, 1, 0, 0))}, {"parts": (PARTS[0], Part(1, -1, 0, 1, 1, 0, 0))},
        {"parts": (PARTS[0], Part(1, 0, 0, 0, 1, 0, 0))}, {"parts": (PARTS[0], Part(1, 2**62 + 1, 0, 1, 1, 0, 0))},
        {"parts": (PARTS[0], Part(1, 0, 0, 1, 1, 8, 0))}, {"shape": (1, 5, 8)},
    ],
)  # fmt: skip
def test_mosaics_that_cannot_be_are_refused(odd: dict[str, Any]) -> None:
    check(MOSAIC, msgspec.structs.replace(MOSAIC, **odd))
