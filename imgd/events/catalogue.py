"""The catalogue: all frames of the roots that are served, with what their headers say, searched, in order, by pages."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import trio

from imgd.entry import facts_of, ref_of, shown
from imgd.errors import Busy, NoSuchFrame
from imgd.events.catalogue_query import Found, Named, Order, Query, Row
from imgd.events.search import Compare, read_search
from imgd.events.sessions import TookTooLong
from imgd.events.sharing import Crowded, Sharing
from imgd.events.store import Store, StoreDown
from imgd.threads import NoThread, in_thread

SEARCH_LIMIT_S: Final = 5.0
WAIT_LIMIT_S: Final = 10.0
WAITING_MAX: Final = 128  # Different ones: pages of 50 000 frames without terms take about 40 ms each, two at a time.
_RETRY_AFTER_S: Final = 2.0
_TOO_LONG: Final = "the search took too long; name a directory, or search for less"
_FEW: Final = 100  # Rows that are written at once: a thread's work of 2 ms holds up the loop as well, for as long.
TOLD: Final = (
    "OBJECT", "FILTER", "EXPTIME", "EXPOSURE", "DATE-OBS", "IMAGETYP", "INSTRUME", "TELESCOP", "GAIN", "CCD-TEMP",
    "NAXIS1", "NAXIS2", "NAXIS3",
)  # fmt: skip


class RootSeen(NamedTuple):
    """A root, as it is now. walked: it was looked through since the daemon began, or is not there."""

    name: str
    present: bool
    walked: bool


class Asked(msgspec.Struct, frozen=True):
    """A page as it is asked for. root: "" for all; below: a directory of it, "" for all of it. at: a frame whose place
    is to be told."""

    search: str = ""
    root: str = ""
    below: bytes = b""
    order: Order = "newest"
    offset: int = 0
    limit: int = 100
    at: Named | None = None


class ToldRow(msgspec.Struct, frozen=True):
    """A frame, as it is told. why: it could not be read; None if it could, or is not known yet."""

    ref: str
    name: str
    path: str
    root: str
    modified: str | None
    size_bytes: int
    hdu: dict[str, Any]
    described: bool
    why: str | None


class ToldPage(msgspec.Struct, frozen=True):
    """A page, as it is told: see `Found` for the numbers. rows: a list of `ToldRow`, written already."""

    total: int
    offset: int
    rows: msgspec.Raw
    frames: int
    described: int
    complete: bool
    down: str | None
    at: int | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a search found, for all who share it; pages that are equal are written once."""

    query: Query
    found: Found
    rows: msgspec.Raw
    written: dict[tuple[bool, str], bytes] = field(default_factory=dict)

    def page(self, complete: bool, down: str) -> bytes:
        """Write the page as it is for one who asked."""
        page = self.written.get((complete, down))
        if page is None:
            found = self.found
            page = self.written[complete, down] = msgspec.json.encode(ToldPage(
                found.total, self.query.offset, self.rows, found.frames, found.described, complete, down or None,
                found.at,
            ))  # fmt: skip
        return page


class _Refusal(NamedTuple):
    """Why there is no answer, and in one word what was short."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class CatalogueStatistics:
    """Figures since the start.

    shared_total  that were answered by one that waited already.
    searching     different ones that are being answered, or wait.
    """

    searches_total: int
    shared_total: int
    refused_total: int
    searching: int


class Catalogue:
    """Answers from the store's index; equal searches that wait are one, see `Sharing`.

    roots  tells the roots that are served. down: why the store takes nothing now, so that the index may be behind.
    """

    def __init__(self, store: Store, roots: Callable[[], Sequence[RootSeen]], down: Callable[[], str]) -> None:
        self._store = store
        self._roots = roots
        self._down = down
        self._sharing: Sharing[Query, _Answer | _Refusal] = Sharing(self._find, WAITING_MAX)
        self._searches = self._refused = 0

    async def run(self) -> None:
        """Search for those who ask, until cancelled."""
        await self._sharing.serve()

    async def page(self, asked: Asked) -> bytes:
        """Tell a page, as JSON.

        Blocks while `run` does not run. Cancelled: others who asked for the same are told it.

        Raises  BadRequest naming `search`; NoSuchFrame if there is no such root; Busy if the store does not answer, or
                not in time, or too many ask.
        """
        terms = read_search(asked.search)
        seen = self._roots()
        served = self._served(asked, seen)
        at = asked.at if asked.at and asked.at.root in served else None
        complete = all(root.walked for root in seen if asked.root in ("", root.name))
        query = Query(served, asked.below, terms, asked.order, asked.offset, asked.limit, at)
        self._searches += 1
        try:
            answer = await self._share(query)
        except Busy:
            self._refused += 1
            raise
        return answer.page(complete, self._down())

    def statistics(self) -> CatalogueStatistics:
        """Tell figures."""
        sharing = self._sharing
        return CatalogueStatistics(self._searches, sharing.joined_total, self._refused, sharing.asked)

    def _served(self, asked: Asked, seen: Sequence[RootSeen]) -> tuple[str, ...]:
        """Choose roots: what is not there now cannot be looked at, and is not told of."""
        if not asked.root:
            return tuple(root.name for root in seen if root.present)
        found = next((root for root in seen if root.name == asked.root), None)
        if found is None:
            raise NoSuchFrame(f"there is no root {asked.root!r:.80}", "dir")
        if not found.present:
            raise Busy(f"the directory of root {asked.root!r} is not there", _RETRY_AFTER_S, "root_away")
        return (asked.root,)

    async def _share(self, query: Query) -> _Answer:
        try:
            with trio.fail_after(WAIT_LIMIT_S):
                answer = await self._sharing.ask(query)
        except Crowded as error:
            raise Busy("too many searches wait already", _RETRY_AFTER_S, "searches") from error
        except trio.TooSlowError as error:
            raise Busy(_TOO_LONG, _RETRY_AFTER_S, "searches") from error
        if isinstance(answer, _Refusal):
            raise Busy(answer.text, _RETRY_AFTER_S, answer.reason)
        return answer

    async def _find(self, query: Query, begins: Callable[[], None]) -> _Answer | _Refusal:
        try:
            found = await self._store.search(query, SEARCH_LIMIT_S, begins)
        except TookTooLong:
            return _Refusal(_TOO_LONG, "searches")
        except StoreDown as error:
            why = str(error) or "it does not answer"
            return _Refusal(f"the store that keeps the index of frames is down: {why}", "store")
        if len(found.rows) > _FEW:
            with suppress(NoThread):
                return await in_thread(_answer_of, query, found)
        return _answer_of(query, found)


def _answer_of(query: Query, found: Found) -> _Answer:
    keywords = (*TOLD, *(term.key for term in query.terms if isinstance(term, Compare)))
    return _Answer(query, found, msgspec.Raw(msgspec.json.encode([_told(row, keywords) for row in found.rows])))


def _told(row: Row, keywords: Sequence[str]) -> ToldRow:
    size_bytes, modified = facts_of(row.identity)
    hdu = msgspec.json.decode(row.hdu) if row.hdu else {}
    return ToldRow(
        ref=ref_of(row.root.encode() + b"/" + row.path),
        name=shown(row.path.rpartition(b"/")[2]),
        path=shown(row.path),
        root=row.root,
        modified=modified,
        size_bytes=size_bytes,
        hdu={keyword: hdu[keyword] for keyword in keywords if keyword in hdu},
        described=row.hdu is not None,
        why=row.why or None,
    )
