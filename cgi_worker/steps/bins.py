"""Bins: how a histogram is laid around the pixels of a region."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.pixels import physical
from cgi_worker.formats.rows import Held, Lent, Mapped, Rows
from cgi_worker.steps.levels import SIGMA_PER_MAD, Linear, SplitLog
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.steps import Reduce

SAMPLE_PX: Final = 65_536  # Enough for a median and a MAD that adaptive bins are laid around.
SAMPLE_ROWS: Final = 9  # Of a source where each row costs something; odd strides apart, so of both parities.

Bins = tuple[Linear | SplitLog, ...]


def linear_bins(hdu: Hdu, channels: int) -> Bins:
    """Lay bins for 8-bit and 16-bit pixels: one for each value."""
    start = hdu.bzero - (32768 * hdu.bscale if hdu.stored == "i2" else 0)
    return (Linear(start, hdu.bscale),) * channels


def adaptive_bins(values: NDArray[np.float64], cell: NDArray[np.int64] | None) -> Bins:
    """Lay one channel's bins each around the middle of a sample, as `sample` or `sample_of` took it.

    cell  (2, 2) channels of the region's first pixels; None for one channel.
    """
    if cell is None:
        return (_lay_bins(values),)
    rows, columns = np.ogrid[: values.shape[0], : values.shape[1]]
    of = cell[rows & 1, columns & 1]  # The sample's strides are odd, so that it keeps the cell's order.
    return tuple(_lay_bins(values[of == channel]) for channel in range(3))


def sample(step: Reduce, hdu: Hdu, rows: Rows, there: int) -> NDArray[np.float64]:
    """Take pixels on a grid over the first `there` rows of the region, in data units, where any row can be had.

    Which ones depends on the region, and on how they are stored, alone.
    """
    region = step.region
    if not there:
        return np.empty((0, 0))
    if isinstance(rows, Mapped | Held):
        lent = rows.lend(region.y_px, region.y_px + there, region.x_px, region.x_px + region.width_px)
        return sample_of(step, hdu, rows, lent)
    stride = -(-there // SAMPLE_ROWS) | 1
    found = []
    for row in range(region.y_px, region.y_px + there, stride):
        lent = rows.lend(row, row + 1, region.x_px, region.x_px + region.width_px)
        found.append(stored_of(step, rows, lent)[0])
    columns = -(-len(found) * region.width_px // SAMPLE_PX) | 1
    return physical(np.stack(found)[:, ::columns], hdu)


def sample_of(step: Reduce, hdu: Hdu, rows: Rows, lent: Lent) -> NDArray[np.float64]:
    """Take pixels on a grid over these rows, in data units."""
    stored = stored_of(step, rows, lent)
    stride = math.isqrt(stored.size // SAMPLE_PX) | 1
    while -(-stored.shape[0] // stride) * -(-stored.shape[1] // stride) > SAMPLE_PX:
        stride += 2
    return physical(stored[::stride, ::stride], hdu)


def stored_of(step: Reduce, rows: Rows, lent: Lent) -> NDArray[np.generic]:
    """See the region's columns of some rows as what they are."""
    left = step.region.x_px - lent.x_px
    pixels = lent.octets.view(f"{'>' if rows.swap else '='}{rows.stored}")
    return pixels[:, left : left + step.region.width_px]


def _lay_bins(values: NDArray[np.float64]) -> SplitLog:
    """Centre the bins on the median, with four sigmas in the finest octave; the centre is a float32 number."""
    good = values[~np.isnan(values)]
    if not good.size:
        return SplitLog(0.0, 1.0)
    center = float(np.float32(np.median(good)))
    scale = 4 * SIGMA_PER_MAD * float(np.median(np.abs(good - center)))
    if not scale:  # Half of the sample is alike: begin as fine as float32 tells values apart.
        scale = abs(center) * 2.0**-20 or 2.0**-64
    return SplitLog(center, min(max(scale, 1e-37), 1e37))
