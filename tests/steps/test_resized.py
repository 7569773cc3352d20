"""Pictures of an exact size: each pixel shows the mean of what lies under it, whatever becomes of the aspect."""

import io
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.view import Cut, Quantiles, Region, Size, View, Zscale
from tests.frames import make

LOOK = View("f/x", levels=Cut(0.0, 255.0), stretch="linear", format="png", rows="down")
HEIGHT, WIDTH = 37, 53


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint16]:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture(scope="module")
def frame(pixels: NDArray[np.uint16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write(tmp_path_factory.mktemp("resized") / "a.fits", make.image_hdu(pixels))


def shown(path: Path, **fields: Any) -> NDArray[np.uint8]:
    source_fd = os.open(path, os.O_RDONLY)
    try:
        return np.asarray(Image.open(io.BytesIO(alone.render(source_fd, msgspec.structs.replace(LOOK, **fields))[0])))
    finally:
        os.close(source_fd)


def slow(pixels: NDArray[Any], width: int, height: int) -> NDArray[np.float64]:
    """Average by area, in plain loops."""
    rows, columns = pixels.shape
    found = np.zeros((height, width))
    for j in range(height):
        for i in range(width):
            top, bottom, left, right = (
                j * rows / height,
                (j + 1) * rows / height,
                i * columns / width,
                (i + 1) * columns / width,
            )
            total = weight = 0.0
            for y in range(int(top), min(rows, int(np.ceil(bottom)))):
                for x in range(int(left), min(columns, int(np.ceil(right)))):
                    area = (min(bottom, y + 1) - max(top, y)) * (min(right, x + 1) - max(left, x))
                    total += max(0.0, area) * pixels[y, x]
                    weight += max(0.0, area)
            found[j, i] = total / weight
    return found


SIZES = [(53, 37), (52, 37), (53, 1), (1, 37), (1, 1), (20, 30), (100, 20), (54, 38), (106, 74), (301, 11), (200, 200)]


@pytest.mark.parametrize("size", SIZES)
def test_each_pixel_is_the_mean_of_what_lies_under_it(
    frame: Path, pixels: NDArray[np.uint16], size: tuple[int, int]
) -> None:
    picture = shown(frame, size=Size(*size, exact=True))
    assert picture.shape == (size[1], size[0])
    assert np.abs(picture - slow(pixels, *size)).max() <= 1.01


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["none", "h", "v"])
def test_a_size_is_that_of_the_picture_as_it_is_seen(
    frame: Path, pixels: NDArray[np.uint16], turn: int, flip: str
) -> None:
    part = Region(5, 7, 40, 20)
    picture = shown(frame, size=Size(61, 33, exact=True), turn=turn, flip=flip, region=part)
    stored = pixels[7:27, 5:45]
    stored = stored[:, ::-1] if flip == "h" else stored[::-1] if flip == "v" else stored
    assert picture.shape == (33, 61)
    assert np.abs(picture - slow(np.rot90(stored, -turn // 90), 61, 33)).max() <= 1.01


def test_maxima_stay_when_they_are_enlarged(tmp_path: Path) -> None:
    spots = np.zeros((60, 90), np.uint16)
    spots[10, 20], spots[33, 77], spots[59, 89] = 255, 200, 150
    path = make.write(tmp_path / "spots.fits", make.image_hdu(spots))
    picture = shown(path, size=Size(41, 19, exact=True), pool="max")
    assert picture.shape == (19, 41)
    for (y, x), value in (((10, 20), 255), ((33, 77), 200), ((59, 89), 150)):
        near = picture[max(0, y * 19 // 60 - 1) : y * 19 // 60 + 2, max(0, x * 41 // 90 - 1) : x * 41 // 90 + 2]
        assert near.max() >= value / 2, "a spot was averaged away"


@pytest.mark.parametrize("levels", [Quantiles(0.02, 0.98), Zscale()])
def test_a_part_with_the_levels_of_the_plane_is_a_part_of_the_whole_picture(tmp_path: Path, levels: Any) -> None:
    field = make.star_field(300, 400)
    field[:150] //= 2
    path = make.write(tmp_path / "field.fits", make.image_hdu(field))
    part = {"region": Region(30, 20, 100, 90), "size": Size(), "levels": levels}
    whole = shown(path, size=Size(), levels=Quantiles(0.02, 0.98) if isinstance(levels, Quantiles) else levels)
    there = shown(path, **part, levels_from="plane")
    alone_levels = shown(path, **part)
    if isinstance(levels, Quantiles):
        assert np.array_equal(there, whole[20:110, 30:130])
    assert np.abs(there.astype(int) - whole[20:110, 30:130]).mean() < 3
    assert np.abs(there.astype(int) - alone_levels).mean() > 5, "its own levels are others"
