"""Carrying out: what is told of a plan while it is made, from the facts of its frame to its last result."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.recipe import MEDIA_TYPES
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tile_lists import tile_list_recipe
from cgi_worker.wire.tiles import TilePlace, ViewportView
from cgi_worker.wire.wanted import Wanted, media_type_of
from imgd.core.events import TellStep
from imgd.core.planner import plan_viewport
from imgd.core.segment import capacity_for
from imgd.engine.client import Terms, open_job
from imgd.engine.forges import Forges
from imgd.engine.glancing import at_first, glance_at, is_worth_it
from imgd.engine.looks import Look
from imgd.engine.supervise import Floor
from imgd.engine.tile_desk import Asking, MadeTile, TileDesk
from imgd.engine.trying import judge, tries
from imgd.errors import PlanTooBig
from imgd.model import Asker, OpenSource
from imgd.running import Learned, News, Produced, RunLimits, StepNews

PARSE = 0  # The number of the first step of every run.


class Knowing(Protocol):
    """What the engine knows and plans."""

    @property
    def floor(self) -> Floor:
        """What the supervise loop works with."""

    @property
    def forge(self) -> Forges:
        """What makes workers."""

    @property
    def tiles(self) -> TileDesk:
        """What makes tiles."""

    def known(self, source: Source) -> Facts | None:
        """Tell the facts of a frame, if they are remembered."""

    async def learn(self, found: OpenSource, asker: Asker, told: Callable[[TellStep], None]) -> Facts:
        """Find out what a frame holds.

        Raises  ImgdError.
        """

    def plan(self, wanted: Wanted, facts: Facts, source: Source) -> Recipe:
        """Plan an answer.

        Raises  ImgdError.
        """

    def look_at(self, wanted: ViewportView, facts: Facts, source: Source) -> Look:
        """Take a viewport's view for what its tiles are of.

        Raises  ImgdError.
        """

    def plan_glance(self, wanted: ViewportView, look: Look) -> Recipe | None:
        """Plan a glance at what a viewport's tiles will show; None where it is of no use.

        Raises  ImgdError.
        """


@dataclass(frozen=True)
class Order:
    """What is to be carried out, for whom, within which limits, and without which results (their etags)."""

    wanted: Wanted | ViewportView
    asker: Asker
    limits: RunLimits
    have: Collection[str]


class Carrying:
    """One plan being carried out. `news` is read once."""

    def __init__(self, known: Knowing, order: Order, found: OpenSource) -> None:
        self._known = known
        self._order = order
        self._found = found
        self._news = self._carry_out()

    @property
    def source(self) -> Source:
        """Identity of the frame that it is about."""
        return self._found.source

    def news(self) -> AsyncIterator[News]:
        """Tell what happens, in order, to the end.

        Raises  ImgdError when it fails.
        """
        return self._news

    async def close(self) -> None:
        """Withdraw it, if it has not ended."""
        await self._news.aclose()

    async def _carry_out(self) -> AsyncGenerator[News, None]:
        order, found = self._order, self._found
        facts = self._known.known(found.source)
        begun = facts is None
        if facts is not None:
            yield StepNews(PARSE, "parse", "end", cached=True)
        else:
            yield StepNews(PARSE, "parse", "start")
            said: list[TellStep] = []
            at_once = isinstance(order.wanted, ViewportView) and order.wanted.glance
            asker = at_first(order.asker) if at_once else order.asker
            facts = await self._known.learn(found, asker, said.append)
            yield _news_of(said[-1] if said else TellStep(0, 0, "end"), "parse", PARSE)
        yield Learned(facts)
        if isinstance(order.wanted, ViewportView):
            making = self._tiles(order.wanted, facts, begun)
        else:
            making = self._answer(order.wanted, facts, begun)
        async with aclosing(making):
            async for news in making:
                yield news

    async def _answer(self, wanted: Wanted, facts: Facts, begun: bool) -> AsyncGenerator[News, None]:
        """Make a picture, one tile, or the answer to a question."""
        order, known = self._order, self._known
        recipe = known.plan(wanted, facts, self.source)
        _check_limits(recipe, order.limits)
        etag = etag_of(recipe)
        told: set[tuple[int, str]] = set()
        for last in tries():
            terms = Terms(continues=begun, watched=True)
            async with open_job(known.floor, recipe, order.asker, self._found, terms=terms) as client:
                while client.outcome is None or client.steps:
                    taken, client.steps = client.steps, []
                    for step in taken:
                        again = {(step.stage, "end")} | ({(step.stage, "start")} if step.state == "start" else set())
                        if told.isdisjoint(again):  # A try before this one may have said so.
                            told.add((step.stage, step.state))
                            yield _news_of(step, _name(recipe, step.stage), 1 + step.stage)
                    if not client.steps:
                        await client.news()
                if await judge(client.outcome, client, known.forge, last=last, since_s=client.since_s):
                    if etag not in order.have:
                        yield Produced(None, etag, media_type_of(wanted), client.facts, client.whole())
                    return

    async def _tiles(self, wanted: ViewportView, facts: Facts, begun: bool) -> AsyncGenerator[News, None]:
        """Make the tiles of a viewport: those that are there first, the others as they become ready."""
        order, known = self._order, self._known
        places = plan_viewport(wanted, facts)
        look = known.look_at(wanted, facts, self.source)
        steps = _Steps(_prepared(look, places))
        _check_limits(steps.recipe, order.limits, more=len(places) - 1)
        media_type = MEDIA_TYPES[look.view.format]
        glance = known.plan_glance(wanted, look)
        if glance is not None and is_worth_it(known.floor, steps.recipe):
            seen = await glance_at(known.floor, glance, order.asker, self._found, media_type=media_type)
            if seen is not None:
                yield seen
                places = plan_viewport(replace(wanted, coarse=False), facts)  # A coarse tile would show less.
                steps = _Steps(_prepared(look, places))
        asking = Asking(look, order.asker, self._found.path_fd, continues=begun)
        started, made_bytes = False, 0
        try:
            known.tiles.ask(asking, places, have=order.have)
            while news := await asking.more():
                for each in news:
                    if isinstance(each, MadeTile):
                        if not (each.kept or started):
                            started = True
                            for told in () if asking.own else steps.settle(joined=True):
                                yield told
                            yield steps.tiles(TellStep(0, 0, "start", joined=not asking.own))
                        made_bytes += len(each.tile.body)
                        yield Produced(each.place, each.etag, media_type, each.tile.facts, each.tile.body)
                    else:
                        for told in steps.hear(each.key, each.step):
                            yield told
            for told in steps.settle(joined=False):
                yield told
            joined = started and not asking.own
            end = TellStep(0, 0, "end", not started, joined, used_bytes=made_bytes, elapsed_ms=asking.work_ms)
            yield steps.tiles(end)
        finally:
            known.tiles.leave(asking)


class _Steps:
    """The steps of a viewport, each told once, however many lists it takes; all its tiles are one."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        before = range(len(recipe.stages) - 1)
        self._numbers = {_key(recipe, number): number for number in before}
        self._state = ["" for _ in before]
        self._own: set[int] = set()

    def hear(self, key: str, step: TellStep) -> list[StepNews]:
        """Take what a list tells of a step that makes this."""
        number = self._numbers.get(key, -1)
        if number < 0 or self._state[number] == "end":
            return []
        own = not (step.cached or step.joined)
        if not own and number in self._own:
            return []  # One of its lists does it, and another one shares it.
        if own:
            self._own.add(number)
        if self._state[number] == step.state == "start":
            return []
        if step.state != "progress":
            self._state[number] = step.state
        return [_news_of(step, _name(self.recipe, number), 1 + number)]

    def settle(self, *, joined: bool) -> list[StepNews]:
        """Tell that all that comes before the tiles is there; what was not told was found, or done by others."""
        told = []
        for number, state in enumerate(self._state):
            if state != "end":
                self._state[number] = "end"
                step = TellStep(0, number, "end", cached=not (joined or state), joined=joined or bool(state))
                told.append(_news_of(step, _name(self.recipe, number), 1 + number))
        return told

    def tiles(self, step: TellStep) -> StepNews:
        """Tell of the tiles, all of them as one step."""
        return _news_of(step, "tiles", len(self.recipe.stages))


