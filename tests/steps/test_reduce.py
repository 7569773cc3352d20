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
from cgi_worker.formats.rows import open_rows
from cgi_worker.kernels import bands
from cgi_worker.steps import bins, halve, reduce
from cgi_worker.steps.levels import Linear, SplitLog
from cgi_worker.steps.reduce import Reduced
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.steps import BINS, Halve, Reduce
from cgi_worker.wire.view import Region
from tests.frames.make import BLOCK, card, cut, image_hdu, mosaic, star_field, write, write_gzip
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
    drawn = bins.sample(step, frame.hdu, open_rows(frame.fd, frame.hdu, 0), 650)
    assert bins.SAMPLE_PX / 4 < drawn.size <= bins.SAMPLE_PX
    assert drawn.min() == 50 * 900 + 100
    assert drawn.max() > 690 * 900
    assert physical(np.array([1.0]), frame.hdu) == 1


def run_step(step: Reduce, fd: int, shape: tuple[int, ...], *, threads: int = 1, counting: bool = True) -> Any:
    histogram = garbage((3 if step.cfa else 1, BINS), "u8") if counting else None
    outputs: list[NDArray[Any] | None] = [garbage(shape, "f4"), histogram]
    work = Lending(fd, threads, outputs=outputs)
    made = reduce.do(step, work)
    return work.output_array(0), msgspec.json.decode(made.facts, type=Reduced)


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "f4", "f8"])
def test_sigma_and_full_pixels(frames: Any, kind: str) -> None:
    pixels = (np.random.default_rng(5).normal(100, 20, (50, 61))).clip(0, 255).astype(kind)
    pixels[7, 9:12] = 255 if pixels.dtype.kind == "f" else np.iinfo(kind).max
    (found,) = frames(pixels).reduce(4)[2].channels
    assert found.sigma == pytest.approx(float(pixels.astype("f8").std()), rel=1e-6)
    assert found.saturated == (0 if pixels.dtype.kind == "f" else 3)
    frame = frames(pixels)
    hdu = msgspec.structs.replace(frame.hdu, saturate=120.0)
    step = Reduce(hdu, 0, Region(0, 0, 61, 50), 4)
    (found,) = run_step(step, frame.fd, (1, 13, 16))[1].channels
    assert found.saturated == int((pixels >= 120).sum())


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_constant_frames_have_no_spread(frames: Any, kind: str) -> None:
    (found,) = frames(np.full((9, 11), 7, kind)).reduce(2)[2].channels
    assert found.sigma == 0


@pytest.mark.parametrize("kind", ["i2", "f4"])
def test_highest_pixels_in_data_units(frames: Any, kind: str) -> None:
    pixels = (star_field(20, 30) // 300).astype(kind)
    frame = frames(pixels, [card("BSCALE", -2.0), card("BZERO", 7.0)])
    values = 7.0 - 2.0 * pixels.astype("f8")
    step = Reduce(frame.hdu, 0, Region(0, 0, 30, 20), 4, pool="max", counted=True)
    plane, _ = run_step(step, frame.fd, (2, 5, 8))
    assert np.array_equal(plane[0, :, :7], values[:, :28].reshape(5, 4, 7, 4).max((1, 3)).astype("f4"))
    assert np.array_equal(plane[1, 0], [16] * 7 + [8])


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_coarse_picture_says_so(frames: Any, kind: str) -> None:
    pixels = star_field(22, 30).astype(kind)
    frame = frames(pixels)
    step = Reduce(frame.hdu, 0, Region(0, 0, 30, 22), 5, taken=2)
    plane, facts = run_step(step, frame.fd, (1, 5, 6))
    assert (facts.rows_read, facts.rows_all) == (10, 22)
    assert (facts.channels[0].good, facts.channels[0].bad) == (300, 0)
    np.testing.assert_allclose(plane[0, 1, 2], pixels[5:7, 10:15].mean(), rtol=1e-6)
    whole = run_step(msgspec.structs.replace(step, taken=0), frame.fd, (1, 5, 6))[1]
    assert (whole.rows_read, whole.rows_all) == (22, 22)


def test_the_histogram_may_have_no_place(frames: Any) -> None:
    frame = frames(star_field(20, 30))
    step = Reduce(frame.hdu, 0, Region(0, 0, 30, 20), 2)
    plane, facts = run_step(step, frame.fd, (1, 10, 15), counting=False)
    assert facts.channels == ()
    assert np.array_equal(plane, run_step(step, frame.fd, (1, 10, 15))[0])


@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("cards", [[], [card("BAYERPAT", "RGGB")]])
def test_from_a_stream(tmp_path: Path, frames: Any, monkeypatch: pytest.MonkeyPatch, kind: str, cards: Any) -> None:
    """Inflated forward, once; whatever the factor and the threads, the histogram is laid the same."""
    monkeypatch.setattr(reduce, "BAND_PX", 500)
    monkeypatch.setattr(bands, "BAND_PX", 500)
    pixels = star_field(67, 50).astype(kind)
    plain = frames(pixels, cards)
    write_gzip(tmp_path / "a.fits.gz", image_hdu(pixels, cards=cards))
    fd = os.open(tmp_path / "a.fits.gz", os.O_RDONLY)
    hdu = walk(fd).facts.hdus[0]
    assert open_rows(fd, hdu, 0).in_order
    told = set()
    for factor in (1, 2, 6):
        shape = (3 if cards else 1, -(-67 // factor), -(-50 // factor))
        step = Reduce(hdu, 0, Region(0, 0, 50, 67), factor, hdu.cfa)
        plane, facts = run_step(step, fd, shape, threads=3)
        told.add(facts.channels)
        again = run_step(msgspec.structs.replace(step, hdu=plain.hdu), plain.fd, shape)
        assert np.array_equal(plane, again[0])
        assert [each.sigma for each in facts.channels] == pytest.approx([each.sigma for each in again[1].channels])
    assert len(told) == 1
    os.close(fd)


def test_halving_keeps_channels_apart() -> None:
    level = np.arange(2 * 3 * 5 * 4, dtype="f4").reshape(6, 5, 4)
    level[3:] = 1
    work = Lending(inputs=[level], outputs=[garbage((6, 3, 2), "f4")])
    made = halve.do(Halve(), work)
    out = work.output_array(0)
    assert made.used_bytes == (out.nbytes,)
    assert np.array_equal(out[:3, :2], level[:3, :4].reshape(3, 2, 2, 2, 2).mean((2, 4)))
    assert np.array_equal(out[3:], np.broadcast_to([[[4.0], [4.0], [2.0]]], (3, 3, 2)))
