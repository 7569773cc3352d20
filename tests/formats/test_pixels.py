"""Stored pixels, mapped or decompressed, against astropy: sums and every single value."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from numpy.typing import NDArray

from cgi_worker.formats.fits import walk
from cgi_worker.formats.pixels import FLOAT32_MAX, map_rows, physical, rows_there
from cgi_worker.formats.rows import read_plane
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed
from tests.frames.make import BLOCK, card, cut, image_hdu, star_field, write, write_compressed, write_gzip
from tests.frames.real import real_frames


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, list[Hdu]]]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor, list(walk(descriptor).facts.hdus)
    finally:
        os.close(descriptor)


def stored_plane(descriptor: int, hdu: Hdu, plane: int) -> NDArray[Any]:
    """Read a plane as the steps would."""
    if hdu.kind == "compressed":
        out = np.full((hdu.height_px, hdu.width_px), 99, hdu.stored)
        read_plane(descriptor, hdu, plane, out)
        return out
    rows = rows_there(hdu, plane, 0, hdu.height_px)
    return map_rows(descriptor, hdu, plane, range(rows)).view(f">{hdu.stored}")


def stored_by_astropy(path: Path, hdu: Hdu) -> NDArray[Any]:
    """Read all planes with astropy: stored values as they are; those of a compressed image as scaled."""
    with astropys(path, hdu) as theirs:
        return np.array(theirs.data).reshape(hdu.planes, hdu.height_px, hdu.width_px)


@contextmanager
def astropys(path: Path, hdu: Hdu) -> Iterator[Any]:
    """Open an HDU with astropy; what follows it is kept from astropy, which stumbles over junk."""
    end = hdu.offset + -(-hdu.data_bytes // BLOCK) * BLOCK
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Real headers break rules, and astropy says so.
        octets = io.BytesIO(path.read_bytes()[:end])
        with fits.open(octets, do_not_scale_image_data=hdu.kind == "image", memmap=False) as file:
            yield file[hdu.index]


@pytest.mark.parametrize("path", real_frames(), ids=lambda path: path.name)
def test_real_frames_hold_the_same_pixels(path: Path) -> None:
    with opened(path) as (descriptor, hdus):
        for hdu in hdus:
            if hdu.reason is not None:
                check_reason(path, hdu)
                continue
            theirs = stored_by_astropy(path, hdu)
            for plane in range(hdu.planes):
                ours = stored_plane(descriptor, hdu, plane)
                if hdu.kind == "compressed":
                    ours = physical(ours, hdu)
                if ours.dtype.kind in "iu":
                    assert int(ours.sum(dtype=object)) == int(theirs[plane].sum(dtype=object))
                assert np.array_equal(ours, theirs[plane], equal_nan=ours.dtype.kind == "f")


def check_reason(path: Path, hdu: Hdu) -> None:
    """Make sure that astropy, too, finds no picture where we say that there is none."""
    with astropys(path, hdu) as theirs:
        match hdu.kind:
            case "empty":
                assert not theirs.shape or 0 in theirs.shape
            case "table":
                assert isinstance(theirs, fits.BinTableHDU | fits.TableHDU)
            case _:
                assert not isinstance(theirs, fits.ImageHDU | fits.CompImageHDU)
                assert not isinstance(theirs, fits.PrimaryHDU) or isinstance(theirs, fits.GroupsHDU)


@pytest.mark.parametrize("compress", ["RICE", "GZIP", "GZIP_2", "HCOMPRESS"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4"])
def test_tile_compressed(tmp_path: Path, compress: str, kind: str) -> None:
    pixels = (star_field(61, 83) // 300).astype(kind)
    path = write_compressed(tmp_path / "a.fz", pixels, compress)
    with opened(path) as (descriptor, hdus):
        assert np.array_equal(physical(stored_plane(descriptor, hdus[1], 0), hdus[1]), pixels)


@pytest.mark.parametrize("options", [{"compress": "RICE"}, {"compress": "GZIP", "qlevel": 0}])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_tile_compressed_floats_keep_their_holes(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    pixels = star_field(61, 83).astype(kind)
    pixels[3:9, 10:20] = np.nan
    path = write_compressed(tmp_path / "a.fz", pixels, **options)
    with opened(path) as (descriptor, hdus):
        ours = physical(stored_plane(descriptor, hdus[1], 0), hdus[1])
    assert np.array_equal(ours, stored_by_astropy(path, hdus[1])[0], equal_nan=True)
    assert np.isnan(ours).sum() == 60


def test_tile_compressed_cube_and_large_tiles(tmp_path: Path) -> None:
    pixels = star_field(120, 50).reshape(6, 20, 50)
    path = write_compressed(tmp_path / "a.fz", pixels, tile_dims=(1, 20, 50))
    with opened(path) as (descriptor, hdus):
        for plane in range(6):
            assert np.array_equal(physical(stored_plane(descriptor, hdus[1], plane), hdus[1]), pixels[plane])


def test_damaged_tiles_are_the_files_fault(tmp_path: Path) -> None:
    path = write_compressed(tmp_path / "a.fz", star_field(100, 100).astype("i4"), "GZIP")
    octets = bytearray(path.read_bytes())
    with opened(path) as (_, hdus):
        octets[hdus[1].offset + 1200 : hdus[1].offset + 6000] = b"\xa5" * 4800
    path.write_bytes(octets)
    with opened(path) as (descriptor, hdus), pytest.raises(StepFailed, match="HDU 1 cannot be decompressed") as caught:
        stored_plane(descriptor, hdus[1], 0)
    assert caught.value.code == "bad_frame"
    assert "/" not in caught.value.text


@pytest.mark.parametrize("name", ["a.fits[1]", "a.fits(out.fits)", "http:/x", "|cat", "-", "a.fits+1", "!a.fits"])
def test_names_mean_nothing_to_cfitsio(tmp_path: Path, name: str) -> None:
    pixels = star_field(20, 30)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    before = write_compressed(tmp_path / "plain.fz", pixels).rename(path).read_bytes()
    with opened(path) as (descriptor, hdus):
        assert np.array_equal(physical(stored_plane(descriptor, hdus[1], 0), hdus[1]), pixels)
    assert path.read_bytes() == before
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]


def test_whole_gzip(tmp_path: Path) -> None:
    cube = star_field(60, 70).reshape(3, 20, 70)
    path = write_gzip(tmp_path / "a.gz", image_hdu(cube), image_hdu(cube.astype("f8"), primary=False))
    with opened(path) as (descriptor, hdus):
        for hdu in hdus:
            for plane in range(3):
                assert np.array_equal(physical(stored_plane(descriptor, hdu, plane), hdu), cube[plane])


def test_gzip_cut_short_shows_what_is_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 60000, (200, 100)).astype("u2")
    path = write_gzip(tmp_path / "a.gz", image_hdu(noise))
    with opened(cut(path, path.stat().st_size // 2)) as (descriptor, hdus):
        assert 50 < hdus[0].rows < 150
        ours = stored_plane(descriptor, hdus[0], 0)
        assert np.array_equal(physical(ours[: hdus[0].rows], hdus[0]), noise[: hdus[0].rows])
        assert not ours[hdus[0].rows :].any()


def test_a_file_that_shrinks_has_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(star_field(100, 100)))
    with opened(path) as (descriptor, hdus):
        cut(path, 4000)
        with pytest.raises(StepFailed) as caught:
            map_rows(descriptor, hdus[0], 0, range(100))
    assert caught.value.code == "changed"


def test_mapped_rows_cannot_be_written(tmp_path: Path) -> None:
    with opened(write(tmp_path / "a", image_hdu(star_field(9, 9)))) as (descriptor, hdus):
        rows = map_rows(descriptor, hdus[0], 0, range(2, 5))
    assert rows.shape == (3, 18)
    assert not rows.flags.writeable


def test_physical(tmp_path: Path) -> None:
    wild = np.array([[1.0, np.nan, np.inf, -np.inf, 1e39, -3e38]])
    with opened(write(tmp_path / "a", image_hdu(wild))) as (descriptor, hdus):
        values = physical(stored_plane(descriptor, hdus[0], 0), hdus[0])
    assert np.array_equal(values, [[1.0, np.nan, np.nan, np.nan, np.nan, -3e38]], equal_nan=True)
    assert float(np.finfo("f4").max) == FLOAT32_MAX
    cards = [card("BSCALE", 2.0), card("BZERO", 10.0), card("BLANK", 3)]
    with opened(write(tmp_path / "a", image_hdu(np.array([[1, 3]], "i2"), cards=cards))) as (descriptor, hdus):
        assert np.array_equal(physical(stored_plane(descriptor, hdus[0], 0), hdus[0]), [[12, np.nan]], equal_nan=True)
    large = np.array([[5, 2**64 - 2048]], "u8")
    with opened(write(tmp_path / "a", image_hdu(large))) as (descriptor, hdus):
        assert np.array_equal(physical(stored_plane(descriptor, hdus[0], 0), hdus[0]), large.astype("f8"))
