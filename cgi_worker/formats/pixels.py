"""Stored pixels of a plane: mapped where they lie in the file, or read out of what has no random access."""

import mmap
import os
from typing import Any, Final

import fitsio
import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.octets import Inflated
from cgi_worker.formats.sniff import wrapping
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed

_READ_BYTES: Final = 4 << 20  # At once, of a compressed source.
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


def read_plane(source_fd: int, hdu: Hdu, plane: int, out: NDArray[Any]) -> None:
    """Read one plane of a compressed source, stored values in native byte order; rows that are missing become 0.

    out  (R, C) of the HDU's stored type.

    Raises  StepFailed("bad_frame") if it cannot be decompressed; `out` is then half-written.
    Memory  a few MB, or one row of tiles where those are larger.
    """
    if wrapping(source_fd) == "gzip":
        _read_gzip(source_fd, hdu, plane, out)
    else:
        _read_tiles(source_fd, hdu, plane, out)


def _read_gzip(source_fd: int, hdu: Hdu, plane: int, out: NDArray[Any]) -> None:
    octets = Inflated(source_fd)
    row_bytes = hdu.width_px * int(hdu.stored[1])
    first = hdu.offset + plane * hdu.height_px * row_bytes
    there = rows_there(hdu, plane, 0, hdu.height_px)
    step = max(1, _READ_BYTES // row_bytes)
    for row in range(0, there, step):
        rows = min(step, there - row)
        some = octets.read(first + row * row_bytes, rows * row_bytes)
        if len(some) < rows * row_bytes:
            raise StepFailed("changed", "the file has become shorter since its header was read")
        out[row : row + rows] = np.frombuffer(some, f">{hdu.stored}").reshape(rows, hdu.width_px)
    out[there:] = 0


def _read_tiles(source_fd: int, hdu: Hdu, plane: int, out: NDArray[Any]) -> None:
    """Let cfitsio decompress. It is told a descriptor's number, so no name from outside reaches its extended syntax."""
    try:
        with fitsio.FITS(f"/proc/self/fd/{source_fd}", "r") as file:
            image = file[hdu.index]
            image.ignore_scaling = True
            before = np.unravel_index(plane, hdu.shape[:-2]) if hdu.planes > 1 else (0,) * (len(hdu.shape) - 2)
            tile_rows = max(1, int(image.read_header().get("ZTILE2", 1)))
            step = tile_rows * max(1, _READ_BYTES // (tile_rows * max(1, out[:1].nbytes)))
            flat = len(image.get_dims()) == 1
            for row in range(0, hdu.height_px, step):
                last = min(row + step, hdu.height_px)
                where = (*(slice(int(n), int(n) + 1) for n in before), slice(row, last), slice(0, hdu.width_px))
                some = image[where[-1:] if flat else where]
                out[row:last] = some.reshape(last - row, hdu.width_px)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StepFailed("bad_frame", f"HDU {hdu.index} cannot be decompressed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and "/proc/" not in line]
    return lines[0][:200] if lines else type(error).__name__
