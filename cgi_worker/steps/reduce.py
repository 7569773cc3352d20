"""Reduce: from the file's mapped pages, or from the plane that `Read` made, to a small plane and its histogram."""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.pixels import map_rows, physical, rows_there
from cgi_worker.kernels import reduce as kernels
from cgi_worker.kernels.bands import Counted, reduce_bands
from cgi_worker.kernels.demosaic import demosaic
from cgi_worker.steps.levels import SIGMA_PER_MAD, Channel, Linear, SplitLog
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.recipe import BINS, Reduce

SAMPLE_PX: Final = 65_536  # Enough for a median and a MAD that adaptive bins are laid around.
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
    """

    factor: int
    width_px: int
    height_px: int
    channels: tuple[Channel, ...] = ()


def do(step: Reduce, work: Work) -> Made:
    """Make the plane (output 0), the histogram (output 1), or both in one pass."""
    region = step.region
    there = rows_there(step.hdu, step.plane, region.y_px, region.height_px)
    source, swap = stored_rows(step, work, range(region.y_px, region.y_px + there))
    bins = _choose_bins(step, source, swap)
    scaling = _scaling(step.hdu, bins)
    grid = _grid(step, there, swap)._replace(counting=int(work.wants(1)))
    used = [0, 0]
    if work.wants(0):
        plane = work.output_array(0)
        plane[:, -(-there // step.factor) :] = np.nan
        used[0] = plane.nbytes
        if step.cfa and step.factor == 1:
            _demosaic(step, work, scaling, plane)
        else:
            grid = grid._replace(averaging=1)
    if not grid.averaging:
        plane = np.empty((len(bins), 0, 0), np.float32)
        grid = grid._replace(factor=COUNT_FACTOR, last=-(-there // COUNT_FACTOR))
    channels: tuple[Channel, ...] = ()
    if grid.averaging or grid.counting:
        counted = reduce_bands(source, grid, scaling, plane, threads=work.threads)
        if grid.averaging and step.cfa:
            _lend_colours(plane, grid)
        if grid.counting:
            channels = _describe(step, counted, bins, grid)
            histogram = work.output_array(1)
            histogram[:] = counted.histogram
            used[1] = histogram.nbytes
    facts = Reduced(step.factor, region.width_px, region.height_px, channels)
    return Made((used[0], used[1]), msgspec.json.encode(facts).decode())


def stored_rows(step: Reduce, work: Work, rows: range) -> tuple[NDArray[np.uint8], int]:
    """Lend rows of the plane as bytes, and tell whether they are to be swapped into native order."""
    if step.hdu.kind == "compressed":
        plane = work.input_array(0)[rows.start : rows.stop]
        return plane.view(np.uint8).reshape(len(rows), -1), 0
    if not rows:
        return np.empty((0, step.hdu.width_px * int(step.hdu.stored[1])), np.uint8), 1
    return map_rows(work.source_fd, step.hdu, step.plane, rows), 1


def sites(step: Reduce, y: int, x: int) -> tuple[int, int, int, int]:
    """Tell the channels of the 2x2 cell at row y and column x of the plane."""
    pattern = step.cfa
    if pattern is None:
        return (0, 0, 0, 0)
    first, second, third, fourth = (
        "RGB".index(pattern[2 * ((y + row) & 1) + ((x + column) & 1)]) for row in (0, 1) for column in (0, 1)
    )
    return (first, second, third, fourth)


def _grid(step: Reduce, there: int, swap: int) -> kernels.Grid:
    hdu, region = step.hdu, step.region
    kind = _KINDS[hdu.stored]
    if kind == kernels.I8 and hdu.bzero == 2.0**63 and hdu.bscale == 1:
        kind = kernels.U8
    blank = hdu.blank or 0
    site00, site01, site10, site11 = sites(step, region.y_px, region.x_px)
    return kernels.Grid(
        x=region.x_px,
        width=region.width_px,
        rows=there,
        factor=step.factor,
        first=0,
        last=-(-there // step.factor),
        kind=kind,
        swap=swap,
        blank=blank + 32768 if kind == kernels.I2 else blank,
        blanking=int(hdu.blank is not None),
        counting=0,
        averaging=0,
        parities=2 if step.cfa else 1,
        site00=site00,
        site01=site01,
        site10=site10,
        site11=site11,
    )


def _scaling(hdu: Hdu, bins: tuple[Linear | SplitLog, ...]) -> kernels.Scaling:
    match bins[0]:
        case Linear(start, step):
            return kernels.Scaling(step, start, np.zeros(3), np.ones(3))
        case SplitLog():
            laid = [each for each in bins if isinstance(each, SplitLog)]
            centers = np.array([each.center for each in laid])
            return kernels.Scaling(hdu.bscale, hdu.bzero, centers, 1.0 / np.array([each.scale for each in laid]))


def _choose_bins(step: Reduce, source: NDArray[np.uint8], swap: int) -> tuple[Linear | SplitLog, ...]:
    """Lay one channel's bins each: a bin per value, or around the middle of a sample of the region."""
    hdu, channels = step.hdu, 3 if step.cfa else 1
    if hdu.stored == "u1":
        return (Linear(hdu.bzero, hdu.bscale),) * channels
    if hdu.stored == "i2":
        return (Linear(hdu.bzero - 32768 * hdu.bscale, hdu.bscale),) * channels
    values = _sample(step, source, swap)
    if not step.cfa:
        return (_lay_bins(values),)
    cell = np.array(sites(step, step.region.y_px, step.region.x_px)).reshape(2, 2)
    rows, columns = np.ogrid[: values.shape[0], : values.shape[1]]
    of = cell[rows & 1, columns & 1]  # The sample's stride is odd, so that it keeps the cell's order.
    return tuple(_lay_bins(values[of == channel]) for channel in range(3))