def etag_of(recipe: Recipe) -> str:
    """Derive the strong validator of a recipe's result from its key."""
    return '"' + hashlib.sha256(recipe.buffers[recipe.result].key.encode()).hexdigest()[:32] + '"'


def _prepared(look: Look, places: tuple[TilePlace, ...]) -> Recipe:
    """Plan one tile of each level: what comes before it is what comes before all."""
    first = {place.level: place for place in reversed(places)} or {0: TilePlace(0, 0, 0)}
    return tile_list_recipe(look.view, tuple(first.values()), look.facts, look.source)


def _news_of(step: TellStep, name: str, number: int) -> StepNews:
    return StepNews(number, name, step.state, step.cached, step.joined, step.used_bytes, step.elapsed_ms)


def _name(recipe: Recipe, stage: int) -> str:
    return type(recipe.stages[stage].step).__name__.lower()


def _key(recipe: Recipe, stage: int) -> str:
    return recipe.buffers[recipe.stages[stage].outputs[0]].key


def _check_limits(recipe: Recipe, limits: RunLimits, more: int = 0) -> None:
    """Refuse what would take more than its run may."""
    steps = 1 + len(recipe.stages) + more
    if limits.steps_max and steps > limits.steps_max:
        raise PlanTooBig(f"takes {steps} steps; a run may take {limits.steps_max}", "steps")
    need = sum(capacity_for(buffer.size_bytes) for buffer in recipe.buffers)
    if limits.bytes_max and need > limits.bytes_max:
        raise PlanTooBig(f"takes {need / 2**20:.1f} MiB; a run may take {limits.bytes_max / 2**20:.1f} MiB", "bytes")
