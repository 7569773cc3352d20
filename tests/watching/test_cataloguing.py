"""Looking into frames in the background: each once, when nobody wants anything, whatever the engine and store do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.errors import BadFrame, Busy, ImgdError, NoSuchFrame, WorkerLost
from imgd.events.catalogue import RootSeen
from imgd.events.catalogue_query import Query
from imgd.events.headers import Looked
from imgd.events.opening import open_store
from imgd.events.store import Store, StoreDown
from imgd.watching import cataloguing
from imgd.watching.cataloguing import Cataloguing
from imgd.watching.drafts import Described
from imgd.watching.state import WatchStatistics

LIMIT_S = 20.0
PAUSE_S = 0.001


@dataclass
class Sign:
    """What the background sees of a watch."""

    name: str = "night"
    present: bool = True
    scans: int = 0

    @property
    def seen(self) -> RootSeen:
        return RootSeen(self.name, self.present, True)

    def statistics(self) -> WatchStatistics:
        return WatchStatistics(
            root=self.name, present=int(self.present), polling=0, directories=0, frames=0, scanning=0, scanned=0,
            scans_total=self.scans, unsettled=0, unnoted=0, overflows_total=0, describes_total=0, events_total=0,
        )  # fmt: skip


class Breakable:
    """A store that may be down."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.down = ""
        self.kept: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def unlooked(self, *given: Any) -> Any:
        if self.down:
            raise StoreDown(self.down)
        return await self._store.unlooked(*given)

    async def keep(self, looked: list[Looked]) -> None:
        if self.down:
            raise StoreDown(self.down)
        self.kept.append(len(looked))
        await self._store.keep(looked)


@dataclass
class Rig:
    """A store with frames, and an engine that answers as it is told."""

    store: Any
    sign: Sign = field(default_factory=Sign)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, list[ImgdError]] = field(default_factory=dict)
    at_rest: bool = True
    background: Cataloguing = field(init=False)

    async def describe(self, name: str) -> Described:
        assert self.at_rest, "it was begun while somebody waited"
        self.asked.append(name)
        await trio.lowlevel.checkpoint()
        if failures := self.answers.get(name):
            raise failures.pop(0)
        return Described(complete=True, hdu={"OBJECT": name})

    async def described(self) -> int:
        return int((await self.store.search(Query(("night",)), LIMIT_S)).described)

    async def until(self, is_so: Callable[[], Any]) -> None:
        while not is_so():
            await trio.sleep(0.005)

    async def until_described(self, count: int) -> None:
        while await self.described() != count:
            await trio.sleep(0.005)


@asynccontextmanager
async def looking(folder: Path, *names: bytes, pause_s: float = PAUSE_S) -> AsyncIterator[Rig]:
    """Have the background at work on frames with these names, each newer than the one before."""
    with trio.fail_after(LIMIT_S):
        async with open_store(f"sqlite:{folder}/events.db") as real, trio.open_nursery() as nursery:
            rig = Rig(Breakable(real))
            await real.fill("night", {name: f"5:{number}" for number, name in enumerate(names)} | {b"\0": "1"})
            watches: Any = [rig.sign]
            rig.background = Cataloguing(rig.store, watches, rig.describe, lambda: rig.at_rest, pause_s=pause_s)
            nursery.start_soon(rig.background.run)
            yield rig
            nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOOK_EACH_S": 0.01, "DOWN_S": 0.01, "REST_EACH_S": 0.005, "AGAIN_S": 0.05}.items():
        monkeypatch.setattr(cataloguing, name, value)
    monkeypatch.setattr(cataloguing, "BUSY_S", (0.001, 0.01))
    monkeypatch.setattr(cataloguing, "PAGE", 4)


async def test_each_frame_is_looked_into_once_the_newest_first(tmp_path: Path) -> None:
    names = [b"%d.fits" % number for number in range(9)] + [b"\xff.fits"]
    async with looking(tmp_path, *names) as rig:
        await rig.until_described(10)
        await trio.sleep(0.1)
        rig.sign.scans += 1
        await trio.sleep(0.1)
    assert rig.background.statistics().looked_total == 10
    assert rig.asked == [f"night/{name.decode('utf-8', 'surrogateescape')}" for name in reversed(names)]
    assert len(rig.store.kept) <= 3, "a page is kept by one commit"
    async with looking(tmp_path, *names) as rig:  # The next daemon.
        await trio.sleep(0.1)
        assert rig.asked == []


async def test_frames_of_one_time_beyond_a_page_are_all_looked_into(tmp_path: Path) -> None:
    async with looking(tmp_path) as rig:
        await rig.store.fill("night", {b"%d" % number: "5:7" for number in range(30)} | {b"empty": "0:7"})
        rig.sign.scans += 1
        await rig.until_described(31)
    assert len(rig.asked) == len(set(rig.asked)) == 30


async def test_one_that_fails_is_marked_and_looked_into_again_only_when_it_changes(tmp_path: Path) -> None:
    async with looking(tmp_path) as rig:
        rig.answers = {"night/bad": [BadFrame("no frame")], "night/worse": [WorkerLost("it crashed")]}
        await rig.store.fill("night", {b"bad": "5:1", b"worse": "5:2", b"good": "5:3"})
        rig.sign.scans += 1
        await rig.until_described(3)
        rows = (await rig.store.search(Query(("night",), order="name"), LIMIT_S)).rows
        assert [(row.path, row.why) for row in rows] == [(b"bad", "no frame"), (b"good", ""), (b"worse", "it crashed")]
        for _ in range(3):
            rig.sign.scans += 1
            await trio.sleep(0.03)
        assert len(rig.asked) == 3
        assert rig.background.statistics().failed_total == 2


async def test_one_that_cannot_be_opened_is_left_and_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    names = [b"%d" % number for number in range(6)] + [b"z%d" % number for number in range(5)]
    async with looking(tmp_path) as rig:
        rig.answers = {f"night/z{number}": [NoSuchFrame("none")] for number in range(5)}
        await rig.store.fill("night", {name: "5:9" if name.startswith(b"z") else "5:1" for name in names})
        rig.sign.scans += 1
        await rig.until_described(6)
        rig.sign.scans += 1
        await trio.sleep(0.1)
        assert len(rig.asked) == 11
        assert rig.background.statistics().shut == 5


async def test_nothing_is_begun_while_somebody_waits_or_the_root_is_away(tmp_path: Path) -> None:
    async with looking(tmp_path, b"a", b"b") as rig:
        rig.at_rest = False
        await trio.sleep(0.1)
        assert rig.asked == []
        rig.sign.present = False
        rig.at_rest = True
        await rig.until_described(2)
        await rig.store.fill("night", {b"c": "5:5"})
        rig.sign.scans += 1
        await trio.sleep(0.1)
        assert "night/c" not in rig.asked
        rig.sign.present = True
        await rig.until_described(3)


async def test_a_busy_engine_and_a_store_that_is_down_are_waited_for(tmp_path: Path) -> None:
    async with looking(tmp_path) as rig:
        rig.answers = {"night/a": [Busy("later", 0.001) for _ in range(12)]}
        rig.store.down = "the disk is full"
        await rig.store.fill("night", {b"a": "5:1", b"b": "5:2"})
        rig.sign.scans += 1
        await trio.sleep(0.05)
        assert rig.asked == []
        rig.store.down = ""
        await rig.until_described(2)
        assert rig.asked.count("night/a") == 13


async def test_a_pause_of_nothing_means_never(tmp_path: Path) -> None:
    async with looking(tmp_path, b"a", pause_s=0.0) as rig:
        await trio.sleep(0.1)
        assert rig.asked == []
