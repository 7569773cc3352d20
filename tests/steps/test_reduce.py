"""The reduce step: what of the file is reduced, and what is said about it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from cgi_worker.formats.fits import walk
from cgi_worker.formats.pixels import physical
from cgi_worker.steps import reduce
from cgi_worker.steps.levels import Linear, SplitLog
from cgi_worker.steps.reduce import Reduced
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.recipe import BINS, Reduce
from cgi_worker.wire.view import Region
from tests.frames.make import BLOCK, card, cut, image_hdu, mosaic, star_field, write
from tests.steps.lending import Lending, garbage


class Frame:
    """One image in a file of its own."""

    def __init__(self, path: Path, pixels: NDArray[Any], cards: list[bytes] | None = None, *, keep: int = 0) -> None:
        write(path, image_hdu(pixels, cards=cards or []))
        if keep:
            cut(path, keep)
        self.fd = os.open(path, os.O_RDONLY)
        self.hdu: Hdu = walk(self.fd).facts.hdus[0]

    def reduce(  # noqa: PLR0913
        self, factor: int, region: Region | None = None, *, plane: int = 0, colour: bool = False, threads: int = 1,
        wanted: tuple[bool, bool] = (True, True),
    ) -> tuple[NDArray[np.float32], NDArray[np.uint64], Reduced]:  # fmt: skip
        """Run the step; what was not wanted stays garbage."""
        region = region or Region(0, 0, self.hdu.width_px, self.hdu.height_px)
        channels = 3 if colour else 1
        small = garbage((channels, -(-region.height_px // factor), -(-region.width_px // factor)), "f4")
        histogram = garbage((channels, BINS), "u8")
        outputs = [small if wanted[0] else None, histogram if wanted[1] else None]
        work = Lending(self.fd, threads, outputs=outputs)
        step = Reduce(self.hdu, plane, region, factor, self.hdu.cfa if colour else None)
        made = reduce.do(step, work)
        assert made.used_bytes == (small.nbytes * wanted[0], histogram.nbytes * wanted[1])
        return small, histogram, msgspec.json.decode(made.facts, type=Reduced)


@pytest.fixture
def frames(tmp_path: Path) -> Iterator[Any]:
    made: list[Frame] = []

    def make(*args: Any, **more: Any) -> Frame:
        made.append(Frame(tmp_path / f"{len(made)}.fits", *args, **more))
        return made[-1]

    yield make
    for frame in made:
        os.close(frame.fd)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_factor_1_is_the_plane_itself(frames: Any, kind: str) -> None:
    pixels = (star_field(37, 41) // 260).astype(kind)
    plane, histogram, facts = frames(pixels).reduce(1)
    assert np.array_equal(plane[0], pixels.astype("f4"))
    (channel,) = facts.channels
    assert (channel.good, channel.bad, channel.min, channel.max) == (37 * 41, 0, pixels.min(), pixels.max())
    assert channel.mean == pytest.approx(float(pixels.mean()))
    assert histogram.sum() == pixels.size
    assert (facts.factor, facts.width_px, facts.height_px) == (1, 41, 37)


def test_bins_of_16_bit_are_its_values(frames: Any) -> None:
    pixels = np.array([[0, 0, 65535, 1000]], "u2")
    _, histogram, facts = frames(pixels).reduce(1)
    assert facts.channels[0].bins == Linear(0.0, 1.0)
    assert {int(at): int(histogram[0, at]) for at in np.flatnonzero(histogram[0])} == {0: 2, 1000: 1, 65535: 1}
    _, _, facts = frames(pixels.astype("i4").astype("i2"), [card("BSCALE", -2.0), card("BZERO", 7.0)]).reduce(1)
    assert facts.channels[0].bins == Linear(7.0 + 65536, -2.0)
    assert (facts.channels[0].min, facts.channels[0].max) == (7.0 - 2000, 7.0 + 2)


def test_bins_of_floats_lie_around_the_median(frames: Any) -> None:
    pixels = np.random.default_rng(3).normal(50, 2, (300, 400)).astype("f4")
    _, _, facts = frames(pixels).reduce(4)
    bins = facts.channels[0].bins
    assert isinstance(bins, SplitLog)
    assert bins.center == pytest.approx(50, abs=0.1)
    assert bins.scale == pytest.approx(8, rel=0.05)


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8"])
def test_blank_pixels_are_bad(frames: Any, kind: str) -> None:
    pixels = np.array([[7, 7, 1, 3], [7, 7, 5, 7]], kind)
    plane, histogram, facts = frames(pixels, [card("BLANK", 7)]).reduce(2)
    assert np.array_equal(plane, [[[np.nan, 3]]], equal_nan=True)
    assert (facts.channels[0].good, facts.channels[0].bad, facts.channels[0].max) == (3, 5, 5)
    assert histogram.sum() == 3


def test_nothing_good(frames: Any) -> None:
    for pixels in (np.full((4, 4), np.nan, "f4"), np.full((4, 4), np.inf)):
        plane, histogram, facts = frames(pixels).reduce(2)
        assert np.isnan(plane).all()
        assert not histogram.any()
        assert (facts.channels[0].good, facts.channels[0].bad, facts.channels[0].mean) == (0, 16, None)


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_missing_rows_are_bad(frames: Any, kind: str) -> None:
    pixels = star_field(20, 30).astype(kind)
    frame = frames(pixels, keep=BLOCK + 13 * 30 * pixels.itemsize + 5)
    plane, _, facts = frame.reduce(4)
    assert np.isnan(plane[0, 4:]).all()
    np.testing.assert_allclose(plane[0, 3, 0], pixels[12:13, :4].mean(), rtol=1e-6)
    assert (facts.channels[0].good, facts.channels[0].bad) == (13 * 30, 7 * 30)
    plane, _, facts = frame.reduce(2, Region(3, 14, 10, 5))
    assert np.isnan(plane).all()
    assert facts.channels[0].bad == 50


@pytest.mark.parametrize("kind", ["u1", "u2", "f8"])
def test_regions_and_planes(frames: Any, kind: str) -> None:
    cube = (star_field(60, 50) // 300).reshape(2, 3, 10, 50).astype(kind)
    plane, histogram, _ = frames(cube).reduce(1, Region(7, 2, 11, 5), plane=4)
    wanted = cube.reshape(6, 10, 50)[4, 2:7, 7:18]
    assert np.array_equal(plane[0], wanted.astype("f4"))
    assert histogram.sum() == wanted.size


@pytest.mark.parametrize("kind", ["u2", "f4", "i4"])
def test_histogram_depends_neither_on_factor_nor_on_company(frames: Any, kind: str) -> None:
    """It has a key without the factor, so that all factors share it."""
    for cards, colour in (([], False), ([card("BAYERPAT", "GBRG")], True)):
        frame = frames(star_field(67, 91).astype(kind), cards)
        _, first, facts = frame.reduce(2, colour=colour)
        for factor, wanted in ((1, (True, True)), (6, (True, True)), (4, (False, True)), (1, (False, True))):
            plane, histogram, others = frame.reduce(factor, colour=colour, wanted=wanted, threads=2)
            assert np.array_equal(histogram, first)
            assert others.channels == facts.channels
            alone, _, bare = frame.reduce(factor, colour=colour, wanted=(True, False))
            assert bare.channels == ()
            if wanted[0]:
                assert np.array_equal(plane, alone)


def colours(height: int, width: int) -> NDArray[np.uint16]:
    return np.broadcast_to(np.array([900, 500, 100], "u2"), (height, width, 3))


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("factor", [1, 2, 4, 6])
@pytest.mark.parametrize("kind", ["u2", "u1", "f4"])
def test_bayer_colours_are_right_everywhere(frames: Any, pattern: str, factor: int, kind: str) -> None:
    """At odd corners, odd sizes, and in edge blocks that lack a colour."""
    plane = mosaic(colours(9, 13), pattern)
    frame = frames((plane // (4 if kind == "u1" else 1)).astype(kind), [card("BAYERPAT", pattern)])
    for region in (
        Region(0, 0, 13, 9),
        Region(1, 0, 12, 9),
        Region(0, 1, 7, 7),
        Region(3, 3, 5, 5),
        Region(1, 2, 9, 2),
    ):
        small, _, facts = frame.reduce(factor, region, colour=True)
        for channel, told, value in zip(small, facts.channels, (900, 500, 100), strict=True):
            assert np.all(channel == value // (4 if kind == "u1" else 1))
            assert told.good > 0
        assert sum(told.good for told in facts.channels) == region.width_px * region.height_px


def test_bayer_edges_use_what_lies_beyond_the_region(frames: Any) -> None:
    frame = frames(star_field(40, 50), [card("BAYERPAT", "RGGB")])
    whole, _, _ = frame.reduce(1, colour=True)
    part, _, _ = frame.reduce(1, Region(11, 7, 20, 30), colour=True)
    assert np.array_equal(part, whole[:, 7:37, 11:31])


def test_demosaicing_in_pieces_leaves_no_seam(frames: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frames(star_field(40, 50), [card("BAYERPAT", "RGGB")], keep=BLOCK + 35 * 100)
    whole, _, _ = frame.reduce(1, colour=True)
    monkeypatch.setattr(reduce, "DEMOSAIC_ROWS", 7)
    pieces, _, _ = frame.reduce(1, colour=True)
    assert np.array_equal(whole, pieces, equal_nan=True)
    assert np.isnan(whole[:, 35:]).all()
    assert not np.isnan(whole[:, :35]).any()


def test_from_a_plane_that_was_read(frames: Any) -> None:
    """Native byte order, from an input instead of the file; the same result."""
    pixels = star_field(30, 40)
    frame = frames(pixels)
    from_file, counts, facts = frame.reduce(3, Region(5, 6, 20, 17))
    stored = (pixels.astype("i4") - 32768).astype("i2")
    outputs: list[NDArray[Any] | None] = [garbage(from_file.shape, "f4"), garbage(counts.shape, "u8")]
    work = Lending(inputs=[stored], outputs=outputs)
    hdu = msgspec.structs.replace(frame.hdu, kind="compressed")
    made = reduce.do(Reduce(hdu, 0, Region(5, 6, 20, 17), 3), work)
    assert np.array_equal(work.output_array(0), from_file)
    assert np.array_equal(work.output_array(1), counts)
    assert msgspec.json.decode(made.facts, type=Reduced) == facts


def test_sample_is_small_and_covers_the_region(frames: Any) -> None:
    frame = frames(np.arange(700 * 900, dtype="f4").reshape(700, 900))
    step = Reduce(frame.hdu, 0, Region(100, 50, 800, 650), 1)
    source, swap = reduce.stored_rows(step, Lending(frame.fd), range(50, 700))
    sample = reduce._sample(step, source, swap)
    assert reduce.SAMPLE_PX / 4 < sample.size <= reduce.SAMPLE_PX
    assert sample.min() == 50 * 900 + 100
    assert sample.max() > 690 * 900
    assert physical(np.array([1.0]), frame.hdu) == 1
