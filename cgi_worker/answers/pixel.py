"""Pixel: the exact value of one pixel, and of those around it."""

import math
from typing import Any

import msgspec

from cgi_worker.answers.coordinates import COORDINATES
from cgi_worker.answers.plane import Plane, Told, open_plane
from cgi_worker.steps.work import Work
from cgi_worker.wire.question import Pixel
from cgi_worker.wire.steps import Measure


class PixelAnswer(msgspec.Struct, frozen=True):
    """The values of a box around one pixel, in data units.

    value           of the pixel itself; null for NaN, infinite, blank and missing pixels. Whole numbers beyond 2**53
                    are text.
    bad             it is left out of every mean, histogram and picture (a finite value that float32 cannot hold is,
                    too); `why` says what is wrong with it.
    x_first, y_first  the pixel that values[0][0] is of; rows follow with growing y. Null: bad, or outside the plane.
    """

    hdu: int
    plane: int
    x: int
    y: int
    value: Told | None
    bad: bool
    why: str | None
    saturated: bool
    x_first: int
    y_first: int
    values: list[list[Told | None]]
    coordinates: str = COORDINATES


def answer(question: Pixel, step: Measure, work: Work) -> PixelAnswer:
    """Answer from the file."""
    return look(open_plane(step, work), question)


def look(plane: Plane, question: Pixel) -> PixelAnswer:
    """Look at a box of a plane.

    Memory  one box, or what its rows are lent in.
    """
    x, y, half = question.x, question.y, question.box // 2
    left, right = max(0, x - 1 - half), min(plane.width, x + half)
    first, last = max(0, y - 1 - half), min(plane.count, y + half)
    stored = plane.stored(first, last, left, right) if first < last and left < right else None
    values: list[list[Told | None]] = [[None] * question.box for _ in range(question.box)]
    if stored is not None:
        before = left - (x - 1 - half)
        for row, line in enumerate(plane.tell(stored), first - (y - 1 - half)):
            values[row][before : before + len(line)] = line
    inside = x <= plane.width and y <= plane.count
    centre = stored[y - 1 - first, x - 1 - left : x - left] if stored is not None and inside else None
    saturated = False
    if centre is not None:
        scaled = not plane.whole
        some = plane.scaled(centre) if scaled else centre
        saturated = values[half][half] is not None and bool(plane.saturated(some, scaled=scaled)[0])
    return PixelAnswer(
        plane.hdu.index, question.plane, x, y, values[half][half],
        bad=centre is None or not plane.good(centre)[0], why=_why(plane, question, centre),
        saturated=saturated, x_first=x - half, y_first=y - half, values=values,
    )  # fmt: skip


def _why(plane: Plane, question: Pixel, centre: Any) -> str | None:
    """Say in words why a pixel is bad; None if it is good."""
    if centre is None:
        outside = question.x > plane.width or question.y > plane.height
        return "outside" if outside else "missing"
    if plane.good(centre)[0]:
        return None
    if plane.hdu.blank is not None and centre[0] == plane.hdu.blank:
        return "blank"
    if math.isnan(centre[0]):
        return "NaN"
    return "infinite" if math.isinf(centre[0]) else "beyond single precision"
