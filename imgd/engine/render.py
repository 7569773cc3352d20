"""Render: the one facade that the web calls. From a view to bytes, whatever it takes in between."""

import itertools
import resource
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import trio

from cgi_worker.wire.facts import Facts, Source, decode_facts
from cgi_worker.wire.recipe import delivered
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tiles import TileView, ViewportView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted, media_type_of
from imgd.config import Settings
from imgd.core.events import Event, LimitsChanged, TellStep, WorkersOutdated
from imgd.core.limits import Limits
from imgd.core.planner import (
    FACTS_RESULT,
    HEADER_RESULT,
    PlanLimits,
    check_tile,
    in_passing,
    plan_answer,
    plan_glance,
    plan_parse,
)
from imgd.core.scheduler import Scheduler
from imgd.core.story import Story
from imgd.engine.answer import Known, Qualified
from imgd.engine.carrying import Carrying, Order, etag_of
from imgd.engine.client import Client, Terms, open_job
from imgd.engine.figures import Crew, EngineStatistics, crew_of, statistics_of
from imgd.engine.forges import Forges
from imgd.engine.inbox import Inbox
from imgd.engine.looks import Look, look_of
from imgd.engine.segments import Segments
from imgd.engine.supervise import EVENTS_MAX, Floor, supervise
from imgd.engine.tile_desk import Asking, MadeTile, TileDesk
from imgd.engine.tile_store import RenderedTile
from imgd.engine.trying import succeeds, tries
from imgd.engine.workers import TemplateSettings
from imgd.errors import Rewritten, WorkerLost
from imgd.model import (
    Asker,
    OpenSource,
    Resolve,
    Urgency,
)
from imgd.running import NO_LIMITS, RunLimits

DESCRIPTORS_A_CONNECTION: Final = 4  # Itself, and what its request holds.
DESCRIPTORS_ELSE: Final = 256  # Workers, errands, roots, libraries.
LOOKS_MAX: Final = 64  # Looks at frames whose plan was checked: their tiles are asked for one by one.
SEGMENTS_MIN: Final = 32  # A plan has five; with fewer than this nothing would be kept.


