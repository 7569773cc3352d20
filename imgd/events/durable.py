"""The store: one thread that writes, a few connections that read, over either database."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import trio

from imgd.entry import rfc3339
from imgd.events import orders
from imgd.events.catalogue_query import Found, Query
from imgd.events.catalogue_sql import found_of, select_page, select_unlooked, unlooked_of
from imgd.events.event import Draft, Event
from imgd.events.headers import Looked, Unlooked
from imgd.events.lending import Lending
from imgd.events.patience import Patience
from imgd.events.scribe import Scribe, ScribeStatistics, writing
from imgd.events.sessions import Database, Session, is_behind
from imgd.events.store import Change, Head, Retention, StoreDown, nobody_asks
from imgd.steady import SteadyClock

_WAITING_MAX: Final = 1024
_READERS_MAX: Final = 4
_SEARCHERS_MAX: Final = 2  # Of their own: who follows the log never waits for who searches.
_UNLOOKED_LIMIT_S: Final = 30.0
_FORGET_EACH: Final = 2_000
_PAGE: Final = 10_000
_LISTEN_AGAIN_S: Final = (0.05, 2.0)


@dataclass(frozen=True)
class StoreStatistics(ScribeStatistics):
    """Figures of a store since it was opened.

    opened_total  connections made, also those made again.
    """

    reads_total: int
    opened_total: int


class DurableStore:
    """A `Store`; what its methods promise is said there. Made by `keeping`."""

    def __init__(
        self, database: Database, patience: Patience, scribe: Scribe, lending: Lending, *, searching: Lending
    ) -> None:
        self._database = database
        self._patience = patience
        self._scribe = scribe
        self._lending = lending
        self._searching = searching
        self._nudged: list[Callable[[], None]] = []
        self._reads = 0
        self._clock = SteadyClock()
        scribe.committed = self._nudge

    async def publish(self, drafts: Sequence[Draft]) -> Sequence[int]:
        """Append events in one transaction; return their ids once they are durable.

        Cancelled: not done; once its commit is under way it is not cancelled any more.

        Raises  StoreDown; ValueError for a draft that no store takes.
        """
        order = orders.publish(drafts)
        return cast("list[int]", await self._scribe.ask(order)) if drafts else []

    async def note(self, changes: Sequence[Change]) -> Sequence[int | None]:
        """Bring the index up to date and append an event for each change that it did not know.

        Cancelled: as `publish`.

        Raises  StoreDown; ValueError for a change that no store takes.
        """
        order = orders.note(changes)
        return cast("list[int | None]", await self._scribe.ask(order)) if changes else []

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """Read events with ids above `after`, ascending, `limit` at most."""
        self._reads += 1
        return await self._lending.use(lambda session: session.read(after, limit))

    async def head(self) -> Head:
        """Tell the log's state; begin a new epoch if events that this process has seen are gone from it."""
        before = self._database.seen.place
        self._reads += 1
        head = await self._lending.use(lambda session: session.head())
        return await self.lost_tail(head.epoch) if is_behind(head, before) else head

    async def lost_tail(self, epoch: str) -> Head:
        """Begin a new epoch, if it is still this one."""
        return cast(Head, await self._scribe.ask(orders.LostTail(epoch)))

    async def prune(self, keep: Retention) -> int:
        """Forget old events, a few at a time so that writers go on; return how many."""
        now_s = self._clock.now_s()
        at, now = (rfc3339(int(moment_s * 1e9)) for moment_s in (now_s - keep.age_s, now_s))
        head = await self.head()
        too_old = await self._lending.use(lambda session: session.last_before(at, now))
        last = min(head.last, max(too_old, head.last - keep.count))
        forgotten = 0
        for id in (*range(head.oldest + _FORGET_EACH - 1, last, _FORGET_EACH), last):
            if id >= head.oldest:
                forgotten += cast(int, await self._scribe.ask(orders.Forget(id)))
        return forgotten

    async def enter_root(self, root: str, directory: str) -> bool:
        """Note which directory a root is now; True if there is an index of its name, whatever directory it was."""
        return cast(bool, await self._scribe.ask(orders.enter_root(root, directory)))

    async def fill(self, root: str, known: Mapping[bytes, str]) -> None:
        """Put frames into the index without an event, in one transaction; those that it has stay as they are."""
        if known:
            await self._scribe.ask(orders.fill(root, known))

    async def index(self, root: str, page: int = _PAGE) -> AsyncIterator[Sequence[tuple[bytes, str]]]:
        """Read the index of a root, page by page, by path; each page is as it is when it is read."""
        after = b""
        while True:
            rows = await self._lending.use(partial(_page, root, after, page))
            if rows:
                yield rows
            if len(rows) < page:
                return
            after = rows[-1][0]

    async def search(self, query: Query, limit_s: float, begins: Callable[[], None] = nobody_asks) -> Found:
        """Read a page of the catalogue, and count; `begins` is called before anything is read."""
        if not query.roots:
            return Found(0, 0, 0, ())
        return await self._searching.use(partial(_search, query, limit_s, begins))

    async def unlooked(self, roots: Sequence[str], after: Unlooked | None, limit: int) -> Sequence[Unlooked]:
        """Read frames whose header is not known as they are now, the newest first, those that follow this one."""
        if not roots:
            return []
        return await self._searching.use(partial(_unlooked, tuple(roots), after, limit))

    async def keep(self, looked: Sequence[Looked]) -> None:
        """Keep what was found in frames, of those that still are what they were then, in one transaction."""
        if looked:
            await self._scribe.ask(orders.Keep(tuple(sorted(looked, key=lambda each: (each.root, each.path)))))

    async def nudges(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        """Call `nudge` whenever something may have been appended, by anybody, until cancelled.

        A connection that is lost is made again; `ready` is called each time it listens.
        """
        pause_s = _LISTEN_AGAIN_S[0]

        def listens() -> None:
            nonlocal pause_s
            pause_s = _LISTEN_AGAIN_S[0]
            ready()

        self._nudged.append(nudge)
        try:
            while True:
                with suppress(StoreDown):
                    await self._database.listen(nudge, listens)
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LISTEN_AGAIN_S[1])
        finally:
            self._nudged.remove(nudge)

    def _nudge(self) -> None:
        for nudge in tuple(self._nudged):
            nudge()

    @property
    def refusal(self) -> str:
        """Tell why the last thing to be written was refused; "" if it was written."""
        return self._scribe.refusal

    def statistics(self) -> StoreStatistics:
        """Tell figures."""
        wrote = self._scribe.statistics()
        return StoreStatistics(**vars(wrote), reads_total=self._reads, opened_total=self._patience.opened)


@asynccontextmanager
async def keeping(database: Database) -> AsyncIterator[DurableStore]:
    """Have a store over a database, with its threads and connections.

    Raises  StoreDown if the database does not answer now.
    """
    patience = Patience(database)
    first = await trio.to_thread.run_sync(patience.open)
    lending = Lending(patience, _READERS_MAX)
    lending.give(first)
    searching = Lending(patience, _SEARCHERS_MAX)
    try:
        async with writing(patience, _WAITING_MAX) as scribe:
            yield DurableStore(database, patience, scribe, lending, searching=searching)
    finally:
        lending.close()
        searching.close()


def _page(root: str, after: bytes, limit: int, session: Session) -> list[tuple[bytes, str]]:
    return session.page(root, after, limit)


def _search(query: Query, limit_s: float, begins: Callable[[], None], session: Session) -> Found:
    begins()
    return found_of(query, *session.select(select_page(query, session.dialect), limit_s))


def _unlooked(roots: tuple[str, ...], after: Unlooked | None, limit: int, session: Session) -> list[Unlooked]:
    return unlooked_of(*session.select([select_unlooked(roots, after, limit, session.dialect)], _UNLOOKED_LIMIT_S))
