"""What inotify says, bytes to records; sans-IO."""

import struct
from typing import Final, NamedTuple

MODIFY: Final = 0x0000_0002
ATTRIB: Final = 0x0000_0004
CLOSE_WRITE: Final = 0x0000_0008
MOVED_FROM: Final = 0x0000_0040
MOVED_TO: Final = 0x0000_0080
CREATE: Final = 0x0000_0100
DELETE: Final = 0x0000_0200
DELETE_SELF: Final = 0x0000_0400
MOVE_SELF: Final = 0x0000_0800
UNMOUNT: Final = 0x0000_2000
OVERFLOW: Final = 0x0000_4000
IGNORED: Final = 0x0000_8000
IS_DIRECTORY: Final = 0x4000_0000

_HEAD: Final = struct.Struct("=iIII")  # Which watch, what, a cookie that joins two halves of a move, bytes of the name.


class Notice(NamedTuple):
    """One thing that happened in a watched directory (-1: in none), to one of its names (b"": to itself)."""

    watch: int
    mask: int
    name: bytes


def read_notices(data: bytes) -> list[Notice]:
    """Read all records of what one read(2) gave.

    Raises  ValueError if the last one is not whole: the kernel gives whole ones only.
    """
    notices: list[Notice] = []
    start, end = 0, len(data)
    while start < end:
        name_start = start + _HEAD.size
        if name_start > end:
            raise ValueError("half the head of an inotify record")
        watch, mask, _, length = _HEAD.unpack_from(data, start)
        start = name_start + length
        if start > end:
            raise ValueError("half the name of an inotify record")
        notices.append(Notice(watch, mask, data[name_start:start].rstrip(b"\0")))
    return notices