@dataclass(frozen=True, slots=True)
class Rendered:
    """Bytes being made or ready; see `answer.Answer`."""

    etag: str
    media_type: str
    source: Source
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

    def __init__(self, settings: Settings, resolve: Resolve, floor: Floor, forge: Forges, *, tiles: TileDesk) -> None:
        self.floor: Final = floor
        self.forge: Final = forge
        self.tiles: Final = tiles
        self._resolve = resolve
        self._limits = PlanLimits(settings.budget_bytes, settings.pixels_max)
        self._facts: OrderedDict[Source, Facts] = OrderedDict()
        self._facts_max = settings.facts_max
        self._rows = settings.rows
        self._salts = itertools.count(1)
        self._looks: OrderedDict[tuple[View, Source], Look] = OrderedDict()

    async def replace_workers(self, template: TemplateSettings) -> None:
        """Have workers by other settings; those that are at work finish what they do.

        Raises  NotReplaced; all is as it was.
        """
        await self.forge.replace(template)

    def take(self, settings: Settings) -> None:
        """Take up other settings. What is being made goes on; memory that is too much is given up as it comes free."""
        self._limits = PlanLimits(settings.budget_bytes, settings.pixels_max)
        self._facts_max = settings.facts_max
        self._looks.clear()  # Their plans were checked by the limits of before.
        self.floor.threads = settings.worker_threads
        self.floor.set_step_limit(settings.step_limit_s)
        self.tiles.resize(settings.budget_bytes, settings.tile_cache_bytes)
        limits = _limits_of(settings, self.floor.core.limits.segments_max)
        self.floor.inbox.put(LimitsChanged(limits, settings.budget_bytes))

    def renew_workers(self) -> None:
        """Have new workers, who may read what the roots are now; what the present ones do is done again."""
        self.forge.renew()

    def at_rest(self) -> bool:
        """Tell whether workers could begin at once, and nobody waits for any."""
        return not self.forge.state and self.floor.core.demand == 0

    def ready(self) -> str:
        """Empty when pictures can be made, else why not."""
        return self.forge.state

    def statistics(self) -> EngineStatistics:
        """Sum up the engine."""
        return statistics_of(self.floor, self.forge, len(self._facts))

    def crew(self) -> Crew:
        """Tell who is at work, and what waits."""
        return crew_of(self.floor, self.forge)

    async def qualify(self, wanted: Wanted, asker: Asker) -> Qualified:
        """Find out what an answer would be, without making it; the frame is parsed if its facts are not known.

        Raises  ImgdError.
        """
        known = await self.look(wanted.frame, asker)
        if isinstance(wanted, TileView):
            etag = self.look_at(wanted, known.facts, known.source).etag(check_tile(wanted, known.facts))
        else:
            etag = etag_of(self.plan(wanted, known.facts, known.source))
        return Qualified(etag, media_type_of(wanted))

    async def look(self, frame: str, asker: Asker) -> Known:
        """Find out what a frame is at present, and what it holds; it is parsed if that is not known.

        Raises  ImgdError.
        """
        for last in tries():
            async with self._resolve(frame) as found:
                facts = await self._learn(found, asker, last)
                if facts is not None:
                    return Known(found.source, facts)
        raise AssertionError("the last try raises or returns")

    def kept_tile(self, etag: str) -> bytes | None:
        """Find an encoded tile that was made before, by its etag, if it is still kept."""
        tile = self.tiles.store.find(etag)
        return None if tile is None else tile.body

    @asynccontextmanager
    async def render(self, wanted: Wanted, asker: Asker) -> AsyncIterator[Rendered | RenderedTile]:
        """Make a picture, or the answer to a question, or find it; the bytes can be read inside the `with`.

        Raises  ImgdError before the first byte is there; after it, reading raises.
        Cancelled, or left early: the job is withdrawn; its worker is killed unless others wait for what it makes.
        """
        async with AsyncExitStack() as stack:
            for last in tries():
                found = await stack.enter_async_context(self._resolve(wanted.frame))
                begun = found.source not in self._facts  # By the parse that comes first.
                facts = await self._learn(found, asker, last)
                if facts is None:
                    await stack.aclose()
                    continue
                if isinstance(wanted, TileView):
                    try:
                        tile = await self._tile(wanted, facts, found, asker, begun=begun)
                    except Rewritten:
                        if last:
                            raise
                        await stack.aclose()
                        continue
                    yield tile
                    return
                recipe = self.plan(wanted, facts, found.source)
                job = open_job(self.floor, recipe, asker, found, terms=Terms(continues=begun))
                client = await stack.enter_async_context(job)
                if await succeeds(client, self.forge, last):
                    yield Rendered(etag_of(recipe), media_type_of(wanted), found.source, client)
                    return
                await stack.aclose()

    @asynccontextmanager
    async def header(self, frame: str, asker: Asker) -> AsyncIterator[Rendered]:
        """Make or find the header document of a frame: facts and all cards, as JSON.

        For batch work it is made in passing: it takes no place from what people look at.

        Raises  as `render`.
        """
        async with AsyncExitStack() as stack:
            for last in tries():
                found = await stack.enter_async_context(self._resolve(frame))
                recipe = plan_parse(found.source, self._limits, HEADER_RESULT)
                if asker.urgency is Urgency.BATCH:
                    recipe = in_passing(recipe)
                client = await stack.enter_async_context(open_job(self.floor, recipe, asker, found))
                if await succeeds(client, self.forge, last):
                    yield Rendered(etag_of(recipe), "application/json", found.source, client)
                    return
                await stack.aclose()

    async def deliver(self, wanted: Wanted, asker: Asker, head: str, terms: Terms) -> None:
        """Make a picture, or a question's answer, and have a worker write it, after `head`, to where the terms say.

        Raises  ImgdError; once the worker has begun to write, what was written stays written.
        Cancelled  as `render`.
        """
        for last in tries():
            async with self._resolve(wanted.frame) as found:
                facts = await self._learn(found, asker, last)
                if facts is None:
                    continue
                recipe = delivered(self.plan(wanted, facts, found.source), head)
                async with open_job(self.floor, recipe, asker, found, terms=terms) as client:
                    if await succeeds(client, self.forge, last, whole=True):
                        return

    @asynccontextmanager
    async def carry_out(
        self, wanted: Wanted | ViewportView, asker: Asker, limits: RunLimits = NO_LIMITS, have: Collection[str] = ()
    ) -> AsyncIterator[Carrying]:
        """Make a picture, answers or tiles, and tell of each step; leaving the `with` withdraws.

        have  etags of results that are not wanted.

        Raises  ImgdError on entry, if there is no such frame.
        """
        async with self._resolve(wanted.frame) as found:
            carrying = Carrying(self, Order(wanted, asker, limits, have), found)
            try:
                yield carrying
            finally:
                await carrying.close()

    def known(self, source: Source) -> Facts | None:
        """Tell the facts of a frame, if they are remembered."""
        facts = self._facts.get(source)
        if facts is not None:
            self._facts.move_to_end(source)
        return facts

    async def learn(self, found: OpenSource, asker: Asker, told: Callable[[TellStep], None]) -> Facts:
        """Find out what a frame holds.

        Raises  ImgdError.
        """
        for last in tries():
            facts = await self._learn(found, asker, last, told=told)
            if facts is not None:
                return facts
        raise AssertionError("the last try raises or returns")

    def plan(self, wanted: Wanted, facts: Facts, source: Source) -> Recipe:
        """Plan an answer.

        Raises  ImgdError.
        """
        match wanted:
            case View():
                wanted = self._settled(wanted)
            case TileView(view):
                wanted = msgspec.structs.replace(wanted, view=self._settled(view))
        return plan_answer(wanted, facts, source, self._limits)

    def look_at(self, wanted: ViewportView | TileView, facts: Facts, source: Source) -> Look:
        """Take a view for what its tiles have in common; it is remembered for as long as it is asked for.

        Raises  ImgdError.
        """
        name = (wanted.view, source)
        look = self._looks.get(name)
        if look is None:
            view = self._settled(wanted.view)
            plan_answer(TileView(view, 0, 0, 0), facts, source, self._limits)  # It raises what is wrong with it.
            look = self._looks[name] = look_of(view, facts, source)
            while len(self._looks) > LOOKS_MAX:
                self._looks.popitem(last=False)
        self._looks.move_to_end(name)
        return look

    def plan_glance(self, wanted: ViewportView, look: Look) -> Recipe | None:
        """Plan a glance at what a viewport's tiles will show; None where it is of no use.

        Raises  ImgdError.
        """
        return plan_glance(wanted, look.view, look.facts, look.source, limits=self._limits)

    def _settled(self, view: View) -> View:
        return msgspec.structs.replace(view, rows=self._rows) if view.rows == "auto" else view

    async def _tile(
        self, wanted: TileView, facts: Facts, found: OpenSource, asker: Asker, *, begun: bool
    ) -> RenderedTile:
        """Have one tile made, together with others that are asked for now."""
        look, place = self.look_at(wanted, facts, found.source), check_tile(wanted, facts)
        asking = Asking(look, asker, found.path_fd, continues=begun)
        try:
            self.tiles.ask(asking, (place,), alone=True)
            while news := await asking.more():
                for each in news:
                    if isinstance(each, MadeTile):
                        return RenderedTile(each.etag, media_type_of(wanted), found.source, each.tile)
        finally:
            self.tiles.leave(asking)
        raise AssertionError("the desk gives or raises")

    async def _learn(
        self, found: OpenSource, asker: Asker, last: bool, *, told: Callable[[TellStep], None] | None = None
    ) -> Facts | None:
        """Tell what a frame holds, from memory or from a parse; None if it is worth another try."""
        facts = self.known(found.source)
        if facts is not None:
            return facts
        # Facts that are unreadable stay under their key: a second parse goes under one that is never used again.
        for source in (found.source, msgspec.structs.replace(found.source, salt=-next(self._salts))):
            recipe = plan_parse(source, self._limits, FACTS_RESULT)
            terms = Terms(watched=told is not None)
            async with open_job(self.floor, recipe, asker, found, terms=terms) as client:
                if not await succeeds(client, self.forge, last, whole=True):
                    return None
                if told is not None:
                    for step in client.steps:
                        told(step)
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


