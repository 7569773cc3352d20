"""Histogram: how many pixels have which values, in equal bins as somebody wants to see them."""

import math

import msgspec
import numpy as np

from cgi_worker.answers.coordinates import COORDINATES, section
from cgi_worker.answers.counts import Counted, Exact, counted, exact, quantile
from cgi_worker.steps.levels import Distribution, distribution
from cgi_worker.steps.work import Work
from cgi_worker.wire.question import Histogram
from cgi_worker.wire.steps import Measure
from cgi_worker.wire.view import Region


class ChannelHistogram(msgspec.Struct, frozen=True):
    """One channel; empty where no pixel is good.

    edges   of the bins, data units, one more than bins: bin k counts edges[k] <= value < edges[k + 1]; the last bin
            has its upper edge too where `exact` is false.
    exact   the counts are; each bin is as wide as so many whole steps of the values (so there may be fewer bins than
            were asked for). Else they are shares of the finer bins that were counted.
    below, above  good pixels outside of the bins.
    """

    channel: str
    count: int
    bad: int
    exact: bool
    edges: list[float]
    counts: list[float]
    below: float
    above: float


class HistogramAnswer(msgspec.Struct, frozen=True):
    """Each channel of a plane, or of a section of it (as FITS headers write them), between two quantiles."""

    hdu: int
    plane: int
    section: str
    low: float
    high: float
    channels: tuple[ChannelHistogram, ...]
    coordinates: str = COORDINATES


def answer(question: Histogram, step: Measure, work: Work) -> HistogramAnswer:
    """Answer from the histograms that pictures are toned by."""
    region = question.region or Region(0, 0, step.hdu.width_px, step.hdu.height_px)
    where = section(region.x_px, region.y_px, region.width_px, region.height_px)
    channels = tuple(rebin(one, question) for one in counted(work))
    return HistogramAnswer(step.hdu.index, question.plane, where, question.low, question.high, channels)


def rebin(one: Counted, question: Histogram) -> ChannelHistogram:
    """Count one channel in other bins."""
    whole = exact(one)
    if whole is not None:
        return _exactly(one, whole, question)
    spread = distribution(one.counts, one.channel)
    if spread is None:
        return ChannelHistogram(one.name, 0, one.channel.bad, True, [], [], 0, 0)
    return _nearly(one, spread, question)


def _exactly(one: Counted, whole: Exact, question: Histogram) -> ChannelHistogram:
    """Make the bins whole steps wide: counts of fractions of steps would look like a comb."""
    last = int(whole.counts.sum()) - 1
    low, high = (
        round((whole.at(rank) - whole.start) / whole.step)
        for rank in (math.floor(question.low * last), math.ceil(question.high * last))
    )
    width = -(-(high - low + 1) // question.bins)
    bins = -(-(high - low + 1) // width)
    at = (whole.steps - low) // width
    inside = (at >= 0) & (at < bins)
    counts = np.zeros(bins, np.int64)
    np.add.at(counts, at[inside], whole.counts[inside])
    edges = whole.start + whole.step * (low + width * np.arange(bins + 1, dtype=np.float64))
    return ChannelHistogram(
        one.name, one.channel.good, one.channel.bad, True, edges.tolist(), [*counts.tolist()],
        int(whole.counts[at < 0].sum()), int(whole.counts[at >= bins].sum()),
    )  # fmt: skip


def _nearly(one: Counted, spread: Distribution, question: Histogram) -> ChannelHistogram:
    low, high = quantile(spread, question.low), quantile(spread, question.high)
    if question.low == 0:
        low = spread.low
    if question.high == 1:
        high = spread.high
    bins = question.bins
    if not low < high:
        bins, high = 1, low + (abs(low) * 2.0**-20 or 2.0**-64)
    edges = np.linspace(low, high, bins + 1)
    known = np.clip(spread.edges, spread.low, spread.high)
    total = spread.below[-1]
    below = np.interp(edges, known, spread.below, left=0.0, right=total)
    if low == spread.low:
        below[0] = 0.0  # All pixels of a bin without width are in the first one.
    if high >= spread.high:
        below[-1] = total
    return ChannelHistogram(
        one.name, one.channel.good, one.channel.bad, False, edges.tolist(), np.diff(below).round(3).tolist(),
        float(below[0]), float(total - below[-1]),
    )  # fmt: skip
