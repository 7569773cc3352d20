"""What a connection to a store's database can do; SQLite and PostgreSQL differ here and nowhere else.

Everything blocks, and is called from threads.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from imgd.events.catalogue_sql import Dialect, Statement
from imgd.events.event import Event, event_of
from imgd.events.headers import Looked
from imgd.events.orders import EnterRoot, Fill, Keep, Key, Row
from imgd.events.store import Head, StoreDown, WrongStore

log = logging.getLogger("imgd.events")

_SKIP: Final = 250  # Rows of which none could be read: that many are looked at next.


class SchemaTooNew(WrongStore):
    """A newer imgd has written this store."""

    def __init__(self, version: int, known: int) -> None:
        super().__init__(f"was written by a newer imgd (schema {version}, this one knows {known})")


class Undone(StoreDown):
    """The connection was lost, and what was asked is surely not done."""


class Collided(StoreDown):
    """Another daemon was in the way (a deadlock); nothing is done, and it can be tried again at once."""


class TookTooLong(StoreDown):
    """The database is there, but has not found what was asked for within the limit."""


class Session(Protocol):
    """One connection, used by one thread at a time.

    Every method raises StoreDown. After any exception the session is closed, which undoes an open transaction.
    `begin` to `finish` are the parts of one transaction; each other method is a transaction of its own.
    """

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def identities(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look up what the index knows, without a lock."""
        ...

    def lock(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look it up again, so that nobody else changes these, known or not, before the transaction's end.

        keys  ascending: whoever locks in the same order is never in a deadlock.
        """
        ...

    def put(self, identities: Mapping[Key, str | None]) -> None:
        """Set what the index knows of keys that are locked; None: forget it, and its header."""
        ...

    def put_headers(self, looked: Sequence[Looked]) -> None:
        """Set what is known of headers of frames that are locked, where they have this identity."""
        ...

    def finish(self, rows: Sequence[Row]) -> int:
        """Append events, taking their ids in the last statement, and commit; return the last id (0: no rows)."""
        ...

    def fill(self, order: Fill) -> None:
        """Put frames into the index that it does not have; those that it has are newer."""
        ...

    def enter_root(self, order: EnterRoot) -> bool:
        """Note a root's directory; tell whether the root was known by its name."""
        ...

    def renew_epoch(self, epoch: str) -> Head:
        """Begin a new epoch if it is still this one."""
        ...

    def forget(self, id: int) -> int:
        """Delete the events up to this id."""
        ...

    def head(self) -> Head:
        """Read the log's state."""
        ...

    def read(self, after: int, limit: int) -> list[Event]:
        """Read events; one that cannot be read is left out, as if it were forgotten."""
        ...

    def page(self, root: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Read a page of a root's index, by path."""
        ...

    def keep(self, order: Keep) -> None:
        """Set what is known of headers of frames that still have this identity."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Tell in which words `select` is asked."""
        ...

    def select(self, statements: Sequence[Statement], limit_s: float) -> list[list[tuple[Any, ...]]]:
        """Read rows for each statement, all as of one moment.

        Raises  TookTooLong.
        """
        ...

    def last_before(self, at: str, now: str) -> int:
        """Find the last id that is older than `at` and lies before all that are younger; 0 if there is none.

        now  what is dated later says nothing: somebody's clock was wrong.
        """
        ...

    def rest(self) -> None:
        """Do what may be done when there is nothing else to do."""
        ...

    def close(self) -> None:
        """Close the connection; never raises."""
        ...


class Seen:
    """The highest id that this process has seen, and in which epoch; called by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = ""
        self._last = 0
        self._unreadable = 0

    @property
    def place(self) -> tuple[str, int]:
        """Epoch and id."""
        with self._lock:
            return self._epoch, self._last

    def saw(self, epoch: str, last: int) -> None:
        """Take note of a head, or of events of the epoch that is known (`epoch` then is "")."""
        with self._lock:
            if epoch and epoch != self._epoch:
                self._epoch, self._last = epoch, last
            self._last = max(self._last, last)

    def is_news(self, unreadable: int) -> bool:
        """Tell, once, that this is the highest id so far whose event cannot be read."""
        with self._lock:
            before, self._unreadable = self._unreadable, max(self._unreadable, unreadable)
            return unreadable > before


class Database(Protocol):
    """A database that sessions can be opened with."""

    seen: Seen

    def open(self) -> Session:
        """Open a session of a store whose schema is up to date and whose epoch is true.

        Raises  StoreDown.
        """
        ...

    async def listen(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        """Call `nudge` after commits of other processes, until cancelled or the connection is lost; `ready` first.

        Raises  StoreDown if it cannot listen.
        """
        ...


def is_behind(head: Head, before: tuple[str, int]) -> bool:
    """Tell whether a store has lost what was seen before it was asked."""
    epoch, last = before
    return head.epoch == epoch and head.last < last


def readable(
    rows: Callable[[int, int], Sequence[tuple[int, bytes]]], after: int, limit: int, seen: Seen
) -> list[Event]:
    """Read events after an id, `limit` at most; none only if there is none that can be read.

    One that cannot be read is left out, and logged once: who follows the log is told that it is missing.

    rows  gives ids and bodies after an id, ascending, as many as there are of so many.
    """
    size = limit
    while True:
        found = rows(after, size)
        events: list[Event] = []
        for id, body in found:
            try:
                events.append(event_of(id, body))
            except msgspec.DecodeError as error:
                if seen.is_news(id):
                    log.error("event %d cannot be read, and is left out: %s", id, error)
        if found:
            seen.saw("", found[-1][0])
        if events or not found or len(found) < size:
            return events[:limit]
        after, size = found[-1][0], max(limit, _SKIP)
