"""Rows that only cfitsio can decompress: PLIO_1 and HCOMPRESS_1. One thread at a time, under the GIL."""

import functools
import threading
from typing import Any, Final

import fitsio
import numpy as np

from cgi_worker.formats.lent import Lent
from cgi_worker.formats.pixels import rows_there
from cgi_worker.formats.tiled import map_file
from cgi_worker.formats.tiling import spans
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed

_MAGIC: Final = (0xDD, 0x99)
_HEAD_BYTES: Final = 10
_ONE_AT_A_TIME: Final = threading.Lock()


class Decompressed:
    """Rows of a plane, native byte order.

    cfitsio is told a descriptor's number, so no name from outside reaches its extended syntax.
    """

    in_order = False
    swap = 0

    def __init__(self, source_fd: int, hdu: Hdu, plane: int) -> None:
        self.stored = hdu.stored
        self.count = rows_there(hdu, plane, 0, hdu.height_px)
        self._name = f"/proc/self/fd/{source_fd}"
        self._hdu = hdu
        _check_tiles(source_fd, hdu)
        before = np.unravel_index(plane, hdu.shape[:-2]) if len(hdu.shape) > 2 else ()
        self._before = tuple(slice(int(index), int(index) + 1) for index in before)
        self._image: Any = None

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Decompress rows."""
        width = self._hdu.width_px
        try:
            with _ONE_AT_A_TIME:
                where = (*self._before, slice(first, last), slice(0, width))
                image = self._open()
                some = image[where[-1:] if len(image.get_dims()) == 1 else where]
        except (OSError, ValueError, TypeError, KeyError) as error:
            text = f"HDU {self._hdu.index} cannot be decompressed: {_first_line(error)}"
            raise StepFailed("bad_frame", text) from error
        rows = np.ascontiguousarray(some.reshape(last - first, width), self.stored)
        return Lent(rows.view(np.uint8), 0)

    def _open(self) -> Any:
        if self._image is None:
            file = fitsio.FITS(self._name, "r")  # Closed when the rows are let go of.
            self._image = file[self._hdu.index]
            self._image.ignore_scaling = True
            self._file = file
        return self._image


def _check_tiles(source_fd: int, hdu: Hdu) -> None:
    """Look at the heads of HCOMPRESS_1 tiles: with other sizes in them than a tile has, cfitsio would divide by zero.

    Source  R. White, hcompress: two magic bytes, then the two sides as 32-bit integers, the first byte the highest.
    Raises  StepFailed("bad_frame").
    """
    tiling = hdu.tiling
    if tiling is None or tiling.data is None or tiling.data.code != "B":
        return  # PLIO_1 has 16-bit words.
    lengths = [
        np.minimum(part, length - np.arange(0, length, part))
        for part, length in zip(tiling.tile, hdu.shape, strict=True)
    ]
    pixels = functools.reduce(np.multiply.outer, lengths).ravel()
    octets = map_file(source_fd)
    there = min(len(pixels), (octets.size - hdu.offset) // tiling.row_bytes)
    table = octets[hdu.offset : hdu.offset + there * tiling.row_bytes].reshape(there, tiling.row_bytes)
    start, stop = spans(table, tiling.data, tiling.heap)
    used = np.flatnonzero((stop > start) & (stop <= octets.size))  # Those beyond the end cfitsio misses by itself.
    short = stop[used] - start[used] < _HEAD_BYTES
    heads = octets[np.minimum(start[used], octets.size - _HEAD_BYTES)[:, None] + np.arange(_HEAD_BYTES)]
    sides = heads[:, 2:].copy().view(">i4").astype(np.int64)
    wrong = short | (heads[:, :2] != _MAGIC).any(axis=1) | (sides < 1).any(axis=1)
    wrong |= sides.clip(0, 2**31).prod(axis=1) != pixels[used]
    if wrong.any():
        tile = used[np.argmax(wrong)] + 1
        raise StepFailed("bad_frame", f"HDU {hdu.index} cannot be decompressed: its tile {tile} is damaged")


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and "/proc/" not in line]
    return lines[0][:200] if lines else type(error).__name__
