"""What this machine gives to a process: limits, memory, processors, of the control group where there is one."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNLIMITED: Final = sys.maxsize
_TOUCH_BYTES: Final = 16 * 1024**2
_CGROUP: Final = Path("/sys/fs/cgroup")
_HUGE: Final = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits: UNLIMITED if there is none.

    nofile      descriptors, the hard limit: the daemon takes all. nofile_soft: what it starts with.
    cgroup_memory_bytes, cgroup_pids  the tightest on the way up to the top.
    cpu_quota   processors' worth of time that the control group may have.
    huge        transparent_hugepage/shmem_enabled, the chosen word.
    touch_ms    first touch of 1 MiB of fresh shared memory.
    limits_of   the unit that they are of; "": of the shell.
    """

    nofile: int
    nofile_soft: int
    nproc: int
    fsize_bytes: int
    as_bytes: int
    memory_bytes: int
    available_bytes: int
    swap_bytes: int
    swap_used_bytes: int
    overcommit: int
    commit_left_bytes: int
    cgroup_memory_bytes: int
    cgroup_memory_used_bytes: int
    cgroup_pids: int
    cpu_quota: float
    cpus: int
    cpus_online: int
    huge: str
    touch_ms: float
    uid: int
    limits_of: str = ""


def look_at_machine() -> Machine:
    """Gather it."""
    memory = _meminfo()
    total = memory.get("MemTotal", 0)
    swap, swap_free = memory.get("SwapTotal", 0), memory.get("SwapFree", 0)
    limit, used = _group_memory()
    left = memory.get("CommitLimit", UNLIMITED) - memory.get("Committed_AS", 0)
    nofile_soft, nofile = _limit(resource.RLIMIT_NOFILE)
    return Machine(
        nofile=nofile, nofile_soft=nofile_soft, nproc=_limit(resource.RLIMIT_NPROC)[0],
        fsize_bytes=_limit(resource.RLIMIT_FSIZE)[0], as_bytes=_limit(resource.RLIMIT_AS)[0],
        memory_bytes=total,
        available_bytes=memory.get("MemAvailable", total), swap_bytes=swap, swap_used_bytes=swap - swap_free,
        overcommit=_number("/proc/sys/vm/overcommit_memory", 0), commit_left_bytes=left,
        cgroup_memory_bytes=limit, cgroup_memory_used_bytes=used, cgroup_pids=_group_pids(), cpu_quota=_cpu_quota(),
        cpus=len(os.sched_getaffinity(0)), cpus_online=os.cpu_count() or 1, huge=_chosen(_text(_HUGE)),
        touch_ms=_touch_ms(), uid=os.geteuid(),
    )  # fmt: skip


def _limit(which: int) -> tuple[int, int]:
    soft, hard = resource.getrlimit(which)
    return tuple(UNLIMITED if each == resource.RLIM_INFINITY else each for each in (soft, hard))  # type: ignore[return-value]  # Two in, two out.


def _meminfo() -> dict[str, int]:
    sizes = {}
    for line in _text(Path("/proc/meminfo")).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            sizes[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return sizes


def group_folders(controller: str) -> Iterator[Path]:
    """Tell the folders of our control group for a controller, from our own up; both versions of the interface."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = _CGROUP if (_CGROUP / "cgroup.controllers").exists() else _CGROUP / "unified"
        elif controller in controllers.split(","):
            base = _CGROUP / controller if (_CGROUP / controller).is_dir() else _CGROUP / controllers
        else:
            continue
        folder = base / path.lstrip("/")
        while folder == base or base in folder.parents:
            if folder.is_dir():
                yield folder
            folder = folder.parent


def _group_memory() -> tuple[int, int]:
    """Tell the tightest limit of memory, and what its group uses by now."""
    tightest, used = UNLIMITED, 0
    for folder in group_folders("memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"), ("memory.high", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):  # fmt: skip
            limit = _number(folder / limit_name, UNLIMITED)
            if limit < min(tightest, 1 << 60):
                tightest, used = limit, _number(folder / used_name, 0)
    return tightest, used


def _group_pids() -> int:
    return min((_number(folder / "pids.max", UNLIMITED) for folder in group_folders("pids")), default=UNLIMITED)


def _cpu_quota() -> float:
    shares = [float("inf")]
    for folder in group_folders("cpu"):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit():
            shares.append(int(words[0]) / int(words[1]))
        quota = _number(folder / "cpu.cfs_quota_us", 0)
        if quota > 0:
            shares.append(quota / max(_number(folder / "cpu.cfs_period_us", 100_000), 1))
    return min(shares)


def _touch_ms() -> float:
    """Measure the first touch of fresh shared memory, per MiB."""
    try:
        descriptor = os.memfd_create("imgd-doctor", os.MFD_CLOEXEC)
    except OSError:
        return 0.0
    try:
        began_s = time.perf_counter()
        for at in range(0, _TOUCH_BYTES, 1024**2):
            os.pwrite(descriptor, bytes(1024**2), at)
        return (time.perf_counter() - began_s) * 1000 / (_TOUCH_BYTES / 1024**2)
    except OSError:
        return 0.0  # RLIMIT_FSIZE, or no memory: both are looked at elsewhere.
    finally:
        os.close(descriptor)


def _chosen(text: str) -> str:
    return next((word[1:-1] for word in text.split() if word.startswith("[")), "")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path | str, otherwise: int) -> int:
    text = _text(Path(path)).strip()
    return int(text) if text.lstrip("-").isdigit() else otherwise
