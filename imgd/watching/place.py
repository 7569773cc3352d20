"""Looking at what is below a root without opening any file of it. Blocks; no Trio here."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from imgd.access.lookup import open_beneath

_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG})
PATH_BYTES_MAX: Final = 4095  # What the kernel opens, and what a store takes; longer ones are not seen.
TIGHT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # Of us, not of what is looked at.


class RootVanished(Exception):
    """The root's directory is not there, or it is another one than before (unmounted, mounted, moved)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was seen; its path is that below the root.

    linked  it may change without its name being told of: a symbolic link, or one of several names.
    """

    path: bytes
    size_bytes: int
    mtime_ns: int
    linked: bool = False

    @property
    def identity(self) -> str:
        """What the index knows of it."""
        return f"{self.size_bytes}:{self.mtime_ns}"


@dataclass(frozen=True, slots=True)
class Place:
    """A root's directory: this one, not another one that came to have its name.

    No descriptor of it is kept open between looks: one would keep its file system from being unmounted.
    """

    directory: Path
    device: int
    inode: int

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """Look for it; None if there is no directory of this name that can be entered."""
        try:
            facts = os.stat(directory)
        except OSError:
            return None
        return cls(directory, facts.st_dev, facts.st_ino) if stat.S_ISDIR(facts.st_mode) else None

    @property
    def identity(self) -> str:
        """Device and inode."""
        return f"{self.device}:{self.inode}"

    @contextmanager
    def open(self) -> Iterator[int]:
        """Open it as a place to start from (O_PATH).

        Raises  RootVanished.
        """
        try:
            fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in TIGHT:
                raise
            raise RootVanished(str(self.directory)) from error
        try:
            facts = os.fstat(fd)
            if (facts.st_dev, facts.st_ino) != (self.device, self.inode):
                raise RootVanished(str(self.directory))
            yield fd
        finally:
            os.close(fd)

    def is_empty(self) -> bool:
        """Tell whether it holds no name at all."""
        with suppress(OSError), os.scandir(self.directory) as names:
            return next(names, None) is None
        return False

    def is_there(self) -> bool:
        """Tell whether it is still the same directory."""
        found = Place.find(self.directory)
        return found is not None and found.identity == self.identity

    def look(self, paths: Sequence[bytes]) -> list[Sighting | OSError | None]:
        """Look at files; None for each that is no regular file, is not there, or lies outside of the root.

        An error is given in place of a sighting: whether the file is there is not known then.

        Raises  RootVanished.
        """
        with self.open() as root_fd:
            return [_try_beneath(root_fd, path) for path in paths]


def look_beneath(root_fd: int, path: bytes) -> Sighting | None:
    """Look at one file, through symbolic links that stay below the root.

    Raises  OSError when the file system fails.
    """
    try:
        facts = _facts_beneath(root_fd, path, os.O_NOFOLLOW)
        if not stat.S_ISLNK(facts.st_mode):
            return sighting_of(path, facts)
        seen = sighting_of(path, _facts_beneath(root_fd, path, 0))
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return seen and replace(seen, linked=True)


def _facts_beneath(root_fd: int, path: bytes, flags: int) -> os.stat_result:
    fd = open_beneath(root_fd, path, os.O_PATH | flags)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _try_beneath(root_fd: int, path: bytes) -> Sighting | OSError | None:
    try:
        return look_beneath(root_fd, path)
    except OSError as error:
        return error


def sighting_of(path: bytes, facts: os.stat_result) -> Sighting | None:
    """Make a sighting of a file's facts; None if it is no regular file."""
    if not stat.S_ISREG(facts.st_mode):
        return None
    return Sighting(path, facts.st_size, facts.st_mtime_ns, facts.st_nlink > 1)
