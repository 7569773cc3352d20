"""What is true of a real frame: its planes by astropy in data units, and by plain float64 arithmetic what follows."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.fits import walk
from cgi_worker.wire.facts import Hdu
from tests.core.profile import LONG
from tests.formats.test_pixels import astropys
from tests.frames.real import real_frames

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
LARGE_BYTES: Final = 3_000_000
EVERY_LARGE: Final = 1 if LONG else 8  # Of the large frames: those of a package are much alike.
PLANES_MAX: Final = 20 if LONG else 2

Values = NDArray[np.float64]


class Truth(NamedTuple):
    """One plane.

    values  (R, C) float64, data units; NaN for each pixel that is bad.
    """

    hdu: Hdu
    plane: int
    values: Values

    @property
    def good(self) -> Values:
        """The good pixels, in order."""
        return self.values[~np.isnan(self.values)]


def frames() -> list[Path]:
    """Find the real frames that are looked at."""
    found = real_frames()
    large = [path for path in found if path.stat().st_size > LARGE_BYTES]
    left_out = {path for n, path in enumerate(large) if n % EVERY_LARGE}
    return [path for path in found if path not in left_out]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def hdus_of(path: Path) -> list[Hdu]:
    """Find the HDUs that have a picture."""
    with opened(path) as descriptor:
        return [hdu for hdu in walk(descriptor).facts.hdus if hdu.reason is None]


def truths(path: Path) -> Iterator[Truth]:
    """Give the planes of a frame, the first and the last ones of each HDU."""
    for hdu in hdus_of(path):
        chosen = [*range(min(hdu.planes, PLANES_MAX - 1)), hdu.planes - 1]
        with astropys(path, hdu) as theirs:
            shape = (hdu.planes, hdu.height_px, hdu.width_px)
            stored = np.array(theirs.data).reshape(shape)
            header = {name: theirs.header[name] for name in ("BSCALE", "BZERO", "BLANK") if name in theirs.header}
        for plane in sorted(set(chosen)):
            yield Truth(hdu, plane, in_data_units(stored[plane], hdu, header))


def in_data_units(stored: NDArray[Any], hdu: Hdu, header: Any) -> Values:
    """Apply BSCALE, BZERO and BLANK where astropy was told not to; mark what is bad."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float64)
        if hdu.kind == "image":
            values = values * float(header.get("BSCALE", 1.0)) + float(header.get("BZERO", 0.0))
            if "BLANK" in header and stored.dtype.kind in "iu":
                values[stored == header["BLANK"]] = np.nan
        values[~(np.abs(values) <= FLOAT32_MAX)] = np.nan
    return values


def block_means(values: Values, factor: int) -> tuple[Values, Values]:
    """Average the good pixels of each block; give the largest good value by amount, too, which bounds the rounding."""
    known = ~np.isnan(values)
    sums, counts = (over_blocks(np.add, each, factor) for each in (np.where(known, values, 0.0), known.astype("f8")))
    largest = over_blocks(np.maximum, np.where(known, np.abs(values), 0.0), factor)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), largest


def block_tops(values: Values, factor: int) -> Values:
    """Find the highest good pixel of each block."""
    tops = over_blocks(np.maximum, np.where(np.isnan(values), -math.inf, values), factor)
    return np.where(np.isneginf(tops), np.nan, tops)


def over_blocks(how: Any, values: Values, factor: int) -> Values:
    """Bring each block to one value."""
    rows = how.reduceat(values, np.arange(0, values.shape[0], factor), axis=0)
    return np.asarray(how.reduceat(rows, np.arange(0, values.shape[1], factor), axis=1))


def areas(length: int, factor: int, size: int) -> Values:
    """Tell how much of each block of `factor` pixels (the last may be shorter) each output pixel covers."""
    edges = np.arange(size + 1)[:, None] * length / size
    starts = np.arange(0, length, factor)[None, :]
    stops = np.minimum(starts + factor, length)
    covered: Values = np.clip(np.minimum(edges[1:], stops) - np.maximum(edges[:-1], starts), 0.0, None)
    return covered


def resampled(values: Values, factor: int, size: tuple[int, int]) -> Values:
    """Average blocks, and then these by area into (width, height) output pixels; NaN where no block has a good pixel.

    Source  the two steps of every picture: reduce, then tone. A block that two output pixels share counts in both by
            its mean, so this is no average of source pixels by area unless the blocks fit into the output pixels.
    """
    blocks, _ = block_means(values, factor)
    known = ~np.isnan(blocks)
    down, across = (areas(length, factor, part) for length, part in zip(values.shape, size[::-1], strict=True))
    weights = down @ known.astype("f8") @ across.T
    with np.errstate(invalid="ignore"):
        means: Values = np.where(weights > 1e-9, (down @ np.where(known, blocks, 0.0) @ across.T) / weights, np.nan)
    return means


def drawn(values: Values, black: float, white: float, mid: float) -> Values:
    """Draw values as exact greys, by a straight line and the midtone transfer function."""
    t = np.clip((values - black) / (white - black), 0.0, 1.0)
    return np.asarray(255 * ((mid - 1) * t / ((2 * mid - 1) * t - mid)))
