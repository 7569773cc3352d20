"""Field: a plane as a measuring eye sees it: float32 in data units, a few rows at a time, and its background."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.pixels import physical
from cgi_worker.formats.rows import Rows, open_rows
from cgi_worker.kernels.background import cell_row
from cgi_worker.kernels.sharing import share_out
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.view import Region

CELL_PX: Final = 64  # Side of the cells of the background, about: they are all of the same size.
CHUNK_ROWS: Final = 64  # Converted at once; what is done to them next finds them in a cache.
_PLAIN: Final = ("u1", "i2", "f4")  # Types whose values float32 holds as they are.
_ENDS: Final = {"u1": (0, 255), "i2": (-(2**15), 2**15 - 1), "i4": (-(2**31), 2**31 - 1), "i8": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True, slots=True)
class Field:
    """A region of a plane, as far as the file holds it. Of a Bayer mosaic, each 2x2 cell is one pixel: its mean.

    scale   source pixels along a side of one pixel here: 1, or 2 of a Bayer mosaic.
    width, height  pixels here; rows that are missing are not counted.
    full    data units from which on a pixel is saturated; infinity if nothing tells.
    """

    source_fd: int
    hdu: Hdu
    plane: int
    region: Region
    parts: tuple[Hdu, ...]
    scale: int
    width: int
    height: int
    full: float

    def open(self) -> Rows:
        """Open the rows that `fill` reads."""
        return open_rows(self.source_fd, self.hdu, self.plane, self.parts)

    def fill(self, rows: Rows, first: int, out: NDArray[np.float32]) -> None:
        """Convert rows from `first` on into `out` (r, width): data units, NaN where bad.

        Where a 2x2 cell has a saturated pixel, it is set to saturation itself.
        """
        height, region = out.shape[0], self.region
        top, left = region.y_px + first * self.scale, region.x_px
        width = self.width * self.scale
        lent = rows.lend(top, top + height * self.scale, left, left + width)
        stored = lent.octets.view(f">{rows.stored}" if rows.swap else rows.stored)
        stored = stored[:, left - lent.x_px : left - lent.x_px + width]
        if self.scale == 1:
            _convert(stored, self.hdu, out)
            return
        fine = np.empty(stored.shape, np.float32)
        _convert(stored, self.hdu, fine)
        np.add(fine[0::2, 0::2], fine[0::2, 1::2], out=out)
        out += fine[1::2, 0::2]
        out += fine[1::2, 1::2]
        out *= np.float32(0.25)
        if np.isfinite(self.full):
            over = (fine >= np.float32(self.full)).reshape(height, 2, self.width, 2).any(axis=(1, 3))
            out[over] = self.full


@dataclass(frozen=True, slots=True)
class Background:
    """The background of a field.

    mesh   (r + 4, c + 4) float64, level of equal cells that cover the field and two more on each side, data units.
    level, noise  its median, and the median of the cells' standard deviations; noise 0: there is nothing but one value.
    """

    mesh: NDArray[np.float64]
    level: float
    noise: float


def open_field(source_fd: int, hdu: Hdu, plane: int, region: Region, *, parts: tuple[Hdu, ...] = ()) -> Field:
    """Describe a region of a plane as a field.

    Raises  as `open_rows` does.
    """
    count = open_rows(source_fd, hdu, plane, parts).count
    there = min(max(count - region.y_px, 0), region.height_px)
    scale = 2 if hdu.cfa is not None and min(region.width_px, there) >= 2 else 1
    full = _full(hdu)
    return Field(source_fd, hdu, plane, region, parts, scale, region.width_px // scale, there // scale, full)


def measure_background(field: Field, *, threads: int = 1) -> Background | None:
    """Estimate the background in cells of about CELL_PX; None if there is no good pixel.

    Memory  CELL_PX rows a thread.
    """
    down, across = (max(1, round(size / CELL_PX)) for size in (field.height, field.width))
    edges = [row * field.height // down for row in range(down + 1)]
    columns = np.array([column * field.width // across for column in range(across + 1)], np.int64)
    level, noise = np.empty((down, across)), np.empty((down, across))
    rows = field.open()

    def carry_out(some: Iterable[int]) -> None:
        scratch = np.empty((max(np.diff(edges)), field.width), np.float32)
        for row in some:
            plane = scratch[: edges[row + 1] - edges[row]]
            field.fill(rows, edges[row], plane)
            cell_row(plane, columns, level[row], noise[row])

    threads = 1 if rows.in_order else min(threads, down)
    share_out(carry_out, [range(start, down, threads) for start in range(threads)], threads)
    good = np.isfinite(level)
    if not good.any():
        return None
    return Background(
        _smooth(np.where(good, level, np.median(level[good]))), *_overall(level[good], noise[good], field)
    )


def _overall(level: NDArray[np.float64], noise: NDArray[np.float64], field: Field) -> tuple[float, float]:
    """Find the field's own level and noise, from those of its cells."""
    middle = float(np.median(noise))
    if middle == 0.0 and (noise > 0).any():  # Most of it is one value, as in a field that was made up.
        middle = float(np.mean(noise[noise > 0]))
    if field.hdu.stored[0] != "f" and (middle > 0.0 or np.ptp(level) > 0):
        middle = max(middle, abs(field.hdu.bscale) * 12**-0.5)  # Whole numbers are not finer than that.
    return float(np.median(level)), middle


