"""What is read off a histogram equals what plain numpy says."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cgi_worker.kernels.counts import filled_edges, middle_distance


@settings(deadline=None)
@given(st.lists(st.integers(0, 3) | st.integers(0, 2**40), max_size=40), st.integers(0, 30))
@example([], 0)
@example([5], 0)
def test_edges_are_those_of_filled_bins(counts: list[int], empty: int) -> None:
    histogram = np.array([0] * empty + counts, np.uint64)
    found, below = np.full(len(histogram) + 2, -7), np.full(len(histogram) + 1, -7.0)
    filled_edges(histogram, found, below)
    filled = np.concatenate(([False], histogram != 0, [False]))
    numbers = np.flatnonzero(filled[1:] | filled[:-1])
    assert found[0] == len(numbers)
    assert np.array_equal(found[1 : 1 + found[0]], numbers)
    lower = np.concatenate(([0], histogram.cumsum()))
    assert np.array_equal(below[: found[0]], lower[numbers])
    assert (found[1 + found[0] :] == -7).all() and (below[found[0] :] == -7).all()


@settings(deadline=None)
@given(st.data())
def test_half_of_the_pixels_are_within_the_middle_distance(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=30))
    counts = data.draw(st.lists(st.integers(0, 1000), min_size=len(steps), max_size=len(steps)))
    counts[data.draw(st.integers(0, len(counts) - 1))] += 1
    edges = np.concatenate(([0.0], np.cumsum(steps))) + data.draw(st.floats(-1e6, 1e6))
    below = np.concatenate(([0.0], np.cumsum(counts)))
    median = float(np.interp(below[-1] / 2, below, edges))
    most = max(edges[-1] - median, median - edges[0])
    found = np.empty(1)
    middle_distance(edges, below, median, most, found)
    near, far = 0.0, most  # As slowly as can be.
    for _ in range(50):
        middle = (near + far) / 2
        low, high = np.interp((median - middle, median + middle), edges, below)
        near, far = (middle, far) if high - low < below[-1] / 2 else (near, middle)
    assert found[0] == far
