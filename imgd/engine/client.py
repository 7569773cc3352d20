"""A client's side of one job: submit it, hear how it goes, read its result while it grows, give it back."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from cgi_worker.wire.steps import Recipe
from imgd.core.events import JobId, Released, Submitted, TellEnd, TellGrowth, TellStep, Withdrawn, WorkerId
from imgd.engine.supervise import Errand, Floor
from imgd.errors import Busy, WorkerLost
from imgd.model import Asker, OpenSource, Outcome, Replied
from imgd.origin import origin

DESCRIPTORS_RETRY_S: Final = 2.0
CHUNK_BYTES: Final = 256 << 10  # Read at once: one body for a tile and for most pictures, bounded for who reads slowly.


class Client:
    """What has been heard of one job so far."""

    def __init__(self, floor: Floor, job: JobId) -> None:
        self.job = job
        self.since_s = trio.current_time()
        self.outcome: Outcome | None = None
        self.facts = ""
        self.marks: list[int] = []  # Where the items of the result end, as far as they are final.
        self.steps: list[TellStep] = []  # As they were told; who reads them takes them out.
        self._floor = floor
        self._segment = -1
        self._used_bytes = 0
        self._news = trio.Event()

    @property
    def writing(self) -> bool:
        """True once a worker may have written some of the result where the job delivers."""
        return self._floor.errands[self.job].writing

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the result, once all of them are there."""
        return self._used_bytes if isinstance(self.outcome, Replied) else None

    def hear(self, news: TellGrowth | TellStep | TellEnd) -> None:
        """Note what the core tells; called by the supervise loop."""
        match news:
            case TellGrowth(_, segment, used_bytes, facts, ends):
                self._segment, self._used_bytes, self.facts = segment, used_bytes, facts
                self.marks += ends or (used_bytes,)
            case TellStep():
                self.steps.append(news)
            case TellEnd(_, outcome, segment, used_bytes, facts):
                self.outcome = outcome
                if isinstance(outcome, Replied):
                    self._segment, self._used_bytes, self.facts = segment, used_bytes, facts
        self._news.set()

    async def news(self) -> None:
        """Wait until something is told that was not told before the last call; return at once after the end."""
        if self.outcome is None:
            await self._next_news()

    def read(self, start: int, stop: int) -> bytes:
        """Copy out a part of the result that is final."""
        assert self._segment >= 0 and stop <= self._used_bytes
        return self._floor.segments.read(self._segment, start, stop)

    def drop(self, items: Collection[int]) -> None:
        """Say that some items of the last step are not wanted any more."""
        self._floor.drop(self.job, items)

    async def begun(self) -> Outcome | None:
        """Wait until the first bytes may be read, or the end; return the outcome if it has ended."""
        while self.outcome is None and not self._used_bytes:
            await self._next_news()
        return self.outcome

    async def ended(self) -> Outcome:
        """Wait until the job has ended."""
        while self.outcome is None:
            await self._next_news()
        return self.outcome

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the result in order, as it grows.

        Raises  WorkerLost when the job ends badly in the middle.
        """
        read = 0
        while True:
            if self.outcome is not None and not isinstance(self.outcome, Replied):
                # First of all: the segment is no longer leased to this job, and may hold something else by now.
                raise WorkerLost("the picture broke off: its worker ended while it was being sent")
            if read < self._used_bytes:
                stop = min(self._used_bytes, read + CHUNK_BYTES)
                yield self._floor.segments.read(self._segment, read, stop)
                read = stop
            elif self.outcome is not None:
                return
            else:
                await self._next_news()

    def whole(self) -> bytes:
        """Copy the whole result out; only after Replied."""
        assert isinstance(self.outcome, Replied)
        return self._floor.segments.read(self._segment, 0, self._used_bytes)

    async def _next_news(self) -> None:
        self._news = trio.Event()
        await self._news.wait()


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job is to be carried out, beyond its recipe.

    sink_fd    where a last step writes the result to.
    worker     the CGI that works for itself.
    continues  an earlier job of the same request has had its turn.
    watched    each step is told.
    """

    sink_fd: int = -1
    worker: WorkerId | None = None
    continues: bool = False
    watched: bool = False


PLAIN: Final = Terms()


@asynccontextmanager
async def open_job(
    floor: Floor,
    recipe: Recipe,
    asker: Asker,
    found: OpenSource,
    *,
    terms: Terms = PLAIN,
) -> AsyncIterator[Client]:
    """Submit a job; leaving withdraws it, or gives its result back.

    The descriptors in `found` and `terms` stay the caller's: the job has copies, since it may outlive its client.
    """
    floor.jobs_submitted += 1
    client = Client(floor, floor.jobs_submitted)
    errand = Errand(msgspec.json.encode(found.source).decode(), client.hear, origin())
    floor.errands[client.job] = errand
    try:
        try:
            errand.source_fd = os.dup(found.path_fd)
            errand.sink_fd = os.dup(terms.sink_fd) if terms.sink_fd >= 0 else -1
        except OSError as error:
            raise Busy("too many files are open", DESCRIPTORS_RETRY_S, "descriptors") from error
        at_s = trio.current_time()
        place = found.source.device, found.source.inode
        floor.inbox.put(Submitted(client.job, recipe, asker, at_s, terms.worker, terms.continues, terms.watched, place))
        yield client
    finally:
        floor.inbox.put(Withdrawn(client.job))
        floor.inbox.put(Released(client.job))
