"""The supervise loop: the one task that feeds the core and carries its commands out."""

import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import trio

from cgi_worker.wire.packets import Lent, Todo
from cgi_worker.wire.steps import reads_file
from imgd.core.events import (
    Command,
    CreateSegment,
    DestroySegment,
    DismissWorker,
    Event,
    ForkWorker,
    GiveTodo,
    JobId,
    KillWorker,
    PunchSegment,
    Released,
    SegmentsDetached,
    StageDone,
    StageFailed,
    TellEnd,
    TellGrowth,
    TellStep,
    Ticked,
    WorkerEnded,
    WorkerId,
)
from imgd.core.scheduler import Scheduler
from imgd.core.story import Story
from imgd.engine.desk import LOST, Desk, Order
from imgd.engine.forking import WorkerLink
from imgd.engine.inbox import Inbox
from imgd.engine.segments import Segments
from imgd.model import Crashed, Outcome, Refused, Stopped
from imgd.origin import Origin

log = logging.getLogger("imgd.engine")

TICK_S: Final = 0.25
RETRY_S: Final = 2.0  # After there was no descriptor for something.
CHECK_ALL_EVERY: Final = 4096  # Events between two complete checks of the core's invariants.
EVENTS_MAX: Final = 100_000  # Clients and workers together cannot have more on its way: each waits for its answer.


