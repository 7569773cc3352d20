"""Stored pixels of a plane where they lie in the file, and what they mean."""

import mmap
import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


def rows_there(hdu: Hdu, plane: int, top: int, height: int) -> int:
    """Tell how many of the rows [top, top + height) of a plane the file really holds."""
    return min(max(hdu.rows - plane * hdu.height_px - top, 0), height)


def map_rows(source_fd: int, hdu: Hdu, plane: int, rows: range) -> NDArray[np.uint8]:
    """Map the rows of a plane, big-endian as they lie in the file: (rows, bytes of a row) uint8, read-only.

    The mapping lives as long as the array does.

    Raises  StepFailed("changed") if the file is shorter than it was when it was parsed.
    """
    row_bytes = hdu.width_px * int(hdu.stored[1])
    start = hdu.offset + (plane * hdu.height_px + rows.start) * row_bytes
    skipped = start % mmap.ALLOCATIONGRANULARITY
    length = len(rows) * row_bytes + skipped
    if os.fstat(source_fd).st_size < start - skipped + length:
        raise StepFailed("changed", "the file has become shorter since its header was read")
    mapped = mmap.mmap(source_fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=start - skipped)
    return np.frombuffer(mapped, np.uint8, offset=skipped).reshape(len(rows), row_bytes)


def physical(stored: NDArray[Any], hdu: Hdu) -> NDArray[np.float64]:
    """Turn stored values into data units, float64; NaN for pixels that are not good."""
    if hdu.stored == "i8" and hdu.bzero == 2.0**63 and hdu.bscale == 1:
        values = (stored.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)).astype(np.float64)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored.astype(np.float64) * hdu.bscale + hdu.bzero
    good = np.abs(values) <= FLOAT32_MAX
    if hdu.blank is not None:
        good &= stored != hdu.blank
    return np.where(good, values, np.nan)
