"""Shape: statistics of the pixels of a rectangle, a circle or an annulus, exact whatever its size."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.answers.coordinates import COORDINATES
from cgi_worker.answers.plane import Plane, Told, open_plane, told
from cgi_worker.answers.ranks import Keys, middle
from cgi_worker.steps.work import Work
from cgi_worker.wire.question import Shape
from cgi_worker.wire.steps import Measure

BAND_PX: Final = 1 << 17  # Looked at together: what is computed of them stays in the cache.
KEPT_PX_MAX: Final = 1 << 22  # A box of so many pixels at most is read once and kept; a larger one is read again.
_NO_DISTANCE: Final = {True: 0, False: 1 << 63}  # The key of a distance of 0.
_FIGURES: Final = (
    "min", "max", "mean", "median", "sigma", "mad", "sum", "max_x", "max_y", "centroid_x", "centroid_y",
)  # fmt: skip


class ShapeAnswer(msgspec.Struct, frozen=True):
    """What the good pixels of a shape say, in data units; null where there are none.

    A pixel belongs to a rectangle if its centre lies in [x - w/2, x + w/2) and in the same of y, to a circle if it is
    nearer than the radius, to an annulus if it is nearer than the outer radius and not nearer than the inner one.

    count       good pixels; bad: those that are not, missing rows included; clipped: a part of it is off the plane.
    saturated   good pixels at the header's saturation, or else at the highest value that the stored type has.
    median      the mean of the two middle values if there is an even number; mad: the median distance from it.
    sigma       standard deviation (of the population).
    max_x, max_y  of the highest pixel, the first one in the order of rows.
    centroid_x, centroid_y  of the pixels above the median, weighted with how far they are above it.
    min, max, sum, median, mad are exact for whole numbers (beyond 2**53 they are text).
    """

    hdu: int
    plane: int
    shape: str
    numbers: tuple[float, ...]
    count: int
    bad: int
    clipped: bool
    saturated: int
    min: Told | None
    max: Told | None
    mean: float | None
    median: Told | None
    sigma: float | None
    mad: Told | None
    sum: Told | None
    max_x: int | None
    max_y: int | None
    centroid_x: float | None
    centroid_y: float | None
    coordinates: str = COORDINATES


class Band(NamedTuple):
    """Some rows of the box around a shape.

    top     its first row in the plane, counted from 0.
    values  (rows, columns): as stored if the plane is whole, else data units in float64.
    good    (rows, columns): good pixels of the shape.
    """

    top: int
    values: NDArray[Any]
    good: NDArray[np.bool_]


class _Box(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of the plane around a shape, counted from 0."""

    top: int
    bottom: int
    left: int
    right: int
    clipped: bool


class _Survey(NamedTuple):
    good: int
    bad: int
    saturated: int
    low: Any
    high: Any
    total: Fraction | float
    at: tuple[int, int]  # Row and column of the highest.


def answer(question: Shape, step: Measure, work: Work) -> ShapeAnswer:
    """Answer from the file, which is opened again for each pass over a shape that is too large to be kept."""
    return measure(lambda: open_plane(step, work), question)


def measure(open_again: Callable[[], Plane], question: Shape) -> ShapeAnswer:
    """Measure a shape on a plane.

    Memory  KEPT_PX_MAX pixels of 8 bytes and their marks, or else BAND_PX of them and 2**20 values.
    Cost    one pass for sums and extremes, two or three each for median and MAD, one for the centroid.
    """
    plane = open_again()
    box = _box(question, plane)
    bands = _Bands(open_again, plane, question, box)
    survey = _survey(bands, plane)
    if not survey.good:
        return _answered(question, plane, box, survey)
    whole, count, offset = plane.whole, survey.good, plane.offset
    median: Any
    ends = _ends(survey, None, whole)
    if whole:
        median = Fraction(sum(_from_key(key, whole) for key in middle(bands.keys(None, whole), count, ends)), 2)
        keys = middle(bands.keys(median, whole), count, _ends(survey, median, whole))
        mad: Any = Fraction(sum(keys), 2) + median % 1  # Of a half, every distance is a half more than its key.
    else:
        median = sum(_from_key(key, whole) for key in middle(bands.keys(None, whole), count, ends)) / 2
        keys = middle(bands.keys(median, whole), count, _ends(survey, median, whole))
        mad = sum(_from_key(key, whole) for key in keys) / 2
    mean = survey.total / count
    sigma, centre = _second_pass(bands, mean, median, count)
    return _answered(question, plane, box, survey,
        min=told(int(survey.low) + offset) if whole else float(survey.low),
        max=told(int(survey.high) + offset) if whole else float(survey.high),
        mean=float(mean + offset),
        median=told(median + offset),
        sigma=sigma,
        mad=told(mad),
        sum=told(survey.total + count * offset) if whole else float(survey.total),
        max_x=survey.at[1] + 1,
        max_y=survey.at[0] + 1,
        centroid_x=None if centre is None else box.left + centre[0] + 1,
        centroid_y=None if centre is None else centre[1] + 1,
    )  # fmt: skip


