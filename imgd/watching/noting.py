"""On the way to the store: what was found out is kept until it is stored, whatever becomes of the store."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import trio

from imgd.events.event import Draft
from imgd.events.store import Store, StoreDown
from imgd.watching.drafts import Fact, change_of

log = logging.getLogger("imgd.watching")

BATCH_MAX: Final = 500
FACTS_MAX: Final = 50_000
_DRAFTS_MAX: Final = 100
_PAUSE_S: Final = (0.05, 5.0)  # First and longest pause before a store that is down is tried again; doubles.

T = TypeVar("T")
Noted = Callable[[Fact, bool], None]
"""Called when a fact is stored, with whether it made an event."""
Confirm = Callable[[Sequence[Fact]], Awaitable[Sequence[Fact]]]
"""Look again, right before facts are stored; return those that still hold."""


async def insist(work: Callable[[], Awaitable[T]]) -> T:
    """Do it again, ever more seldom, until the store is there."""
    pause_s, longest_s = _PAUSE_S
    while True:
        try:
            return await work()
        except StoreDown as down:
            if pause_s == _PAUSE_S[0]:
                log.warning("the event store does not take what was seen: %s", down)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)


class Outbox:
    """Facts about the files of one root that are not stored yet; the later one of two about a file replaces it.

    Full, it forgets what it holds and says so once: the root is to be looked through again. What a store refuses for
    good, as no fact of a kind it takes, is left out and logged.

    confirm  None: the root is not there, nobody can look.
    """

    def __init__(self, root: str, store: Store, noted: Noted, forgotten: Callable[[], None]) -> None:
        self._root = root
        self._store = store
        self._noted = noted
        self._forgotten = forgotten
        self.confirm: Confirm | None = None
        self._facts: dict[bytes, Fact] = {}
        self._sending: dict[bytes, Fact] = {}
        self._drafts: deque[Draft] = deque(maxlen=_DRAFTS_MAX)
        self._telling = 0
        self._filled = trio.Event()
        self._index = trio.Lock()  # Held by who changes the index: what is noted stays in the order it was seen.

    def __contains__(self, path: bytes) -> bool:
        return path in self._facts or path in self._sending

    def __len__(self) -> int:
        return len(self._facts) + len(self._sending) + len(self._drafts) + self._telling

    def put(self, fact: Fact) -> None:
        """Have a fact stored."""
        if len(self._facts) >= FACTS_MAX and fact.path not in self._facts:
            self._facts.clear()
            self._forgotten()
        self._facts.pop(fact.path, None)
        self._facts[fact.path] = fact
        self._filled.set()

    def tell(self, draft: Draft) -> None:
        """Have an event about the root appended, behind the facts there are now."""
        self._drafts.append(draft)
        self._filled.set()

    async def fill(self, choose: Callable[[], Mapping[bytes, str]]) -> None:
        """Put frames into the index without an event; `choose` says which, when nothing else is on its way there.

        Raises  StoreDown.
        """
        async with self._index:
            if known := choose():
                try:
                    await self._store.fill(self._root, known)
                except ValueError:
                    for path, identity in known.items():
                        await self._fill_one(path, identity)

    async def paths(self) -> tuple[bytes, ...]:
        """Wait until the store has what is on its way there; return the files of the facts that it has not got."""
        async with self._index:
            return tuple(self._facts)

    async def run(self) -> None:
        """Store facts until cancelled; those that are not stored by then are found again by the next start."""
        while True:
            while not (self._facts or self._drafts):
                self._filled = trio.Event()
                await self._filled.wait()
            drafts = len(self._drafts)
            for _ in range(-(-len(self._facts) // BATCH_MAX)):
                await self._send()
            for _ in range(min(drafts, len(self._drafts))):
                self._telling = 1
                await insist(partial(self._store.publish, (self._drafts.popleft(),)))
                self._telling = 0

    async def _send(self) -> None:
        async with self._index:
            batch = [self._facts[path] for path, _ in zip(self._facts, range(BATCH_MAX), strict=False)]
            for fact in batch:
                self._sending[fact.path] = self._facts.pop(fact.path)
            try:
                held = batch if self.confirm is None else await self.confirm(batch)
                try:
                    stored = await self._note(held) if held else []
                except ValueError:
                    stored = [each for fact in held for each in await self._note_one(fact)]
            finally:
                self._sending.clear()
            for fact, told in stored:
                self._noted(fact, told)

    async def _note(self, facts: Sequence[Fact]) -> list[tuple[Fact, bool]]:
        """Have facts stored; tell which made events.

        Raises  ValueError: the store refuses one of them, and has none.
        """
        changes = [change_of(self._root, fact) for fact in facts]
        ids = await insist(lambda: self._store.note(changes))
        return [(fact, id_ is not None) for fact, id_ in zip(facts, ids, strict=True)]

    async def _note_one(self, fact: Fact) -> list[tuple[Fact, bool]]:
        try:
            return await self._note([fact])
        except ValueError as error:
            self._refused(fact.path, error)
            return []

    async def _fill_one(self, path: bytes, identity: str) -> None:
        try:
            await self._store.fill(self._root, {path: identity})
        except ValueError as error:
            self._refused(path, error)

    def _refused(self, path: bytes, error: ValueError) -> None:
        log.warning("root %s: no store takes what was seen of %r: %s", self._root, path[:80], error)