@dataclass(slots=True)
class Errand:
    """What the shell keeps for a job: descriptors for its worker (its own copies), and where to tell its client.

    tell      is called for each TellGrowth, TellStep, and for the one TellEnd.
    writing   True from when a worker may be writing where the job delivers: it cannot be taken back, nor tried again.
    unwanted  items of its last step that nobody wants any more.
    origin    on whose behalf it was submitted, for the log.
    """

    source: str  # Source identity as JSON.
    tell: Callable[[TellGrowth | TellStep | TellEnd], None]
    origin: Origin | None = None
    source_fd: int = -1
    sink_fd: int = -1
    writing: bool = False
    unwanted: set[int] = field(default_factory=set)

    def note_writing(self) -> None:
        """Note that a worker has been told to write where the job delivers, and nothing else before."""
        self.writing = True

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (self.source_fd, self.sink_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.source_fd = self.sink_fd = -1


class AnyDesk(Protocol):
    """A worker of ours, or a CGI that works for itself."""

    scope: trio.CancelScope

    @property
    def unsent(self) -> bool:
        """True when it has a todo list that was not sent."""

    def give(self, order: Order) -> None:
        """Send a todo list."""

    def drop(self, items: tuple[int, ...]) -> None:
        """Tell it which items of its todo list nobody wants any more."""

    def dismiss(self) -> None:
        """Tell it to exit."""


@dataclass(slots=True)
class Floor:
    """What the supervise loop works with: the core, the segments, the desks, and errands by job.

    own  events that carrying a command out has caused: the core hears them before any other.
    """

    core: Scheduler
    segments: Segments
    story: Story
    inbox: Inbox[Event]
    fork: Callable[[WorkerId, str], Awaitable[WorkerLink]]
    step_limit_s: float
    threads: int
    errands: dict[JobId, Errand] = field(default_factory=dict)
    desks: dict[WorkerId, AnyDesk] = field(default_factory=dict)
    jobs_submitted: int = 0
    leaving: set[JobId] = field(default_factory=set)
    own: deque[Event] = field(default_factory=deque)
    _todos: int = 0

    def set_step_limit(self, limit_s: float) -> None:
        """Give each todo list so much time from now on."""
        self.step_limit_s = limit_s
        for desk in self.desks.values():
            if isinstance(desk, Desk):
                desk.limit_s = limit_s

    def drop(self, job: JobId, items: Collection[int]) -> None:
        """Spare a job's worker some items of its last step, if it has not made them yet."""
        errand = self.errands[job]
        errand.unwanted.update(items)
        known = self.core.jobs.get(job)
        if known is not None and known.worker is not None and known.worker in self.desks:
            self.desks[known.worker].drop(tuple(sorted(errand.unwanted)))

    def sweep(self) -> None:
        """Close what is kept for jobs whose client is gone and that the core has forgotten."""
        for job in [job for job in self.leaving if job not in self.core.jobs]:
            self.leaving.discard(job)
            self.errands.pop(job).close()

    def close(self) -> None:
        """Close what is kept for all jobs: nobody carries them out any more."""
        while self.errands:
            self.errands.popitem()[1].close()

    def seen(self, event: Event) -> Event:
        """See what only the shell knows: that a worker which was lost had never been sent its todo list."""
        match event:
            case WorkerEnded(worker, Crashed()) if (desk := self.desks.get(worker)) is not None and desk.unsent:
                return WorkerEnded(worker, LOST)
        return event

    def notice(self, event: Event) -> None:
        """See, before the core hears it, that a worker goes on to the step that delivers."""
        match event:
            case StageDone(worker_id) if (worker := self.core.workers.get(worker_id)) is not None:
                job, rest = worker.job, worker.given[1:]
                if job is not None and len(rest) == 1 and not job.recipe.stages[rest[0]].outputs:
                    self.errands[job.id].note_writing()

    def take_back(self, command: GiveTodo, error: OSError) -> None:
        """Let a todo list fail that cannot be given, as if the worker had said so: it never hears of it."""
        log.error("a todo list cannot be given: %s", error.strerror)
        why = Refused("too many files are open", RETRY_S, "descriptors")
        self.own.append(StageFailed(command.worker, why))
        self.own.append(SegmentsDetached(command.worker, tuple(sorted({loan.segment for loan in command.loans}))))

    def order(self, command: GiveTodo) -> Order:
        """Write a todo list for a worker, with the descriptors that it needs and no more.

        Raises  OSError if a segment cannot be made.
        """
        errand = self.errands[command.job]
        buffers = command.recipe.buffers
        lent = tuple(
            Lent(buffers[loan.buffer], loan.segment, loan.writable, loan.used_bytes, loan.facts)
            for loan in command.loans
        )
        needs_source = any(map(reads_file, command.stages))
        has_sink = errand.sink_fd >= 0 and not command.stages[-1].outputs
        descriptors = [errand.source_fd] if needs_source else []
        for loan in command.loans:
            lend = self.segments.writer_fd if loan.writable else self.segments.reader_fd
            descriptors.append(lend(loan.segment))
        descriptors += [errand.sink_fd] if has_sink else []
        self._todos += 1
        source = errand.source if needs_source else ""
        threads = max(1, self.threads // self.core.demand)
        unwanted = tuple(sorted(errand.unwanted))
        todo = Todo(self._todos, command.stages, lent, source, needs_source, has_sink, threads, unwanted)
        on_sent = _nothing if command.stages[0].outputs else errand.note_writing
        return Order(todo, tuple(descriptors), on_sent, errand.origin)


def _nothing() -> None:
    """Nothing is to be noted."""


async def supervise(floor: Floor) -> None:
    """Feed events to the core and carry its commands out, until cancelled; nobody else calls `core.handle`.

    No worker outlives this call. A worker's failure is an outcome; our own bug ends the daemon.
    """
    inbox, core = floor.inbox, floor.core
    handled = 0
    async with trio.open_nursery() as workers:
        workers.start_soon(_tick, inbox)
        while True:
            event = floor.seen(floor.own.popleft() if floor.own else await inbox.take())
            floor.notice(event)
            for command in _handle(floor, event):
                if isinstance(command, ForkWorker):
                    desk = Desk(command.worker, inbox.put, floor.step_limit_s)
                    floor.desks[command.worker] = desk  # Here, not in the task: KillWorker may beat it.
                    workers.start_soon(_run_worker, floor, desk, command)
                else:
                    _carry_out(floor, command)
            match event:
                case Released(job):
                    floor.leaving.add(job)
                case WorkerEnded(worker):
                    del floor.desks[worker]  # Not before: the core may have given it a todo list meanwhile.
            floor.sweep()
            handled += 1
            if handled % CHECK_ALL_EVERY == 0:
                core.check_all()


def _handle(floor: Floor, event: Event) -> list[Command]:
    """Let the core apply an event; the story has it even if that fails."""
    commands: list[Command] = []
    try:
        commands = floor.core.handle(event)
    finally:
        floor.story.tell(event, commands)
    return commands


def _carry_out(floor: Floor, command: Command) -> None:
    match command:
        case CreateSegment(segment, capacity_bytes):
            floor.segments.create(segment, capacity_bytes)
        case PunchSegment(segment, from_bytes):
            floor.segments.punch(segment, from_bytes)
        case DestroySegment(segment):
            floor.segments.destroy(segment)
        case GiveTodo(worker):
            try:
                order = floor.order(command)
            except OSError as error:
                floor.take_back(command, error)
            else:
                floor.desks[worker].give(order)
        case KillWorker(worker):
            floor.desks[worker].scope.cancel()
        case DismissWorker(worker):
            floor.desks[worker].dismiss()
        case TellGrowth(job) | TellStep(job) | TellEnd(job):
            floor.errands[job].tell(command)


async def _run_worker(floor: Floor, desk: Desk, command: ForkWorker) -> None:
    outcome: Outcome = Stopped()
    try:
        with desk.scope:
            outcome = await desk.run(partial(floor.fork, command.worker, command.owner))
        await desk.gone()
    finally:
        floor.inbox.put(WorkerEnded(command.worker, outcome))  # Sync, so it gets through while we are being cancelled.


async def _tick(inbox: Inbox[Event]) -> None:
    while True:
        await trio.sleep(TICK_S)
        inbox.put(Ticked(trio.current_time()))
