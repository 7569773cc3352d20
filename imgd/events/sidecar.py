"""The small file beside an SQLite database: which ids were durable a moment ago. And which file a file is. Blocks.

A copy that is put back is another file, or the same one written over. So a file is told by its inode and the time of
its birth, which no program can set, and the small file says which one it is itself: it is a new file each time.
"""

import contextlib
import ctypes
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_STATX_INO: Final = 0x100
_STATX_BTIME: Final = 0x800
_LINE: Final = re.compile(r"([0-9a-f]{16}) ([0-9]{1,18}) ([0-9]{1,20}:[0-9]{1,20})\n")
_IDENTITY: Final = re.compile(r"([0-9]{1,20}):([0-9]{1,20})")

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Statx(ctypes.Structure):
    """The part of `struct statx` that tells which file it is, and since when."""

    _fields_ = (
        ("mask", ctypes.c_uint32), ("before", ctypes.c_uint8 * 28), ("inode", ctypes.c_uint64),
        ("between", ctypes.c_uint8 * 40), ("born_s", ctypes.c_int64), ("born_ns", ctypes.c_uint32),
        ("after", ctypes.c_uint8 * 164),
    )  # fmt: skip


class FileIdentity(NamedTuple):
    """Which file it is. born_ns: since 1970; 0 where the file system does not say, and then it is not compared."""

    inode: int
    born_ns: int

    def __str__(self) -> str:
        return f"{self.inode}:{self.born_ns}"

    def is_other(self, than: "FileIdentity") -> bool:
        """Tell whether these are surely two files."""
        born_differ = self.born_ns != than.born_ns and bool(self.born_ns and than.born_ns)
        return self.inode != than.inode or born_differ


def identity_of(file: Path | int) -> FileIdentity:
    """Tell which file has this name, or is open as this descriptor.

    Raises  OSError.
    """
    facts = _Statx()
    directory, name, flags = (file, b"", _AT_EMPTY_PATH) if isinstance(file, int) else (_AT_FDCWD, os.fsencode(file), 0)
    if _libc.statx(directory, name, flags, _STATX_INO | _STATX_BTIME, ctypes.byref(facts)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(file))
    born_ns = facts.born_s * 10**9 + facts.born_ns if facts.mask & _STATX_BTIME else 0
    return FileIdentity(facts.inode, max(born_ns, 0))


def read_identity(text: str) -> FileIdentity | None:
    """Read what `str` of one gave; None if it is no such text."""
    found = _IDENTITY.fullmatch(text)
    return FileIdentity(int(found[1]), int(found[2])) if found else None


class Told(NamedTuple):
    """What a sidecar says. is_put_back: it is not the file that was written, or was written over."""

    epoch: str
    last: int
    is_put_back: bool


class Sidecar:
    """The file `.seen` beside a database. Without it less is noticed, and nothing is wrong."""

    def __init__(self, database: Path) -> None:
        self._name = f"{database}.seen"

    def read(self) -> Told | None:
        """Read it; None if there is none that can be read."""
        try:
            with open(self._name, encoding="ascii", newline="") as file:
                found = _LINE.fullmatch(file.read(200))
                itself = identity_of(file.fileno())
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        written = read_identity(found[3]) if found else None
        return Told(found[1], int(found[2]), itself.is_other(written)) if found and written else None

    def write(self, epoch: str, last: int) -> None:
        """Write it anew, while nobody else can change the store."""
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{self._name}~", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{epoch} {last} {identity_of(descriptor)}\n")
            os.replace(f"{self._name}~", self._name)
