"""Rows that only cfitsio can decompress: PLIO_1 and HCOMPRESS_1. One thread at a time, under the GIL."""

import threading
from typing import Any, Final

import fitsio
import numpy as np

from cgi_worker.formats.lent import Lent
from cgi_worker.formats.pixels import rows_there
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed

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


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and "/proc/" not in line]
    return lines[0][:200] if lines else type(error).__name__
