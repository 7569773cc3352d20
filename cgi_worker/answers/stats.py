"""Stats: a whole plane in figures, from its histogram."""

from typing import Final

import msgspec
import numpy as np

from cgi_worker.answers.coordinates import COORDINATES, section
from cgi_worker.answers.counts import Counted, Exact, counted, exact, quantile
from cgi_worker.steps.levels import Distribution, distribution
from cgi_worker.steps.work import Work
from cgi_worker.wire.question import Stats
from cgi_worker.wire.steps import Measure
from cgi_worker.wire.view import Region

QUANTILES: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


class Quantile(msgspec.Struct, frozen=True):
    """The value below which a part `q` of the good pixels lies; it is known to `within` data units (0: exactly)."""

    q: float
    value: float
    within: float


class ChannelStats(msgspec.Struct, frozen=True):
    """One channel in data units; null where no pixel is good.

    sigma      standard deviation (of the population).
    median_within, mad_within  how exactly these two are known: 0 where each value has a bin of its own.
    """

    channel: str
    count: int
    bad: int
    saturated: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    sigma: float | None = None
    median: float | None = None
    median_within: float | None = None
    mad: float | None = None
    mad_within: float | None = None
    quantiles: tuple[Quantile, ...] = ()


class StatsAnswer(msgspec.Struct, frozen=True):
    """Each channel of a plane, or of a section of it (as FITS headers write them)."""

    hdu: int
    plane: int
    section: str
    channels: tuple[ChannelStats, ...]
    coordinates: str = COORDINATES


def answer(question: Stats, step: Measure, work: Work) -> StatsAnswer:
    """Answer from the histograms."""
    region = question.region or Region(0, 0, step.hdu.width_px, step.hdu.height_px)
    where = section(region.x_px, region.y_px, region.width_px, region.height_px)
    channels = tuple(describe(one) for one in counted(work))
    return StatsAnswer(step.hdu.index, question.plane, where, channels)


def describe(one: Counted) -> ChannelStats:
    """Tell one channel's figures."""
    whole = exact(one)
    if whole is not None:
        return _exactly(one, whole)
    spread = distribution(one.counts, one.channel)
    if spread is None:
        return ChannelStats(one.name, one.channel.good, one.channel.bad, one.channel.saturated)
    return _nearly(one, spread)


def _exactly(one: Counted, whole: Exact) -> ChannelStats:
    channel = one.channel
    median = whole.quantile(0.5)
    mean, sigma = whole.moments()
    return ChannelStats(
        one.name, channel.good, channel.bad, channel.saturated, float(whole.values[0]), float(whole.values[-1]),
        mean, sigma, median, 0.0, whole.mad(median), 0.0, tuple(Quantile(q, whole.quantile(q), 0.0) for q in QUANTILES),
    )  # fmt: skip


def _nearly(one: Counted, spread: Distribution) -> ChannelStats:
    channel = one.channel
    median = quantile(spread, 0.5)
    mad = spread.mad(median)
    ends = max(_within(spread, median - mad), _within(spread, median + mad), _within(spread, median))
    quantiles = ((q, quantile(spread, q)) for q in QUANTILES)
    return ChannelStats(
        one.name, channel.good, channel.bad, channel.saturated, channel.min, channel.max, channel.mean, channel.sigma,
        median, _within(spread, median), mad, ends,
        tuple(Quantile(q, value, _within(spread, value)) for q, value in quantiles),
    )  # fmt: skip


def _within(spread: Distribution, value: float) -> float:
    """Tell the width of the bin that a value lies in, without what is beyond the lowest and the highest pixel."""
    edges = np.clip(spread.edges, spread.low, spread.high)
    at = int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))
    return float(edges[at + 1] - edges[at])
