"""Sample: the values of a plane that zscale looks at, those that astropy would take."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.pixels import physical
from cgi_worker.formats.rows import Rows
from cgi_worker.kernels.sharing import in_order
from cgi_worker.steps.bins import stored_of
from cgi_worker.steps.reduce import Source, describe_source, open_held, open_once
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.steps import SAMPLES, Reduce, Sample

CHUNK_PX: Final = 1 << 20  # Looked at at once, where bad pixels have to be found.

Some = TypeVar("Some")


def do(step: Sample, work: Work) -> Made:
    """Take the sample (output 0): of the good pixels, in order, each n-th.

    n is their number over SAMPLES, rounded down; the first SAMPLES of these are taken.

    Source  astropy.visualization.ZScaleInterval, with its defaults.
    """
    whole = Reduce(step.hdu, step.plane, step.region, 1, parts=step.parts)

    def rows() -> Rows:
        return open_held(whole, work.input_array(0)) if work.input_count else open_once(whole, work)

    taken = take(whole, rows, work.threads)
    out = work.output_array(0)
    out[:] = np.nan
    out[: len(taken)] = np.sort(taken)
    return Made((out.nbytes,))


def take(whole: Reduce, rows: Callable[[], Rows], threads: int) -> NDArray[np.float64]:
    """Take the sample, in the order of the pixels; rows that are missing are no pixels.

    rows  opens the plane's rows; those that come in order are opened once for each look at them.
    """
    source = describe_source(whole, rows())
    if _is_bad_possible(source):
        return _of_good(whole, rows, threads)
    width = whole.region.width_px
    places = _places(source.there * width)
    found = [(row, places[places // width == row] % width) for row in np.unique(places // width)]

    def values(row: Any) -> NDArray[np.float64]:
        number, columns = row
        first = whole.region.y_px + int(number)
        lent = source.rows.lend(first, first + 1, whole.region.x_px, whole.region.x_px + width)
        return physical(stored_of(whole, source.rows, lent)[0, columns], source.hdu)

    return _joined(list(in_order(values, found, 1 if source.rows.in_order else threads)))


def _is_bad_possible(source: Source) -> bool:
    """Tell whether there may be pixels without a measurement among those that are there."""
    hdu = source.hdu
    most = 2.0 ** (8 * int(hdu.stored[1])) * abs(hdu.bscale) + abs(hdu.bzero)
    return hdu.stored[0] == "f" or hdu.blank is not None or not most < np.finfo(np.float32).max


def _of_good(whole: Reduce, rows: Callable[[], Rows], threads: int) -> NDArray[np.float64]:
    """Take it where it has to be found out first how many are good."""
    region = whole.region
    source = describe_source(whole, rows())
    height = max(1, CHUNK_PX // region.width_px)
    tops = range(0, source.there, height)
    threads = 1 if source.rows.in_order else threads

    def good(top: int) -> NDArray[np.float64]:
        first, last = region.y_px + top, region.y_px + min(top + height, source.there)
        lent = source.rows.lend(first, last, region.x_px, region.x_px + region.width_px)
        values = physical(stored_of(whole, source.rows, lent), source.hdu).ravel()
        return values[~np.isnan(values)]

    counts = list(in_order(lambda top: len(good(top)), tops, threads))
    ends = np.cumsum(counts)
    places = _places(int(ends[-1]) if counts else 0)
    if source.rows.in_order:
        source = describe_source(whole, rows())
    chunk = np.searchsorted(ends, places, side="right")
    of = [(tops[at], places[chunk == at] - (int(ends[at]) - counts[at])) for at in np.unique(chunk)]
    return _joined(list(in_order(lambda some: good(some[0])[some[1]], of, threads)))


def _places(count: int) -> NDArray[np.int64]:
    """Tell which of so many pixels are taken."""
    stride = max(1, count // SAMPLES)
    return np.arange(0, count, stride, dtype=np.int64)[:SAMPLES]


def _joined(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(found) if found else np.empty(0)
