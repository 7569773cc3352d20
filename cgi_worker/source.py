"""The source: opened from a descriptor that reads nothing, and held to its identity."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from cgi_worker.wire.facts import Source
from cgi_worker.wire.failure import StepFailed

KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a symbolic link"),
)


@contextmanager
def open_source(path_fd: int) -> Iterator[int]:
    """Open for reading what an O_PATH descriptor points at. Nothing but a regular file is opened; nothing blocks.

    Raises  StepFailed: bad_frame if it is not a regular file, forbidden if this process may not read it.
    """
    kind = os.fstat(path_fd).st_mode
    for is_kind, words in KINDS:
        if is_kind(kind):
            raise StepFailed("bad_frame", f"this is {words}, not a file")
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        source_fd = os.open(f"/proc/self/fd/{path_fd}", flags)
    except PermissionError:
        raise StepFailed("forbidden", "this file may not be read") from None
    except OSError as error:
        if error.errno not in (errno.EIO, errno.ESTALE):
            raise
        raise StepFailed("bad_frame", f"this file cannot be read: {os.strerror(error.errno)}") from None
    try:
        yield source_fd
    finally:
        os.close(source_fd)


def check_source(source_fd: int, expected: Source) -> None:
    """Raise StepFailed("changed") unless the open file still is the source expected."""
    if source_of(source_fd) != msgspec.structs.replace(expected, salt=0):
        raise StepFailed("changed", "the file has changed since it was asked for")


def source_of(descriptor: int) -> Source:
    """Tell the source identity of an open file, without salt."""
    found = os.fstat(descriptor)
    return Source(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
