"""Reduce: from the rows of a plane, however they are stored, to a small plane and its histogram, in one pass."""

import math
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.joined import Joined
from cgi_worker.formats.pixels import rows_there
from cgi_worker.formats.rows import Held, Lent, Mapped, Rows, open_rows
from cgi_worker.kernels import reduce as kernels
from cgi_worker.kernels.bands import BAND_PX, Pass, bands, borrow, reduce_bands
from cgi_worker.kernels.demosaic import demosaic
from cgi_worker.steps.bins import Bins, adaptive_bins, linear_bins, sample, sample_of
from cgi_worker.steps.figures import all_held, describe
from cgi_worker.steps.levels import Channel, Linear, SplitLog
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.steps import Reduce

DEMOSAIC_ROWS: Final = 64  # At once, so that no full-size plane is made.
COUNT_FACTOR: Final = 64  # Rows at once where only the histogram is wanted.
_KINDS: Final = {
    "u1": kernels.U1,
    "i2": kernels.I2,
    "i4": kernels.I4,
    "i8": kernels.I8,
    "f4": kernels.F4,
    "f8": kernels.F8,
}


class Reduced(msgspec.Struct, frozen=True):
    """The facts of a reduce step.

    factor, width_px, height_px  how source pixels lie in the plane's blocks (the last one may be partial).
    channels                     about the histogram; empty if it was not made this time.
    rows_read, rows_all          rows that were looked at, of those that the region has; fewer for a coarse picture.
    """

    factor: int
    width_px: int
    height_px: int
    channels: tuple[Channel, ...] = ()
    rows_read: int = 0
    rows_all: int = 0


class Source(NamedTuple):
    """What is reduced.

    hdu    its stored type and scaling as they are in the rows lent.
    there  rows of the region that exist.
    """

    rows: Rows
    hdu: Hdu
    there: int


class Target(NamedTuple):
    """Where a reduction goes: either may be left out.

    plane      as `Reduce` says, its contents arbitrary.
    histogram  (channels, BINS) uint64.
    """

    plane: NDArray[np.float32] | None
    histogram: NDArray[np.uint64] | None = None


def do(step: Reduce, work: Work) -> Made:
    """Make the plane (output 0), the histogram (output 1), or both in one pass."""
    plane = work.output_array(0) if work.wants(0) else None
    histogram = work.output_array(1) if work.wants(1) else None
    rows = open_held(step, work.input_array(0)) if work.input_count else open_once(step, work)
    if step.cfa and step.factor == 1 and plane is not None and histogram is not None and rows.in_order:
        facts = reduce_rows(step, rows, Target(None, histogram), threads=work.threads)
        reduce_rows(step, open_once(step, work), Target(plane), threads=work.threads)  # A stream has no way back.
    else:
        facts = reduce_rows(step, rows, Target(plane, histogram), threads=work.threads)
    used = (0 if plane is None else plane.nbytes, 0 if histogram is None else histogram.nbytes)
    return Made(used, msgspec.json.encode(facts).decode())


