"""Rows: the stored pixels of one plane, lent a few rows at a time, in whatever way the file holds them."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cgi_worker.wire.facts import StoredType


class Lent(NamedTuple):
    """Some rows of a plane.

    octets  (rows, bytes of a row) uint8, C order, read-only by agreement; valid as long as it is held.
    x_px    column of the plane that the first pixel of each of these rows is.
    """

    octets: NDArray[np.uint8]
    x_px: int


class Rows(Protocol):
    """The rows of one plane that the file really holds.

    stored    type of the pixels lent: the HDU's own, except where decompressing or joining settles it otherwise.
    swap      1 if they are lent big-endian, 0 if in native order.
    count     rows that there are; the ones after them, up to the plane's height, are missing.
    in_order  True: a stream; every call begins where the one before ended, or after it, and calls never overlap.
              False: any rows at any time, from several threads at once.
    """

    stored: StoredType
    swap: int
    count: int
    in_order: bool

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        """Lend rows [first, last) with at least the columns [left, right).

        Raises  StepFailed("changed") if the file is not what it was when it was parsed; StepFailed("bad_frame") if it
                cannot be decoded.
        """
