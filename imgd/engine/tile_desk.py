"""The tile desk: what is encoded is kept, what is being made is waited for, and the rest is put on todo lists."""

import math
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tile_lists import LIST_MAX, Listing, tile_list_recipe
from cgi_worker.wire.tiles import TILE_PX, TilePlace, tile_bytes
from imgd.core.events import TellStep
from imgd.core.planner import check_size
from imgd.engine.client import DESCRIPTORS_RETRY_S, Client, Terms, open_job
from imgd.engine.forges import Forges
from imgd.engine.inbox import Inbox
from imgd.engine.looks import Look
from imgd.engine.supervise import Floor
from imgd.engine.tile_store import KeptTile, TileStore
from imgd.engine.trying import judge, rewritten, tries
from imgd.errors import Busy, Gone, ImgdError, WorkerLost
from imgd.model import Asker, OpenSource, Replied

GATHER_S: Final = 0.001  # Requests for tiles that come one by one within this time are one list.
SHARE_MIN: Final = 8  # A list of fewer tiles is not divided between two workers.
BUDGET_SHARE: Final = 4  # The tiles of one list may take this part of the budget.
LISTS_MAX: Final = 10_000  # Waiting to be begun; each has a client that waits.


@dataclass(frozen=True, slots=True)
class MadeTile:
    """A tile that is ready; `kept`: it was there."""

    place: TilePlace
    etag: str
    tile: KeptTile
    kept: bool = False


@dataclass(frozen=True, slots=True)
class ListStep:
    """A step of a list that was begun for who hears it; `key` is of what it makes."""

    key: str
    step: TellStep


TileNews = MadeTile | ListStep


class Asking:
    """Somebody who waits for tiles: take the news until `waits` is empty.

    path_fd    the frame's descriptor, open as long as it asks.
    continues  it has had its turn with an earlier job.
    own        a list was begun for it: what its steps tell is about its own work.
    work_ms    that its lists have taken for tiles so far.
    """

    def __init__(self, look: Look, asker: Asker, path_fd: int, *, continues: bool = False) -> None:
        self.look = look
        self.asker = asker
        self.path_fd = path_fd
        self.continues = continues
        self.waits: dict[str, TilePlace] = {}
        self.own = False
        self.failed: ImgdError | None = None
        self.news: list[TileNews] = []
        self.work_ms = 0.0
        self._open = 0  # Lists begun for it that have not ended.
        self._woken = trio.Event()

    def tell(self, news: TileNews) -> None:
        """Add news; a tile is then no longer waited for."""
        if isinstance(news, MadeTile):
            self.waits.pop(news.etag, None)
        self.news.append(news)
        self._woken.set()

    def opened(self) -> None:
        """Note that a list was begun for it."""
        self.own = True
        self._open += 1

    def closed(self) -> None:
        """Note that such a list has ended."""
        self._open -= 1
        self._woken.set()

    def fail(self, error: ImgdError) -> None:
        """Say that a tile cannot be made."""
        self.failed = self.failed or error
        self._woken.set()

    async def more(self) -> list[TileNews]:
        """Take what is new; wait for it. Nothing: all tiles are there, and what their making took is known.

        Raises  ImgdError if one of them cannot be made; what was told before is taken first.
        """
        while not self.news:
            if self.failed is not None:
                raise self.failed
            if not self.waits and not self._open:
                return []
            self._woken = trio.Event()
            await self._woken.wait()
        taken, self.news = self.news, []
        return taken


@dataclass(eq=False)
class _List:
    """Tiles that one job makes, in order, begun for its founder.

    places   by etag, in the order in which they are wanted.
    waiting  who waits for each, by etag; one that nobody waits for is dropped.
    making   etags of the job that runs, in order.
    made     so many of them are made.
    beside   levels of all tiles that were wanted with these.
    name     under which others may be put on it before it is begun: one look, one level.
    """

    number: int
    founder: Asking
    path_fd: int
    places: dict[str, TilePlace] = field(default_factory=dict)
    waiting: dict[str, set[Asking]] = field(default_factory=dict)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    client: Client | None = None
    making: list[str] = field(default_factory=list)
    made: int = 0
    beside: frozenset[int] = frozenset()
    name: tuple[bytes, int] | None = None

    @property
    def look(self) -> Look:
        """What its tiles have in common."""
        return self.founder.look


@dataclass(frozen=True)
class TileStatistics:
    """Figures of the desk. `dropped`: tiles that were not made, because nobody waited for them any more."""

    tiles_kept: int
    tiles_kept_bytes: int
    tiles_pending: int
    tile_lists: int
    tiles_made_total: int
    tiles_found_total: int
    tiles_shared_total: int
    tiles_dropped_total: int
    tile_lists_total: int


