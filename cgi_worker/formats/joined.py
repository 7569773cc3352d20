"""Rows of a mosaic: put together from those of its parts, whatever way these are kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.lent import Lent, Rows
from cgi_worker.kernels.join import KINDS, Piece, Units, join
from cgi_worker.wire.facts import Hdu, Part


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
            top, bottom = max(first, part.at_y) - part.at_y, min(last, part.at_y + part.height) - part.at_y
            begin, end = max(left, part.at_x) - part.at_x, min(right, part.at_x + part.width) - part.at_x
            if top < bottom and begin < end:
                if part.flip_y:
                    top, bottom = part.height - bottom, part.height - top
                if part.flip_x:
                    begin, end = part.width - end, part.width - begin
                bottom = min(bottom, rows.count - part.y)
                if top < bottom:
                    box = (part.x + begin, part.y + top, part.x + end, part.y + bottom)
                    _lay(part, (hdu, rows), box, (out, left, first))
        return Lent(out.view(np.uint8).reshape(last - first, -1), left)


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
    column = part.width - (x1 - part.x) if part.flip_x else x0 - part.x
    row = part.height - (y1 - part.y) if part.flip_y else y0 - part.y
    piece = Piece(
        kind=KINDS[kind],
        swap=rows.swap,
        x=x0 - lent.x_px,
        width=x1 - x0,
        row=part.at_y + row - first,
        column=part.at_x + column - left,
        flip_x=int(part.flip_x),
        flip_y=int(part.flip_y),
        blank=hdu.blank or 0,
        blanking=int(hdu.blank is not None),
    )
    join(lent.octets, piece, Units(hdu.bscale, hdu.bzero), out)
