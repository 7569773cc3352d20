"""One worker's desk: its todo lists go out, its messages become events, its limit is kept, its end is awaited."""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from cgi_worker.wire.packets import Bye, Detached, Done, Drop, Failed, FromWorker, Hello, Progress, Todo, WireError
from cgi_worker.wire.talk import Talk
from imgd import model
from imgd.core.events import Event, SegmentsDetached, StageDone, StageFailed, StageGrew, WorkerId, WorkerStuck
from imgd.engine.forking import NoWorker, WorkerLink
from imgd.engine.seqpacket import AT_ONCE_MAX
from imgd.model import Crashed, Outcome, Refused, Stopped, TimedOut
from imgd.origin import Origin

log = logging.getLogger("imgd.worker")

DETACH_LIMIT_S: Final = 1.0  # Unmapping takes no time; who has done its steps and still holds on after this is killed.
DISMISS_LIMIT_S: Final = 5.0  # A dismissed worker that has not exited by then is killed.
STUCK_LIMIT_S: Final = 3.0  # A killed process is gone in milliseconds, or hangs in the kernel.
LOST: Final = Refused("the worker was lost before it had begun", 1.0, "lost")
SILENT_LIMIT_S: Final = 1.0  # So is one that has closed its socket: nothing more can come of it.


@dataclass(frozen=True, slots=True)
class Order:
    """A todo list with its descriptors, which stay the giver's; `on_sent` is called when it is on its way.

    origin  on whose behalf it is given, for the log.
    """

    todo: Todo
    descriptors: tuple[int, ...]
    on_sent: Callable[[], None]
    origin: Origin | None = None


