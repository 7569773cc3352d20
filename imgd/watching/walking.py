"""Walking a tree in slices, in the order of its paths' bytes: the order of the index. Blocks; no Trio here."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from imgd.access.lookup import open_beneath
from imgd.entry import FRAME_SUFFIX
from imgd.watching.place import PATH_BYTES_MAX, TIGHT, Place, Sighting, look_beneath, sighting_of

SLICE_NAMES: Final = 1_000
_MOVED_ON: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})

Enter = Callable[[int, bytes], None]
"""Called with each directory's descriptor and path, before its names are read."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a walk: all frames with paths up to `upto` (None: all that are left), but for those in directories
    that could not be read.

    dangling  links that lead to no frame now.
    """

    frames: tuple[Sighting, ...]
    upto: bytes | None
    dangling: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Directory:
    """A directory half walked. `names` come with "/" after those of directories, last first."""

    path: bytes
    names: list[bytes]


class Walk:
    """A walk below one directory. Names that begin with a dot are not seen; links to directories are not followed."""

    def __init__(self, place: Place, top: bytes, enter: Enter) -> None:
        self._place = place
        self._enter = enter
        self._stack: list[_Directory] = []
        self._to_enter: list[bytes] = [top]
        self._upto = b""
        self._dangling: list[bytes] = []

    def next(self) -> Slice:
        """Walk on for a slice.

        Raises  RootVanished; WatchesExhausted; OSError if the root itself cannot be read, or too many files are open.
        """
        frames: list[Sighting] = []
        left = SLICE_NAMES
        with self._place.open() as root_fd:
            while left > 0 and (self._to_enter or self._stack):
                left -= 1
                if self._to_enter:
                    path = self._to_enter.pop()
                    self._upto = max(self._upto, path)
                    self._list(root_fd, path)
                    continue
                directory = self._stack[-1]
                left -= self._look_at_files(root_fd, directory, left + 1, frames)
                if directory.names and directory.names[-1].endswith(b"/"):
                    self._to_enter.append(directory.path + directory.names.pop()[:-1])
                elif not directory.names:
                    self._stack.pop()
        done = not (self._to_enter or self._stack)
        if frames:
            self._upto = max(self._upto, frames[-1].path)
        dangling, self._dangling = tuple(self._dangling), []
        return Slice(tuple(frames), None if done else self._upto, dangling)

    def _list(self, root_fd: int, path: bytes) -> None:
        """Read a directory's names, frames and directories only."""
        names: list[bytes] = []
        try:
            fd = _open(root_fd, path)
            try:
                self._enter(fd, path)
                with os.scandir(fd) as scan:
                    for each in scan:
                        name = os.fsencode(each.name)
                        if name.startswith(b"."):
                            continue
                        if each.is_dir(follow_symlinks=False):
                            names.append(name + b"/")
                        elif FRAME_SUFFIX.search(name):
                            names.append(name)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in TIGHT or (not path and error.errno not in _MOVED_ON):
                raise
            return
        names.sort(reverse=True)
        if names:
            self._stack.append(_Directory(path + b"/" if path else b"", names))

    def _look_at_files(self, root_fd: int, directory: _Directory, limit: int, frames: list[Sighting]) -> int:
        """Look at the files that come before the next directory; return how many names that took."""
        names = directory.names
        if not names or names[-1].endswith(b"/"):
            return 0
        taken = 0
        try:
            fd = _open(root_fd, directory.path.rstrip(b"/"))
        except OSError as error:
            if error.errno in TIGHT:
                raise
            names.clear()
            return 0
        try:
            while names and not names[-1].endswith(b"/") and taken < limit:
                name = names.pop()
                taken += 1
                seen = self._look(root_fd, fd, directory.path + name, name)
                if seen is not None:
                    frames.append(seen)
        finally:
            os.close(fd)
        return taken

    def _look(self, root_fd: int, fd: int, path: bytes, name: bytes) -> Sighting | None:
        if len(path) > PATH_BYTES_MAX:
            return None
        try:
            facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if (facts.st_mode & 0o170000) == 0o120000:
                seen = look_beneath(root_fd, path)
                if seen is None:
                    self._dangling.append(path)
                return seen
        except OSError:
            return None
        return sighting_of(path, facts)


def _open(root_fd: int, path: bytes) -> int:
    return open_beneath(root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
