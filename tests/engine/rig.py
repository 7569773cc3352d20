"""An engine that runs, with stand-in steps: frames that misbehave on demand, and what the kernel says of it all."""

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import Cut, Format, Levels, Quantiles, Size, View
from imgd.access.roots import Roots
from imgd.config import Settings
from imgd.engine.reaping import become_subreaper
from imgd.engine.render import Engine, open_engine
from imgd.engine.supervise import Floor
from imgd.engine.workers import TemplateSettings
from imgd.model import Asker
from imgd.setting_kinds import MIB, Root
from tests.rig import engine_steps
from tests.rig.bench import alive, census
from tests.rig.engine_steps import Frame, frame_bytes

ROOT = "night"
LIMIT_S = 20.0  # Of one whole engine; never reached unless something hangs.
SOON_S = 3.0  # For what happens at once, on a machine that others keep busy.
POLL_S = 0.002
OLD_S = 100.0  # Age of frames, unless a test wants one that was written just now.
DESCRIPTORS_OF_A_WORKER = 4  # Its socket, its pidfd, the one by which its end is known, and its stderr.
ASKER = Asker()
PLAIN = Frame()


@dataclass(frozen=True)
class Picture:
    """An answer, read to its end."""

    etag: str
    media_type: str
    facts: str
    body: bytes


@dataclass(frozen=True)
class Held:
    """What the engine holds: equal before and after, or something leaked."""

    jobs: int
    errands: int
    reserved_bytes: int
    leased_bytes: int
    descriptors: int  # Without those of segments and of workers that live.
    children: frozenset[int]


