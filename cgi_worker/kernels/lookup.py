"""Look up: stored 8-bit or 16-bit pixels straight to grey or colour, by a table of all values that there can be."""

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import BYTES, compiled
from cgi_worker.kernels.fetching import fetch

ENTRIES = 65_536
AHEAD = 2  # Rows asked for beforehand: those of a tile lie so far apart that no processor guesses the next one.
LINE_BYTES = 64
_TABLE = numba.types.Array(numba.u1, 2, "C", readonly=True)


@compiled(BYTES, numba.i8, numba.i8, _TABLE, numba.u1[:, :, :])
def look_up(source: NDArray[np.uint8], x: int, swap: int, table: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Turn 16-bit pixels, as they are stored, into samples.

    source  (R, bytes of a row) uint8, rows of int16. Unchanged.
    x       column of the first pixel that is wanted; the others follow it.
    swap    1 if the bytes of each pixel are in the other order.
    table   (65536, n) uint8, by the order of values: entry 0 is for -32768.
    out     (R, C, n) uint8, n samples a pixel, in any strides.

    Cost    one gather a sample; no plane of numbers in between.
    Source  indexing; twin in tests/kernels.
    """
    rows, columns, samples = out.shape
    keys, line = np.empty(columns, np.uint16), np.empty(columns, np.uint8)
    for row in range(rows):
        for octet in range(0, 2 * columns + LINE_BYTES, LINE_BYTES):
            fetch(source, (row + AHEAD) * source.shape[1] + 2 * x + octet)
        words = source[row, 2 * x : 2 * (x + columns)].view(np.uint16)
        if swap == 1:
            for column in range(columns):
                word = words[column]
                keys[column] = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8))) ^ np.uint16(0x8000)
        else:
            for column in range(columns):
                keys[column] = words[column] ^ np.uint16(0x8000)
        for sample in range(samples):
            for column in range(np.uint64(columns)):
                line[column] = table[np.uint64(keys[column]), sample]
            out[row, :, sample] = line
