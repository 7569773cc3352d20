"""One inotify descriptor: directories are added by their descriptors, and what happened is read without waiting."""

import ctypes
import errno
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import trio

from imgd.watching import notices

READ_BYTES: Final = 65_536
_IN_CLOEXEC: Final = os.O_CLOEXEC
_IN_NONBLOCK: Final = os.O_NONBLOCK
_IN_ONLYDIR: Final = 0x0100_0000
_IN_EXCL_UNLINK: Final = 0x0400_0000
_WANTED: Final = (
    notices.MODIFY
    | notices.ATTRIB  # A copy gets its original's time after it was closed.
    | notices.CLOSE_WRITE
    | notices.MOVED_FROM
    | notices.MOVED_TO
    | notices.CREATE
    | notices.DELETE
    | notices.DELETE_SELF
    | notices.MOVE_SELF
    | _IN_ONLYDIR
    | _IN_EXCL_UNLINK
)
_NO_MORE: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSYS})

_libc: Final = ctypes.CDLL(None, use_errno=True)


class WatchesExhausted(Exception):
    """The kernel gives no more watches (or no inotify at all): this root has to be polled."""


class Inotify:
    """Watches of directories. Use it as a context manager; `add` and `remove` may be called by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # A thread that was left behind must not meet another file's descriptor.
        self._fd = -1

    def __enter__(self) -> Self:
        """Open it.

        Raises  WatchesExhausted.
        """
        self._fd = _libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
        if self._fd < 0:
            raise WatchesExhausted(os.strerror(ctypes.get_errno()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and all watches with it."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def add(self, directory_fd: int) -> int:
        """Watch an open directory; return its watch, the same one as before if it is watched already.

        Raises  WatchesExhausted; OSError.
        """
        place = b"/proc/self/fd/%d" % directory_fd
        with self._lock:
            watch: int = _libc.inotify_add_watch(self._fd, place, _WANTED)
            number = ctypes.get_errno()
        if watch >= 0:
            return watch
        if number in _NO_MORE or not os.path.isdir(place):  # Without /proc nothing can be watched.
            raise WatchesExhausted(os.strerror(number))
        raise OSError(number, os.strerror(number))

    def remove(self, watch: int) -> None:
        """Watch no longer; a watch that is gone already is left alone."""
        with self._lock:
            _libc.inotify_rm_watch(self._fd, watch)

    async def wait(self) -> None:
        """Wait until something happened."""
        await trio.lowlevel.wait_readable(self._fd)

    def read(self) -> list[notices.Notice]:
        """Read what has happened, some of it; nothing if nothing has."""
        with suppress(BlockingIOError):
            return notices.read_notices(os.read(self._fd, READ_BYTES))
        return []
