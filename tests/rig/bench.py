"""What tests of real processes share: a census of this process, and todo lists by hand."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from cgi_worker.source import source_of
from cgi_worker.wire.packets import Lent, Todo
from cgi_worker.wire.steps import Buffer, Deliver, Encode, Parse, Stage
from imgd.engine.segments import Segments
from imgd.engine.workers import TemplateSettings

PAGE = 4096
STAND_IN = TemplateSettings(serve="tests.rig.steps:serve", warm="tests.rig.steps:warm")


def bad(name: str) -> TemplateSettings:
    """Choose a bad worker."""
    return TemplateSettings(serve=f"tests.rig.bad:{name}", warm="tests.rig.steps:warm")


@dataclass(frozen=True)
class Census:
    """What this process has open and running; equal before and after, or something leaked."""

    descriptors: int
    children: frozenset[int]
    segments: int


def census() -> Census:
    """Count descriptors, children (zombies too) and segments."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue  # The listing's own.
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return Census(len(links), frozenset(map(int, children)), sum("memfd:imgd" in link for link in links))


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Job:
    """One todo list over three segments 1, 2, 3: the source into 1 (or 1 filled here), 1 to 2, 2 to 3."""

    segments: Segments
    path: Path | None = None
    qualities: Sequence[int] = (1, 1)
    todo: int = 7
    sink: int = -1
    opened: list[int] = field(default_factory=list)

    def order(self) -> tuple[Todo, list[int]]:
        """Make the list and its descriptors."""
        source, descriptors = "", []
        stages = [Stage(Encode("png", q), (n,), (n + 1,)) for n, q in enumerate(self.qualities)]
        if self.path is not None:
            path_fd = os.open(self.path, os.O_PATH | os.O_CLOEXEC)
            self.opened.append(path_fd)
            source = msgspec.json.encode(source_of(path_fd)).decode()
            descriptors.append(path_fd)
            stages.insert(0, Stage(Parse(), (), (0,)))
        lent = []
        for n in range(len(self.qualities) + 1):
            writable = n > 0 or self.path is not None
            used = 0 if writable else PAGE
            lent.append(
                Lent(Buffer(f"k{n}", PAGE, "u1", (PAGE,)), n + 1, writable, used, "" if writable else '{"said":1}')
            )
            descriptors.append(self.segments.writer_fd(n + 1) if writable else self.segments.reader_fd(n + 1))
        if self.sink >= 0:
            stages.append(Stage(Deliver("head:"), (len(lent) - 1,), ()))
            descriptors.append(self.sink)
        return Todo(
            self.todo, tuple(stages), tuple(lent), source, self.path is not None, self.sink >= 0, threads=1
        ), descriptors

    def close(self) -> None:
        """Close what `order` opened."""
        while self.opened:
            os.close(self.opened.pop())


def make_segments(count: int = 3) -> Segments:
    """Make segments 1.. of one page."""
    segments = Segments()
    for n in range(count):
        segments.create(n + 1, PAGE)
    os.pwrite(segments.writer_fd(1), bytes(range(256)) * (PAGE // 256), 0)
    return segments