def reduce_rows(step: Reduce, rows: Rows, target: Target, *, threads: int) -> Reduced:
    """Make what the target has room for, in one pass (and another one for the colours of a Bayer plane at full size).

    rows  of the whole plane; a stream is read once, so it cannot give both of these passes.
    """
    source = describe_source(step, rows)
    plane, full_colour = target.plane, step.cfa is not None and step.factor == 1
    grid = _grid(step, source)._replace(counting=int(target.histogram is not None))
    if plane is not None:
        _clear(step, plane, grid.last)
        if not full_colour:
            grid = grid._replace(pooling=kernels.MEAN if step.pool == "mean" else kernels.HIGHEST)
    read_rows = _read_rows(grid)
    if not grid.pooling and grid.taken == grid.factor:
        grid = grid._replace(factor=COUNT_FACTOR, taken=COUNT_FACTOR, last=-(-grid.rows // COUNT_FACTOR))
    channels: tuple[Channel, ...] = ()
    if grid.pooling or grid.counting:
        over, bins = _begin(step, source, grid)
        into = np.empty((1, 0, 0), np.float32) if plane is None else plane
        counted = reduce_bands(over, grid, _scaling(source.hdu, bins), into, threads=threads)
        if grid.pooling and isinstance(bins[0], Linear) and not all_held(bins[0]):
            _mark_beyond(into, channels=len(bins))
        if grid.pooling and step.cfa:
            _lend_colours(into[:3], grid)
        if target.histogram is not None:
            missing = step.region.height_px - source.there
            channels = tuple(describe(bins, counted, grid, source.hdu, missing=missing))
            target.histogram[:] = counted.histogram
    if plane is not None and full_colour:
        _demosaic(step, source, plane)
    return Reduced(step.factor, step.region.width_px, step.region.height_px, channels, read_rows, source.there)


def sites(step: Reduce, y: int, x: int) -> tuple[int, int, int, int]:
    """Tell the channels of the 2x2 cell at row y and column x of the plane."""
    pattern = step.cfa
    if pattern is None:
        return (0, 0, 0, 0)
    first, second, third, fourth = (
        "RGB".index(pattern[2 * ((y + row) & 1) + ((x + column) & 1)]) for row in (0, 1) for column in (0, 1)
    )
    return (first, second, third, fourth)


def describe_source(step: Reduce, rows: Rows) -> Source:
    """Tell what type and scaling the rows have as they are lent."""
    hdu = step.hdu
    if hdu.kind == "mosaic":
        hdu = msgspec.structs.replace(hdu, bscale=1.0, bzero=0.0)
    if isinstance(rows, Joined) and (stored := rows.as_stored()) is not None:
        rows, scaling = stored, (stored.bscale, stored.bzero, stored.blank)
        hdu = msgspec.structs.replace(hdu, bscale=scaling[0], bzero=scaling[1], blank=scaling[2])
    if rows.stored != hdu.stored:
        hdu = msgspec.structs.replace(hdu, stored=rows.stored, blank=hdu.blank if rows.stored[0] != "f" else None)
    there = min(max(rows.count - step.region.y_px, 0), step.region.height_px)
    return Source(rows, hdu, there)


def open_once(step: Reduce, work: Work) -> Rows:
    """Open the file's rows; what a list has mapped it keeps: its tiles lie side by side in the same pages."""
    place = (step.hdu.index, step.plane)
    rows: Rows = work.kept.get(place) or open_rows(work.source_fd, step.hdu, step.plane, step.parts)
    if not rows.in_order:
        work.kept[place] = rows
    return rows


def open_held(step: Reduce, plane: NDArray[Any]) -> Held:
    """Take a full-size plane that was read before."""
    return Held(plane, step.hdu.stored, rows_there(step.hdu, step.plane, 0, step.hdu.height_px))


def _clear(step: Reduce, plane: NDArray[np.float32], rows: int) -> None:
    """Mark the block rows that are missing."""
    channels = len(plane) // 2 if step.counted else len(plane)
    plane[:channels, rows:] = np.nan
    plane[channels:, rows:] = 0


def _read_rows(grid: kernels.Grid) -> int:
    """Tell how many rows are looked at."""
    whole, rest = divmod(grid.rows, grid.factor)
    return whole * grid.taken + min(rest, grid.taken)


def _grid(step: Reduce, source: Source) -> kernels.Grid:
    hdu, region = source.hdu, step.region
    kind = _KINDS[hdu.stored]
    brim = np.iinfo(hdu.stored).max if hdu.stored[0] == "i" else 0
    if kind == kernels.I8 and hdu.bzero == 2.0**63 and hdu.bscale == 1:
        kind = kernels.U8
    blank = hdu.blank or 0
    site00, site01, site10, site11 = sites(step, region.y_px, region.x_px)
    return kernels.Grid(
        x=0,
        width=region.width_px,
        rows=source.there,
        factor=step.factor,
        taken=min(step.taken or step.factor, step.factor),
        first=0,
        last=-(-source.there // step.factor),
        kind=kind,
        swap=source.rows.swap,
        blank=blank + 32768 if kind == kernels.I2 else blank,
        blanking=int(hdu.blank is not None),
        brim=brim,
        brimming=2 if hdu.saturate is not None else int(hdu.stored[0] == "i"),
        counting=0,
        pooling=kernels.NOTHING,
        lowering=int(hdu.bscale < 0),
        parities=2 if step.cfa else 1,
        site00=site00,
        site01=site01,
        site10=site10,
        site11=site11,
    )


def _scaling(hdu: Hdu, bins: Bins) -> kernels.Scaling:
    brim = math.inf if hdu.saturate is None else hdu.saturate
    if isinstance(bins[0], Linear):
        return kernels.Scaling(bins[0].step, bins[0].start, brim, np.zeros(3), np.ones(3))
    laid = [each for each in bins if isinstance(each, SplitLog)]
    centers = np.array([each.center for each in laid])
    return kernels.Scaling(hdu.bscale, hdu.bzero, brim, centers, 1.0 / np.array([each.scale for each in laid]))


def _begin(step: Reduce, source: Source, grid: kernels.Grid) -> tuple[Pass, Bins]:
    """Lay the bins; of a stream, by the first band, which is kept."""
    rows, hdu = source.rows, source.hdu
    over = Pass(rows, step.region.x_px, step.region.y_px, apart=not isinstance(rows, Mapped | Held))
    if hdu.stored in ("u1", "i2"):
        return over, linear_bins(hdu, 3 if step.cfa else 1)
    if not grid.counting or not source.there:
        return over, (SplitLog(0.0, 1.0),) * (3 if step.cfa else 1)
    if rows.in_order:
        begun = borrow(bands(grid, apart=over.apart)[0], over)
        over = over._replace(begun=begun)
        first = max(1, BAND_PX // (2 * grid.width))  # As many as any band has, so that no factor changes the bins.
        values = sample_of(step, hdu, rows, Lent(begun.octets[:first], begun.x_px))
    else:
        values = sample(step, hdu, rows, source.there)
    return over, adaptive_bins(values, np.array(grid.sites).reshape(2, 2) if step.cfa else None)


def _mark_beyond(plane: NDArray[np.float32], *, channels: int) -> None:
    """Make blocks bad that float32 cannot hold: of narrow pixels the kernels write the highest number there is."""
    beyond = np.abs(plane[:channels]) >= np.float32(kernels.FLOAT32_MAX)
    plane[:channels][beyond] = np.nan
    if len(plane) > channels:
        plane[channels:][beyond] = 0


def _lend_colours(plane: NDArray[np.float32], grid: kernels.Grid) -> None:
    """Give an edge block that is one pixel wide, or high, the colours that it has no pixel of from its neighbour."""
    every, bottom = {0, 1, 2}, grid.last - 1
    low = grid.rows % grid.factor == 1 and bottom > 0
    narrow = grid.width % grid.factor == 1 and plane.shape[2] > 1
    for channel in every - {grid.site00, grid.site01} if low else ():
        plane[channel, bottom] = plane[channel, bottom - 1]
    for channel in every - {grid.site00, grid.site10} if narrow else ():
        plane[channel, :, -1] = plane[channel, :, -2]
    for channel in every - {grid.site00} if low and narrow else ():
        plane[channel, bottom, -1] = plane[channel, bottom, -2]


def _demosaic(step: Reduce, source: Source, plane: NDArray[np.float32]) -> None:
    """Make three full-size channels, some rows at a time; pixels that border on the region help at its edges.

    Each row is borrowed once, in order: the last two of one turn are the first two of the next.
    """
    region, hdu = step.region, source.hdu
    grey = msgspec.structs.replace(step, cfa=None)
    scaling = _scaling(hdu, linear_bins(hdu, 1) if hdu.stored in ("u1", "i2") else (SplitLog(0.0, 1.0),))
    left, right = max(0, region.x_px - 1), min(hdu.width_px, region.x_px + region.width_px + 1)
    begin, end = max(0, region.y_px - 1), min(source.rows.count, region.y_px + region.height_px + 1)
    over = Pass(source.rows, left, 0)
    raw = np.empty((1, 0, right - left), np.float32)
    top = begin  # Row of the plane that is the first of `raw`.
    for first in range(0, source.there, DEMOSAIC_ROWS):
        last = min(first + DEMOSAIC_ROWS, source.there)
        bottom = min(end, region.y_px + last + 1)
        kept = raw[0, max(0, region.y_px + first - 1) - top :]
        have = len(kept)
        start = max(begin, region.y_px + first - 1) + have
        raw = np.empty((1, bottom - start + have, right - left), np.float32)
        raw[0, :have] = kept
        top = start - have
        made = np.empty((1, bottom - start, right - left), np.float32)
        grid = _grid(grey, source)._replace(rows=bottom - start, width=right - left, last=bottom - start)
        reduce_bands(over._replace(y=start), grid._replace(pooling=kernels.MEAN), scaling, made, threads=1)
        raw[0, have:] = made[0]
        out = np.empty((3, last - first, region.width_px), np.float32)
        demosaic(raw[0], sites(step, top, left), (region.y_px + first - top, region.x_px - left), out)
        plane[:3, first:last] = out
        if step.counted:
            plane[3:, first:last] = ~np.isnan(out)