def _segments_max(settings: Settings) -> int:
    """Share the descriptors out: two a segment, some for the connections and for all else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if descriptors == resource.RLIM_INFINITY else min(descriptors, 1 << 20)
    rest = most - DESCRIPTORS_ELSE - settings.connections_max * DESCRIPTORS_A_CONNECTION
    return max(rest, 2 * SEGMENTS_MIN) // 2


def _limits_of(settings: Settings, segments_max: int) -> Limits:
    return Limits(
        workers_max=settings.workers_max, workers_idle_max=settings.workers_idle_max,
        worker_idle_s=settings.worker_idle_s, lists_max=settings.lists_max, queue_max=settings.queue_max,
        memory_wait_s=settings.memory_wait_s, overtake_max=settings.overtake_max, segments_max=segments_max,
    )  # fmt: skip


@asynccontextmanager
async def open_engine(settings: Settings, resolve: Resolve, template: TemplateSettings) -> AsyncIterator[Engine]:
    """Run an engine: on leaving, its workers are killed and reaped, then its memory is given back."""
    limits = _limits_of(settings, _segments_max(settings))
    segments = Segments()
    inbox: Inbox[Event] = Inbox(EVENTS_MAX)
    forge = Forges(template, partial(inbox.put, WorkersOutdated()))
    core = Scheduler(settings.budget_bytes, limits)
    story = Story(settings.story_max)
    floor = Floor(core, segments, story, inbox, forge.fork, settings.step_limit_s, settings.worker_threads)
    tiles = TileDesk(floor, forge, settings.tile_cache_bytes)
    try:
        async with trio.open_nursery() as forging:
            forging.start_soon(forge.run)
            async with trio.open_nursery() as working:
                working.start_soon(supervise, floor)
                working.start_soon(tiles.run)
                yield Engine(settings, resolve, floor, forge, tiles=tiles)
                working.cancel_scope.cancel()
            forging.cancel_scope.cancel()
    finally:
        floor.close()
        segments.close()