class Desk:
    """Lead one worker from its first todo list to its end. One task runs it; `give` and `dismiss` are called beside."""

    def __init__(self, worker: WorkerId, report: Callable[[Event], None], limit_s: float) -> None:
        self.scope = trio.CancelScope()  # Cancelled: the worker is killed.
        self._worker = worker
        self._report = report
        self.limit_s = limit_s
        self._limit = trio.CancelScope()
        self._talk = Talk()
        self._heard = 0
        self._link: WorkerLink | None = None
        self._early: Order | None = None  # Given before the worker was there, or, for nothing, after it was gone.
        self._early_drop: tuple[int, ...] = ()  # What was told of it before it was sent.
        self._stuck: WorkerLink | None = None  # Killed, and not dead yet.
        self._unread = False  # Nothing was sent after the todo list, and nothing heard since: it may be unread.
        self._origin: Origin | None = None  # Of the todo list that it has, or had last.

    @property
    def pid(self) -> int:
        """Process id of the worker, 0 while it has no process."""
        link = self._link or self._stuck
        return 0 if link is None else link.pid

    @property
    def unsent(self) -> bool:
        """True when it has a todo list that was not sent: its worker is not there yet, or not any more."""
        return self._early is not None

    def give(self, order: Order) -> None:
        """Send a todo list, now or as soon as the worker exists; its limit begins now."""
        self._limit.deadline = trio.current_time() + self.limit_s
        self._talk.give(order.todo)
        self._origin = order.origin
        if self._link is None:
            self._early = order
        else:
            self._send(self._link, order)

    def drop(self, items: tuple[int, ...]) -> None:
        """Tell the worker which items of its todo list nobody wants any more."""
        todo = self._talk.todo
        if self._early is not None:
            self._early_drop = items
        elif self._link is not None and todo is not None:
            self._unread = False
            self._link.send(Drop(todo.todo, items))

    def dismiss(self) -> None:
        """Tell the idle worker to exit."""
        self._limit.deadline = trio.current_time() + DISMISS_LIMIT_S
        if self._link is not None:
            self._link.send(Bye())

    async def run(self, fork: Callable[[], Awaitable[WorkerLink]]) -> Outcome:
        """Follow the worker until its process is gone; return how it ended.

        Cancelled  the worker is killed; this returns, or raises Cancelled, only when it is gone.
        """
        is_forked = False
        with self._limit:
            try:
                self._link = await fork()
                is_forked = True
            except NoWorker as error:
                self._warn("was not started: %s", error)
                if error.lacking:
                    return Refused(str(error), error.retry_s, error.lacking)
                return Stopped()  # Nobody's fault: who waits for it tries again.
            outcome: Outcome = Stopped()
            try:
                outcome = await self._attend(self._link)
                if isinstance(outcome, Crashed) and self._link.unread and self._unread and self._talk.greeted:
                    outcome = LOST  # Told only now: a list may have been given while it was found out how it ended.
            finally:
                if self._limit.cancel_called:
                    outcome = TimedOut(self.limit_s)
                link, self._link = self._link, None
                await self._end(link, outcome)
            return outcome
        words = "took longer than %g s, and was killed" if is_forked else "could not be started within %g s"
        self._warn(words, self.limit_s)
        return TimedOut(self.limit_s)

    async def gone(self) -> None:
        """Wait for a worker that did not die when it was killed. Cancelled: it is left to the kernel."""
        link, self._stuck = self._stuck, None
        if link is not None:
            try:
                await link.wait_exited()
                self._warn("has died at last")
            finally:
                link.bury()

    async def _end(self, link: WorkerLink, outcome: Outcome) -> None:
        """Kill the worker, if it is alive, and wait for its end, but not for ever: else the core is told.

        A process that waits for a file system may be beyond the reach of SIGKILL until that answers.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STUCK_LIMIT_S):
            link.kill()
            await link.wait_exited()
            link.errors.drain()
            link.close()
            return
        self._stuck = link
        self._warn("was killed, and does not die: the kernel waits for something on its behalf")
        link.errors.drain()
        self._report(WorkerStuck(self._worker, outcome))

    async def _attend(self, link: WorkerLink) -> Outcome:
        """Follow the worker, and listen to what it complains of meanwhile."""
        async with trio.open_nursery() as listening:
            listening.start_soon(link.errors.listen)
            outcome = await self._follow(link)
            listening.cancel_scope.cancel()
        return outcome

    async def _follow(self, link: WorkerLink) -> Outcome:
        if self._early is not None:
            self._send(link, self._early)
            if self._early_drop:
                self._unread = False
                link.send(Drop(self._early.todo.todo, self._early_drop))
            self._early = None
        try:
            while (message := await link.receive()) is not None:
                self._unread = self._unread and isinstance(message, Hello)
                self._talk.hear(message)
                self._tell(message)
                self._heard += 1
                if self._heard % AT_ONCE_MAX == 0:
                    await trio.lowlevel.checkpoint()
        except WireError as error:
            self._warn("broke the protocol: %s", error)
            return Crashed()
        with trio.move_on_after(SILENT_LIMIT_S) as patience:
            await link.wait_exited()
        if patience.cancelled_caught:
            self._warn("closed its socket and lived on")
            return Crashed()
        killed_by, exit_code = await link.exit_status()
        if killed_by is None and exit_code == 0 and self._talk.idle:
            return Stopped()
        link.errors.drain()
        self._warn("ended by signal %s, exit code %s", killed_by, exit_code)
        return Crashed(killed_by, exit_code)

    def _send(self, link: WorkerLink, order: Order) -> None:
        order.on_sent()
        link.errors.origin = order.origin
        self._unread = True
        link.send(order.todo, order.descriptors)

    def _warn(self, words: str, *values: object) -> None:
        """Log what became of the worker, in the name of those whom it concerns."""
        pid = f" (pid {self.pid})" if self.pid else ""
        log.warning(f"worker %d%s {words}", self._worker, pid, *values, extra={"origin": self._origin})

    def _tell(self, message: FromWorker) -> None:
        if (event := event_of(self._worker, message)) is not None:
            self._report(event)
        if self._talk.idle:
            self._limit.deadline = math.inf
        elif self._talk.detaching:
            self._limit.deadline = min(self._limit.deadline, trio.current_time() + DETACH_LIMIT_S)


def event_of(worker: WorkerId, message: FromWorker) -> Event | None:
    """Translate what a worker said into what the core hears; None for what it need not hear."""
    match message:
        case Progress(_, stage, used_bytes, ends):
            return StageGrew(worker, stage, used_bytes, ends)
        case Done(_, stage, used_bytes, facts, elapsed_ms):
            return StageDone(worker, stage, used_bytes, facts, elapsed_ms)
        case Failed(_, _, code, text):
            return StageFailed(worker, model.Failed(code, text))
        case Detached(_, segments):
            return SegmentsDetached(worker, segments)
        case Hello():
            return None