def _answered(question: Shape, plane: Plane, box: _Box, survey: _Survey, **figures: Any) -> ShapeAnswer:
    figures = dict.fromkeys(_FIGURES) | figures
    return ShapeAnswer(
        plane.hdu.index, question.plane, question.shape, question.numbers, count=survey.good, bad=survey.bad,
        clipped=box.clipped, saturated=survey.saturated, **figures,
    )  # fmt: skip


def _box(question: Shape, plane: Plane) -> _Box:
    x, y, *sizes = question.numbers
    half_x, half_y = (sizes[0] / 2, sizes[1] / 2) if question.shape == "rect" else (sizes[-1], sizes[-1])
    left, right = math.ceil(x - half_x), math.ceil(x + half_x)
    top, bottom = math.ceil(y - half_y), math.ceil(y + half_y)
    clipped = left < 1 or top < 1 or right > plane.width + 1 or bottom > plane.height + 1
    inside = (max(0, top - 1), min(plane.height, bottom - 1), max(0, left - 1), min(plane.width, right - 1))
    return _Box(*inside, clipped=clipped)


class _Bands:
    """The rows of a box, as often as they are wanted."""

    def __init__(self, open_again: Callable[[], Plane], plane: Plane, question: Shape, box: _Box) -> None:
        self._open_again = open_again
        self._plane: Plane | None = plane
        self._question = question
        self.box = box
        self.missing = 0
        width, height = max(0, box.right - box.left), max(0, box.bottom - box.top)
        self._kept: list[Band] | None = list(self._read()) if width * height <= KEPT_PX_MAX else None

    def __iter__(self) -> Iterator[Band]:
        return iter(self._kept) if self._kept is not None else self._read()

    def keys(self, median: Fraction | float | None, whole: bool) -> Keys:
        """Lend the good pixels, or their distances from the median, as numbers of the same order."""

        def some() -> Iterator[NDArray[np.uint64]]:
            for band in self:
                yield _keys(band.values[band.good], median, whole)

        return some

    def _read(self) -> Iterator[Band]:
        plane, self._plane = self._plane or self._open_again(), None
        box, self.missing = self.box, 0
        rows = max(1, BAND_PX // max(1, box.right - box.left))
        for top in range(box.top, box.bottom if box.left < box.right else box.top, rows):
            bottom = min(top + rows, box.bottom)
            inside = _inside(self._question, box, top, bottom)
            there = min(bottom, plane.count) - top
            self.missing += int(np.count_nonzero(inside[max(0, there) :]))
            if there <= 0:
                continue
            where = (top, top + there, box.left, box.right)
            values = plane.stored(*where) if plane.whole else plane.real(*where)
            good = plane.good(values) if plane.whole else ~np.isnan(values)
            self.missing += int(np.count_nonzero(inside[:there] & ~good))
            yield Band(top, values, inside[:there] & good)


def _inside(question: Shape, box: _Box, top: int, bottom: int) -> NDArray[np.bool_]:
    """Tell which pixels of some rows of the box belong to the shape."""
    x, y, *sizes = question.numbers
    if question.shape == "rect":
        return np.ones((bottom - top, box.right - box.left), np.bool_)
    across = np.arange(box.left + 1, box.right + 1, dtype=np.float64) - x
    down = np.arange(top + 1, bottom + 1, dtype=np.float64) - y
    squares = across * across + (down * down)[:, None]
    inside: NDArray[np.bool_] = squares < sizes[-1] ** 2
    if question.shape == "annulus":
        inside &= squares >= sizes[0] ** 2
    return inside


def _survey(bands: _Bands, plane: Plane) -> _Survey:
    count = saturated = 0
    low: Any = None
    high: Any = None
    at, exact, parts = (0, 0), 0, []
    for band in bands:
        some = band.values[band.good]
        if not some.size:
            continue
        count += some.size
        saturated += int(np.count_nonzero(plane.saturated(some, scaled=not plane.whole)))
        lowest, highest = some.min(), some.max()
        low = lowest if low is None else min(low, lowest)
        if high is None or highest > high:
            high = highest
            row, column = np.unravel_index(int((band.good & (band.values == high)).argmax()), band.good.shape)
            at = (band.top + int(row), bands.box.left + int(column))
        if plane.whole:
            wide = some.astype(np.int64)
            exact += (int((wide >> 32).sum()) << 32) + int((wide & 0xFFFFFFFF).sum())
        else:
            parts.append(float(some.sum()))
    total = Fraction(exact) if plane.whole else math.fsum(parts)
    return _Survey(count, bands.missing, saturated, low, high, total, at)


def _second_pass(
    bands: _Bands, mean: Fraction | float, median: Fraction | float, count: int
) -> tuple[float, tuple[float, float] | None]:
    """Find the standard deviation; and the centroid, x in the box and y in the plane, if one is above the median."""
    squares, weight, moment_x, moment_y = 0.0, 0.0, 0.0, 0.0
    for band in bands:
        away = np.where(band.good, _away(band.values, mean), 0.0)
        squares += float((away * away).sum())
        above = np.maximum(np.where(band.good, _away(band.values, median), 0.0), 0.0)
        by_row = above.sum(axis=1)
        weight += float(by_row.sum())
        moment_x += float(above.sum(axis=0) @ np.arange(above.shape[1], dtype=np.float64))
        moment_y += float(by_row @ np.arange(band.top, band.top + above.shape[0], dtype=np.float64))
    centre = (moment_x / weight, moment_y / weight) if weight > 0 else None
    return math.sqrt(squares / count), centre


def _away(values: NDArray[Any], centre: Fraction | float) -> NDArray[np.float64]:
    """Tell how far values are above a centre; near it exactly, whatever their size."""
    if values.dtype.kind == "f" or values.dtype.itemsize <= 4:
        return np.asarray(values - np.float64(centre), np.float64)
    centre = Fraction(centre)
    floor, wide = math.floor(centre), values.astype(np.int64)
    up, down = _distances(wide, floor, floor)
    return np.where(wide >= floor, up.astype(np.float64), -down.astype(np.float64)) - float(centre - floor)


def _distances(wide: NDArray[np.int64], floor: int, ceiling: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Subtract modulo 2**64, in which every distance fits though not every difference does: from above, from below."""
    unsigned = wide.view(np.uint64)
    return unsigned - np.uint64(ceiling % 2**64), np.uint64(floor % 2**64) - unsigned


def _ends(survey: _Survey, median: Fraction | float | None, whole: bool) -> tuple[int, int]:
    """Tell between which keys all are."""
    ends = np.array([survey.low, survey.high])
    found = sorted(int(key) for key in _keys(ends, median, whole))
    return (found[0] if median is None else _NO_DISTANCE[whole], found[1])


def _keys(values: NDArray[Any], median: Fraction | float | None, whole: bool) -> NDArray[np.uint64]:
    """Turn values, or their distances from the median (rounded down to a whole number), into keys of the same order."""
    sign = np.uint64(1 << 63)
    if not whole:
        if median is not None:
            return np.abs(values - np.float64(median)).view(np.uint64) | sign
        signed = (values + 0.0).view(np.int64)  # There is one zero only.
        return (signed ^ ((signed >> 63) & np.int64(2**63 - 1))).view(np.uint64) ^ sign
    wide = values.astype(np.int64)
    if median is None:
        return wide.view(np.uint64) ^ sign
    floor, ceiling = math.floor(median), math.ceil(median)
    up, down = _distances(wide, floor, ceiling)
    return np.where(wide >= ceiling, up, down)


def _from_key(key: int, whole: bool) -> Any:
    """Turn the key of a value back into it: of a stored one into an int."""
    if whole:
        return key - (1 << 63)
    bits = key ^ (1 << 63) if key >> 63 else ~key & (2**64 - 1)
    return float(np.array([bits], np.uint64).view(np.float64)[0])
