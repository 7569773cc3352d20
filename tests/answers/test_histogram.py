"""The histogram question: every good pixel in one bin, or below, or above; the right one where that can be known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.answers.counts import Counted
from cgi_worker.answers.histogram import rebin
from cgi_worker.steps.levels import Channel, Linear, SplitLog
from cgi_worker.wire.question import BINS_MAX, Histogram
from tests.answers.asking import ask
from tests.frames.make import image_hdu, star_field, write
from tests.kernels.twins import split_log_bin

PARTS = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] < pair[1])


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=40),
    st.sampled_from([1.0, -1.0, 0.25]),
    st.integers(1, 300),
    PARTS,
)
def test_exact_counts(bins: list[int], step: float, asked: int, part: tuple[float, float]) -> None:
    values = np.sort(-7 + step * np.array(bins, "f8"))
    counts = np.bincount(bins, minlength=65536).astype(np.uint64)
    channel = Channel(Linear(-7.0, step), len(bins), 0, values[0], values[-1], values.mean())
    question = Histogram(frame="", bins=asked, low=part[0], high=part[1])
    found = rebin(Counted("grey", counts, channel), question)
    assert found.exact and 1 <= len(found.counts) <= asked and len(found.edges) == len(found.counts) + 1
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert count == np.count_nonzero((values >= low) & (values < high))
    assert found.below == np.count_nonzero(values < found.edges[0])
    assert found.above == np.count_nonzero(values >= found.edges[-1])
    assert found.below <= part[0] * len(bins) and found.above <= (1 - part[1]) * len(bins)
    widths = np.diff(found.edges)
    assert np.all(widths == widths[0]) and (widths[0] / step).is_integer()


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.integers(1, 50), PARTS,
    st.sampled_from([(0.0, 1.0), (10.0, 0.01), (-5.0, 1000.0)]),
)  # fmt: skip
def test_shares_of_adaptive_bins(
    numbers: list[float], asked: int, part: tuple[float, float], laid: tuple[float, float]
) -> None:
    values = np.array(numbers)
    counts = np.zeros(65536, np.uint64)
    for value in numbers:
        counts[split_log_bin(value, laid[0], 1 / laid[1])] += 1
    channel = Channel(SplitLog(*laid), len(numbers), 0, float(values.min()), float(values.max()), float(values.mean()))
    found = rebin(Counted("grey", counts, channel), Histogram(frame="", bins=asked, low=part[0], high=part[1]))
    assert not found.exact and len(found.edges) == len(found.counts) + 1
    assert sum(found.counts) + found.below + found.above == pytest.approx(len(numbers), abs=0.001 * len(found.counts))
    assert min(found.counts) >= 0 and found.edges == sorted(found.edges)
    assert values.min() <= found.edges[0]
    full = rebin(Counted("grey", counts, channel), Histogram(frame="", bins=asked))
    assert (full.below, full.above) == (0, 0) and full.edges[0] == values.min()
    assert len(full.counts) == (asked if values.min() < values.max() else 1)


def test_nothing_good() -> None:
    for bins in (Linear(0.0, 1.0), SplitLog(0.0, 1.0)):
        one = Counted("grey", np.zeros(65536, np.uint64), Channel(bins, 0, 9, None, None, None))
        found = rebin(one, Histogram(frame=""))
        assert (found.count, found.bad, found.edges, found.counts) == (0, 9, [], [])


def test_frames_as_numpy(tmp_path: Path) -> None:
    pixels = star_field(120, 90)
    (channel,) = ask(write(tmp_path / "a", image_hdu(pixels)), Histogram(frame="", bins=100, high=0.99))["channels"]
    counts, _ = np.histogram(pixels, np.array(channel["edges"]) - 0.5)
    assert channel["counts"] == counts.tolist() and channel["count"] == pixels.size
    floats = (pixels / 7).astype("f4")
    (channel,) = ask(write(tmp_path / "b", image_hdu(floats)), Histogram(frame="", bins=100, high=0.99))["channels"]
    counts, _ = np.histogram(floats.astype("f8"), channel["edges"])
    assert np.abs(np.cumsum(channel["counts"]) - np.cumsum(counts)).max() < 0.02 * pixels.size


def test_the_longest_fits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(0, 1, (3, 200, 200)).astype("f4")
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Histogram(frame="", bins=BINS_MAX, color="rgb"))
    assert [len(channel["counts"]) for channel in answer["channels"]] == [BINS_MAX] * 3
