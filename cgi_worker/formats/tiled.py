"""Rows of a tile-compressed image: only the tiles that are asked for are decoded, by whichever thread asks."""

import mmap
import os
import threading
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.lent import Lent
from cgi_worker.formats.octets import DamagedGzip, Inflating
from cgi_worker.formats.pixels import rows_there
from cgi_worker.formats.tiling import spans
from cgi_worker.kernels import dither, rice
from cgi_worker.kernels.rice import JOB, PLACE, ROWS, SKIP, START, STOP, WIDTH
from cgi_worker.wire.facts import COLUMN_BYTES, Column, Hdu, Tiling
from cgi_worker.wire.failure import StepFailed

_TILES_AT_ONCE: Final = 16_384  # About 2 MB of numbers about tiles.
_KEPT_BYTES: Final = 32 << 20  # Of rows of tiles that were asked for in part, beyond the last one.
_KEPT: Final = 4


class _Tiles(NamedTuple):
    """Some tiles, and the rows of them that are wanted.

    entry  (n,) row of the table; jobs (n, JOB), START and STOP not yet known; pixels (n,) of the whole tile.
    """

    entry: NDArray[np.int64]
    jobs: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def chosen(self, which: NDArray[np.bool_]) -> "_Tiles":
        return _Tiles(self.entry[which], self.jobs[which], self.pixels[which])


