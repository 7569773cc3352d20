"""What the daemon needs of the kernel: each feature is tried, since versions tell little in a container."""

import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imgd.access.lookup import open_beneath
from imgd.doctor.finding import Finding, bad, ok, warn

_SYS_LANDLOCK_CREATE_RULESET: Final = 444
_ASK_VERSION: Final = 1
_PR_SET_PDEATHSIG: Final = 1
_PUNCH, _KEEP_SIZE = 0x02, 0x01
_PROBE_BYTES: Final = 65_536
_SLOW_CLOCKS: Final = frozenset({"acpi_pm", "hpet", "jiffies", "refined-jiffies"})
_MADE_FOR: Final = {  # What is lost without it.
    "memfd": "shared memory",
    "seals": "shared memory that cannot shrink under a reader",
    "punch": "giving memory back",
    "pidfd": "knowing when a worker is gone",
    "openat2": "names that cannot lead out of a root",
    "pdeathsig": "no process left over when the daemon is killed",
    "peercred": "knowing who asks over a UNIX socket",
    "inotify": "being told of new frames",
}

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What was found out by trying. Each feature: "" if it works, else why not. landlock: its version, 0: none."""

    release: str
    features: tuple[tuple[str, str], ...]
    landlock: int
    memfd_noexec: int
    clock: str


def look_at_kernel() -> Kernel:
    """Try everything."""
    tries: dict[str, Callable[[], None]] = {
        "memfd": _try_memfd, "seals": _try_seals, "punch": _try_punch, "pidfd": _try_pidfd,
        "openat2": _try_openat2, "pdeathsig": _try_pdeathsig, "peercred": _try_peercred, "inotify": _try_inotify,
    }  # fmt: skip
    features = tuple((name, _why_not(attempt)) for name, attempt in tries.items())
    clock = _read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    noexec = _read("/proc/sys/vm/memfd_noexec")
    landlock: int = _libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _ASK_VERSION)
    return Kernel(platform.release(), features, max(landlock, 0), int(noexec) if noexec.isdigit() else 0, clock)


def check_kernel(kernel: Kernel) -> list[Finding]:
    """Judge it."""
    missing = [(name, why) for name, why in kernel.features if why]
    found = [
        bad(f"kernel: {name}", f"{why}: no {_MADE_FOR[name]}", _remedy(name, kernel.memfd_noexec))
        for name, why in missing
    ]
    if not missing:
        names = ", ".join(name for name, _ in kernel.features)
        found = [ok("kernel", f"Linux {kernel.release} has all that is needed ({names})")]
    if kernel.landlock:
        found.append(ok("kernel: landlock", f"version {kernel.landlock}: workers are confined to the roots"))
    else:
        change = "boot with `lsm=landlock,...` and a kernel with CONFIG_SECURITY_LANDLOCK (5.13 or later)"
        found.append(
            warn("kernel: landlock", "none: a hostile file that takes a worker over may read what we may", change)
        )
    if kernel.clock in _SLOW_CLOCKS:
        change = "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"
        found.append(warn("clock source", f"{kernel.clock} is slow to read", change))
    else:
        found.append(ok("clock source", kernel.clock or "not told"))
    return found


def _remedy(name: str, memfd_noexec: int) -> str:
    if name == "memfd" and memfd_noexec >= 2:
        return "sysctl -w vm.memfd_noexec=1  (2 forbids every program that does not name the flag)"
    if name == "inotify":
        return "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288, or poll_s = 10"
    return "Linux 5.6 or later, and in a container a seccomp profile that allows the call (Docker 20.10.10 or later)"


def _why_not(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except OSError as error:
        return error.strerror or str(error)
    except AttributeError as error:
        return f"this Python does not know it: {error}"
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _memfd() -> int:
    descriptor = os.memfd_create("imgd-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _PROBE_BYTES)
    return descriptor


def _try_memfd() -> None:
    os.close(_memfd())


def _try_seals() -> None:
    descriptor = _memfd()
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC))
    finally:
        os.close(descriptor)


def _try_punch() -> None:
    descriptor = _memfd()
    try:
        punched = _libc.fallocate64(
            descriptor, _KEEP_SIZE | _PUNCH, ctypes.c_int64(0), ctypes.c_int64(_PROBE_BYTES)
        )  # fmt: skip
        if punched != 0:
            raise _last_error()
    finally:
        os.close(descriptor)


def _try_pidfd() -> None:
    descriptor = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(descriptor, 0)
        try:
            os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # It is known, and we are not our own child.
    finally:
        os.close(descriptor)


def _try_openat2() -> None:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(open_beneath(root, b"proc", os.O_PATH))
    finally:
        os.close(root)


def _try_pdeathsig() -> None:
    if _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0) != 0:
        raise _last_error()


def _try_peercred() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        pid, _, _ = struct.unpack("iii", ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid != os.getpid():
            raise OSError(errno.EPROTO, "the kernel tells another process id (a PID namespace in between?)")


def _try_inotify() -> None:
    descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise _last_error()
    os.close(descriptor)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
