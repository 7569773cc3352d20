"""Profile: values along a line."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.answers.coordinates import COORDINATES
from cgi_worker.answers.plane import Plane, open_plane
from cgi_worker.steps.work import Work
from cgi_worker.wire.question import Profile
from cgi_worker.wire.steps import Measure

BAND_PX: Final = 1 << 21  # Of the rows looked at together: 16 MB in float64.
SAMPLES_MAX: Final = 1 << 17  # Worked on together.
_HALF: Final = 0.5 - 1e-9


class ProfileAnswer(msgspec.Struct, frozen=True):
    """A line from its first end to its second, in equal steps of about one pixel; at least its two ends.

    value     at each point, the mean of `width` samples one pixel apart across the line, data units; null where none
              of them is good. A sample is interpolated between the four pixels around it (so one at a pixel's centre
              is that pixel's value); bad pixels are left out, and it is good if half of its weight, or more, is.
    good      samples that are good, of each point.
    distance  pixels from the first end.
    """

    hdu: int
    plane: int
    line: tuple[float, float, float, float]
    width: int
    length: float
    x: list[float]
    y: list[float]
    distance: list[float]
    value: list[float | None]
    good: list[int]
    coordinates: str = COORDINATES


class Track(NamedTuple):
    """Where the points lie, and what is a step across: x, y counted from 0, (points,) float64."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    across: tuple[float, float]
    width: int


def answer(question: Profile, step: Measure, work: Work) -> ProfileAnswer:
    """Answer from the file."""
    x1, y1, x2, y2 = question.line
    track = lay(question.line, question.width)
    value, good = follow(open_plane(step, work), track)
    length = math.hypot(x2 - x1, y2 - y1)
    return ProfileAnswer(
        step.hdu.index, question.plane, question.line, question.width, length,
        x=(track.x + 1).round(6).tolist(), y=(track.y + 1).round(6).tolist(),
        distance=np.linspace(0, length, len(track.x)).round(6).tolist(),
        value=[each if count else None for each, count in zip(value.tolist(), good.tolist(), strict=True)],
        good=good.tolist(),
    )  # fmt: skip


def lay(line: tuple[float, float, float, float], width: int) -> Track:
    """Lay points on a line given in FITS pixels."""
    x1, y1, x2, y2 = line
    length = math.hypot(x2 - x1, y2 - y1)
    points = max(2, round(length) + 1)
    across = (-(y2 - y1) / length, (x2 - x1) / length) if length else (0.0, 1.0)
    return Track(np.linspace(x1 - 1, x2 - 1, points), np.linspace(y1 - 1, y2 - 1, points), across, width)


def follow(plane: Plane, track: Track) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Measure along a track: the mean of the good samples of each point, and how many they are.

    Only the rows and columns that it passes are read, from the first row on.

    Memory  two numbers a sample, and BAND_PX pixels.
    """
    points, reach = len(track.x), (track.width - 1) / 2
    sums, weights = np.zeros((points, track.width)), np.zeros((points, track.width))
    low_y, high_y = _ends(track.y, abs(track.across[1]) * reach)
    low_x, high_x = _ends(track.x, abs(track.across[0]) * reach)
    left, right = max(0, low_x), min(plane.width, high_x)
    first, last = max(0, low_y), min(plane.count, high_y)
    rows = max(1, BAND_PX // max(1, right - left))
    for top in range(first, last if left < right else first, rows):
        bottom = min(top + rows, last)
        spread = abs(track.across[1]) * reach + 1
        near = np.flatnonzero((track.y > top - spread) & (track.y < bottom - 1 + spread))
        if not near.size:
            continue
        some = slice(int(near[0]), int(near[-1]) + 1)
        ends = _ends(track.x[some], abs(track.across[0]) * reach)
        begin, end = max(left, ends[0]), min(right, ends[1])
        if begin < end:
            _gather(plane.real(top, bottom, begin, end), (top, begin), track, (some, sums, weights))
    good = weights >= _HALF
    counts = np.count_nonzero(good, axis=1)
    samples = np.divide(sums, weights, out=np.zeros_like(sums), where=good)
    return samples.sum(axis=1) / np.maximum(counts, 1), counts


def _ends(centres: NDArray[np.float64], reach: float) -> tuple[int, int]:
    """Tell the first pixel that samples touch, and the one after the last."""
    return math.floor(float(centres.min()) - reach), math.floor(float(centres.max()) + reach) + 2


def _gather(
    pixels: NDArray[np.float64],
    corner: tuple[int, int],
    track: Track,
    into: tuple[slice, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Add what these pixels contribute to the samples of some points.

    corner  row and column of the plane that pixels[0, 0] is.
    """
    some, sums, weights = into
    for part in _parts(some, track.width):
        aside = np.arange(track.width) - (track.width - 1) / 2
        x = track.x[part, None] + aside * track.across[0] - corner[1]
        y = track.y[part, None] + aside * track.across[1] - corner[0]
        column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        along_x, along_y = x - column, y - row
        for down in (0, 1):
            for over in (0, 1):
                weight = (along_y if down else 1 - along_y) * (along_x if over else 1 - along_x)
                at_row, at_column = row + down, column + over
                here = (at_row >= 0) & (at_row < pixels.shape[0]) & (at_column >= 0) & (at_column < pixels.shape[1])
                value = pixels[np.where(here, at_row, 0), np.where(here, at_column, 0)]
                weight = np.where(here & ~np.isnan(value), weight, 0)
                sums[part] += weight * np.where(weight > 0, value, 0)
                weights[part] += weight


def _parts(some: slice, width: int) -> Iterator[slice]:
    step = max(1, SAMPLES_MAX // width)
    for start in range(some.start, some.stop, step):
        yield slice(start, min(start + step, some.stop))