def _sample(step: Reduce, source: NDArray[np.uint8], swap: int) -> NDArray[np.float64]:
    """Take pixels on a grid over the region, in data units; which ones depends on the region alone."""
    stored = source.view(f"{'>' if swap else '='}{step.hdu.stored}")
    stored = stored[:, step.region.x_px : step.region.x_px + step.region.width_px]
    stride = math.isqrt(stored.size // SAMPLE_PX) | 1
    while -(-stored.shape[0] // stride) * -(-stored.shape[1] // stride) > SAMPLE_PX:
        stride += 2
    return physical(stored[::stride, ::stride], step.hdu)


def _lay_bins(values: NDArray[np.float64]) -> SplitLog:
    """Centre the bins on the median, with four sigmas in the finest octave."""
    good = values[~np.isnan(values)]
    if not good.size:
        return SplitLog(0.0, 1.0)
    center = float(np.median(good))
    scale = 4 * SIGMA_PER_MAD * float(np.median(np.abs(good - center)))
    if not scale:  # Half of the sample is alike: begin as fine as float32 tells values apart.
        scale = abs(center) * 2.0**-20 or 2.0**-64
    return SplitLog(center, min(max(scale, 1e-37), 1e37))


def _describe(
    step: Reduce, counted: Counted, bins: tuple[Linear | SplitLog, ...], grid: kernels.Grid
) -> tuple[Channel, ...]:
    """Tell each channel's figures; takes blank pixels out of the histogram."""
    height, width = step.region.height_px, step.region.width_px
    found = []
    for channel, laid in enumerate(bins):
        histogram = counted.histogram[channel]
        if grid.kind <= kernels.I2 and grid.blanking:
            histogram[grid.blank] = 0
        good = int(histogram.sum())
        every = sum(
            ((height + 1 - site // 2) // 2) * ((width + 1 - site % 2) // 2)
            for site, of in enumerate((grid.site00, grid.site01, grid.site10, grid.site11))
            if of == channel
        )
        if not good:
            found.append(Channel(laid, 0, every, None, None, None))
            continue
        if isinstance(laid, Linear):
            filled = np.flatnonzero(histogram)
            ends = sorted(laid.start + laid.step * int(filled[end]) for end in (0, -1))
            mean = laid.start + laid.step * (int((histogram * np.arange(BINS, dtype=np.uint64)).sum()) / good)
        else:
            ends = [float(counted.minima[channel]), float(counted.maxima[channel])]
            mean = float(counted.totals[channel]) / good
        found.append(Channel(laid, good, every - good, ends[0], ends[1], _rounded(mean)))
    return tuple(found)


def _rounded(mean: float) -> float:
    """Round to float32: the last bits of a float64 sum depend on the order of its blocks."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(mean))
    return rounded if math.isfinite(rounded) else mean


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


def _demosaic(step: Reduce, work: Work, scaling: kernels.Scaling, plane: NDArray[np.float32]) -> None:
    """Make three full-size channels, some rows at a time; pixels that border on the region help at its edges."""
    region, hdu = step.region, step.hdu
    grey = msgspec.structs.replace(step, cfa=None)
    there = rows_there(hdu, step.plane, 0, hdu.height_px)
    left, right = max(0, region.x_px - 1), min(hdu.width_px, region.x_px + region.width_px + 1)
    for first in range(0, min(region.height_px, there - region.y_px), DEMOSAIC_ROWS):
        last = min(first + DEMOSAIC_ROWS, region.height_px, there - region.y_px)
        top, bottom = max(0, region.y_px + first - 1), min(there, region.y_px + last + 1)
        source, swap = stored_rows(step, work, range(top, bottom))
        raw = np.empty((1, bottom - top, right - left), np.float32)
        grid = _grid(grey, bottom - top, swap)._replace(x=left, width=right - left, averaging=1)
        reduce_bands(source, grid, scaling, raw, threads=1)
        corner = (region.y_px + first - top, region.x_px - left)
        out = np.empty((3, last - first, region.width_px), np.float32)
        demosaic(raw[0], sites(step, top, left), corner, out)
        plane[:, first:last] = out
