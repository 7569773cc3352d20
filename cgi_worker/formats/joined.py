"""Rows of a mosaic: put together from those of its parts, whatever way these are kept."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.lent import Lent, Rows
from cgi_worker.kernels.join import KINDS, Piece, Units, join
from cgi_worker.wire.facts import Hdu, Part, StoredType


class Joined:
    """Rows of a mosaic in data units, native byte order; NaN between its parts, for blank and for missing pixels.

    Memory  what is asked for, and as much of one part.
    """

    in_order = False
    swap = 0

    def __init__(self, hdu: Hdu, parts: Sequence[Hdu], rows: Sequence[Rows]) -> None:
        assert [part.hdu for part in hdu.parts] == [part.index for part in parts]
        assert not any(each.in_order for each in rows)
        self.stored = hdu.stored
        self.count = hdu.height_px
        self._parts = list(zip(hdu.parts, parts, rows, strict=True))

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Put rows together."""
        out = np.full((last - first, right - left), np.nan, self.stored)
        for part, hdu, rows in self._parts:
            box = _meet(part, rows, (left, first, right, last))
            if box is not None:
                _lay(part, (hdu, rows), box, (out, left, first))
        return Lent(out.view(np.uint8).reshape(last - first, -1), left)

    def as_stored(self) -> "JoinedStored | None":
        """Give the same rows as 16-bit numbers, where those of all parts mean the same; None if they cannot be had."""
        return JoinedStored.of(self.count, self._parts)


class JoinedStored:
    """Rows of a mosaic whose parts are all of 16-bit pixels with the same meaning: these, as they are stored.

    bscale, bzero  data units = bscale * stored + bzero.
    blank          the value of pixels that are blank or missing, or lie between parts; None if there are none such.

    Memory  what is asked for.
    """

    in_order = False
    stored: StoredType = "i2"

    def __init__(self, count: int, parts: Sequence[tuple[Part, Hdu, Rows]]) -> None:
        self.count = count
        self.swap = min(rows.swap for _, _, rows in parts)
        self.bscale, self.bzero, self.blank = parts[0][1].bscale, parts[0][1].bzero, parts[0][1].blank
        self._parts = parts

    @classmethod
    def of(cls, count: int, parts: Sequence[tuple[Part, Hdu, Rows]]) -> Self | None:
        """Open them; None if the parts differ, or nothing marks the gaps between them."""
        if any(rows.stored != "i2" for _, _, rows in parts):
            return None
        if len({(hdu.bscale, hdu.bzero, hdu.blank) for _, hdu, _ in parts}) > 1:
            return None
        width = max(part.at_x + part.width for part, _, _ in parts)
        is_whole = sum(part.width * part.height for part, _, _ in parts) == width * count
        is_whole = is_whole and all(part.y + part.height <= rows.count for part, _, rows in parts)
        return cls(count, parts) if is_whole or parts[0][1].blank is not None else None

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Put rows together, or lend those of the one part that has them all."""
        kind = ">i2" if self.swap else "=i2"
        out = np.empty((0, 0), kind)
        for part, _, rows in self._parts:
            box = _meet(part, rows, (left, first, right, last))
            if box is None:
                continue
            x0, y0, x1, y1 = box
            lent = rows.lend(y0, y1, x0, x1)
            turned = part.flip_x or part.flip_y or rows.swap != self.swap
            if (x1 - x0, y1 - y0) == (right - left, last - first) and not turned:
                return Lent(lent.octets, left - (x0 - lent.x_px))
            if not out.size:
                out = np.full((last - first, right - left), self.blank or 0, kind)
            pixels = lent.octets.view(">i2" if rows.swap else "=i2")[:, x0 - lent.x_px : x1 - lent.x_px]
            column, row = _place(part, box)
            into = out[row - first : row - first + y1 - y0, column - left : column - left + x1 - x0]
            into[:] = pixels[:: -1 if part.flip_y else 1, :: -1 if part.flip_x else 1]
        if not out.size:
            out = np.full((last - first, right - left), self.blank or 0, kind)
        return Lent(out.view(np.uint8).reshape(last - first, -1), left)


def _meet(part: Part, rows: Rows, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """Find the pixels of a part's array that lie in a box of the mosaic: x, y of the first, and of the one after."""
    left, first, right, last = box
    top, bottom = max(first, part.at_y) - part.at_y, min(last, part.at_y + part.height) - part.at_y
    begin, end = max(left, part.at_x) - part.at_x, min(right, part.at_x + part.width) - part.at_x
    if top >= bottom or begin >= end:
        return None
    if part.flip_y:
        top, bottom = part.height - bottom, part.height - top
    if part.flip_x:
        begin, end = part.width - end, part.width - begin
    bottom = min(bottom, rows.count - part.y)
    return (part.x + begin, part.y + top, part.x + end, part.y + bottom) if top < bottom else None


def _place(part: Part, box: tuple[int, int, int, int]) -> tuple[int, int]:
    """Tell the column and row of the mosaic where a box of a part's array begins."""
    x0, y0, x1, y1 = box
    column = part.width - (x1 - part.x) if part.flip_x else x0 - part.x
    row = part.height - (y1 - part.y) if part.flip_y else y0 - part.y
    return part.at_x + column, part.at_y + row


def _lay(
    part: Part, source: tuple[Hdu, Rows], box: tuple[int, int, int, int], into: tuple[NDArray[Any], int, int]
) -> None:  # fmt: skip
    """Lay the pixels in a box of a part's array into rows of the mosaic.

    box   x, y of the first pixel, and of the one after the last.
    into  the rows, and x, y in the mosaic of their first pixel.
    """
    (hdu, rows), (x0, y0, x1, y1), (out, left, first) = source, box, into
    lent = rows.lend(y0, y1, x0, x1)
    kind = "u8" if rows.stored == "i8" and hdu.bzero == 2.0**63 and hdu.bscale == 1 else rows.stored
    column, row = _place(part, box)
    piece = Piece(
        kind=KINDS[kind],
        swap=rows.swap,
        x=x0 - lent.x_px,
        width=x1 - x0,
        row=row - first,
        column=column - left,
        flip_x=int(part.flip_x),
        flip_y=int(part.flip_y),
        blank=hdu.blank or 0,
        blanking=int(hdu.blank is not None),
    )
    join(lent.octets, piece, Units(hdu.bscale, hdu.bzero), out)
