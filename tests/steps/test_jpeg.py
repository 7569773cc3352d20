"""JPEG in bands: joined, they are the picture that is encoded in one piece."""

import io
import threading

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cgi_worker.steps import jpeg
from cgi_worker.wire.view import Subsampling

CHROMAS: tuple[Subsampling, ...] = ("auto", "444", "422", "420")


def picture(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Make a noisy slope."""
    rng = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 200
    slope = slope if len(shape) == 2 else slope[..., None] * np.array([1.0, 0.5, 0.8])
    return np.clip(slope + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], subsampling: Subsampling = "auto", threads: int = 1, quality: int = 85) -> bytes:
    """Encode in bands."""
    file = io.BytesIO()
    jpeg.write_jpeg(pixels, file, quality=quality, subsampling=subsampling, threads=threads)
    return file.getvalue()


def in_one_piece(pixels: NDArray[np.uint8], subsampling: Subsampling, quality: int = 85) -> bytes:
    """Encode without bands."""
    if pixels.ndim == 2:
        return bytes(simplejpeg.encode_jpeg(pixels[..., None], quality, "GRAY", "Gray", fastdct=False))
    chroma = "420" if subsampling == "auto" else subsampling
    return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", chroma, fastdct=False))


def decoded(octets: bytes) -> NDArray[np.uint8]:
    """Decode by another library's decoder."""
    return np.asarray(Image.open(io.BytesIO(octets)))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 90)),
    st.booleans(),
    st.sampled_from(CHROMAS),
    st.integers(1, 100),
    st.integers(1, 27_001),
)
def test_bands_joined_are_the_picture_in_one_piece(
    size: tuple[int, int], colour: bool, chroma: Subsampling, quality: int, band_px: int
) -> None:
    pixels = picture((*size, 3) if colour else size, quality)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "BAND_PX", band_px)
        octets = encoded(pixels, chroma, quality=quality)
    np.testing.assert_array_equal(decoded(octets), decoded(in_one_piece(pixels, chroma, quality)))


@pytest.mark.parametrize("shape", [(803, 1201), (811, 1203, 3), (2400, 1000)])
def test_threads_change_no_octet(shape: tuple[int, ...]) -> None:
    pixels = picture(shape)
    alone = encoded(pixels)
    assert alone == encoded(pixels, threads=2) == encoded(pixels, threads=7)
    assert b"\xff\xdd" in alone, "there are bands at all"
    np.testing.assert_array_equal(decoded(alone), decoded(in_one_piece(pixels, "auto")))


def test_more_than_eight_bands_count_their_markers_round() -> None:
    pixels = picture((3000, 1000))
    octets = encoded(pixels, threads=2)
    assert octets.count(b"\xff\xd0") == 2
    np.testing.assert_array_equal(decoded(octets), decoded(in_one_piece(pixels, "auto")))


def test_a_tile_is_one_band_without_markers() -> None:
    pixels = picture((256, 256))
    assert encoded(pixels) == in_one_piece(pixels, "auto")


@pytest.mark.parametrize("width", [1, 7, 1200, 40_000, 65_500])
@pytest.mark.parametrize("chroma", ["Gray", "444", "422", "420"])
def test_an_interval_fits_into_its_field_and_bands_are_whole_units(width: int, chroma: str) -> None:
    across, down = jpeg._UNITS[chroma]
    for height in (1, 8, 33, 1000, 65_500):
        rows = jpeg.rows_of(height, width, chroma)
        assert rows % down == 0 and rows > 0
        assert rows // down * -(-width // across) <= jpeg.INTERVAL_MAX


class _Full(io.BytesIO):
    def write(self, octets: object) -> int:
        raise OSError("no room")


def test_no_further_thread_is_left_where_the_file_takes_no_more() -> None:
    encoded(picture((2000, 2000)), threads=2)
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="no room"):
        jpeg.write_jpeg(picture((2000, 2000)), _Full(), quality=85, subsampling="auto", threads=2)
    assert set(threading.enumerate()) <= before
