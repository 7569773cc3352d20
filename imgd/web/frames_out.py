"""Binary frames of a session: a fixed little header that tells what a picture or a tile is, then its encoded bytes."""

import struct
from typing import Final

from imgd.core.sessions.messages import Picture

VERSION: Final = 1
PICTURE: Final = 1
TILE: Final = 2
GLANCE: Final = 3
NO_LEVEL: Final = 255
FORMATS: Final = {"jpeg": 1, "png": 2, "webp": 3, "avif": 4}
HEADER: Final = struct.Struct("<BBBBIIIIIII")


def frame_of(number: int, turn: int, picture: Picture) -> bytes:
    """Write a picture of a runner's turn as it goes out; `docs/live.md` has the fields."""
    is_tile = picture.level >= 0
    kind = GLANCE if picture.glance else TILE if is_tile else PICTURE
    header = HEADER.pack(
        VERSION, kind, FORMATS[picture.format], picture.level if is_tile else NO_LEVEL,
        number, turn, picture.column, picture.row, picture.width_px, picture.height_px, len(picture.body),
    )  # fmt: skip
    return header + picture.body
