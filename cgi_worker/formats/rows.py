"""Rows of any image: `open_rows` finds the way to them that its file needs."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.cfitsio import Decompressed
from cgi_worker.formats.joined import Joined
from cgi_worker.formats.lent import Lent, Rows
from cgi_worker.formats.octets import Inflated
from cgi_worker.formats.pixels import map_rows, rows_there
from cgi_worker.formats.tiled import Tiled
from cgi_worker.kernels.sharing import share_out
from cgi_worker.wire.facts import Hdu, StoredType
from cgi_worker.wire.failure import StepFailed

__all__ = ["Held", "Lent", "Mapped", "Rows", "Stream", "open_rows", "read_plane"]

_READ_BYTES: Final = 4 << 20  # At once, into a full-size plane.


class Mapped:
    """Rows of an image that lies in the file as it is: nothing is copied."""

    in_order = False
    swap = 1

    def __init__(self, source_fd: int, hdu: Hdu, plane: int) -> None:
        self.stored = hdu.stored
        self.count = rows_there(hdu, plane, 0, hdu.height_px)
        self._rows = map_rows(source_fd, hdu, plane, range(self.count)) if self.count else None

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Lend rows as they are mapped."""
        assert self._rows is not None
        return Lent(self._rows[first:last], 0)


class Held:
    """Rows of a full-size plane in memory, native byte order."""

    in_order = False
    swap = 0

    def __init__(self, plane: NDArray[Any], stored: StoredType, count: int) -> None:
        self.stored = stored
        self.count = count
        self._rows = plane.view(np.uint8).reshape(plane.shape[0], -1)

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Lend rows of the plane."""
        return Lent(self._rows[first:last], 0)


class Stream:
    """Rows of an image inside a gzip file, big-endian: inflated forward, once."""

    in_order = True
    swap = 1

    def __init__(self, source_fd: int, hdu: Hdu, plane: int) -> None:
        self.stored = hdu.stored
        self.count = rows_there(hdu, plane, 0, hdu.height_px)
        self._octets = Inflated(source_fd)
        self._row_bytes = hdu.width_px * int(hdu.stored[1])
        self._start = hdu.offset + plane * hdu.height_px * self._row_bytes

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Inflate up to these rows, and lend them."""
        size = (last - first) * self._row_bytes
        some = self._octets.read(self._start + first * self._row_bytes, size)
        if len(some) < size:
            raise StepFailed("changed", "the file has become shorter since its header was read")
        return Lent(np.frombuffer(some, np.uint8).reshape(last - first, self._row_bytes), 0)


def open_rows(source_fd: int, hdu: Hdu, plane: int, parts: tuple[Hdu, ...] = ()) -> Rows:
    """Open the rows of one plane.

    source_fd  stays open as long as they are used.
    parts      the HDUs that a mosaic is put together from, in the order of `hdu.parts`.

    Raises  StepFailed("changed") if the file is not what it was when it was parsed; StepFailed("bad_frame") if it
            cannot be decoded.
    """
    if hdu.kind == "mosaic":
        return Joined(hdu, parts, [open_rows(source_fd, part, 0) for part in parts])
    if hdu.kind == "image":
        return Mapped(source_fd, hdu, plane)
    if hdu.tiling is None:
        return Stream(source_fd, hdu, plane)
    if hdu.tiling.method == "OTHER":
        return Decompressed(source_fd, hdu, plane)
    return Tiled(source_fd, hdu, plane)


def read_plane(source_fd: int, hdu: Hdu, plane: int, out: NDArray[Any], *, threads: int = 1) -> None:
    """Read one plane, stored values in native byte order; rows that are missing become 0.

    out  (R, C) of the HDU's stored type.

    Raises  as `open_rows`, and as lending does; `out` is then half-written.
    Memory  a few MB a thread, or the rows of tiles of as many where those are larger.
    """
    rows = open_rows(source_fd, hdu, plane)
    step = max(1, _READ_BYTES // out[:1].nbytes)
    kind = f">{rows.stored}" if rows.swap else rows.stored

    def copy(first: int) -> None:
        last = min(first + step, rows.count)
        lent = rows.lend(first, last, 0, hdu.width_px)
        out[first:last] = lent.octets.view(kind)[:, : hdu.width_px]

    starts = range(0, rows.count, step)
    share_out(copy, starts, 1 if rows.in_order else threads)
    out[rows.count :] = 0