class Tiled:
    """Rows of a plane of RICE_1, GZIP_1, GZIP_2 or NOCOMPRESS tiles, native byte order.

    Memory  what is asked for, and the rows of tiles at its edges that are asked for in part: these are kept, so that
            nothing is decoded twice by those who go forward.
    """

    in_order = False
    swap = 0

    def __init__(self, source_fd: int, hdu: Hdu, plane: int) -> None:
        assert hdu.tiling is not None
        self.stored = hdu.stored
        self.count = rows_there(hdu, plane, 0, hdu.height_px)
        self._hdu = hdu
        self._tiling = hdu.tiling
        self._octets = map_file(source_fd)
        grid = [-(-length // part) for part, length in zip(hdu.tiling.tile, hdu.shape, strict=True)]
        self._across, down = grid[-1], grid[-2]
        base, self._above, self._thick = _find_plane(hdu, hdu.tiling, plane)
        self._base = base * down * self._across
        start = hdu.offset + self._base * self._tiling.row_bytes
        stop = start + down * self._across * self._tiling.row_bytes
        if stop > self._octets.size:
            raise StepFailed("changed", "the file has become shorter since its header was read")
        self._table = self._octets[start:stop].reshape(down * self._across, self._tiling.row_bytes)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int, int], NDArray[Any]] = OrderedDict()

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Decode rows."""
        height, width = self._tiling.tile[-2:]
        columns = (left // width, -(-right // width))
        x_px = columns[0] * width
        out = np.empty((last - first, min(columns[1] * width, self._hdu.width_px) - x_px), self.stored)
        row = first
        while row < last:
            strip, below = divmod(row, height)
            until = last - last % height if last < self._hdu.height_px else last
            if below or until <= row:  # Only some rows of this row of tiles.
                until = min(last, (strip + 1) * height)
                kept = self._keep(strip, columns)
                out[row - first : until - first] = kept[below : below + until - row]
            else:
                until = min(until, (strip + max(1, _TILES_AT_ONCE // (columns[1] - columns[0]))) * height)
                self._decode(range(strip, -(-until // height)), columns, out[row - first : until - first])
            row = until
        return Lent(out.view(np.uint8).reshape(last - first, -1), x_px)

    def _keep(self, strip: int, columns: tuple[int, int]) -> NDArray[Any]:
        """Decode one row of tiles whole, unless it is still there."""
        with self._lock:
            kept = self._kept.pop((strip, *columns), None)
            if kept is None:
                top, height, width = strip * self._tiling.tile[-2], *self._tiling.tile[-2:]
                right = min(columns[1] * width, self._hdu.width_px)
                kept = np.empty((min(height, self._hdu.height_px - top), right - columns[0] * width), self.stored)
                self._decode(range(strip, strip + 1), columns, kept)
            self._kept[strip, *columns] = kept
            while len(self._kept) > _KEPT or (
                len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > _KEPT_BYTES
            ):
                self._kept.popitem(last=False)
            return kept

    def _decode(self, strips: range, columns: tuple[int, int], out: NDArray[Any]) -> None:
        """Decode whole rows of tiles."""
        tiles = self._lay(strips, columns, out.shape[1])
        table = self._table[tiles.entry - self._base]
        waiting = np.ones(len(table), np.bool_)
        tiling = self._tiling
        for column, method in ((tiling.data, tiling.method), (tiling.gzip, "GZIP_1"), (tiling.raw, "NOCOMPRESS")):
            if column is None:
                continue
            start, stop = spans(table, column, tiling.heap)
            here = waiting & (stop > start)
            if not here.any():
                continue
            waiting &= ~here
            tiles.jobs[:, START], tiles.jobs[:, STOP] = start, stop
            self._check(tiles.entry, here & (stop > self._octets.size), "lies outside the file")
            chosen = tiles.chosen(here)
            if column is tiling.data and tiling.quantised:
                ints = np.empty(out.shape, np.int32)
                self._decode_by(method, column, chosen, ints)
                self._unquantise(chosen, table[here], ints, out)
            else:
                self._decode_by(method, column, chosen, out)
        self._check(tiles.entry, waiting, "is missing")

    def _lay(self, strips: range, columns: tuple[int, int], pitch: int) -> _Tiles:
        """Tell which tiles lie where in an output of so many columns."""
        height, width = self._tiling.tile[-2:]
        y = np.arange(strips.start, strips.stop, dtype=np.int64)[:, None]
        x = np.arange(*columns, dtype=np.int64)[None, :]
        jobs = np.empty((y.size, x.size, JOB), np.int64)
        heights = np.minimum(height, self._hdu.height_px - y * height)
        widths = np.minimum(width, self._hdu.width_px - x * width)
        jobs[:, :, SKIP] = self._above * heights
        jobs[:, :, ROWS] = heights
        jobs[:, :, WIDTH] = widths
        jobs[:, :, PLACE] = (y - strips.start) * height * pitch + (x - columns[0]) * width
        pixels = heights * widths * self._thick
        return _Tiles((self._base + y * self._across + x).ravel(), jobs.reshape(-1, JOB), pixels.ravel())

    def _check(self, index: NDArray[np.int64], wrong: NDArray[np.bool_], what: str) -> None:
        if wrong.any():
            raise StepFailed(
                "bad_frame",
                f"HDU {self._hdu.index} cannot be decompressed: its tile {index[np.argmax(wrong)] + 1} {what}",
            )

    def _decode_by(self, method: str, column: Column, tiles: _Tiles, out: NDArray[Any]) -> None:
        if method == "RICE_1":
            self._decode_rice(tiles, out)
            return
        for index, job, pixels in zip(tiles.entry, tiles.jobs, tiles.pixels, strict=True):
            octets = self._octets[job[START] : job[STOP]]
            some = _unpack(octets, method, int(pixels), kind=out.dtype, column=column)
            if some is None:
                self._check(np.array([index]), np.array([True]), "is damaged")
                return
            height, width = int(job[ROWS]), int(job[WIDTH])
            y, x = divmod(int(job[PLACE]), out.shape[1])
            skipped = int(job[SKIP]) * width
            wanted = some[skipped : skipped + height * width].reshape(height, width)
            out[y : y + height, x : x + width] = _narrowed(wanted, out.dtype)

    def _decode_rice(self, tiles: _Tiles, out: NDArray[Any]) -> None:
        tiling = self._tiling
        same = out.itemsize == tiling.pixel_bytes
        codes = out if same else np.empty(out.shape, f"u{tiling.pixel_bytes}")
        flat = codes.view(f"u{tiling.pixel_bytes}").reshape(-1)
        damaged = rice.decode(self._octets, tiles.jobs, flat, block_px=tiling.block_px, pitch=out.shape[1])
        self._check(tiles.entry, np.arange(len(tiles.entry)) == damaged, "is damaged")
        if not same:  # A row of tiles that is not here is written afterwards.
            out[:] = _narrowed(codes if tiling.pixel_bytes == 1 else codes.view(f"i{tiling.pixel_bytes}"), out.dtype)

    def _unquantise(self, tiles: _Tiles, table: NDArray[np.uint8], ints: NDArray[np.int32], out: NDArray[Any]) -> None:
        tiling = self._tiling
        how = dither.How(
            method=tiling.dither,
            pitch=out.shape[1],
            numbers=dither.NUMBERS,
            seeds=(tiles.entry + tiling.seed - 1) % dither.RANDOM,
            scales=_numbers(table, tiling.scale).astype(np.float64),
            zeros=_numbers(table, tiling.zero).astype(np.float64),
            blanks=_numbers(table, dither.NO_BLANK if tiling.blank is None else tiling.blank).astype(np.int64),
        )
        dither.unquantise(ints.reshape(-1), tiles.jobs, how, out.reshape(-1))


def map_file(source_fd: int) -> NDArray[np.uint8]:
    """Map a whole file, read-only; it takes no memory of ours."""
    size = os.fstat(source_fd).st_size
    if size == 0:
        raise StepFailed("changed", "the file has become shorter since its header was read")
    return np.frombuffer(mmap.mmap(source_fd, size, mmap.MAP_SHARED, mmap.PROT_READ), np.uint8)


def _find_plane(hdu: Hdu, tiling: Tiling, plane: int) -> tuple[int, int, int]:
    """Tell which layer of tiles a plane is in, how many planes of them come first, how many there are."""
    layer, above, thick = 0, 0, 1
    before = np.unravel_index(plane, hdu.shape[:-2]) if len(hdu.shape) > 2 else ()
    for index, length, part in zip(before, hdu.shape, tiling.tile, strict=False):
        at, inside = divmod(int(index), part)
        here = min(part, length - at * part)
        layer = layer * -(-length // part) + at
        above, thick = above * here + inside, thick * here
    return layer, above, thick


def _numbers(table: NDArray[np.uint8], column: Column | float) -> NDArray[Any]:
    """Read a number for each tile: from its column, or the same for all."""
    if not isinstance(column, Column):
        return np.full(len(table), column)
    kind = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}[column.code]
    return np.ascontiguousarray(table[:, column.at : column.at + column.size_bytes]).view(kind).reshape(-1)


def _unpack(
    octets: NDArray[np.uint8], method: str, pixels: int, *, kind: np.dtype[Any], column: Column
) -> NDArray[Any] | None:  # fmt: skip
    """Unpack the pixels of a tile, of whatever type they turn out to be; None if they are damaged."""
    if method == "NOCOMPRESS":
        size = COLUMN_BYTES[column.code] if column.code != "B" else octets.size // pixels
        inflated = octets[: pixels * size].tobytes()
    else:
        try:
            inflated = Inflating().inflate(octets, pixels * 8 + 1)
        except DamagedGzip:
            return None
        size = len(inflated) // pixels
    sizes = (4, 8) if kind.kind == "f" else (1, 2, 4, 8)
    if size not in sizes or len(inflated) != pixels * size:
        return None
    found = "u1" if size == 1 else f">{kind.kind if kind.kind == 'f' else 'i'}{size}"
    if method == "GZIP_2":
        shuffled = np.frombuffer(inflated, np.uint8).reshape(size, pixels)
        return np.ascontiguousarray(shuffled.T).reshape(-1).view(found)
    return np.frombuffer(inflated, found)


def _narrowed(some: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Give pixels as their HDU's type; those beyond it become its nearest."""
    if kind.kind == "f" or np.can_cast(some.dtype, kind):
        return some
    limits = np.iinfo(kind)
    return np.asarray(np.clip(some, limits.min, limits.max))
