"""Names beneath a directory descriptor, by openat2: what lies outside of it cannot be reached. Blocks; no Trio here."""

import ctypes
import errno
import os
import stat
from typing import Final

from imgd.errors import BadFrame, Busy, ImgdError, NoSuchFrame, NotYours

_SYS_OPENAT2: Final = 437
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_INO: Final = 0x100
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_CACHED: Final = 0x20  # Linux 5.12; an older kernel refuses it.
_LOCAL: Final = frozenset(  # Magic numbers of statfs(2): ext, XFS, Btrfs, tmpfs, F2FS, ZFS.
    {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1}
)
_ATTEMPTS: Final = 8  # EAGAIN: something was renamed while ".." of a link was resolved.
_RETRY_AFTER_S: Final = 5.0

_libc: Final = ctypes.CDLL(None, use_errno=True)  # Calls through it let go of the interpreter's lock.


class _Statx(ctypes.Structure):
    """The part of `struct statx` that tells which file it is."""

    _fields_ = (
        ("before", ctypes.c_uint8 * 32), ("inode", ctypes.c_uint64), ("between", ctypes.c_uint8 * 96),
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("after", ctypes.c_uint8 * 112),
    )  # fmt: skip


class _OpenHow(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory_fd: int, path: bytes, flags: int) -> int:
    """Open a relative path that never leaves the directory, symbolic links included; return the descriptor.

    Raises  OSError; EXDEV when the path, or a link on it, leads out.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_ATTEMPTS):
        fd: int = _libc.syscall(_SYS_OPENAT2, directory_fd, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def open_at_once(directory_fd: int, path: bytes, flags: int) -> int:
    """Do as `open_beneath` with names that the kernel has in memory, on the directory's own file system; -1 otherwise.

    Does not block on a file system that `is_local`.
    """
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV | _RESOLVE_CACHED
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    fd: int = _libc.syscall(_SYS_OPENAT2, directory_fd, path, ctypes.byref(how), ctypes.sizeof(how))
    return fd


def open_directory_at_once(directory: bytes) -> int:
    """Open a directory by its whole name if the kernel has that in memory, as a place to start from; -1 otherwise."""
    how = _OpenHow(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_NO_MAGICLINKS | _RESOLVE_CACHED)
    fd: int = _libc.syscall(_SYS_OPENAT2, _AT_FDCWD, directory, ctypes.byref(how), ctypes.sizeof(how))
    return fd


def place_of(fd: int) -> tuple[int, int]:
    """Tell device and inode of what is open; nobody is asked but the kernel's memory."""
    facts = _Statx()
    failed = _libc.statx(fd, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _STATX_INO, ctypes.byref(facts))
    return (-1, -1) if failed else (os.makedev(facts.major, facts.minor), facts.inode)


def is_local(directory_fd: int) -> bool:
    """Tell whether a directory lies on a file system that never waits for another machine."""
    facts = (ctypes.c_long * 64)()
    return _libc.fstatfs(directory_fd, ctypes.byref(facts)) == 0 and facts[0] in _LOCAL


def parts_of(name: str) -> tuple[str, bytes]:
    """Split a name into its root's name and the path below (b"" for the root itself).

    Raises  NoSuchFrame for a name that could lead elsewhere; it is the answer for a missing frame too, so that
            trying such names tells nothing.
    """
    root, _, below = name.partition("/")
    path = below.encode("utf-8", "surrogateescape")
    if not root or "\0" in name or (below and any(part in ("", ".", "..") for part in below.split("/"))):
        raise no_such(name)
    return root, path


def no_such(name: str) -> NoSuchFrame:
    """Say that there is no such frame; names nobody's directories but what was asked for."""
    shown = name.encode("utf-8", "replace").decode("utf-8")[:200]
    return NoSuchFrame(f"there is no frame {shown!r}", "frame")


def failure_of(error: OSError, name: str) -> ImgdError:
    """Say in our words why a name could not be opened."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.ENAMETOOLONG | errno.ELOOP:
            return no_such(name)
        case errno.EXDEV:
            # A link that leads out of the root: answered like a missing frame, whatever it points to.
            return no_such(name)
        case errno.EACCES | errno.EPERM:
            return NotYours("the frame's directory may not be read", "frame")
        case errno.EAGAIN:
            return Busy("the system lets no further thread start", _RETRY_AFTER_S, "processes")
        case errno.EMFILE | errno.ENFILE | errno.ENOMEM:
            return Busy("too many files are open", _RETRY_AFTER_S, "descriptors")
        case _:
            return Busy(f"the file system failed: {os.strerror(error.errno or 0)}", _RETRY_AFTER_S, "storage")


def refuse_special(mode: int) -> None:
    """Let regular files pass.

    Raises  BadFrame that says what it is instead.
    """
    if stat.S_ISREG(mode):
        return
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    )
    what = next((words for test, words in kinds if test(mode)), "something special")
    raise BadFrame(f"is {what}, not a file", "frame")
