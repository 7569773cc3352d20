"""Mosaics: the HDUs of a multi-extension file laid side by side, as their DETSEC cards say.

Source  NOAO's mosaic data structures: DETSEC, DATASEC and TRIMSEC count from 1, both ends included, in detector pixels
        (DETSEC) or array pixels; CCDSUM is how many of the former are summed into one of the latter.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from cgi_worker.formats.values import Values, words
from cgi_worker.wire.facts import MOSAIC, MOSAIC_SIDE_MAX, PARTS_MAX, Hdu, Part, StoredType

_SECTION: Final = re.compile(r"\[\s*(\d{1,9})\s*:\s*(\d{1,9})\s*,\s*(\d{1,9})\s*:\s*(\d{1,9})\s*\]")
_SUMMED: Final = re.compile(r"(\d{1,3})[\s,x]+(\d{1,3})\Z")
_EMPTIER: Final = 16  # A mosaic of fewer pixels in its gaps than so many times those of its parts.


class _Range(NamedTuple):
    """Pixels [start, start + length) of one axis, counted from 0; reversed or not."""

    start: int
    length: int
    reversed: bool


class Section(NamedTuple):
    """Where one HDU says that it lies on its detector. x before y."""

    hdu: Hdu
    detector: tuple[_Range, _Range]
    array: tuple[_Range, _Range]
    summed: tuple[int, int]


class Misfit(Exception):
    """Sections that cannot be laid side by side; the text says why."""


def read_section(hdu: Hdu, values: Values) -> Section | None:
    """Read where an HDU lies; None if it does not say so, or holds no single plane.

    Raises  Misfit if what it says cannot be.
    """
    detector = _read_ranges(words(values, "DETSEC"))
    if hdu.reason is not None or hdu.planes != 1 or detector is None:
        return None
    summed = _SUMMED.match(words(values, "CCDSUM", "1 1"))
    sums = (max(1, int(summed[1])), max(1, int(summed[2]))) if summed else (1, 1)
    whole = (_Range(0, hdu.width_px, False), _Range(0, hdu.height_px, False))
    named = (_read_ranges(words(values, "DATASEC")), _read_ranges(words(values, "TRIMSEC")), whole)
    for array in named:
        if array is not None and _is_inside(array, hdu) and _is_fitting(detector, array, sums):
            return Section(hdu, detector, array, sums)
    raise Misfit(f"HDU {hdu.index} has no section of the size that its DETSEC {words(values, 'DETSEC')[:40]} says")


def put_together(sections: Sequence[Section]) -> Hdu | None:
    """Describe the mosaic of these sections; None if there are fewer than two.

    Raises  Misfit if they are no mosaic.
    """
    if len(sections) < 2:
        return None
    if len(sections) > PARTS_MAX:
        raise Misfit(f"there are {len(sections)}; at most {PARTS_MAX} are joined")
    sums = sections[0].summed
    if any(section.summed != sums for section in sections):
        raise Misfit("not all have the same CCDSUM")
    places = [tuple(along.start // by for along, by in zip(each.detector, sums, strict=True)) for each in sections]
    left, bottom = min(x for x, _ in places), min(y for _, y in places)
    parts = tuple(_part(each, x - left, y - bottom) for each, (x, y) in zip(sections, places, strict=True))
    width, height = max(part.at_x + part.width for part in parts), max(part.at_y + part.height for part in parts)
    if max(width, height) > MOSAIC_SIDE_MAX:
        raise Misfit(f"together they have a side of {max(width, height)} pixels; at most {MOSAIC_SIDE_MAX} are shown")
    if width * height > (_EMPTIER + 1) * sum(part.width * part.height for part in parts):
        raise Misfit(f"they are lost in {width} x {height} pixels")
    _check_apart(parts)
    hdus = [section.hdu for section in sections]
    levels = [hdu.saturate for hdu in hdus if hdu.saturate is not None]
    stored: StoredType = "f8" if any(hdu.stored in ("i4", "i8", "f8") for hdu in hdus) else "f4"
    return Hdu(
        MOSAIC,
        "MOSAIC",
        "mosaic",
        shape=(height, width),
        stored=stored,
        rows=height,
        top_down=hdus[0].top_down,
        parts=parts,
        saturate=min(levels) if levels else None,
    )


def add_mosaic(hdus: list[Hdu], sections: Sequence[Section | Misfit]) -> str:
    """Add the mosaic of these sections to the HDUs, if they are one; tell what was wrong, or ""."""
    misfits = [section for section in sections if isinstance(section, Misfit)]
    try:
        if misfits and len(sections) > 1:
            raise misfits[0]
        mosaic = put_together([section for section in sections if isinstance(section, Section)])
    except Misfit as error:
        return f"the sections that DETSEC names are not joined: {error}"
    if mosaic is not None:
        hdus.append(mosaic)
    return ""


def _part(section: Section, at_x: int, at_y: int) -> Part:
    (across, down), (x, y) = section.detector, section.array
    return Part(
        section.hdu.index, x.start, y.start, x.length, y.length, at_x, at_y,
        flip_x=across.reversed != x.reversed, flip_y=down.reversed != y.reversed,
    )  # fmt: skip


def _read_ranges(text: str) -> tuple[_Range, _Range] | None:
    match = _SECTION.fullmatch(text)
    if match is None or "0" in match.groups():
        return None
    x1, x2, y1, y2 = map(int, match.groups())
    if min(x1, x2, y1, y2) < 1:
        return None
    return (
        _Range(min(x1, x2) - 1, abs(x2 - x1) + 1, x2 < x1),
        _Range(min(y1, y2) - 1, abs(y2 - y1) + 1, y2 < y1),
    )


def _is_inside(array: tuple[_Range, _Range], hdu: Hdu) -> bool:
    return array[0].start + array[0].length <= hdu.width_px and array[1].start + array[1].length <= hdu.height_px


def _is_fitting(detector: tuple[_Range, _Range], array: tuple[_Range, _Range], sums: tuple[int, int]) -> bool:
    """Tell whether the array's pixels are those of the detector, up to a remainder of the summing."""
    return all(
        along.length // by <= pixels.length <= -(-along.length // by)
        for along, pixels, by in zip(detector, array, sums, strict=True)
    )


def _check_apart(parts: Sequence[Part]) -> None:
    boxes = np.array([(p.at_x, p.at_x + p.width, p.at_y, p.at_y + p.height) for p in parts], np.int64)
    x0, x1, y0, y1 = (boxes[:, column] for column in range(4))
    meet = (x0[:, None] < x1) & (x0 < x1[:, None]) & (y0[:, None] < y1) & (y0 < y1[:, None])
    first, second = np.nonzero(np.triu(meet, 1))
    if first.size:
        raise Misfit(f"those of HDU {parts[first[0]].hdu} and HDU {parts[second[0]].hdu} overlap")
