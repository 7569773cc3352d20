"""The one thread that writes: takes all that is asked at that moment, commits it as one, answers each."""

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import outcome
import trio

from imgd.events.orders import Note, Order, Plain, Publish
from imgd.events.patience import Patience
from imgd.events.sessions import Collided, Session, Undone
from imgd.events.store import StoreDown
from imgd.events.transaction import carry_out
from imgd.threads import NoThread, in_thread

_REST_EACH_S: Final = 1.0
_COLLISIONS_MAX: Final = 8
_END_S: Final = 5.0


@dataclass(frozen=True)
class ScribeStatistics:
    """Figures of the writing side.

    waiting  orders that wait for the thread.
    down     1 from a failure to write until something is written again.
    """

    events_published_total: int
    commits_total: int
    failures_total: int
    largest_batch: int
    waiting: int
    down: int


@dataclass(eq=False, slots=True)
class _Asked:
    """An order whose task waits for the answer; `left`: not any more."""

    order: Order
    task: trio.lowlevel.Task
    answer: outcome.Outcome[Any] | None = None
    left: bool = False


class Scribe:
    """The thread's two sides: `ask` is for Trio's tasks, `run` is the thread. Made by `writing`."""

    def __init__(self, patience: Patience, waiting_max: int) -> None:
        self._patience = patience
        self._waiting_max = waiting_max
        self._token = trio.lowlevel.current_trio_token()
        self._room = trio.lowlevel.ParkingLot()
        self._filled = threading.Condition()
        self._waiting: dict[_Asked, None] = {}  # In order; withdrawing one costs nothing.
        self._ending = False
        self._session: Session | None = None
        self._rest_at = 0.0
        self._published = self._commits = self._failures = self._largest = 0
        self.refusal = ""  # Why the last order was not carried out; "" if it was.
        self.committed: Callable[[], None] = lambda: None

    async def ask(self, order: Order) -> Any:
        """Have an order carried out; return its answer.

        Blocks until its commit is durable; first for room, when `waiting_max` orders wait already.
        Cancelled: it is not done. A plain one that has been taken is not cancelled any more: its answer comes back.
        Of others, which may take long and can be asked for again, it is not known whether they are done.

        Raises  StoreDown, or what is wrong with the order.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while len(self._waiting) >= self._waiting_max:
            await self._room.park()
        asked = _Asked(order, trio.lowlevel.current_task())
        with self._filled:
            assert not self._ending, "the store is closed"
            self._waiting[asked] = None
            self._filled.notify()

        def withdraw(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            with self._filled:
                if asked not in self._waiting:
                    asked.left = not isinstance(order, Plain)
                    return trio.lowlevel.Abort.SUCCEEDED if asked.left else trio.lowlevel.Abort.FAILED
                del self._waiting[asked]
            self._room.unpark()
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(withdraw)

    def statistics(self) -> ScribeStatistics:
        """Tell what was written so far."""
        return ScribeStatistics(
            self._published, self._commits, self._failures, self._largest, len(self._waiting), int(bool(self.refusal))
        )

    def end(self) -> None:
        """Let the thread end, when it has answered what was asked before. Does not wait."""
        with self._filled:
            self._ending = True
            self._filled.notify()

    def run(self) -> None:
        """Be the thread. A bug of ours ends Trio's run: nobody would be answered any more."""
        ended = outcome.capture(self._loop)
        if isinstance(ended, outcome.Error):
            self._soon(ended.unwrap)

    def _loop(self) -> None:
        try:
            while taken := self._take():
                self._serve(taken)
                if time.monotonic() >= self._rest_at:
                    self._rest()
            self._rest()
        finally:
            self._drop()

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(call, *arguments)

    def _take(self) -> list[_Asked]:
        """Wait for orders and take all of them; an empty list is the end."""
        while True:
            with self._filled:
                if not self._waiting and not self._ending:
                    self._filled.wait(_REST_EACH_S)
                if self._waiting or self._ending:
                    taken = list(self._waiting)
                    self._waiting.clear()
                    return taken
            self._rest()

    def _rest(self) -> None:
        self._rest_at = time.monotonic() + _REST_EACH_S
        if self._session is not None:
            try:
                self._session.rest()
            except StoreDown:
                self._drop()

    def _serve(self, taken: Sequence[_Asked]) -> None:
        """Carry out what was taken, in order; plain orders that follow one another are one transaction."""
        for plain, run in groupby(taken, lambda asked: isinstance(asked.order, Plain)):
            for group in [list(run)] if plain else [[asked] for asked in run]:
                self._commit(group)

    def _commit(self, group: Sequence[_Asked]) -> None:
        answers = outcome.capture(self._carry_out, [asked.order for asked in group])
        match answers:
            case outcome.Value(values):
                for asked, value in zip(group, values, strict=True):
                    asked.answer = outcome.Value(value)
                self._count([asked.order for asked in group], values)
            case outcome.Error(StoreDown() as error):
                self._failures += 1
                self.refusal = str(error) or "the store does not answer"
                for asked in group:
                    asked.answer = outcome.Error(StoreDown(*error.args))
            case outcome.Error() if len(group) > 1:  # One of them cannot be carried out; it harms nobody but itself.
                for asked in group:
                    self._commit([asked])
                return
            case outcome.Error() as fault:
                group[0].answer = fault
        self._soon(self._deliver, group)

    def _carry_out(self, orders: Sequence[Order]) -> list[Any]:
        collisions, lost = 0, False
        while True:
            kept = False
            try:
                if self._session is None:
                    self._session = self._patience.open()
                answers = carry_out(self._session, orders)
                kept = True
                return answers
            except Collided:
                collisions += 1
                if collisions > _COLLISIONS_MAX:
                    raise
            except Undone:
                if lost:
                    raise
                lost = True
            finally:
                if not kept:
                    self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _count(self, orders: Sequence[Order], answers: Sequence[Any]) -> None:
        events = sum(
            sum(id is not None for id in answer)
            for order, answer in zip(orders, answers, strict=True)
            if isinstance(order, Publish | Note)
        )
        self.refusal = ""
        self._commits += 1
        self._published += events
        self._largest = max(self._largest, events)

    def _deliver(self, taken: Sequence[_Asked]) -> None:
        """Wake the tasks, in Trio's thread."""
        for asked in taken:
            assert asked.answer is not None, "an order was taken and not answered"
            if not asked.left:
                trio.lowlevel.reschedule(asked.task, asked.answer)
        self._room.unpark(count=len(taken))
        self.committed()


@contextlib.asynccontextmanager
async def writing(patience: Patience, waiting_max: int) -> AsyncIterator[Scribe]:
    """Have a writing thread; it answers everything that was asked before the end, if that takes no longer than 5 s."""
    scribe = Scribe(patience, waiting_max)
    # A daemon: a server that does not answer must not keep the process from ending.
    thread = threading.Thread(target=scribe.run, name="imgd-scribe", daemon=True)
    thread.start()
    try:
        yield scribe
    finally:
        scribe.end()
        with trio.CancelScope(shield=True), contextlib.suppress(NoThread):
            await in_thread(thread.join, _END_S)
