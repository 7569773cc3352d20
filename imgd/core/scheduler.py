"""The scheduler: which job goes next, with which memory and which worker, and who shares with whom. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from imgd.core.crew import Crew
from imgd.core.events import (
    Command,
    Event,
    JobId,
    LimitsChanged,
    Released,
    SegmentsDetached,
    StageDone,
    StageFailed,
    StageGrew,
    Submitted,
    Ticked,
    Withdrawn,
    WorkerEnded,
    WorkerId,
    WorkerJoined,
    WorkersOutdated,
    WorkerStuck,
)
from imgd.core.jobs import Job, Phase, Survey, Worker, survey
from imgd.core.ledger import Ledger
from imgd.core.limits import Limits
from imgd.core.pool import Pool
from imgd.core.queue import Queue
from imgd.core.segment import Need, Segment, State, capacity_for
from imgd.core.steps import tell_shares
from imgd.figures import Distribution
from imgd.model import Crashed, Refused, Superseded

__all__ = ["Limits", "Scheduler", "SchedulerStatistics"]


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """Jobs and workers by state, and what became of the jobs so far."""

    jobs_waiting: int
    jobs_admitted: int
    jobs_reading: int
    workers: int
    workers_busy: int
    workers_stuck: int
    submitted_total: int
    joined_total: int
    cached_total: int
    stopped_total: int
    refused_total: int
    failed_total: int
    crashed_total: int
    timed_out_total: int
    queue_full_total: int
    waited_out_total: int
    wait_seconds: Distribution


class Scheduler:
    """Apply events, return commands. No job both waits and holds; no two workers make the same buffer.

    A job is wanted while its client waits or reads, or while another job waits for a buffer that it is to make. The
    worker of a job that nobody wants is killed, and what it held is free when it is gone, not before.
    """

    def __init__(self, budget_bytes: int, limits: Limits) -> None:
        self._ledger: Final = Ledger(budget_bytes, limits)
        self._crew: Final = Crew(self._ledger)
        self._order = 0
        self._need_max = budget_bytes  # The largest budget so far.
        self._scanned: tuple[float, ...] = ()  # The scene in which nobody could be admitted.
        self._places_max = limits.workers_max  # While there are more than there may be from now on: so many.

    @property
    def limits(self) -> Limits:
        """The settings that it keeps to."""
        return self._ledger.limits

    @property
    def pool(self) -> Pool:
        """The segments and the budget."""
        return self._ledger.pool

    @property
    def queue(self) -> Queue:
        """The jobs that wait."""
        return self._ledger.queue

    @property
    def jobs(self) -> dict[JobId, Job]:
        """All jobs that have a client or a worker."""
        return self._ledger.jobs

    @property
    def workers(self) -> dict[WorkerId, Worker]:
        """All workers that were ordered, or have joined, and are not gone."""
        return self._crew.workers

    @property
    def demand(self) -> int:
        """How many workers there would be work for now: the more, the fewer threads are good for each."""
        return min(self.limits.workers_max, len(self._ledger.places) + len(self.queue))

    @property
    def now_s(self) -> float:
        """The time of the latest event that told one."""
        return self._ledger.now_s

    def handle(self, event: Event) -> list[Command]:
        """Apply one event; return the commands it causes, to be carried out in order before the next event.

        Raises  AssertionError for an event that cannot be; nothing is changed by it.
        """
        crew = self._crew
        match event:
            case Submitted():
                self._submit(event)
            case Withdrawn(job_id) | Released(job_id):
                self._leave(job_id)
            case WorkerJoined():
                crew.joined(event)
            case StageGrew():
                crew.grew(event)
                return self._ledger.take_commands()  # Nothing is free, or wanted, that was not so before.
            case StageDone():
                crew.done(event)
            case StageFailed():
                crew.failed(event)
            case SegmentsDetached():
                crew.detached(event)
            case WorkerEnded():
                crew.ended(event)
            case WorkerStuck():
                crew.stuck(event)
            case Ticked(at_s):
                self._tick(at_s)
            case LimitsChanged(limits, budget_bytes):
                self._change_limits(limits, budget_bytes)
            case WorkersOutdated():
                crew.outdate()
        crew.stop_the_unwanted()
        self.pool.shrink(self._wanted_keys)  # Before anything new is promised.
        self._admit_waiting()
        crew.dispatch()
        self._places_max = max(self.limits.workers_max, min(self._places_max, len(self._ledger.places)))
        self.check()
        return self._ledger.take_commands()

    def statistics(self) -> SchedulerStatistics:
        """Count jobs and workers by state."""
        jobs = self.jobs.values()
        return SchedulerStatistics(
            jobs_waiting=len(self.queue),
            jobs_admitted=sum(job.phase in (Phase.ADMITTED, Phase.RUNNING) for job in jobs),
            jobs_reading=sum(job.reads for job in jobs),
            workers=len(self.workers),
            workers_busy=sum(worker.job is not None for worker in self.workers.values()),
            workers_stuck=sum(worker.stuck for worker in self.workers.values()),
            wait_seconds=self._ledger.waits.taken(),
            **{f"{name}_total": count for name, count in self._ledger.totals.items()},
        )

    def check(self) -> None:
        """Assert what is cheap to know; on in production."""
        self.pool.check()
        places = self._ledger.places
        assert len(places) <= self._places_max, "more jobs at work than allowed"
        for job in places.values():
            assert job.phase in (Phase.ADMITTED, Phase.RUNNING) and job.stages

    def check_all(self) -> None:
        """Assert all invariants, job by job and segment by segment."""
        self.check()
        self.pool.check_all()
        places = self._ledger.places
        for job in self.jobs.values():
            assert (job.phase is Phase.WAITING) == (job in self.queue), "a job is waiting outside the queue"
            if job.phase is Phase.WAITING:
                assert job.hands_over or self.pool.find(job.result_key) is None, "a job waits for what is there"
                assert not job.segments and job.worker is None and job.waits, "a job both waits and holds"
            if job.phase is Phase.RUNNING:
                assert job.worker is not None and self.workers[job.worker].job is job
            assert job.waits or job.reads or job.id in places, "a job that nobody needs"
            assert not (job.waits and job.reads)
            for segment in job.segments.values():
                assert job.id in segment.leases, "a job uses what it has not leased"
        for segment in self.pool.segments.values():
            assert segment.leases <= self.jobs.keys(), "a lease of a job that is gone"
            assert all(segment.id in self.workers[worker].held for worker in segment.holders)
            assert segment.state is not State.WRITING or segment.producer in places, "nobody makes a buffer"

    # Clients come and go

    def _submit(self, event: Submitted) -> None:
        assert event.job not in self.jobs, "a job was submitted twice"
        need = sum(capacity_for(buffer.size_bytes) for buffer in event.recipe.buffers)
        assert need <= self._need_max, "the planner refuses what could never fit"
        ledger = self._ledger
        ledger.pass_time(event.at_s)
        ledger.totals["submitted"] += 1
        self._order += 1
        job = Job(event.job, event.recipe, event.asker, event.at_s, event.worker, self._order, event.continues)
        job.watched, job.place = event.watched, event.place
        self._supersede(job)
        self.jobs[job.id] = job
        if event.worker is not None and not self._crew.is_there(event.worker):
            ledger.end(job, Crashed())  # The worker that was to do it is gone already.
        elif need > self.pool.target_bytes:
            self._refuse_for_good(job)
        elif not (self._join(job, todo := survey(job, self.pool)) or self._crew.refuse_if_it_hangs(job, todo)):
            self.queue.add(job)
            self._crew.stop_the_unwanted()
            self._admit_waiting()
            if job in self.queue and not job.continues and len(self.queue) > self.limits.queue_max:
                ledger.end(job, Refused("the queue is full", self.limits.retry_after_s, "queue_full"))

    def _supersede(self, job: Job) -> None:
        """Let a newer view of a runner take the place of the one that is still being made."""
        asker = job.asker
        if not asker.runner:
            return
        for older in list(self.jobs.values()):
            its = older.asker
            if older.waits and (its.owner, its.session, its.runner) == (asker.owner, asker.session, asker.runner):
                self._ledger.end(older, Superseded())

    def _leave(self, job_id: JobId) -> None:
        job = self.jobs.get(job_id)
        if job is not None and (job.waits or job.reads):  # Otherwise it ended while its client was leaving.
            self._ledger.let_client_go(job)

    # Admission: memory and a place at work

    def _admit_waiting(self) -> None:
        """Admit in fair order what can have a place and all its memory at once; nothing starts half-reserved.

        A job that waits for memory may be overtaken `overtake_max` times; then memory is saved up for it.
        """
        places = self._ledger.places
        while len(places) < self.limits.workers_max and len(self.queue) and self._scanned != self._scene():
            passed: list[Job] = []
            for job in self.queue.in_order(self.now_s):
                need = survey(job, self.pool)
                saving = any(other.overtaken >= self.limits.overtake_max for other in passed)
                if self._join(job, need) or self._admit(job, need, saving):
                    for other in passed if need.makes else ():
                        other.overtaken += 1
                    break
                passed.append(job)
            else:
                self._scanned = self._scene()

    def _scene(self) -> tuple[float, ...]:
        """What admission depends on: while it is unchanged, who could not be admitted still cannot."""
        ledger = self._ledger
        queued = (self._order, len(self.queue))  # With no job submitted, the same number are the same jobs.
        return (self.pool.available_bytes, len(ledger.places), *queued, ledger.finished, self.now_s)

    def _join(self, job: Job, need: Survey) -> bool:
        """Admit a job that has nothing to do itself: its result is there, or another job is making it."""
        if need.stages:
            return False
        ledger = self._ledger
        self.queue.discard(job)
        job.phase = Phase.DONE
        segment = self._borrow(job, need)[job.recipe.result]
        tell_shares(ledger, job, need)
        if segment.state is State.READY:
            ledger.totals["cached"] += 1
            ledger.tell_replied(job, segment)
        else:
            ledger.totals["joined"] += 1
            if segment.used_bytes:
                ledger.tell_growth(job, segment)
        return True

    def _admit(self, job: Job, need: Survey, saving: bool) -> bool:
        if saving and need.makes:
            return False
        buffers = job.recipe.buffers
        borrowed = self._borrow(job, need)  # First, so that making room cannot evict it.
        made = [buffers[index] for index in need.makes]
        needs = [Need(buffer.key, buffer.size_bytes, buffer.kept, whole=buffer.dtype != "") for buffer in made]
        segments = self.pool.reserve(job.id, job.asker.owner, needs, self._wanted_keys)
        if segments is None:
            for segment in borrowed.values():
                self.pool.give_back(segment, job.id)
            job.segments.clear()
            return False
        job.segments.update(zip(need.makes, segments, strict=True))
        job.stages, job.phase = need.stages, Phase.ADMITTED
        self._ledger.places[job.id] = job
        self.queue.serve(job)
        self._ledger.waits.note(max(0.0, self.now_s - job.at_s))
        tell_shares(self._ledger, job, need)
        for other in self.queue.with_result({buffer.key for buffer in made}):
            self._join(other, survey(other, self.pool))
        return True

    def _borrow(self, job: Job, need: Survey) -> dict[int, Segment]:
        for index in need.borrows:
            segment = self.pool.find(job.recipe.buffers[index].key)
            assert segment is not None, "surveyed a buffer that is not there"
            self.pool.lease(segment, job.id)
            job.segments[index] = segment
        return job.segments

    def _wanted_keys(self) -> Collection[str]:
        return {buffer.key for job in self.queue for buffer in job.recipe.buffers}

    # Settings

    def _change_limits(self, limits: Limits, budget_bytes: int) -> None:
        """Keep to other limits from now on. What runs goes on: it is less, or more, when it has ended."""
        self._ledger.limits = limits
        self._need_max = max(self._need_max, budget_bytes)  # The planner may have had the older one in mind.
        self._scanned = ()
        self.pool.resize(budget_bytes)
        for job in list(self.queue):
            if sum(capacity_for(buffer.size_bytes) for buffer in job.recipe.buffers) > budget_bytes:
                self._refuse_for_good(job)
        self._crew.dismiss_surplus()

    def _refuse_for_good(self, job: Job) -> None:
        """Send a job away that would wait in vain; asked again, it is planned for the budget of then."""
        self._ledger.end(job, Refused("there is less memory than before", self.limits.retry_after_s))

    # Time

    def _tick(self, at_s: float) -> None:
        ledger = self._ledger
        ledger.pass_time(at_s)
        for job in list(self.queue):
            if self.now_s - job.at_s > self.limits.memory_wait_s:
                why = "memory or a worker did not come free in time"
                ledger.end(job, Refused(why, self.limits.retry_after_s))
        self._crew.dismiss_the_idle()
