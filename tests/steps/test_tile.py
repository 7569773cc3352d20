"""Tiles: each is, pixel by pixel, what the whole picture shows there, whichever way it was made."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.tiles import TILE_PX, TileView
from cgi_worker.wire.view import Cut, PerChannel, Place, Quantiles, Region, Size, View, Zscale
from tests.frames import make

LOOK = View("f/x", levels=Cut(900.0, 2000.0), stretch="linear", format="png", rows="down")
HEIGHT, WIDTH = 530, 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(5)
    pixels = rng.integers(800, 2200, (HEIGHT, WIDTH)).astype(np.uint16)
    floats = pixels.astype(np.float32)
    floats[rng.random(floats.shape) < 0.02] = np.nan
    make.write(made / "plain.fits", make.image_hdu(pixels))
    make.write(made / "blank.fits", make.image_hdu(pixels.astype(np.int16), cards=[make.card("BLANK", 1000)]))
    make.write(made / "float.fits", make.image_hdu(floats))
    make.write(made / "bayer.fits", make.image_hdu(pixels, cards=[make.card("BAYERPAT", "RGGB")]))
    make.write(made / "cube.fits", make.image_hdu(np.stack([pixels, pixels[::-1], pixels[:, ::-1]])))
    shades = [np.minimum(pixels, 2000 - 300 * nth)[:, :: 1 - 2 * (nth % 2)] for nth in range(3)]
    make.write(made / "shades.fits", make.image_hdu(np.stack(shades)))
    make.write_gzip(made / "packed.fits.gz", make.image_hdu(pixels))
    make.write_compressed(made / "tiled.fits", pixels, "RICE")
    return made


def answer(path: Path, wanted: Any) -> NDArray[np.uint8]:
    source_fd = os.open(path, os.O_RDONLY)
    try:
        return np.asarray(Image.open(io.BytesIO(alone.render(source_fd, wanted)[0])))
    finally:
        os.close(source_fd)


def tiles(path: Path, view: View, level: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    for column in range(-(-WIDTH // (TILE_PX << level))):
        for row in range(-(-HEIGHT // (TILE_PX << level))):
            yield column, row, answer(path, TileView(view, level, column, row))


@pytest.mark.parametrize(
    "name", ["plain.fits", "blank.fits", "float.fits", "bayer.fits", "cube.fits", "packed.fits.gz", "tiled.fits"]
)
@pytest.mark.parametrize(
    "changes", [{}, {"flip": "h", "turn": 90}, {"map": "viridis", "bad": 0xFF0000, "color": "mono"}]
)
def test_tiles_at_full_size_are_the_picture(folder: Path, name: str, changes: dict[str, Any]) -> None:
    view = msgspec.structs.replace(LOOK, **changes)
    if view.turn:
        view = msgspec.structs.replace(view, levels=Cut(900.0, 2000.0), stretch="asinh", invert=True)
    whole = answer(folder / name, msgspec.structs.replace(view, size=Size()))
    height, width = whole.shape[:2]
    for column in range(-(-width // TILE_PX)):
        for row in range(-(-height // TILE_PX)):
            tile = answer(folder / name, TileView(view, 0, column, row))
            top, left = row * TILE_PX, column * TILE_PX
            assert np.array_equal(tile, whole[top : top + TILE_PX, left : left + TILE_PX])


@pytest.mark.parametrize(
    "name", ["plain.fits", "blank.fits", "float.fits", "bayer.fits", "cube.fits", "packed.fits.gz"]
)
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_level_shows_the_means_of_its_blocks(folder: Path, name: str, level: int) -> None:
    step = 1 << level
    for column, row, tile in tiles(folder / name, LOOK, level):
        # A region of whole blocks that is as wide as the tile is reduced by the same factor, and not resampled.
        left, top = column * TILE_PX * step, row * TILE_PX * step
        width = min(TILE_PX * step, WIDTH - left) // step * step
        height = min(TILE_PX * step, HEIGHT - top) // step * step
        part = msgspec.structs.replace(
            LOOK, region=Region(left, top, width, height), size=Size(width // step, height // step)
        )
        direct = answer(folder / name, part)
        assert np.abs(tile[: height // step, : width // step].astype(int) - direct.astype(int)).max() <= 1


@pytest.mark.parametrize("levels", [Quantiles(0.01, 0.99), Zscale(), View("").levels])
def test_levels_are_those_of_the_whole_plane(folder: Path, levels: Any) -> None:
    view = msgspec.structs.replace(LOOK, levels=levels, stretch="mtf")
    source_fd = os.open(folder / "plain.fits", os.O_RDONLY)
    try:
        facts = [
            msgspec.json.decode(alone.render(source_fd, TileView(view, 0, column, row))[2])["levels"]
            for column, row in ((0, 0), (1, 1))
        ]
    finally:
        os.close(source_fd)
    assert facts[0] == facts[1]
    whole = answer(folder / "plain.fits", msgspec.structs.replace(view, size=Size()))
    if not isinstance(levels, Zscale):  # Whose sample of the whole picture is another than the histogram's.
        assert np.array_equal(answer(folder / "plain.fits", TileView(view, 0, 1, 0)), whole[:TILE_PX, 256:512])


def test_channels_have_levels_of_their_own(folder: Path) -> None:
    view = msgspec.structs.replace(LOOK, levels=PerChannel(Cut(0, 1), Cut(900, 2000), Cut(1e6, 2e6)))
    tile = answer(folder / "cube.fits", TileView(view, 0, 0, 0))
    assert (tile[..., 0] == 255).all() and (tile[..., 2] == 0).all()
    assert len(np.unique(tile[..., 1])) > 100


@pytest.mark.parametrize("planes", [(0, 0, 2), (0, 2, 0), (2, 0, 0), (1, 1, 1)])
def test_a_plane_may_be_more_than_one_of_the_colours(folder: Path, planes: tuple[int, int, int]) -> None:
    red, green, blue = (Place(0, plane) for plane in planes)
    view = View("f/x", rgb=(red, green, blue), format="png", rows="down")
    whole = answer(folder / "shades.fits", msgspec.structs.replace(view, size=Size()))
    part = Region(256, 0, 300, 256)
    shown = answer(folder / "shades.fits", msgspec.structs.replace(view, region=part, size=Size(), levels_from="plane"))
    assert np.array_equal(shown, whole[:256, 256:556])
    assert np.array_equal(answer(folder / "shades.fits", TileView(view, 0, 1, 0)), whole[:256, 256:512])
    for level in (0, 3):
        tile = answer(folder / "shades.fits", TileView(view, level, 0, 0))
        for colour, plane in enumerate(planes):
            alone = View("f/x", plane=plane, color="mono", format="png", rows="down")
            assert np.array_equal(tile[..., colour], answer(folder / "shades.fits", TileView(alone, level, 0, 0)))


def test_a_tile_of_rows_that_are_missing_is_bad(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.fits"
    octets = (folder / "plain.fits").read_bytes()
    path.write_bytes(octets[: 2880 + 300 * WIDTH * 2])
    view = msgspec.structs.replace(LOOK, bad=0x00FF00)
    tile = answer(path, TileView(view, 0, 0, 1))
    assert (tile[300 - 256 :] == [0, 255, 0]).all()
    assert not (tile[: 300 - 256] == [0, 255, 0]).all(axis=2).any()
    assert (answer(path, TileView(view, 0, 0, 2)) == [0, 255, 0]).all()
    assert (answer(path, TileView(view, 4, 0, 0))[-14:] == [0, 255, 0]).all()
