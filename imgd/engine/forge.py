"""Where workers come from: a template that is started again whenever it is lost."""

import logging
import math
from dataclasses import dataclass
from typing import Final

import trio

from cgi_worker.wire.packets import Identity, Warming, WireError
from imgd.core.events import WorkerId
from imgd.engine.workers import NoWorker, Template, TemplateSettings, WorkerLink, open_template

log = logging.getLogger("imgd.engine")

FORK_LIMIT_S: Final = 10.0  # A template that does not answer for so long is stuck; it is killed.
BACKOFF_S: Final = (0.0, 0.1, 0.5, 2.0, 5.0)  # Before each new start in a row; the last one repeats.
NOTICE_LIMIT_S: Final = 0.1  # A worker's end may be seen so much before its template's.
LINGER_S: Final = 0.5  # Workers may be seen to die so long after their template.
STEADY_S: Final = 10.0  # A template that lived so long ends the row.


@dataclass(frozen=True, slots=True)
class ForgeStatistics:
    """How often the template was started, and how many workers were forked in all."""

    template_starts_total: int
    workers_forked_total: int
    workers_alive: int
    template_pid: int


class Forge:
    """Keep a template running, and fork workers from it. Made once; `run` is its one task."""

    def __init__(self, settings: TemplateSettings) -> None:
        self._settings = settings
        self._template: Template | None = None
        self._arrived = trio.Event()
        self._state = "the worker template is starting"
        self._trouble = ""  # Why it had to be started again, until workers can be forked.
        self._lost_at_s = -math.inf
        self._lost = trio.Event()
        self._starts = 0
        self._forked = 0

    @property
    def state(self) -> str:
        """Empty when workers can be forked, else why not, in plain words."""
        return self._state

    async def lost_since(self, at_s: float) -> bool:
        """Tell whether a template was lost after this moment, or so shortly before that its workers still seemed alive.

        Blocks  at most NOTICE_LIMIT_S.
        """
        with trio.move_on_after(NOTICE_LIMIT_S):
            while self._lost_at_s < at_s - LINGER_S:
                await self._lost.wait()
        return self._lost_at_s >= at_s - LINGER_S

    def statistics(self) -> ForgeStatistics:
        """Count starts and forks."""
        template = self._template
        now = template.statistics() if template is not None else None
        return ForgeStatistics(
            self._starts, self._forked, now.alive if now is not None else 0, now.pid if now is not None else 0
        )

    async def fork(self, worker: WorkerId, owner: str) -> WorkerLink:
        """Fork a worker for an owner, as soon as there is a template.

        Raises  NoWorker if the template is lost meanwhile.
        Blocks  while there is no template: the caller sets the limit.
        Cancelled  once the template has answered, or is killed: else one that is stuck would never be found out.
        """
        while self._template is None:
            await self._arrived.wait()
        template = self._template
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FORK_LIMIT_S):
            link = await template.fork(worker, _identity_of(owner))
            self._forked += 1
            return link
        log.error("the template does not answer; it is killed")
        template.kill()
        raise NoWorker("the template did not answer")

    def renew(self) -> None:
        """Have workers of a new template from now on: what may be read is looked up when a template starts.

        Those of the present one end; what they were doing is done again.
        """
        if self._template is not None:
            self._template.kill()

    async def run(self) -> None:
        """Start the template, and start it again when it is lost, until cancelled."""
        row = 0
        while True:
            await trio.sleep(BACKOFF_S[min(row, len(BACKOFF_S) - 1)])
            began_s = trio.current_time()
            self._starts += 1
            trouble = "the worker template was lost"
            try:
                await self._live()
            except (NoWorker, WireError, OSError) as error:
                trouble = f"the worker template could not be started: {error}"
            row = 0 if trio.current_time() - began_s > STEADY_S else row + 1
            self._state = self._trouble = f"{trouble} (start {self._starts}); it is being started again"
            log.error("%s", self._state)

    async def _live(self) -> None:
        async with open_template(self._settings, self._hear_warming) as template:
            self._template = template
            self._state = self._trouble = ""
            log.info("workers can be forked")
            self._arrived.set()
            try:
                await template.wait_lost()
            finally:
                self._template = None
                self._arrived = trio.Event()
                self._lost_at_s = trio.current_time()
                self._lost.set()
                self._lost = trio.Event()

    def _hear_warming(self, news: Warming) -> None:
        preparing = f"preparing kernels, {news.done} of {news.total} ready: {news.what}"
        self._state = f"{self._trouble}: {preparing}" if self._trouble else preparing
        log.info("%s", preparing)


def _identity_of(owner: str) -> Identity:
    """Whom a worker of this owner acts for: until there are tickets, everybody is the daemon's own user."""
    del owner
    return Identity()
