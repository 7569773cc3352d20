"""Plane: the pixels of one plane as questions need them: as stored, or in data units; and how a value is told."""

from fractions import Fraction
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.lent import Rows
from cgi_worker.formats.pixels import physical
from cgi_worker.formats.rows import open_rows
from cgi_worker.steps.work import Work
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.steps import Measure

WHOLE_MAX: Final = 2**53  # A browser's numbers hold no larger whole ones exactly; they are told as text.

Told = int | float | str


class Plane:
    """One plane of an HDU, or of a mosaic.

    hdu    its description, with the type that its rows are really lent in.
    count  rows that the file holds; the ones after them are missing.
    whole  its values are whole numbers: the stored ones plus `offset`. Such pixels are kept exact.
    """

    def __init__(self, rows: Rows, hdu: Hdu) -> None:
        self.rows = rows
        blank = None if rows.stored[0] == "f" else hdu.blank
        self.hdu: Hdu = msgspec.structs.replace(hdu, stored=rows.stored, blank=blank)
        self.height, self.width = hdu.height_px, hdu.width_px
        self.count = min(rows.count, self.height)
        self.whole = rows.stored[0] != "f" and hdu.bscale == 1 and hdu.bzero.is_integer() and abs(hdu.bzero) <= 2.0**64
        self.offset = int(hdu.bzero) if self.whole else 0

    def octets(self, first: int, last: int, left: int, right: int) -> NDArray[np.uint8]:
        """Lend pixels as bytes, (rows, bytes of a row), in the byte order of `rows`; all these rows must be there."""
        lent = self.rows.lend(first, last, left, right)
        item = int(self.hdu.stored[1])
        return lent.octets[:, (left - lent.x_px) * item : (right - lent.x_px) * item]

    def stored(self, first: int, last: int, left: int, right: int) -> NDArray[Any]:
        """Copy pixels as stored, in native byte order."""
        order = ">" if self.rows.swap else "="
        return self.octets(first, last, left, right).view(f"{order}{self.hdu.stored}").astype(self.hdu.stored)

    def scaled(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Turn stored values into data units, whether they are good or not."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(stored.astype(np.float64) * self.hdu.bscale + self.hdu.bzero)

    def real(self, first: int, last: int, left: int, right: int) -> NDArray[np.float64]:
        """Copy pixels in data units; NaN for those that are bad."""
        return physical(self.stored(first, last, left, right), self.hdu)

    def good(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which stored values are good: no blank ones, and nothing that float32 cannot hold."""
        if self.whole:
            return np.ones(stored.shape, np.bool_) if self.hdu.blank is None else np.asarray(stored != self.hdu.blank)
        return np.asarray(~np.isnan(physical(stored, self.hdu)))

    def tell(self, stored: NDArray[Any]) -> list[list[Told | None]]:
        """Tell rows of stored values in data units, exactly if these are whole; None for what is no number."""
        if not self.whole:
            values = self.scaled(stored)
            known = np.isfinite(values)
            if self.hdu.blank is not None:
                known &= stored != self.hdu.blank
            return [
                [value if sound else None for value, sound in zip(line, marks, strict=True)]
                for line, marks in zip(values.tolist(), known.tolist(), strict=True)
            ]
        return [
            [None if value == self.hdu.blank else told(value + self.offset) for value in line]
            for line in stored.tolist()
        ]

    def saturated(self, values: NDArray[Any], *, scaled: bool) -> NDArray[np.bool_]:
        """Tell which values are saturated: from the header's own limit on, or else as high as the stored type goes.

        scaled  they are in data units; else as stored, of a plane that is `whole`.
        """
        limit: float | int | None = self.hdu.saturate
        if limit is not None:
            with np.errstate(invalid="ignore"):
                return np.asarray(values >= (limit if scaled else _least_whole(limit, self.offset, values.dtype)))
        if self.hdu.stored[0] == "f":
            return np.zeros(values.shape, np.bool_)
        highest = np.iinfo(self.hdu.stored).max
        return np.asarray(values == (float(highest) * self.hdu.bscale + self.hdu.bzero if scaled else highest))


def open_plane(step: Measure, work: Work) -> Plane:
    """Open the plane that a question is about.

    Raises  StepFailed as `open_rows` does.
    """
    return Plane(open_rows(work.source_fd, step.hdu, step.question.plane, step.parts), step.hdu)


def told(value: int | float | Fraction) -> Told:
    """Write a number so that nothing is lost: whole ones beyond 2**53 (and halves) as text, others as numbers."""
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if abs(value) <= WHOLE_MAX else str(value)
    exact = Fraction(value)
    if exact.denominator == 1:
        return int(exact) if abs(exact) <= WHOLE_MAX else str(int(exact))
    if exact.denominator == 2 and abs(exact) > WHOLE_MAX // 2:
        return f"{'-' if exact < 0 else ''}{int(abs(exact))}.5"
    return float(exact)


def _least_whole(limit: float, offset: int, dtype: np.dtype[Any]) -> int | float:
    """Find the stored value from which on data units reach a limit; infinity if the type holds none."""
    least = -int((-Fraction(limit)) // 1) - offset
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return max(least, low) if least <= high else np.inf
