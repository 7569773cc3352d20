"""What the kernel itself says about the processes of one daemon: never imgd's own figures."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Census:
    """What a daemon holds at one moment; equal before and after means that nothing leaked.

    descriptors    open files of all its processes together.
    segment_bytes  memory of all distinct memfds that any of them holds, by descriptor or mapping.
    """

    processes: int
    descriptors: int
    segment_bytes: int


def family(pid: int, mark: str = "") -> list[int]:
    """Find a process and what came from it, in order of pid; [] when all are gone (a zombie is gone).

    mark  text in the environment of all of them, "" for none: finds those whose parent died, too. So does the
          session, whose leader `pid` is expected to be.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    for each in _pids():
        stat = _stat(each)
        if stat is None:
            continue
        parents[each], session = stat
        if pid in (each, session) or (mark and _has_mark(each, mark)):
            found.add(each)
    while new := {each for each, parent in parents.items() if parent in found} - found:
        found |= new
    return sorted(found)


def take_census(pids: Iterable[int]) -> Census:
    """Count processes, descriptors and segment bytes."""
    there = list(pids)
    return Census(len(there), sum(map(open_descriptors, there)), segment_bytes(there))


def open_descriptors(pid: int) -> int:
    """Count the open descriptors of one process; 0 when it is gone."""
    try:
        return len(os.listdir(PROC / str(pid) / "fd"))
    except OSError:
        return 0


def segment_bytes(pids: Iterable[int]) -> int:
    """Sum the memory of all distinct memfds that these processes hold, in bytes that are really there.

    Source  st_blocks of the memfd's inode, in units of 512 bytes (stat(2)): pages never touched do not count.
    """
    return sum(segments(pids).values())


def segments(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Tell the memory in bytes of each distinct memfd: (device, inode) -> bytes."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        for place in (PROC / str(pid) / "fd", PROC / str(pid) / "map_files"):
            for path in _memfds(place):
                try:
                    held = os.stat(path)
                except OSError:
                    continue  # Closed, or unmapped, since it was listed.
                sizes[held.st_dev, held.st_ino] = held.st_blocks * 512
    return sizes


def pss_bytes(pids: Iterable[int]) -> int:
    """Sum the proportional set sizes: memory of all these processes, shared pages counted once."""
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found.group(1)) * 1024 if found else 0
    return total


def _memfds(place: Path) -> Iterator[Path]:
    try:
        names = os.listdir(place)
    except OSError:
        return  # The process is gone; or, for map_files, we are not root: then its descriptors must do.
    for name in names:
        path = place / name
        try:
            if os.readlink(path).startswith("/memfd:"):
                yield path
        except OSError:
            continue


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdecimal()]


def _stat(pid: int) -> tuple[int, int] | None:
    """Read parent and session; None for a zombie, and for one that is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, _group, session = text.rpartition(") ")[2].split()[:4]
    return None if state in "ZX" else (int(parent), int(session))


def _has_mark(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
