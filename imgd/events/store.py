"""What every event store can do; SQLite and PostgreSQL are the two there are."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from imgd.events.catalogue_query import Found, Query
from imgd.events.event import Draft, Event
from imgd.events.headers import Looked, Unlooked


class StoreDown(Exception):
    """The store cannot take or give anything now (disk full, server gone); the text says why, for /readyz."""


class WrongStore(StoreDown):
    """It is none that could be used, and trying again changes nothing."""


class Head(msgspec.Struct, frozen=True):
    """The log's state at one moment.

    last    id of the newest event; 0 if there was never one.
    oldest  id of the oldest event that is kept; last + 1 if none is.
    """

    epoch: str
    last: int
    oldest: int


class Change(msgspec.Struct, frozen=True):
    """What a watcher saw of one file.

    path      below the root, as its bytes are.
    identity  `size:mtime_ns` of the file as it is now; None: it is gone.
    draft     the event that it makes, if the index did not know it already. The store sets its type: arrived,
              rewritten or gone.
    """

    root: str
    path: bytes
    identity: str | None
    draft: Draft


class Retention(msgspec.Struct, frozen=True):
    """What is kept: events younger than this, and no more of them than that."""

    age_s: float
    count: int


def nobody_asks() -> None:
    """Do nothing: nobody asked to be told."""


class Store(Protocol):
    """A log with dense ids, and the index of frames that are known. All methods may be called by many tasks at once.

    Every method raises StoreDown when the store does not answer; what was asked is then not done, or (a commit whose
    reply was lost) may have been done.
    """

    async def publish(self, drafts: Sequence[Draft]) -> Sequence[int]:
        """Append events in one transaction; return their ids once they are durable.

        Cancelled: not done; once its commit is under way it is not cancelled any more. So is `note`.

        Raises  ValueError for a draft that no store takes: its type or time is none, or its text cannot be encoded.
        """
        ...

    async def note(self, changes: Sequence[Change]) -> Sequence[int | None]:
        """Bring the index up to date and append an event for each change that it did not know, in one transaction.

        Two daemons that see the same change make one event. None: the index knew.
        """
        ...

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """Read events with ids above `after`, ascending, `limit` at most; none only if there is none.

        One that cannot be read is left out; its id is missing, as if it were forgotten.
        """
        ...

    async def head(self) -> Head:
        """Tell the log's state."""
        ...

    async def lost_tail(self, epoch: str) -> Head:
        """Begin a new epoch, if it is still this one: ids that clients have seen are gone from the store."""
        ...

    async def prune(self, keep: Retention) -> int:
        """Forget old events; return how many."""
        ...

    async def enter_root(self, root: str, directory: str) -> bool:
        """Note which directory a root is now; True if there is an index of its name, whatever directory it was.

        A directory may be spelled in two ways, or lie elsewhere on two machines that share it: its index is one.
        """
        ...

    async def fill(self, root: str, known: Mapping[bytes, str]) -> None:
        """Put frames into the index without an event: a first scan. What it knows already is newer, and stays."""
        ...

    def index(self, root: str, page: int = 10_000) -> AsyncIterator[Sequence[tuple[bytes, str]]]:
        """Read the index of a root, page by page, by path."""
        ...

    async def search(self, query: Query, limit_s: float, begins: Callable[[], None] = nobody_asks) -> Found:
        """Read a page of the catalogue, all as of one moment; few do so at the same time, the others wait.

        begins  is called, in a thread, just before that moment.

        Raises  TookTooLong, a StoreDown.
        """
        ...

    async def unlooked(self, roots: Sequence[str], after: Unlooked | None, limit: int) -> Sequence[Unlooked]:
        """Read frames whose header is not known as they are now, the newest first, those that follow this one."""
        ...

    async def keep(self, looked: Sequence[Looked]) -> None:
        """Keep headers, without an event; of a frame that is another one by now it is not kept."""
        ...

    async def nudges(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        """Call `nudge` whenever something may have been appended, by anybody, until cancelled.

        A hint only: readers poll as well. A connection that is lost is made again; `ready` each time it listens.
        """
        ...

    @property
    def refusal(self) -> str:
        """Tell why the last thing to be written was refused (a full disk); "" if it was written."""
        ...

    def statistics(self) -> Any:
        """Tell figures, as a frozen dataclass of numbers."""
        ...
