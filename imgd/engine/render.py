"""Render: the one facade that the web calls. From a view to bytes, whatever it takes in between."""

import hashlib
import itertools
import resource
import signal
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from cgi_worker.wire.facts import Facts, Source, decode_facts
from cgi_worker.wire.recipe import delivered
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted, media_type_of
from imgd.config import Settings
from imgd.core.events import Event
from imgd.core.planner import FACTS_RESULT, HEADER_RESULT, PlanLimits, plan_answer, plan_parse
from imgd.core.scheduler import Limits, Scheduler
from imgd.core.story import Story
from imgd.engine.answer import Qualified
from imgd.engine.client import Client, Terms, open_job
from imgd.engine.forge import Forge
from imgd.engine.inbox import Inbox
from imgd.engine.segments import Segments
from imgd.engine.supervise import EVENTS_MAX, Floor, supervise
from imgd.engine.workers import TemplateSettings
from imgd.errors import BadFrame, BrokeOff, Busy, Gone, NotYours, PlanTooBig, WorkerLost, WorkerTimedOut
from imgd.model import (
    Asker,
    Crashed,
    Failed,
    OpenSource,
    Outcome,
    Refused,
    Replied,
    Resolve,
    Stopped,
    Superseded,
    TimedOut,
)

TEMPLATE_RETRY_S: Final = 5.0
DESCRIPTORS_A_CONNECTION: Final = 4  # Itself, and what its request holds.
DESCRIPTORS_ELSE: Final = 256  # Workers, errands, roots, libraries.
SEGMENTS_MIN: Final = 32  # A plan has five; with fewer than this nothing would be kept.
TRIES_MAX: Final = 4  # A frame that changes under the worker, or a lost template, is tried again; then it is told.


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The budget by use, in bytes; jobs and workers by state; what happened so far."""

    budget_bytes: int
    free_bytes: int
    reserved_bytes: int
    leased_bytes: int
    idle_bytes: int
    spare_bytes: int
    kernel_bytes: int
    segments: int
    jobs: int
    jobs_waiting: int
    jobs_admitted: int
    jobs_reading: int
    workers: int
    workers_busy: int
    workers_alive: int
    template_pid: int
    facts_kept: int
    submitted_total: int
    joined_total: int
    cached_total: int
    stopped_total: int
    refused_total: int
    evicted_total: int
    recycled_total: int
    workers_forked_total: int
    template_starts_total: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """Bytes being made or ready; see `answer.Answer`."""

    etag: str
    media_type: str
    client: Client

    @property
    def facts(self) -> str:
        """JSON said by the steps that made it."""
        return self.client.facts

    @property
    def size_bytes(self) -> int | None:
        """Bytes in all, None while they are being made."""
        return self.client.size_bytes

    def chunks(self) -> AsyncIterator[bytes]:
        """Read the bytes in order, as they are made."""
        return self.client.chunks()


class Engine:
    """The running engine. Made by `open_engine`."""

    def __init__(self, settings: Settings, resolve: Resolve, floor: Floor, forge: Forge) -> None:
        self._resolve = resolve
        self._floor = floor
        self._forge = forge
        self._limits = PlanLimits(settings.budget_bytes, settings.pixels_max)
        self._facts: OrderedDict[Source, Facts] = OrderedDict()
        self._facts_max = settings.facts_max
        self._rows = settings.rows
        self._salts = itertools.count(1)

    @property
    def floor(self) -> Floor:
        """What the supervise loop works with, for those who offer workers of their own."""
        return self._floor

    def renew_workers(self) -> None:
        """Have new workers, who may read what the roots are now; what the present ones do is done again."""
        self._forge.renew()

    def ready(self) -> str:
        """Empty when pictures can be made, else why not."""
        return self._forge.state

    def statistics(self) -> EngineStatistics:
        """Sum up the engine."""
        pool = self._floor.core.pool.statistics()
        core = self._floor.core.statistics()
        forge = self._forge.statistics()
        return EngineStatistics(
            budget_bytes=pool.budget_bytes, free_bytes=pool.free_bytes, reserved_bytes=pool.reserved_bytes,
            leased_bytes=pool.leased_bytes, idle_bytes=pool.idle_bytes, spare_bytes=pool.spare_bytes,
            kernel_bytes=self._floor.segments.kernel_bytes(), segments=pool.segments,
            jobs=len(self._floor.core.jobs), jobs_waiting=core.jobs_waiting, jobs_admitted=core.jobs_admitted,
            jobs_reading=core.jobs_reading, workers=core.workers, workers_busy=core.workers_busy,
            workers_alive=forge.workers_alive, template_pid=forge.template_pid, facts_kept=len(self._facts),
            submitted_total=core.submitted_total, joined_total=core.joined_total, cached_total=core.cached_total,
            stopped_total=core.stopped_total, refused_total=core.refused_total, evicted_total=pool.evicted_total,
            recycled_total=pool.recycled_total, workers_forked_total=forge.workers_forked_total,
            template_starts_total=forge.template_starts_total,
        )  # fmt: skip

    async def qualify(self, wanted: Wanted, asker: Asker) -> Qualified:
        """Find out what an answer would be, without making it; the frame is parsed if its facts are not known.

        Raises  ImgdError.
        """
        for last in _tries():
            async with self._resolve(wanted.frame) as found:
                facts = await self._learn(found, asker, last)
                if facts is not None:
                    return Qualified(etag_of(self._plan(wanted, facts, found)), media_type_of(wanted))
        raise AssertionError("the last try raises or returns")

    @asynccontextmanager
    async def render(self, wanted: Wanted, asker: Asker) -> AsyncIterator[Rendered]:
        """Make a picture, or the answer to a question, or find it; the bytes can be read inside the `with`.

        Raises  ImgdError before the first byte is there; after it, reading raises.
        Cancelled, or left early: the job is withdrawn; its worker is killed unless others wait for what it makes.
        """
        async with AsyncExitStack() as stack:
            for last in _tries():
                found = await stack.enter_async_context(self._resolve(wanted.frame))
                begun = found.source not in self._facts  # By the parse that comes first.
                facts = await self._learn(found, asker, last)
                if facts is None:
                    await stack.aclose()
                    continue
                recipe = self._plan(wanted, facts, found)
                job = open_job(self._floor, recipe, asker, found, terms=Terms(continues=begun))
                client = await stack.enter_async_context(job)
                if await self._succeeds(client, last):
                    yield Rendered(etag_of(recipe), media_type_of(wanted), client)
                    return
                await stack.aclose()

    @asynccontextmanager
    async def header(self, frame: str, asker: Asker) -> AsyncIterator[Rendered]:
        """Make or find the header document of a frame: facts and all cards, as JSON.

        Raises  as `render`.
        """
        async with AsyncExitStack() as stack:
            for last in _tries():
                found = await stack.enter_async_context(self._resolve(frame))
                recipe = plan_parse(found.source, self._limits, HEADER_RESULT)
                client = await stack.enter_async_context(open_job(self._floor, recipe, asker, found))
                if await self._succeeds(client, last):
                    yield Rendered(etag_of(recipe), "application/json", client)
                    return
                await stack.aclose()

    async def deliver(self, view: View, asker: Asker, head: str, terms: Terms) -> None:
        """Make a picture and have a worker write it, after `head`, to where the terms say.

        Raises  ImgdError; once the worker has begun to write, what was written stays written.
        Cancelled  as `render`.
        """
        for last in _tries():
            async with self._resolve(view.frame) as found:
                facts = await self._learn(found, asker, last)
                if facts is None:
                    continue
                recipe = delivered(self._plan(view, facts, found), head)
                async with open_job(self._floor, recipe, asker, found, terms=terms) as client:
                    if await self._succeeds(client, last, whole=True):
                        return

    def _plan(self, wanted: Wanted, facts: Facts, found: OpenSource) -> Recipe:
        match wanted:
            case View(rows="auto"):
                wanted = msgspec.structs.replace(wanted, rows=self._rows)
            case TileView(view=View(rows="auto") as view):
                wanted = msgspec.structs.replace(wanted, view=msgspec.structs.replace(view, rows=self._rows))
        return plan_answer(wanted, facts, found.source, self._limits)

    async def _learn(self, found: OpenSource, asker: Asker, last: bool) -> Facts | None:
        """Tell what a frame holds, from memory or from a parse; None if it is worth another try."""
        facts = self._facts.get(found.source)
        if facts is not None:
            self._facts.move_to_end(found.source)
            return facts
        # Facts that are unreadable stay under their key: a second parse goes under one that is never used again.
        for source in (found.source, msgspec.structs.replace(found.source, salt=-next(self._salts))):
            recipe = plan_parse(source, self._limits, FACTS_RESULT)
            async with open_job(self._floor, recipe, asker, found) as client:
                if not await self._succeeds(client, last, whole=True):
                    return None
                with suppress(msgspec.MsgspecError, RecursionError):
                    facts = decode_facts(client.whole())
                    break
        else:
            raise WorkerLost("the frame's facts came back unreadable")
        if found.source.salt == 0:
            self._facts[found.source] = facts
            while len(self._facts) > self._facts_max:
                self._facts.popitem(last=False)
        return facts

    async def _succeeds(self, client: Client, last: bool, whole: bool = False) -> bool:
        """Wait for a job's first bytes, or its end; False if it is worth another try.

        Raises  ImgdError for an outcome that a further try would not change, and for any at the last try.
        """
        began_s = trio.current_time()
        outcome = await client.ended() if whole else await client.begun()
        match outcome:
            case None | Replied():
                return True
            case _ if client.writing:
                raise BrokeOff("the worker was lost while it was writing the answer")
            case Stopped() | Failed(code="changed") if not last:
                return False
            case Crashed(signal=signal.SIGBUS) if not last:
                return False  # The file was cut while it was being read.
            case Crashed() if not last and await self._forge.lost_since(began_s):
                return False
            case Crashed() | TimedOut() | Stopped() if self._forge.state:
                raise Busy(self._forge.state, TEMPLATE_RETRY_S)
        raise_outcome(outcome)
        return False


def etag_of(recipe: Recipe) -> str:
    """Derive the strong validator of a recipe's result from its key."""
    return '"' + hashlib.sha256(recipe.buffers[recipe.result].key.encode()).hexdigest()[:32] + '"'


