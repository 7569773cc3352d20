"""Confinement: become the reader, and be unable to do more than a worker must."""

import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgi_worker.wire.packets import DESCRIPTORS_MAX, Identity

DESCRIPTORS_OPEN_MAX = 4 * DESCRIPTORS_MAX  # Two per buffer while it is being mapped, sources, libraries' own.

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
_SYS_OPENAT2 = 437  # These four have the same number on every architecture.
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_ADD_RULE, _SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_RACES_MAX = 16  # The kernel asks for another try (EAGAIN) when a rename crosses a lookup beneath a root.

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = (1 << 13) - 1  # All of Landlock's first version, from EXECUTE to MAKE_SYM.
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15  # Versions 2, 3 and 5.
_NET_RIGHTS = 0b11  # Version 4: bind and connect TCP.
_SCOPES = 0b11  # Version 6: abstract UNIX sockets, and signals to processes outside.
_RULE_PATH_BENEATH = 1

_libc = ctypes.CDLL(None, use_errno=True)


class NotConfined(Exception):
    """A confinement that was asked for did not come about; this process must do no work."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker is held to, beyond its identity.

    memory_bytes  of its own (segments and mapped files not counted) on top of what it was forked with; None: no limit.
    ruleset_fd    what `make_ruleset` gave; -1: none.
    """

    memory_bytes: int | None = None
    ruleset_fd: int = -1


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, however it ends.

    Raises  NotConfined if the parent has ended already. A change of identity undoes this: call it again then.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
        raise _last_error("PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        raise NotConfined("the parent has ended")


def become(identity: Identity, limits: Limits = Limits()) -> None:
    """Act for this identity from now on, with no way back, and within these limits.

    RLIMIT_FSIZE stays as it is, since the sink may be a file.

    Raises  NotConfined if not all of it came about.
    """
    if identity.uid is not None:
        _become_reader(identity)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _last_error("PR_SET_NO_NEW_PRIVS")
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS_OPEN_MAX)
    if limits.memory_bytes is not None:
        # RLIMIT_AS would count the segments and the mapped frame, which are bounded elsewhere; RLIMIT_DATA does not.
        _limit(resource.RLIMIT_DATA, _private_bytes() + limits.memory_bytes)
    if limits.ruleset_fd >= 0:
        _enforce(limits.ruleset_fd)


def open_beneath(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """Open a path that is not to leave the directory `root_fd`, by whatever `..` or symbolic link; close-on-exec.

    Raises  OSError: EXDEV or ELOOP when it would leave, ENOSYS on a kernel without openat2.
    """
    if "\0" in path:
        raise FileNotFoundError(2, "a name holds no NUL")
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for attempt in range(_RACES_MAX):
        found = _syscall(_SYS_OPENAT2, root_fd, os.fsencode(path), how, len(how))
        if found >= 0:
            return found
        error = ctypes.get_errno()
        if not (isinstance(OSError(error, ""), BlockingIOError) and attempt + 1 < _RACES_MAX):
            break
    raise OSError(error, os.strerror(error))


def make_ruleset(readable: Sequence[str]) -> int:
    """Make rules that forbid to change, make or execute any file, to use TCP, and to signal others.

    readable  directories and files that may be opened for reading, with all below; empty: as the identity may. They are
              looked up now, by whoever calls this, and those that are missing now stay forbidden.

    Returns the descriptor for `Limits`, -1 on a kernel without Landlock. Whoever is held to these rules keeps what is
    open, and memory shared through it.
    """
    version = _syscall(_SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
    if version < 1:
        return -1
    rights = _FILE_RIGHTS | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rights |= _IOCTL_DEVICE if version >= 5 else 0
    if not readable:
        rights &= ~(_READ_FILE | _READ_DIR)
    whole = struct.pack("=QQQ", rights, _NET_RIGHTS, _SCOPES)
    attributes = whole[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset_fd = _syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset_fd < 0:
        raise _last_error("landlock_create_ruleset")
    for path in readable:
        _allow_reading(ruleset_fd, path)
    return ruleset_fd


def _enforce(ruleset_fd: int) -> None:
    if _syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset_fd, 0) != 0:
        raise _last_error("landlock_restrict_self")


def _become_reader(identity: Identity) -> None:
    uid, gid, groups = identity.uid, identity.gid, sorted(identity.groups)
    if uid is None or gid is None:
        raise NotConfined("a reader has both a user and a group")
    try:
        if sorted(os.getgroups()) != groups:
            os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)  # Last: after it the others are forbidden.
    except PermissionError as error:
        raise NotConfined(f"this process may not become user {uid}, group {gid}: {error}") from error
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or sorted(os.getgroups()) != groups:
        raise NotConfined(f"this process did not become user {uid}, group {gid}")
    if uid != 0 and _can_become_root():
        raise NotConfined("this process could become root again")


def _can_become_root() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


def _limit(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _private_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_bytes().split()[5])
    return pages * resource.getpagesize()


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # What is not there, or not for this reader, needs no permission.
    try:
        rights = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
        if _syscall(_SYS_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, opened), 0) != 0:
            raise _last_error(f"landlock_add_rule for {path}")
    finally:
        os.close(opened)


def _syscall(number: int, *arguments: int | bytes) -> int:
    given = [one if isinstance(one, bytes) else ctypes.c_long(one) for one in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *given)
    return result


def _last_error(what: str) -> NotConfined:
    return NotConfined(f"{what}: {os.strerror(ctypes.get_errno())}")
