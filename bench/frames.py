"""The frames that are measured with, and how one file is a new frame each time while its pages stay warm."""

import itertools
import os
import shutil
import time
from pathlib import Path
from typing import Final

import numpy as np

from cgi_worker import demo

MONO61: Final = (6388, 9576)  # Rows, columns: a full-format camera of 61 megapixels.
MONO16: Final = (3520, 4656)
BAND_ROWS: Final = 512
DAY_S: Final = 86_400


def make_star_frame(path: Path, shape: tuple[int, int], seed: int = 1) -> None:
    """Write a star field of (R, C) uint16 as FITS, BZERO 32768, and read it back once so that its pages are warm.

    Memory  6 bytes a pixel, and one band more.
    """
    rng = np.random.default_rng(seed)
    light = demo.star_field(rng, shape, shape[0] * shape[1] // 8000)
    light += demo.sky_gradient(shape, 400)
    pixels = np.empty(shape, np.uint16)
    for top in range(0, shape[0], BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        pixels[band] = demo.expose(rng, light[band])
    demo.write_fits(path, pixels)


def copy_frames(frame: Path, folder: Path, count: int) -> list[Path]:
    """Make `count` files of their own with the frame's bytes; they are on the disk when this returns."""
    folder.mkdir()
    copies = [folder / f"{frame.stem}-{i:02d}.fits" for i in range(count)]
    for copy in copies:
        shutil.copyfile(frame, copy)
    os.sync()  # Else the kernel writes them back while something is being timed.
    return copies


class Renewal:
    """Gives a file a modification time that it never had: another source identity, with the same warm pages.

    The times lie a day back, for a frame that changed just now is treated with more caution.
    """

    def __init__(self) -> None:
        start = time.time_ns() - DAY_S * 1_000_000_000
        self._times = itertools.count(start, 1_000_000)

    def renew(self, path: Path) -> None:
        """Make it a new frame."""
        moment = next(self._times)
        os.utime(path, ns=(moment, moment))
