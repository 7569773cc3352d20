"""The roll: which workers there are and what each does, and what waits, for those who look after the daemon. Pure."""

from dataclasses import dataclass

from imgd.core.events import WorkerId
from imgd.core.jobs import Worker
from imgd.core.scheduler import Scheduler
from imgd.model import Urgency


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One worker.

    state   busy, idle, detaching (its steps are done), or ending (told to go, or being killed).
    step    that it is at; "" if none. steps_left: with this one.
    since_s  when it came to be in this state, or at this step, by the clock of the events.
    lists   todo lists that it was given so far.
    external  a CGI program that works for itself.
    """

    number: WorkerId
    owner: str
    state: str
    step: str
    steps_left: int
    since_s: float
    lists: int
    external: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs that wait, by class, and for how long the first of them has."""

    interactive: int
    prefetch: int
    batch: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class Roll:
    """Everybody at work, and what waits for them."""

    workers: tuple[WorkerRecord, ...]
    waiting: Waiting


def roll_of(core: Scheduler) -> Roll:
    """Call the roll."""
    counts = dict.fromkeys(Urgency, 0)
    longest_s = 0.0
    for job in core.queue:
        counts[job.asker.urgency] += 1
        longest_s = max(longest_s, core.now_s - job.at_s)
    interactive = counts[Urgency.FIRST_LOOK] + counts[Urgency.INTERACTIVE]
    waiting = Waiting(interactive, counts[Urgency.PREFETCH], counts[Urgency.BATCH], longest_s)
    return Roll(tuple(map(_record, core.workers.values())), waiting)


def _record(worker: Worker) -> WorkerRecord:
    job, step = worker.job, ""
    if worker.ending:
        state = "ending"
    elif job is None:
        state = "idle"
    elif worker.given:
        state, step = "busy", str(job.recipe.stages[worker.given[0]].step.__struct_config__.tag)
    else:
        state = "detaching"
    since_s = worker.idle_since_s if job is None else worker.since_s
    return WorkerRecord(worker.id, worker.owner, state, step, len(worker.given), since_s, worker.lists, worker.external)