class TileDesk:
    """Answer for tiles. `run` makes them; `ask` and `leave` are called beside it.

    Invariant: a tile is pending exactly while one list is to make it and somebody waits for it.
    """

    def __init__(self, floor: Floor, forge: Forges, keep_bytes: int) -> None:
        self._list_max = _list_max(floor.core.pool.budget_bytes)
        self.store = TileStore(keep_bytes)
        self._floor = floor
        self._forge = forge
        self._pending: dict[str, _List] = {}
        self._gathering: dict[tuple[bytes, int], _List] = {}
        self._inbox: Inbox[_List] = Inbox(LISTS_MAX)
        self._lists = self._lists_total = 0
        self._made = self._shared = self._dropped = 0

    def resize(self, budget_bytes: int, keep_bytes: int) -> None:
        """Put no more tiles on a list than are good for this budget, and keep so many bytes of them."""
        self._list_max = _list_max(budget_bytes)
        self.store.resize(keep_bytes)

    def ask(
        self, asking: Asking, places: Iterable[TilePlace], *, have: Collection[str] = (), alone: bool = False
    ) -> None:
        """Want some tiles, in this order of urgency.

        have   etags of those that are not wanted.
        alone  others that come at the same moment one by one may be put on the same list.
        """
        new: list[tuple[TilePlace, str]] = []
        for place in places:
            etag = asking.look.etag(place)
            if etag in have:
                continue
            if (kept := self.store.find(etag)) is not None:
                asking.tell(MadeTile(place, etag, kept, kept=True))
                continue
            asking.waits[etag] = place
            if (making := self._pending.get(etag)) is not None:
                making.waiting[etag].add(asking)
                self._shared += 1
            else:
                new.append((place, etag))
        if alone:
            self._gather(asking, new)
        elif new:
            levels = frozenset(place.level for place, _ in new)
            for part in self._share_out(new):
                making = self._list_of(asking, part)
                making.beside = levels
                self._inbox.put(making)

    def leave(self, asking: Asking) -> None:
        """Want nothing any more: what nobody else waits for is not made, if it is not being made this moment."""
        left: set[_List] = set()
        for etag in asking.waits:
            if (making := self._pending.get(etag)) is not None and asking in making.waiting[etag]:
                making.waiting[etag].discard(asking)
                if not making.waiting[etag]:
                    del self._pending[etag], making.waiting[etag]
                    left.add(making)
        asking.waits.clear()
        for making in left:
            self._drop(making)

    async def run(self) -> None:
        """Make what is asked for, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    making = await self._inbox.take()
                    nursery.start_soon(self._make, making)
        finally:
            for making in self._inbox.drain():
                self._end(making, Gone("it was stopped"))

    def statistics(self) -> TileStatistics:
        """Count."""
        return TileStatistics(
            len(self.store), self.store.size_bytes, len(self._pending), self._lists, self._made, self.store.hits,
            self._shared, self._dropped, self._lists_total,
        )  # fmt: skip

    def _share_out(self, new: Sequence[tuple[TilePlace, str]]) -> list[Sequence[tuple[TilePlace, str]]]:
        """Divide tiles between the workers that have nothing else to do, each second one to each."""
        free = max(1, self._floor.core.limits.workers_max - self._floor.core.demand)
        parts = max(min(free, len(new) // SHARE_MIN), math.ceil(len(new) / self._list_max), 1)
        return [new[first::parts] for first in range(parts)]

    def _list_of(self, asking: Asking, tiles: Sequence[tuple[TilePlace, str]]) -> _List:
        try:
            path_fd = os.dup(asking.path_fd)  # The list may outlive who began it.
        except OSError as error:
            raise Busy("too many files are open", DESCRIPTORS_RETRY_S, "descriptors") from error
        self._lists_total += 1
        made = _List(self._lists_total, asking, path_fd)
        asking.opened()
        self._add(made, asking, tiles)
        return made

    def _add(self, making: _List, asking: Asking, tiles: Iterable[tuple[TilePlace, str]]) -> None:
        for place, etag in tiles:
            making.places[etag] = place
            making.waiting[etag] = {asking}
            self._pending[etag] = making

    def _gather(self, asking: Asking, new: Sequence[tuple[TilePlace, str]]) -> None:
        """Put tiles on the list of their level that is not begun yet, for others that come at once."""
        for tile in new:
            name = asking.look.digest, tile[0].level
            gathering = self._gathering.get(name)
            if gathering is None or len(gathering.places) >= self._list_max:
                self._gathering[name] = gathering = self._list_of(asking, ())
                gathering.name = name
                self._inbox.put(gathering)
            self._add(gathering, asking, (tile,))

    def _begin(self, making: _List) -> None:
        """Put nothing more on a list."""
        if making.name is not None and self._gathering.get(making.name) is making:
            del self._gathering[making.name]

    def _drop(self, making: _List) -> None:
        """Spare a worker what nobody waits for; all of it, if nothing is left."""
        if making.waiting or (making.client is not None and making.client.marks):  # It is at the tiles.
            gone = [at for at, etag in enumerate(making.making) if etag not in making.waiting]
            if making.client is not None and making.client.outcome is None:
                making.client.drop(gone)
        else:
            making.scope.cancel()
            self._begin(making)

    async def _make(self, making: _List) -> None:
        self._lists += 1
        error: ImgdError = Gone("it was stopped")
        try:
            with making.scope:
                if making.name is not None and self._gathering.get(making.name) is making:
                    await trio.sleep(GATHER_S)
                    self._begin(making)
                for last in tries():
                    if await self._try(making, last):
                        return
        except ImgdError as problem:
            error = problem
        finally:
            self._lists -= 1
            self._end(making, error)

    def _end(self, making: _List, error: ImgdError) -> None:
        """Tell those who still wait that it will not be made."""
        self._begin(making)
        os.close(making.path_fd)
        self._dropped += len(making.places) - making.made - len(making.waiting)
        for etag, askings in making.waiting.items():
            del self._pending[etag]
            for asking in askings:
                asking.fail(error)
        making.waiting.clear()
        making.founder.closed()

    async def _try(self, making: _List, last: bool) -> bool:
        """Have what is still waited for made; False if it is worth another try."""
        since_s = trio.current_time()
        look = making.look
        wanted = [etag for etag in making.places if etag in making.waiting]
        if not wanted:
            return True
        levels = list(dict.fromkeys(making.places[etag].level for etag in wanted))
        making.making = sorted(wanted, key=lambda etag: levels.index(making.places[etag].level))  # As they are made.
        places = tuple(making.places[etag] for etag in making.making)
        listing = Listing(making.number, making.beside)
        recipe = tile_list_recipe(look.view, places, look.facts, look.source, listing=listing)
        check_size(recipe, self._floor.core.pool.budget_bytes)
        found, terms = OpenSource(making.path_fd, look.source), Terms(continues=making.founder.continues, watched=True)
        asker = replace(making.founder.asker, runner="")  # No list takes the place of another.
        async with open_job(self._floor, recipe, asker, found, terms=terms) as client:
            making.client = client
            try:
                await self._follow(making, client, recipe)
            finally:
                making.client = None
            assert client.outcome is not None
            last = last or rewritten(client.outcome)  # Who asked has to look for the frame again.
            return await judge(client.outcome, client, self._forge, last=last, since_s=since_s)

    async def _follow(self, making: _List, client: Client, recipe: Recipe) -> None:
        """Hand on the tiles as they become final."""
        facts, start, told, since_s = "", 0, 0, trio.current_time()
        while True:
            ended = client.outcome is not None
            if client.outcome is not None and not isinstance(client.outcome, Replied):
                return  # The segment is no longer leased to this job.
            taken, client.steps = client.steps, []
            for step in taken:
                if step.stage < len(recipe.stages) - 1:
                    self._tell_step(making, step, recipe)
                elif step.state == "start":
                    since_s = trio.current_time()
            while told < len(client.marks):
                stop = client.marks[told]
                octets = client.read(start, stop)
                if told == 0:
                    facts = octets.decode()
                elif octets:
                    self._give(making, told - 1, KeptTile(octets, facts))
                at_s, since_s = since_s, trio.current_time()
                making.founder.work_ms += (since_s - at_s) * 1e3
                start, told = stop, told + 1
            if ended:
                if told != len(making.making) + 1:
                    raise WorkerLost("the worker made fewer tiles than it was to make")
                return
            await client.news()

    def _give(self, making: _List, at: int, tile: KeptTile) -> None:
        etag = making.making[at]
        self._made += 1
        making.made += 1
        if not making.look.source.salt:  # Else nobody can ask for it again.
            self.store.keep(etag, tile)
        askings = making.waiting.pop(etag, None)
        if askings is None:
            return  # It was made before the word came.
        if self._pending.get(etag) is making:
            del self._pending[etag]
        for asking in askings:
            asking.tell(MadeTile(asking.waits[etag], etag, tile))

    def _tell_step(self, making: _List, step: TellStep, recipe: Recipe) -> None:
        if making.founder.waits:
            making.founder.tell(ListStep(recipe.buffers[recipe.stages[step.stage].outputs[0]].key, step))


def _list_max(budget_bytes: int) -> int:
    most = budget_bytes // BUDGET_SHARE // tile_bytes(TILE_PX, TILE_PX, colour=True)
    return min(max(most, 1), LIST_MAX)
