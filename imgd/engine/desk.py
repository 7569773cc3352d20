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
from imgd.core.events import Event, SegmentDetached, StageDone, StageFailed, StageGrew, WorkerId
from imgd.engine.seqpacket import AT_ONCE_MAX
from imgd.engine.workers import NoWorker, WorkerLink
from imgd.model import Crashed, Outcome, Stopped, TimedOut

log = logging.getLogger("imgd.worker")

DETACH_LIMIT_S: Final = 1.0  # Unmapping takes no time; who has done its steps and still holds on after this is killed.
DISMISS_LIMIT_S: Final = 5.0  # A dismissed worker that has not exited by then is killed.
SILENT_LIMIT_S: Final = 1.0  # So is one that has closed its socket: nothing more can come of it.


@dataclass(frozen=True, slots=True)
class Order:
    """A todo list with its descriptors, which stay the giver's; `on_sent` is called when it is on its way."""

    todo: Todo
    descriptors: tuple[int, ...]
    on_sent: Callable[[], None]


class Desk:
    """Lead one worker from its first todo list to its end. One task runs it; `give` and `dismiss` are called beside."""

    def __init__(self, worker: WorkerId, report: Callable[[Event], None], limit_s: float) -> None:
        self.scope = trio.CancelScope()  # Cancelled: the worker is killed.
        self._worker = worker
        self._report = report
        self._limit_s = limit_s
        self._limit = trio.CancelScope()
        self._talk = Talk()
        self._heard = 0
        self._link: WorkerLink | None = None
        self._early: Order | None = None  # Given before the worker was there, or, for nothing, after it was gone.
        self._early_drop: tuple[int, ...] = ()  # What was told of it before it was sent.

    def give(self, order: Order) -> None:
        """Send a todo list, now or as soon as the worker exists; its limit begins now."""
        self._limit.deadline = trio.current_time() + self._limit_s
        self._talk.give(order.todo)
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
        with self._limit:
            try:
                self._link = await fork()
            except NoWorker as error:
                log.warning("worker %d was not started: %s", self._worker, error)
                return Stopped()  # Nobody's fault: who waits for it tries again.
            try:
                return await self._follow(self._link)
            finally:
                link, self._link = self._link, None
                with trio.CancelScope(shield=True):
                    link.kill()
                    await link.wait_exited()
                link.close()
        return TimedOut(self._limit_s)

    async def _follow(self, link: WorkerLink) -> Outcome:
        if self._early is not None:
            self._send(link, self._early)
            if self._early_drop:
                link.send(Drop(self._early.todo.todo, self._early_drop))
            self._early = None
        try:
            while (message := await link.receive()) is not None:
                self._talk.hear(message)
                self._tell(message)
                self._heard += 1
                if self._heard % AT_ONCE_MAX == 0:
                    await trio.lowlevel.checkpoint()
        except WireError as error:
            log.warning("worker %d (pid %d) broke the protocol: %s", self._worker, link.pid, error)
            return Crashed()
        with trio.move_on_after(SILENT_LIMIT_S) as patience:
            await link.wait_exited()
        if patience.cancelled_caught:
            log.warning("worker %d (pid %d) closed its socket and lived on", self._worker, link.pid)
            return Crashed()
        killed_by, exit_code = await link.exit_status()
        if killed_by is None and exit_code == 0 and self._talk.idle:
            return Stopped()
        log.warning("worker %d (pid %d) ended by signal %s, exit code %s", self._worker, link.pid, killed_by, exit_code)
        return Crashed(killed_by, exit_code)

    def _send(self, link: WorkerLink, order: Order) -> None:
        order.on_sent()
        link.send(order.todo, order.descriptors)

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
        case Detached(_, segment):
            return SegmentDetached(worker, segment)
        case Hello():
            return None