def _smooth(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the median of each cell and those around it, so that no single star or nebula is a background.

    At an edge only those along it count, at a corner none: others would bend a slope. Then add two cells on each side.
    """
    smooth = mesh.copy()
    smooth[1:-1] = np.median(np.stack([mesh[:-2], mesh[1:-1], mesh[2:]]), axis=0)
    smooth[:, 1:-1] = np.median(np.stack([mesh[:, :-2], mesh[:, 1:-1], mesh[:, 2:]]), axis=0)
    rows, columns = mesh.shape
    around = [mesh[y : y + rows - 2, x : x + columns - 2] for y in range(3) for x in range(3)]
    if min(mesh.shape) > 2:
        smooth[1:-1, 1:-1] = np.median(np.stack(around), axis=0)
    modes: tuple[Literal["reflect", "edge"], ...] = tuple("reflect" if side > 2 else "edge" for side in mesh.shape)
    for axis, mode in enumerate(modes):
        pads = [(2, 2) if each == axis else (0, 0) for each in range(2)]
        smooth = np.pad(smooth, pads, mode, reflect_type="odd") if mode == "reflect" else np.pad(smooth, pads, mode)
    return np.ascontiguousarray(smooth)


def _convert(stored: NDArray[np.generic], hdu: Hdu, out: NDArray[np.float32]) -> None:
    """Turn stored values into data units, NaN where bad."""
    fine = hdu.bscale == 1.0 or (1e-6 * abs(hdu.bzero) < abs(hdu.bscale) < 1e20)
    if stored.dtype.str[1:] not in _PLAIN or not fine or abs(hdu.bzero) > 1e20:
        np.copyto(out, physical(stored, hdu), casting="same_kind")
        return
    out[...] = stored
    if hdu.bscale != 1.0:
        out *= np.float32(hdu.bscale)
    if hdu.bzero != 0.0:
        out += np.float32(hdu.bzero)
    if hdu.blank is not None:
        out[stored == hdu.blank] = np.nan


def _full(hdu: Hdu) -> float:
    """Tell from which value on a pixel is saturated: by a card, or where its type ends."""
    ends = [hdu.bscale * end + hdu.bzero for end in _ENDS.get(hdu.stored, ())]
    return min([*([] if hdu.saturate is None else [hdu.saturate]), *([max(ends)] if ends else [])], default=np.inf)
