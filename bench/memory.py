"""Peak memory of the whole service while pictures are made, by the kernel's figures, beside the mapped frames."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.daemon import kernel

PAUSE_S: Final = 0.001
MB: Final = 1e6
_MAPPING: Final = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$", re.MULTILINE)
_PSS: Final = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """What all processes hold at one moment.

    own_bytes       their memory (PSS: shared pages once), but for mapped frames and segments.
    segment_bytes   all segments, mapped or not.
    """

    own_bytes: int
    segment_bytes: int


def held_by(daemon_pid: int, frames: Path) -> Held:
    """Ask the kernel about the daemon, its template and its workers.

    frames  the folder whose files, mapped, do not count: their pages are the page cache's, and can go at any moment.
    """
    pids = kernel.family(daemon_pid)
    own = sum(_own_bytes(pid, bytes(frames)) for pid in pids)
    return Held(own, kernel.segment_bytes(pids))


def peak_mb(daemon_pid: int, frames: Path, idle: Held, make: Callable[[], None]) -> tuple[float, int]:
    """Sample while `make` makes one picture; return the peak above idle, and how many samples it is of.

    Segments that earlier pictures left behind in the warm are none of this picture's: only their growth counts.
    """
    before = held_by(daemon_pid, frames)
    peak_bytes, samples = 0, 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak_bytes, samples
        while not ended.is_set():
            now = held_by(daemon_pid, frames)
            grown = now.own_bytes - idle.own_bytes + max(0, now.segment_bytes - before.segment_bytes)
            peak_bytes, samples = max(peak_bytes, grown), samples + 1
            time.sleep(PAUSE_S)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        make()
    finally:
        ended.set()
        watching.join()
    return peak_bytes / MB, samples


def _own_bytes(pid: int, frames: bytes) -> int:
    """Add up one process's mappings but those of frames and segments; 0 when it is gone.

    Source  proc_pid_smaps(5): "Pss" is in kB of 1024 bytes.
    """
    try:
        text = Path(f"/proc/{pid}/smaps").read_bytes()
    except OSError:
        return 0
    total = sum(map(int, _PSS.findall(text)))
    at = 0
    for name in (frames + b"/", b"/memfd:"):
        at = 0
        while (at := text.find(name, at)) >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            found = _PSS.search(text, at)
            if _MAPPING.match(text, start) and found is not None:
                total -= int(found[1])
            at += len(name)
    return total * 1024
