"""Forges: the one that workers come from, and, while settings change, the one that takes its place beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from imgd.core.events import WorkerId
from imgd.engine.forge import Forge, ForgeStatistics
from imgd.engine.forking import NoWorker, WorkerLink
from imgd.engine.workers import TemplateSettings

REPLACE_LIMIT_S: Final = 60.0  # A template that is not warm by then does not take another one's place.
RETIRE_LIMIT_S: Final = 600.0  # Workers of the former one have done their lists by then, whatever their limits.
_LOOK_S: Final = 0.05


class NotReplaced(Exception):
    """No worker could be had by the new settings: those of the old ones go on."""


@dataclass(slots=True, eq=False)
class _Life:
    """A forge from its beginning to its end. forks: those that wait for it."""

    forge: Forge
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    forks: set[trio.CancelScope] = field(default_factory=set)
    begun: bool = False
    retired: trio.Event = field(default_factory=trio.Event)


class Forges:
    """Has the face of a forge. Made once; `run` is its one task.

    on_replaced  is called when workers come from another template than before: those of the former one are to go when
                 they have done what they are at, if they live so long.
    """

    def __init__(self, settings: TemplateSettings, on_replaced: Callable[[], None]) -> None:
        self._settings = settings
        self._on_replaced = on_replaced
        self._current = _Life(Forge(settings))
        self._lives = [self._current]
        self._asked = trio.Event()
        self._replaced_at_s = -1.0
        self._starts_before = self._losses_before = self._forked_before = 0  # Of those that have ended.

    @property
    def state(self) -> str:
        """Empty when workers can be forked, else why not, in plain words."""
        return self._current.forge.state

    @property
    def retry_s(self) -> float:
        """When to ask again, if workers cannot be forked now."""
        return self._current.forge.retry_s

    async def lost_since(self, at_s: float) -> bool:
        """Tell whether workers come from another template since this moment."""
        return self._replaced_at_s >= at_s or await self._current.forge.lost_since(at_s)

    def statistics(self) -> ForgeStatistics:
        """Count starts and forks."""
        each = [life.forge.statistics() for life in self._lives]
        return ForgeStatistics(
            self._starts_before + sum(one.template_starts_total for one in each),
            self._losses_before + sum(one.template_losses_total for one in each),
            self._forked_before + sum(one.workers_forked_total for one in each),
            sum(one.workers_alive for one in each),
            self._current.forge.statistics().template_pid,
        )

    async def fork(self, worker: WorkerId, owner: str) -> WorkerLink:
        """Fork a worker; as `Forge.fork`."""
        life, waiting = self._current, trio.CancelScope()
        life.forks.add(waiting)
        try:
            with waiting:
                return await life.forge.fork(worker, owner)
        finally:
            life.forks.discard(waiting)
        raise NoWorker("another template has taken the place of its own")

    def renew(self) -> None:
        """Have workers of a new template from now on; what those of the present one do is done again."""
        self._current.forge.renew()
        self._on_replaced()  # Before they are seen to die: none of them is given anything further.

    async def replace(self, settings: TemplateSettings) -> None:
        """Have workers by other settings from now on, without a gap: those that are at work finish what they do.

        Raises  NotReplaced if there is no template by then; all is as it was.
        """
        if settings == self._settings:
            return
        before, after = self._current, _Life(Forge(settings))
        self._lives.append(after)
        self._asked.set()
        took_over = False
        try:
            if not before.forge.state:
                await _until_warm(after.forge)
            took_over = True
        finally:
            if not took_over:
                after.scope.cancel()
        self._settings, self._current = settings, after
        self._replaced_at_s = trio.current_time()
        self._on_replaced()
        before.retired.set()

    async def run(self) -> None:
        """Keep them running until cancelled."""
        async with trio.open_nursery() as lives:
            while True:
                self._asked = trio.Event()
                for life in self._lives:
                    if not life.begun:
                        life.begun = True
                        lives.start_soon(self._live, life)
                await self._asked.wait()

    async def _live(self, life: _Life) -> None:
        try:
            with life.scope:
                async with trio.open_nursery() as living:
                    living.start_soon(life.forge.run)
                    await self._until_retired(life)
                    living.cancel_scope.cancel()
        finally:
            for waiting in tuple(life.forks):
                waiting.cancel()
            last = life.forge.statistics()
            self._starts_before += last.template_starts_total
            self._losses_before += last.template_losses_total
            self._forked_before += last.workers_forked_total
            self._lives.remove(life)

    async def _until_retired(self, life: _Life) -> None:
        """Wait until another one has taken its place, and none of its workers is left."""
        await life.retired.wait()
        with trio.move_on_after(RETIRE_LIMIT_S):
            while not life.forge.state and (life.forks or life.forge.statistics().workers_alive):  # noqa: ASYNC110
                await trio.sleep(_LOOK_S)


async def _until_warm(forge: Forge) -> None:
    with trio.move_on_after(REPLACE_LIMIT_S):
        while forge.state and forge.statistics().template_starts_total < 2:  # noqa: ASYNC110  # Its first start is the one.
            await trio.sleep(_LOOK_S)
    if forge.state:
        raise NotReplaced(forge.state)
