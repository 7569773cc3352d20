"""A root in a temporary directory, watched for real, with a real store; frames say how long they are."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from imgd.errors import ImgdError, NoSuchFrame
from imgd.events.event import Draft
from imgd.events.opening import open_store
from imgd.events.store import Change, Store, StoreDown
from imgd.setting_kinds import Root
from imgd.watching.drafts import Described
from imgd.watching.root import RootWatch
from imgd.watching.state import WatchSettings, WatchStatistics

ROOT = "night"
LIMIT_S = 20.0  # Of a whole test; never reached unless something hangs.
QUIET_S = 0.25
OLD_S = 3600.0


def frame_bytes(size: int = 1000, fill: bytes = b"x") -> bytes:
    """A frame of this many bytes that says so."""
    return (b"%08d" % size).ljust(size, fill)


class Breakable:
    """A store whose server goes away now and then. `down` says why; `lost_replies` commits are done, but not told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.down = ""
        self.lost_replies = 0
        self.notes: list[list[Change]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def note(self, changes: list[Change]) -> Any:
        if self.down:
            raise StoreDown(self.down)
        self.notes.append(changes)
        ids = await self._store.note(changes)
        if self.lost_replies:
            self.lost_replies -= 1
            raise StoreDown("the reply was lost")
        return ids

    def index(self, root: str, page: int = 10_000) -> AsyncIterator[Any]:
        if self.down:
            raise StoreDown(self.down)
        return self._store.index(root, page)


@dataclass
class Watched:
    """A root that is watched.

    progress what was told of looks through it.
    answers  what `describe` raises for a name, once each.
    gate     what each describe waits for.
    """

    directory: Path
    store: Any
    watch: RootWatch
    asked: list[str] = field(default_factory=list)
    answers: dict[str, list[ImgdError]] = field(default_factory=dict)
    gate: Callable[[], Awaitable[None]] | None = None
    before: int = 0
    progress: list[Draft] = field(default_factory=list)

    @property
    def figures(self) -> WatchStatistics:
        return self.watch.statistics()

    async def describe(self, name: str) -> Described:
        self.asked.append(name)
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate()
        if failures := self.answers.get(name):
            raise failures.pop(0)
        path = self.directory / os.fsdecode(name.partition("/")[2].encode("utf-8", "surrogateescape"))
        try:
            data = path.read_bytes()
        except OSError:
            raise NoSuchFrame("there is none") from None
        if not data[:8].isdigit():
            return Described(complete=False, hdu={}, why="no frame at all")
        return Described(complete=len(data) >= int(data[:8]), hdu={"EXPTIME": 2.5})

    async def drafts(self) -> list[Draft]:
        """All events so far, of this test's part."""
        return [event.draft for event in await self.store.read(self.before, 100_000)]

    async def told(self) -> list[str]:
        """All events so far, in words."""
        return [f"{draft.type} {draft.path}".strip() for draft in await self.drafts()]

    async def tells(self, *words: str, quiet_s: float = 0.0) -> None:
        """Wait until just this was told, in any order, and see that nothing follows."""
        want = sorted(words)
        with trio.move_on_after(LIMIT_S / 2):
            while sorted(told := await self.told()) != want:
                await trio.sleep(0.005)
            await trio.sleep(quiet_s)
        told = sorted(await self.told())
        assert told == want, f"{self.figures}; asked: {self.asked}"

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Wait until something is so."""
        with trio.move_on_after(LIMIT_S / 2):
            while not is_so():
                await trio.sleep(0.005)
            return
        raise AssertionError(f"never so: {self.figures}")

    async def is_calm(self) -> None:
        """Wait until there is nothing left to do."""
        await self.until(lambda: not (self.figures.scanning or self.figures.unsettled or self.figures.unnoted))

    def write(self, name: str | bytes, data: bytes | None = None) -> Path:
        """Write a frame in one piece."""
        path = self.directory / os.fsdecode(name)
        path.write_bytes(frame_bytes() if data is None else data)
        return path


@asynccontextmanager
async def watching(folder: Path, scanned: bool = True, **settings: Any) -> AsyncIterator[Watched]:
    """Watch `folder / "root"`; with `scanned`, from when its first look through all is over."""
    settings = {"settle_s": QUIET_S, "presence_s": 0.05} | settings
    directory = folder / "root"
    with trio.fail_after(LIMIT_S):
        async with open_store(f"sqlite:{folder}/events.db") as real, trio.open_nursery() as nursery:
            store: Any = Breakable(real)
            rig: Watched

            async def describe(name: str) -> Described:
                return await rig.describe(name)

            progress: list[Draft] = []
            how = WatchSettings(**settings)
            watch = RootWatch(Root(ROOT, directory), store, describe, how, tell=progress.append)
            rig = Watched(directory, store, watch, progress=progress)
            rig.before = (await real.head()).last
            nursery.start_soon(watch.run)
            if scanned:
                await rig.until(lambda: watch.statistics().scans_total)
                await rig.is_calm()
                rig.before = (await real.head()).last
            yield rig
            nursery.cancel_scope.cancel()


def age(path: Path) -> None:
    """Make a file old."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns - int(OLD_S * 1e9)))


@contextmanager
def appending(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Keep a file open, and write to it."""
    with path.open("ab", buffering=0) as file:
        yield file.write
