"""What an ended daemon may have left behind, and troubles of other programs of this kind that cannot happen here."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imgd.doctor.finding import Finding, always, bad, ok, size_words

_PARENT: Final = re.compile(r"--parent=(\d+)")
_SEGMENT: Final = re.compile(r"/memfd:imgd-\d+")

CANNOT_HAPPEN: Final = (
    ("stalled readers", "a slow client holds encoded bytes within session_bytes, never a buffer of the budget"),
    ("stopped workers", "a worker that does not answer within step_limit_s is killed, and its place given to another"),
    ("poisoned pictures", "a buffer that was not finished is never found; a failure is told, and not kept"),
    ("stale pictures", "a frame is known by inode, size and time: a rewritten one is another frame"),
    ("escapes from a root", "names are opened beneath their root by openat2: no `..`, link or absolute path leads out"),
    ("fetched addresses", "a frame is a name below a root, never an address: nothing is fetched, nothing is written"),
    ("batch waits", "pictures and tiles are sent one by one, as they are ready"),
    ("work for nobody", "a client that leaves ends its work at once"),
    ("keys in the log", "addresses of requests, which hold UIDs, are not logged by the daemon"),
    ("silent ends", "a slow client is told what it missed, and a limit that it met is named"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Left:
    """A process of an instance that is gone. segment_bytes: of shared buffers that it still holds."""

    pid: int
    what: str
    segment_bytes: int


def check_leftovers(processes: Path = Path("/proc")) -> list[Finding]:
    """Look for processes whose daemon is gone, and say what cannot be left."""
    found = list(look_for_left(processes))
    semaphores = always("semaphores", "none are used: a killed daemon leaves none that the next one would wait for")
    segments = always("shared memory", "has no names: what a killed daemon held is gone with its last process")
    if not found:
        return [ok("processes left over", "none"), semaphores, segments, *(always(*each) for each in CANNOT_HAPPEN)]
    total = sum(each.segment_bytes for each in found)
    what = ", ".join(f"{each.what} {each.pid}" for each in found[:8])
    left = bad(
        "processes left over",
        f"of a daemon that is gone: {what}; {size_words(total)} of shared buffers",
        "kill -9 " + " ".join(str(each.pid) for each in found),
    )
    return [left, semaphores, *(always(*each) for each in CANNOT_HAPPEN)]


def look_for_left(processes: Path) -> Iterator[Left]:
    """Find templates whose daemon is gone, and workers whose template is."""
    for folder in processes.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"cgi_worker.template" not in command:
                continue
            named = _PARENT.search(b" ".join(command).decode(errors="replace"))
            parent = _parent_of(folder)
            if named is None or parent == int(named[1]) or _is_template(processes / str(parent)):
                continue  # The template of a living daemon, or a worker of a living template.
            yield Left(int(folder.name), "template or worker", _segment_bytes(folder))
        except OSError:
            continue  # It is gone, or another user's.


def _parent_of(folder: Path) -> int:
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def _is_template(folder: Path) -> bool:
    try:
        return b"cgi_worker.template" in (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _segment_bytes(folder: Path) -> int:
    total = 0
    for each in (folder / "fd").iterdir():
        if _SEGMENT.match(os.readlink(each)):
            total += each.stat().st_blocks * 512
    return total
