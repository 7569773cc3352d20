"""PNG: a 16-bit grey picture, written by the rows of an array; Pillow's own way takes several times as long."""

import struct
import zlib
from typing import Any, Final

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from cgi_worker.answers.room import Room

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LEVEL: Final = 1
_BAND_BYTES: Final = 1 << 20  # Compressed together.


def write_png(picture: NDArray[np.uint16], text: str, room: Room) -> None:
    """Write a picture, top row first, and a text that describes it.

    picture  (R, C) uint16.

    Raises  StepFailed("too_big") when the room is full.
    Source  PNG specification, third edition: chunks, filter type 0 (noise is not predicted by what is beside it).
    """
    height, width = picture.shape
    room.write(SIGNATURE)
    _chunk(room, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    _chunk(room, b"tEXt", b"Description\0" + text.encode("latin-1", "replace"))
    squeezing: Any = isal_zlib.compressobj(_LEVEL)
    rows = max(1, _BAND_BYTES // (2 * width + 1))
    lines = np.zeros((min(rows, height), 2 * width + 1), np.uint8)
    for first in range(0, height, rows):
        some = picture[first : first + rows]
        lines[: len(some), 1:] = some.astype(">u2").view(np.uint8)
        _chunk(room, b"IDAT", squeezing.compress(lines[: len(some)]))
    _chunk(room, b"IDAT", squeezing.flush())
    _chunk(room, b"IEND", b"")


def _chunk(room: Room, kind: bytes, octets: bytes) -> None:
    if octets or kind != b"IDAT":
        room.write(struct.pack(">I", len(octets)) + kind)
        room.write(octets)
        room.write(struct.pack(">I", zlib.crc32(octets, zlib.crc32(kind))))
