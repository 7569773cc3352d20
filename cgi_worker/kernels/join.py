"""Join: lay stored pixels, turned into data units, into their place in a mosaic.

Source  FITS Standard 4.0, section 4.4.2.5 (BSCALE, BZERO, BLANK). Twin in tests/kernels: `formats.pixels.physical`.
"""

from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled, part, record

KINDS: Final = {"u1": 0, "i2": 1, "i4": 2, "i8": 3, "u8": 4, "f4": 5, "f8": 6}  # u8: i8 with BZERO 2**63, exactly.


class Piece(NamedTuple):
    """What is laid where.

    kind, swap       of KINDS; 1 if the bytes are to be swapped.
    x, width         columns of the source.
    row, column      of the output, for the source's first row and column, or last where it is flipped.
    blank, blanking  the stored value that becomes NaN, if blanking is 1.
    """

    kind: int
    swap: int
    x: int
    width: int
    row: int
    column: int
    flip_x: int
    flip_y: int
    blank: int
    blanking: int


class Units(NamedTuple):
    """Data units = scale * stored + zero."""

    scale: float
    zero: float


@part
def _swapped(word: Any, size: int) -> Any:
    turned = np.uint64(0)
    for place in range(size):
        turned |= ((word >> np.uint64(8 * place)) & np.uint64(0xFF)) << np.uint64(8 * (size - 1 - place))
    return turned


@part
def _load_two(row: Any, piece: Any, wholes: Any) -> None:
    words = row.view(np.uint16)
    for column in range(wholes.size):
        word = np.uint64(words[column])
        wholes[column] = np.int64(np.int16(np.uint16(_swapped(word, 2) if piece.swap == 1 else word)))


@part
def _load_four(row: Any, piece: Any, wholes: Any) -> None:
    words = row.view(np.uint32)
    for column in range(wholes.size):
        word = np.uint64(words[column])
        wholes[column] = np.int64(np.int32(np.uint32(_swapped(word, 4) if piece.swap == 1 else word)))


@part
def _load_eight(row: Any, piece: Any, wholes: Any) -> None:
    words = row.view(np.uint64)
    for column in range(wholes.size):
        word = words[column]
        wholes[column] = np.int64(_swapped(word, 8) if piece.swap == 1 else word)


@part
def _load(row: Any, piece: Any, units: Any, wholes: Any, values: Any) -> None:
    """Turn one row into data units."""
    if piece.kind == 0:
        for column in range(wholes.size):
            wholes[column] = np.int64(row[column])
    elif piece.kind == 1:
        _load_two(row, piece, wholes)
    elif piece.kind in (2, 5):
        _load_four(row, piece, wholes)
    else:
        _load_eight(row, piece, wholes)
    if piece.kind == 4:
        for column in range(values.size):
            values[column] = np.float64(np.uint64(wholes[column]) ^ np.uint64(1 << 63))
    elif piece.kind == 5:
        halves = wholes.view(np.float32)  # The low half of each word, where words are little-endian.
        for column in range(values.size):
            values[column] = np.float64(halves[2 * column]) * units.scale + units.zero
    elif piece.kind == 6:
        reals = wholes.view(np.float64)
        for column in range(values.size):
            values[column] = reals[column] * units.scale + units.zero
    else:
        for column in range(values.size):
            values[column] = np.float64(wholes[column]) * units.scale + units.zero
    if piece.blanking == 1:
        for column in range(values.size):
            values[column] = np.nan if wholes[column] == piece.blank else values[column]


@part
def _join(source: Any, piece: Any, units: Any, out: Any) -> None:
    item = 1 if piece.kind == 0 else 2 if piece.kind == 1 else 4 if piece.kind in (2, 5) else 8
    rows, width = source.shape[0], piece.width
    inside = piece.x >= 0 and width >= 1 and (piece.x + width) * item <= source.shape[1]
    inside = inside and piece.row >= 0 and piece.row + rows <= out.shape[0]
    if not (inside and piece.column >= 0 and piece.column + width <= out.shape[1]):
        return
    wholes, values = np.empty(width, np.int64), np.empty(width, np.float64)
    for row in range(rows):
        _load(source[row, piece.x * item : (piece.x + width) * item], piece, units, wholes, values)
        into = out[piece.row + (rows - 1 - row if piece.flip_y == 1 else row)]
        if piece.flip_x == 1:
            for column in range(width):
                into[piece.column + width - 1 - column] = values[column]
        else:
            for column in range(width):
                into[piece.column + column] = values[column]


def _kernel(kind: Any) -> Any:
    @compiled(BYTES, record(Piece, numba.i8), record(Units, numba.f8), kind[:, ::1])
    def lay(source: Any, piece: Any, units: Any, out: Any) -> None:
        _join(source, piece, units, out)

    return lay


_FLOAT32, _FLOAT64 = _kernel(numba.f4), _kernel(numba.f8)


def join(source: NDArray[np.uint8], piece: Piece, units: Units, out: NDArray[Any]) -> None:
    """Lay a piece into `out`.

    source  (rows, bytes of a row) uint8, C order: rows lent. Unchanged.
    out     (R, C) float32 or float64, data units. Pixels that the piece does not cover are not touched; none are,
            if it does not lie inside.

    Memory  two rows of the piece. Without the GIL.
    """
    (_FLOAT32 if out.dtype == np.float32 else _FLOAT64)(source, piece, units, out)
