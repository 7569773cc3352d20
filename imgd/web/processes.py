"""What the daemon's processes take, by the kernel's figures; asked in a thread, since a hung process may block that."""

import os
import platform
import re
import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import trio

from imgd.threads import NoThread, in_thread
from imgd.web.seam import Engine

LOOK_LIMIT_S: Final = 2.0
LOOK_AGAIN_S: Final = 5.0  # A look costs tens of milliseconds for 200 MB; who asks more often is told the last one's.
_PSS: Final = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_RSS: Final = re.compile(rb"^Rss:\s+(\d+) kB", re.MULTILINE)

Role = Literal["daemon", "template", "worker"]
Members = Callable[[], Iterable[tuple[Role, int]]]
"""Tell all processes, each with what it is."""


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What the processes of one role take together.

    pss_bytes  shared pages counted in parts, so that the sum of all processes is right. Segments count where mapped.
    """

    role: str
    running: int
    pss_bytes: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors of the daemon itself that are open, and how many there may be."""

    open: int
    max: int


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Which program this is; the number is always 1."""

    version: str
    python: str
    info: int = 1


def build_info() -> list[BuildInfo]:
    """Tell which program this is."""
    return [BuildInfo(metadata.version("imgd"), platform.python_version())]


def members_of(engine: Engine) -> Members:
    """Find the processes of an engine's daemon."""

    def members() -> Iterable[tuple[Role, int]]:
        crew = engine.crew()
        yield "daemon", os.getpid()
        if crew.template_pid:
            yield "template", crew.template_pid
        for _, pid in crew.workers:
            if pid:
                yield "worker", pid

    return members


class Processes:
    """The latest look at all processes."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._latest = [ProcessFigures(role, 0, 0, 0) for role in ("daemon", "template", "worker")]
        self._one = trio.CapacityLimiter(1)
        self._again_at = 0.0
        self._descriptors = Descriptors(0, 0)

    async def look(self) -> None:
        """Look anew, if the last time is a while ago; what cannot be had within LOOK_LIMIT_S stays as it was."""
        if trio.current_time() < self._again_at:
            return
        self._again_at = trio.current_time() + LOOK_AGAIN_S
        members = list(self._members())
        with trio.move_on_after(LOOK_LIMIT_S), suppress(NoThread):
            self._latest, self._descriptors = await in_thread(_look, members, limiter=self._one)

    def statistics(self) -> list[ProcessFigures]:
        """Tell what was seen."""
        return self._latest

    def descriptors(self) -> Descriptors:
        """Tell how many descriptors were open."""
        return self._descriptors


def _look(members: Iterable[tuple[Role, int]]) -> tuple[list[ProcessFigures], Descriptors]:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return figures_of(members), Descriptors(len(os.listdir("/proc/self/fd")) - 1, most)


def figures_of(members: Iterable[tuple[Role, int]]) -> list[ProcessFigures]:
    """Add up the processes by role; one that is gone counts for nothing."""
    counts: dict[Role, list[int]] = {"daemon": [0, 0, 0], "template": [0, 0, 0], "worker": [0, 0, 0]}
    for role, pid in members:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
        except OSError:
            continue
        figures = counts[role]
        figures[0] += 1
        for at, pattern in ((1, _PSS), (2, _RSS)):
            found = pattern.search(text)
            figures[at] += int(found[1]) * 1024 if found else 0
    return [ProcessFigures(role, *figures) for role, figures in counts.items()]
