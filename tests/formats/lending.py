"""Look at rows as the steps would: lent, in whatever pieces."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.fits import walk
from cgi_worker.formats.rows import Rows, open_rows
from cgi_worker.wire.facts import Facts, Hdu, decode_facts, encode_facts


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, Facts]]:
    """Open a file, and tell its facts as another process would get them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor, decode_facts(encode_facts(walk(descriptor).facts))
    finally:
        os.close(descriptor)


def find(facts: Facts, index: int) -> Hdu:
    """Find an HDU by its index."""
    return next(hdu for hdu in facts.hdus if hdu.index == index)


def rows_of(descriptor: int, facts: Facts, index: int, plane: int = 0) -> Rows:
    """Open the rows of an HDU, or of the mosaic."""
    hdu = find(facts, index)
    return open_rows(descriptor, hdu, plane, tuple(find(facts, part.hdu) for part in hdu.parts))


def pixels_of(rows: Rows, box: tuple[int, int, int, int]) -> NDArray[Any]:
    """Lend the pixels of a box (first row, last row, left, right), and cut what was lent to it."""
    first, last, left, right = box
    octets, x_px = rows.lend(first, last, left, right)
    pixels = octets.view(f">{rows.stored}" if rows.swap else rows.stored)
    assert octets.shape[0] == last - first
    assert x_px <= left
    assert pixels.shape[1] >= right - x_px
    return pixels[:, left - x_px : right - x_px]


def same(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Tell whether arrays are equal to the last bit; any NaN equals any other."""
    if ours.dtype.kind == "f":
        ours, theirs = (np.where(np.isnan(each), np.nan, each) for each in (ours, theirs))
        bits = f"u{ours.itemsize}"
        native = theirs.astype(ours.dtype.newbyteorder("="))
        return ours.dtype.itemsize == theirs.dtype.itemsize and np.array_equal(
            ours.astype(native.dtype).view(bits), native.view(bits)
        )
    return np.array_equal(ours, theirs)
