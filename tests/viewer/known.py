"""Frames of which everything is known, and what astropy says of them, for the tests in a browser.

A process of its own: `python -m tests.viewer.known DIR` writes the frames and `truth.json` below DIR;
`--one NAME --number N` writes a single small frame, under another name first, as a camera does; further names are
numbered on.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

BLOCK_PX: Final = 100
BLOCKS: Final = (6, 8)
"""The known picture: so many rows and columns of blocks, each of one value."""


def blocks() -> NDArray[np.uint16]:
    """Draw blocks (600, 800) uint16: value = 1000 * (number of the block, from the first row stored), first block 0."""
    numbers = np.arange(BLOCKS[0] * BLOCKS[1], dtype=np.uint16).reshape(BLOCKS) * 1000
    return np.kron(numbers, np.ones((BLOCK_PX, BLOCK_PX), np.uint16))


def ramp() -> NDArray[np.int16]:
    """Draw a ramp (400, 500) int16: value = 3 * x - 2 * y, x and y FITS pixels."""
    y, x = np.mgrid[1:401, 1:501]
    return (3 * x - 2 * y).astype(np.int16)


def sky(seed: int = 3) -> tuple[NDArray[np.uint16], list[tuple[float, float]]]:
    """Draw a field (1500, 2000) uint16 of 30 stars; return it with their places in FITS pixels, brightest first."""
    random = np.random.default_rng(seed)
    plane = random.normal(800, 12, (1500, 2000))
    ys, xs = np.mgrid[1:1501, 1:2001]
    grid = [(x, y) for y in range(150, 1500, 240) for x in range(200, 2000, 320)]
    places = [(x + random.uniform(-20, 20), y + random.uniform(-20, 20)) for x, y in grid]
    for number, (x, y) in enumerate(places):
        box = np.s_[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
        plane[box] += 30000 / (1 + 0.2 * number) * np.exp(-((ys[box] - y) ** 2 + (xs[box] - x) ** 2) / (2 * 2.2**2))
    return np.clip(plane, 0, 65535).astype(np.uint16), places


def sky_wcs() -> WCS:
    """Place the field of stars: TAN, turned by 30 degrees, mirrored, 0.8 arcsec a pixel, across RA 0."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [0.05, 41.27]
    wcs.wcs.crpix = [1000.5, 750.5]
    scale, angle = 0.8 / 3600, np.radians(30)
    wcs.wcs.cd = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return wcs


def write_all(folder: Path) -> dict[str, Any]:
    """Write all frames; return what is known of them."""
    folder.mkdir(parents=True, exist_ok=True)
    plane, places = sky()
    wcs = sky_wcs()
    header = wcs.to_header()
    header["OBJECT"], header["FILTER"], header["EXPTIME"], header["BUNIT"] = "Known field", "Ha", 60.0, "adu"
    header["INSTRUME"] = "known camera"
    _write(folder / "sky.fits", plane, header)
    _write(folder / "blocks.fits", blocks(), _cards(OBJECT="Blocks", FILTER="L", EXPTIME=1.5))
    _write(folder / "ramp.fits", ramp(), _cards(OBJECT="Ramp", FILTER="R", EXPTIME=30.0))
    floats = np.linspace(-1, 1, 300 * 200, dtype=np.float32).reshape(200, 300)
    floats[50:60, 70:80] = np.nan
    floats[100, 100] = 0
    _write(folder / "floats.fits", floats, _cards(OBJECT="Floats"))
    _write(folder / "cube.fits", np.stack([np.full((120, 160), 100 * n, np.int16) for n in range(1, 6)]), _cards())
    bayer = np.tile(np.array([[100, 200], [300, 400]], np.uint16), (200, 300))
    _write(folder / "bayer.fits", bayer, _cards(BAYERPAT="RGGB"))
    _write(folder / "truncated.fits", blocks(), _cards(OBJECT="Cut short"))
    os.truncate(folder / "truncated.fits", 2880 + 800 * 2 * 250)
    (folder / "broken.fits").write_bytes(b"SIMPLE  =                    T" + b"\xff" * 5000)
    points = [(1.0, 1.0), (1000.5, 750.5), (1999.0, 20.0), (333.0, 1400.0)]
    world = wcs.all_pix2world(points, 1)
    ys, xs = np.mgrid[1 : plane.shape[0] + 1, 1 : plane.shape[1] + 1]
    return {
        "sky": {
            "stars": places,
            "values": [[x, y, int(plane[y - 1, x - 1])] for x, y in [(1, 1), (1000, 750), (2000, 1500), (17, 1203)]],
            "world": [[*point, *map(float, place)] for point, place in zip(points, world, strict=True)],
        },
        "shapes": {
            "rect": _figures(plane, [200, 150, 101, 81], (abs(xs - 200) <= 50) & (abs(ys - 150) <= 40)),
            "circle": _figures(plane, [520, 390, 45.5], np.hypot(xs - 520, ys - 390) < 45.5),
        },
        "blocks": {"side_px": BLOCK_PX, "rows": BLOCKS[0], "columns": BLOCKS[1], "step": 1000},
        "truncated": {"rows": 250, "of": 600},
    }


def _figures(plane: NDArray[Any], numbers: list[float], inside: NDArray[np.bool_]) -> dict[str, Any]:
    """Measure the pixels inside a shape, as numpy does."""
    values = plane[inside].astype(np.float64)
    return {
        "numbers": numbers,
        "Pixels": len(values),
        "Mean": values.mean(),
        "Median": float(np.median(values)),
        "Sigma": values.std(),
        "Minimum": values.min(),
        "Maximum": values.max(),
        "Sum": values.sum(),
    }


def write_one(path: Path, number: int) -> None:
    """Write a small frame of its own brightness, under another name first."""
    plane = np.random.default_rng(number).normal(1000 + 10 * number, 5, (300, 400)).astype(np.uint16)
    plane[100:140, 50 + 20 * (number % 10) : 70 + 20 * (number % 10)] = 20000
    hidden = path.with_name(f".{path.name}.part")
    _write(hidden, plane, _cards(OBJECT=f"Number {number}", EXPTIME=float(number)))
    hidden.rename(path)


def _cards(**values: Any) -> fits.Header:
    return fits.Header(list(values.items()))


def _write(path: Path, plane: NDArray[Any], header: fits.Header) -> None:
    fits.PrimaryHDU(plane, header).writeto(path, overwrite=True)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--one", metavar="NAME", nargs="+")
    parser.add_argument("--number", type=int, default=1)
    given = parser.parse_args()
    if given.one:
        given.folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(given.one, given.number):
            write_one(given.folder / name, number)
    else:
        (given.folder.parent / "truth.json").write_text(json.dumps(write_all(given.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
