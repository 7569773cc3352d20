"""A store that is a list: what a log may meet, without a database; and events to put into it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from imgd.events.event import Draft, Event, EventType, Scalar, body_of, event_of
from imgd.events.store import Change, Head, Retention, StoreDown


def drafted(name: str = "a.fits", type: EventType = "frame.arrived", **hdu: Scalar) -> Draft:
    return Draft(at="2026-01-31T20:15:00.250Z", type=type, root="night", path=name, hdu=hdu)


def made(*numbers: int) -> list[Event]:
    """Events with these ids; each is named after its own."""
    return [event_of(number, body_of(drafted(f"{number}.fits"))) for number in numbers]


@dataclass(frozen=True)
class ListStatistics:
    published_total: int


@dataclass
class ListStore:
    """Does as a store does; may be told to be down, to forget, to lose its tail, or to wait."""

    epoch: str = "0" * 15 + "1"
    events: list[Event] = field(default_factory=list)
    last: int = 0
    down: str = ""
    refusal: str = ""
    full: str = ""  # Takes nothing, for this reason.
    reads: list[tuple[int, int]] = field(default_factory=list)
    silent: bool = False  # Nudges are lost.
    gate: trio.Event | None = None  # Reads wait for it.
    nudge: Callable[[], None] = lambda: None

    def _look(self) -> None:
        if self.down:
            raise StoreDown(self.down)

    def append(self, *drafts: Draft) -> list[int]:
        """Append as another daemon does."""
        for draft in drafts:
            self.last += 1
            self.events.append(event_of(self.last, body_of(draft)))
        if not self.silent:
            self.nudge()
        return list(range(self.last - len(drafts) + 1, self.last + 1))

    def forget(self, upto: int) -> None:
        self.events = [each for each in self.events if each.id > upto]

    def lose(self, last: int) -> None:
        """Lose what is newer, as a store does that was restored."""
        self.events = [each for each in self.events if each.id <= last]
        self.last = last

    async def publish(self, drafts: Sequence[Draft]) -> Sequence[int]:
        await trio.lowlevel.checkpoint()
        self.refusal = self.down or self.full
        if self.refusal:
            raise StoreDown(self.refusal)
        return self.append(*drafts)

    async def note(self, changes: Sequence[Change]) -> Sequence[int | None]:
        return await self.publish([each.draft for each in changes])

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        self.reads.append((after, limit))
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        self._look()
        return [each for each in self.events if each.id > after][:limit]

    async def head(self) -> Head:
        await trio.lowlevel.checkpoint()
        self._look()
        return Head(self.epoch, self.last, self.events[0].id if self.events else self.last + 1)

    async def lost_tail(self, epoch: str) -> Head:
        if epoch == self.epoch:
            self.epoch = f"{int(epoch, 16) + 1:016x}"
        return await self.head()

    async def prune(self, keep: Retention) -> int:
        self._look()
        before = len(self.events)
        self.forget(self.last - keep.count)
        return before - len(self.events)

    async def enter_root(self, root: str, directory: str) -> bool:
        return False

    async def fill(self, root: str, known: Mapping[bytes, str]) -> None:
        pass

    async def index(self, root: str, page: int = 10_000) -> AsyncIterator[Sequence[tuple[bytes, str]]]:
        for _ in ():
            yield ()

    async def nudges(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        self.nudge = nudge
        ready()
        await trio.sleep_forever()

    def statistics(self) -> ListStatistics:
        return ListStatistics(self.last)
