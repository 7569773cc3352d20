"""Whole pictures made alone: every real frame, orientation, limits, and the same bytes each time."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.facts import Facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import View, view_from_pairs
from tests.frames.make import card, cut, image_hdu, mosaic, star_field, write, write_compressed, write_gzip
from tests.frames.real import real_frames


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def view(**parameters: str) -> View:
    return view_from_pairs([("frame", "x"), *parameters.items()])


def picture(path: Path, *, threads: int = 1, **parameters: str) -> NDArray[Any]:
    parameters.setdefault("format", "png")
    with opened(path) as descriptor:
        octets, _, _ = alone.render(descriptor, view(**parameters), threads)
    return np.asarray(Image.open(io.BytesIO(octets)))


@pytest.mark.parametrize("path", real_frames(), ids=lambda path: path.name)
def test_every_real_frame_is_shown_or_refused_with_its_reason(path: Path) -> None:
    with opened(path) as descriptor:
        document = json.loads(alone.header(descriptor))
        for hdu in document["frame"]["hdus"]:
            asked = view(hdu=str(hdu["index"]), size="300,300")
            if hdu["reason"] is not None:
                with pytest.raises(ViewError) as caught:
                    alone.render(descriptor, asked)
                assert hdu["reason"] in caught.value.text
                continue
            octets, media_type, facts = alone.render(descriptor, asked, 2)
            assert media_type == "image/jpeg"
            check_seen(np.asarray(Image.open(io.BytesIO(octets))), json.loads(facts))


def check_seen(seen: NDArray[Any], facts: Any) -> None:
    """Neither black nor white; grey all over only where the frame itself is."""
    assert max(seen.shape[:2]) <= 300
    for level in facts["levels"]:
        assert level["black"] < level["white"]
    if seen.size > 100 and seen.max() != seen.min():
        assert seen.max() > 60
        assert seen.min() < 200
    assert seen.min() < 255


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_give_the_same_bytes(tmp_path: Path, threads: int) -> None:
    for kind in ("u2", "f4"):
        for cards in ([], [card("BAYERPAT", "RGGB")]):
            path = write(tmp_path / "a", image_hdu(star_field(1500, 3001).astype(kind), cards=cards))
            with opened(path) as descriptor:
                assert alone.render(descriptor, view(), threads) == alone.render(descriptor, view())


def test_first_row_is_at_the_bottom_unless_said_otherwise(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60), "u2")
    pixels[:10, :20] = 1000
    up = picture(write(tmp_path / "a", image_hdu(pixels)), cut="0,1000")
    assert up[-5, 5] == 255
    assert up[5, 5] == up[-5, -5] == 0
    path = write(tmp_path / "b", image_hdu(pixels, cards=[card("ROWORDER", "TOP-DOWN")]))
    assert np.array_equal(picture(path, cut="0,1000"), up[::-1])
    assert np.array_equal(picture(path, cut="0,1000", flip="v"), up)
    assert np.array_equal(picture(tmp_path / "a", cut="0,1000", flip="h"), up[:, ::-1])
    assert np.array_equal(picture(tmp_path / "a", cut="0,1000", invert="1"), 255 - up)


@pytest.mark.parametrize("size", ["max", "45,", "20,"])
@pytest.mark.parametrize("pattern", ["RGGB", "GBRG"])
def test_bayer_colours(tmp_path: Path, size: str, pattern: str) -> None:
    colours = np.full((61, 91, 3), 100, "u2")
    colours[:30, :45] = (1000, 100, 100)
    colours[:30, 45:] = (100, 1000, 100)
    colours[30:, :45] = (100, 100, 1000)
    path = write(tmp_path / "a", image_hdu(mosaic(colours, pattern), cards=[card("BAYERPAT", pattern)]))
    seen = picture(path, size=size, cut="100,1000")
    assert seen.ndim == 3
    assert seen[-3, 3].tolist() == [255, 0, 0]
    assert seen[-3, -3].tolist() == [0, 255, 0]
    assert seen[3, 3].tolist() == [0, 0, 255]
    assert seen[3, -3].tolist() == [0, 0, 0]
    assert picture(path, size=size, color="mono").ndim == 2


def test_sources_of_every_kind_give_the_same_picture(tmp_path: Path) -> None:
    pixels = star_field(200, 300)
    plain = picture(write(tmp_path / "a", image_hdu(pixels)), size="100,")
    assert np.array_equal(picture(write_compressed(tmp_path / "b.fz", pixels), size="100,"), plain)
    assert np.array_equal(picture(write_gzip(tmp_path / "c", image_hdu(pixels)), size="100,"), plain)


def test_stars_can_be_seen(tmp_path: Path) -> None:
    seen = picture(write(tmp_path / "a", image_hdu(star_field(400, 600))), size="300,")
    assert seen.shape == (200, 300)
    assert np.median(seen) == pytest.approx(64, abs=12)
    assert seen[199 - 50, 75] > 200  # The brightest star, a quarter up from the bottom left.


@pytest.mark.parametrize("stretch", ["linear", "sqrt", "log", "asinh", "mtf"])
def test_stretches(tmp_path: Path, stretch: str) -> None:
    ramp = np.arange(256, dtype="u2").reshape(1, 256) * 256
    seen = picture(write(tmp_path / "a", image_hdu(ramp)), stretch=stretch, cut="0,65280")
    assert np.all(np.diff(seen[0].astype(int)) >= 0)
    assert (seen[0, 0], seen[0, -1]) == (0, 255)


def test_cut_short_is_shown_with_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(star_field(100, 100)))
    seen = picture(cut(path, 2880 + 60 * 200), cut="0,2000")
    assert not seen[:40].any()
    assert seen[40:].all()


def test_limits(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a", image_hdu(star_field(900, 900)))) as descriptor:
        with pytest.raises(StepFailed, match="bytes of memory") as caught:
            alone.render(descriptor, view(size="max"), limit_bytes=6_000_000)
        assert caught.value.code == "too_big"
        alone.render(descriptor, view(size="100,"), limit_bytes=6_000_000)
        with pytest.raises(ViewError, match="plane"):
            alone.render(descriptor, view(plane="1"))


def test_facts_tell_the_levels(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a", image_hdu(star_field(90, 90)))) as descriptor:
        _, _, facts = alone.render(descriptor, view(cut="5,2000", mid="0.2", stretch="asinh"))
        level = {"black": 5.0, "white": 2000.0, "mid": 0.2}
        assert json.loads(facts) == {"levels": [level], "stretch": "asinh", "kind": "cut"}


def test_header_is_for_people_and_planner(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a", image_hdu(star_field(9, 9)))) as descriptor:
        document = json.loads(alone.header(descriptor))
    assert set(document) == {"frame", "hdus"}
    assert set(document["frame"]) == set(Facts.__struct_fields__)