def raise_outcome(outcome: Outcome) -> None:
    """Raise what an outcome other than Replied means to the person who asked."""
    match outcome:
        case Failed("forbidden", text):
            raise NotYours(text)
        case Failed("too_big", text):
            raise PlanTooBig(text)
        case Failed("changed", _):
            raise Busy("the frame is being rewritten; try again in a moment", 1.0)
        case Failed(_, text):
            raise BadFrame(text)
        case TimedOut(limit_s):
            raise WorkerTimedOut(f"it took longer than the limit of {limit_s:g} s, and was stopped")
        case Crashed(signal=signal.SIGBUS):
            raise Busy("the frame was cut short while it was being read; try again in a moment", 1.0)
        case Crashed():
            raise WorkerLost("the worker that was decoding this frame crashed; the frame may be broken")
        case Superseded():
            raise Gone("a newer view took its place")
        case Refused(why, retry_after_s):
            raise Busy(why, retry_after_s)
        case Stopped():
            raise Gone("it was stopped")
        case Replied():
            raise AssertionError("a reply is not an error")


def _tries() -> list[bool]:
    """Tell, for each try, whether it is the last."""
    return [False] * (TRIES_MAX - 1) + [True]


def _segments_max(settings: Settings) -> int:
    """Share the descriptors out: two a segment, some for the connections and for all else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if descriptors == resource.RLIM_INFINITY else min(descriptors, 1 << 20)
    rest = most - DESCRIPTORS_ELSE - settings.connections_max * DESCRIPTORS_A_CONNECTION
    return max(rest, 2 * SEGMENTS_MIN) // 2


@asynccontextmanager
async def open_engine(settings: Settings, resolve: Resolve, template: TemplateSettings) -> AsyncIterator[Engine]:
    """Run an engine: on leaving, its workers are killed and reaped, then its memory is given back."""
    limits = Limits(
        workers_max=settings.workers_max, workers_idle_max=settings.workers_idle_max,
        worker_idle_s=settings.worker_idle_s, lists_max=settings.lists_max, queue_max=settings.queue_max,
        memory_wait_s=settings.memory_wait_s, overtake_max=settings.overtake_max,
        segments_max=_segments_max(settings),
    )  # fmt: skip
    segments = Segments()
    forge = Forge(template)
    inbox: Inbox[Event] = Inbox(EVENTS_MAX)
    core = Scheduler(settings.budget_bytes, limits)
    story = Story(settings.story_max)
    floor = Floor(core, segments, story, inbox, forge.fork, settings.step_limit_s, settings.worker_threads)
    try:
        async with trio.open_nursery() as forging:
            forging.start_soon(forge.run)
            async with trio.open_nursery() as working:
                working.start_soon(supervise, floor)
                yield Engine(settings, resolve, floor, forge)
                working.cancel_scope.cancel()
            forging.cancel_scope.cancel()
    finally:
        floor.close()
        segments.close()