@dataclass
class Running:
    """A running engine and its folder of frames."""

    engine: Engine
    folder: Path
    settings: Settings

    @property
    def floor(self) -> Floor:
        return self.engine.floor

    def put(self, name: str, frame: Frame = PLAIN, seed: int = 0, age_s: float = OLD_S) -> bytes:
        """Write a frame in place; return its bytes."""
        octets = frame_bytes(frame, seed)
        path = self.folder / name
        path.write_bytes(octets)
        if age_s:
            at_ns = path.stat().st_mtime_ns - int(age_s * 1e9) + seed
            os.utime(path, ns=(at_ns, at_ns))
        return octets

    def gate(self, name: str) -> str:
        """Name a gate: the act that waits for it."""
        return f"gate {self.folder.parent / name}.gate"

    def open_gate(self, name: str) -> None:
        """Let who waits there go on, and whoever comes later."""
        (self.folder.parent / f"{name}.gate").touch()

    async def picture(self, wanted: View, asker: Asker = ASKER) -> Picture:
        """Ask for a picture and read all of it."""
        async with self.engine.render(wanted, asker) as answer:
            body = b"".join([chunk async for chunk in answer.chunks()])
            assert answer.size_bytes == len(body)
            return Picture(answer.etag, answer.media_type, answer.facts, body)

    async def tile(self, wanted: View, level: int, column: int, row: int) -> Picture:
        """Ask for one tile."""
        async with self.engine.render(TileView(wanted, level, column, row), ASKER) as answer:
            body = b"".join([chunk async for chunk in answer.chunks()])
            return Picture(answer.etag, answer.media_type, answer.facts, body)

    async def header(self, name: str) -> Any:
        """Ask for a header document and read it."""
        async with self.engine.header(f"{ROOT}/{name}", ASKER) as answer:
            assert answer.media_type == "application/json"
            return json.loads(b"".join([chunk async for chunk in answer.chunks()]))

    def lines(self) -> list[str]:
        """Tell what the workers noted, without their pids."""
        return [line.split()[0] for line in _read(self.folder.parent / "log").splitlines()]

    def done(self) -> Counter[str]:
        """Count the steps that were begun."""
        return Counter(self.lines())

    async def until_noted(self, line: str, times: int = 1) -> None:
        """Wait until workers have noted a line so often."""
        await until(lambda: self.done()[line] >= times)

    def workers(self) -> list[int]:
        """Ask the kernel for the template's children."""
        return children_of(self.engine.statistics().template_pid)

    def busy_workers(self) -> list[int]:
        """Tell the workers that have a segment open or mapped, zombies left out."""
        return [pid for pid in self.workers() if holds_segments(pid)]

    def held(self) -> Held:
        """Take stock."""
        now = self.engine.statistics()
        ours = census()
        descriptors = ours.descriptors - ours.segments - DESCRIPTORS_OF_A_WORKER * now.workers_alive
        return Held(
            now.jobs, len(self.floor.errands), now.reserved_bytes, now.leased_bytes, descriptors, ours.children
        )  # fmt: skip

    async def nothing_is_left_of(self, before: Held, worker: int = 0) -> None:
        """Wait until all is as it was before, and a worker gone."""
        with trio.move_on_after(SOON_S):
            while self.held() != before or (worker and alive(worker)):
                await trio.sleep(POLL_S)
        assert self.held() == before
        assert not (worker and alive(worker))
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until nothing is being done or read and no worker has anything; then check all that can be checked."""

        def is_quiet() -> bool:
            now = self.engine.statistics()
            return not (now.jobs or now.workers_busy or now.reserved_bytes or now.leased_bytes or self.floor.errands)

        await until(is_quiet)
        await until(lambda: not self.busy_workers())
        self.floor.core.check_all()
        assert self.engine.statistics().kernel_bytes <= self.settings.budget_bytes


@asynccontextmanager
async def running(
    folder: Path, template: TemplateSettings | None = None, wait: bool = True, check: bool = True, **settings: Any
) -> AsyncIterator[Running]:
    """Run an engine, and wait until it has a template; afterwards this process has open and running what it had."""
    become_subreaper()
    before = census()
    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    defaults: dict[str, Any] = {
        "workers_max": 2, "worker_threads": 1, "budget_bytes": 64 * MIB, "step_limit_s": 10.0, "memory_wait_s": 10.0,
    }  # fmt: skip
    given = Settings(roots=(Root(ROOT, frames),), **defaults | settings)
    with trio.fail_after(LIMIT_S), _logging_to(folder / "log"):
        async with open_engine(given, Roots(given).open, template or stand_in()) as engine:
            rig = Running(engine, frames, given)
            if wait:
                await until(lambda: not engine.ready(), LIMIT_S)
            yield rig
    assert not check or census() == before


def look(name: str, low: float = 0.0, picture_format: Format = "jpeg") -> View:
    """A view whose tiles need nothing but the file; `low` tells apart views."""
    return View(f"{ROOT}/{name}", levels=Cut(low, 255.0), stretch="linear", format=picture_format)


def stand_in(serve: str = engine_steps.SERVE, warm: str = engine_steps.WARM) -> TemplateSettings:
    """Choose the stand-in steps."""
    return TemplateSettings(serve=serve, warm=warm)


def view(name: str, width_px: int = 32, low: float = 0.05, quality: int = 85, picture_format: Format = "jpeg") -> View:
    """A view of a frame; `low` tells apart views of the same plane."""
    levels: Levels = Quantiles(low, 0.999)
    return View(f"{ROOT}/{name}", size=Size(width_px), levels=levels, format=picture_format, quality=quality)


async def until(true: Callable[[], bool], limit_s: float = SOON_S) -> None:
    """Wait for what no event tells."""
    with trio.fail_after(limit_s):
        while not true():
            await trio.sleep(POLL_S)


def holds_segments(pid: int) -> bool:
    """Tell whether a process has a segment of ours mapped or open; False when it is gone."""
    if "memfd:imgd" in _read(Path(f"/proc/{pid}/maps")):
        return True
    try:
        return any("memfd:imgd" in os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Tell the children of a process that live."""
    return [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split() if alive(int(child))]


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to one process."""
    os.kill(pid, number)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    os.environ[engine_steps.LOG] = str(path)
    try:
        yield
    finally:
        del os.environ[engine_steps.LOG]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
