"""Where workers come from: a template that is started again whenever it is lost."""

import logging
import math
from dataclasses import dataclass
from typing import Final

import trio

from cgi_worker.wire.packets import Identity, Warming, WireError
from imgd.core.events import WorkerId
from imgd.engine.forking import NoWorker, WorkerLink
from imgd.engine.workers import Template, TemplateSettings, open_template

log = logging.getLogger("imgd.engine")

FORK_LIMIT_S: Final = 10.0  # A template that does not answer for so long is stuck; it is killed.
BACKOFF_S: Final = (0.0, 0.1, 0.5, 2.0, 5.0, 15.0, 30.0)  # Before each new start in a row; the last one repeats.
WAITED_MAX_S: Final = 1.0  # Nobody is kept waiting through a longer pause, nor for what comes of it.
NOTICE_LIMIT_S: Final = 0.1  # A worker's end may be seen so much before its template's.
RENEWED_LIMIT_S: Final = 5.0  # One that was killed is gone by then.
LINGER_S: Final = 0.5  # Workers may be seen to die so long after their template.
TEMPLATE_RETRY_S: Final = 5.0  # For a template that starts.
STEADY_S: Final = 10.0  # A template that was ready for so long ends the row.


@dataclass(frozen=True, slots=True)
class ForgeStatistics:
    """How often the template was started, and was lost or did not start, and how many workers were forked in all."""

    template_starts_total: int
    template_losses_total: int
    workers_forked_total: int
    workers_alive: int
    template_pid: int


class Forge:
    """Keep a template running, and fork workers from it. Made once; `run` is its one task."""

    def __init__(self, settings: TemplateSettings) -> None:
        self._settings = settings
        self._template: Template | None = None
        self._news = trio.Event()  # A template has arrived, or another one was lost.
        self._row = 0  # Templates lost one after the other.
        self._ready_s = math.inf
        self._renewed = False
        self._has_news = False  # Since the present template was started.
        self._state = "the worker template is starting"
        self._trouble = ""  # Why it had to be started again, until workers can be forked.
        self._lost_at_s = -math.inf
        self._lost = trio.Event()
        self._starts = self._losses = 0
        self._starts_at_s = -math.inf  # The next one, while there is a pause before it.
        self._forked = 0

    @property
    def state(self) -> str:
        """Empty when workers can be forked, else why not, in plain words."""
        return self._state

    @property
    def retry_s(self) -> float:
        """When to ask again, if workers cannot be forked now: not before the template is started again."""
        return max(TEMPLATE_RETRY_S, self._starts_at_s - trio.current_time())

    async def lost_since(self, at_s: float) -> bool:
        """Tell whether a template was lost after this moment, or so shortly before that its workers still seemed alive.

        Blocks  at most NOTICE_LIMIT_S; RENEWED_LIMIT_S if one is on its way out.
        """
        with trio.move_on_after(RENEWED_LIMIT_S if self._renewed else NOTICE_LIMIT_S):
            while self._lost_at_s < at_s - LINGER_S:
                await self._lost.wait()
        return self._lost_at_s >= at_s - LINGER_S

    def statistics(self) -> ForgeStatistics:
        """Count starts and forks."""
        template = self._template
        now = template.statistics() if template is not None else None
        return ForgeStatistics(
            self._starts, self._losses, self._forked,
            now.alive if now is not None else 0, now.pid if now is not None else 0,
        )  # fmt: skip

    async def fork(self, worker: WorkerId, owner: str) -> WorkerLink:
        """Fork a worker for an owner, as soon as there is a template.

        Raises  NoWorker if the template is lost meanwhile, or if too many were in a row and there is none now.
        Blocks  while there is no template: the caller sets the limit.
        Cancelled  once the template has answered, or is killed: else one that is stuck would never be found out.
        """
        while self._template is None:
            if self._pause_s() > WAITED_MAX_S:
                raise NoWorker(self._state, "template", self.retry_s)
            await self._news.wait()
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

        Those of the present one end; what they were doing is done again. One that is starting may have looked already:
        it is renewed as soon as it is there.
        """
        self._has_news = True
        if self._template is not None:
            template, self._template = self._template, None  # It takes a moment to die, and gives nobody a worker then.
            self._renewed = True
            self._state = self._trouble = "the worker template is being renewed"
            template.kill()

    async def run(self) -> None:
        """Start the template, and start it again when it is lost, until cancelled; the pauses grow."""
        while True:
            await trio.sleep(self._pause_s())
            self._starts += 1
            self._ready_s = math.inf
            try:
                trouble = f"was lost: {await self._live()}"
            except (NoWorker, WireError, OSError) as error:
                trouble = f"could not be started: {error}"
            if self._renewed:
                trouble = "is renewed, since there is something new to be read"
            self._losses += not self._renewed
            steady = self._renewed or trio.current_time() - self._ready_s > STEADY_S
            self._row = 0 if steady else self._row + 1
            times = f", {self._row} times in a row" if self._row > 1 else ""
            pause_s = self._pause_s()
            self._starts_at_s = trio.current_time() + pause_s
            again = f"it is started again in {pause_s:g} s" if pause_s else "it is being started again"
            self._trouble = f"the worker template {trouble} (start {self._starts}{times})"
            self._state = f"{self._trouble}; {again}"
            log.log(logging.INFO if self._renewed else logging.ERROR, "%s", self._state)
            self._renewed = False
            self._tell_news()

    async def _live(self) -> str:
        """Have a template until it is lost; tell how it ended."""
        self._has_news = False
        async with open_template(self._settings, self._hear_warming) as template:
            self._template = template
            self._state = self._trouble = ""
            self._ready_s = trio.current_time()
            if self._has_news:
                self.renew()
            else:
                log.info("workers can be forked")
                self._tell_news()
            try:
                await template.wait_lost()
            finally:
                self._template = None
                self._state = self._trouble = "the worker template was lost; it is being started again"
                self._lost_at_s = trio.current_time()
                self._lost.set()
                self._lost = trio.Event()
        return template.how_it_ended()

    def _pause_s(self) -> float:
        """Tell how long to wait before the next start."""
        return BACKOFF_S[min(self._row, len(BACKOFF_S) - 1)]

    def _tell_news(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _hear_warming(self, news: Warming) -> None:
        preparing = f"preparing kernels, {news.done} of {news.total} ready: {news.what}"
        self._state = f"{self._trouble}: {preparing}" if self._trouble else preparing
        log.info("%s", preparing)


def _identity_of(owner: str) -> Identity:
    """Whom a worker of this owner acts for: until there are tickets, everybody is the daemon's own user."""
    del owner
    return Identity()
