"""The crew: which worker does which job, what it says, what it still maps, and when it has to go. Pure."""

from collections import Counter

from cgi_worker.wire.steps import reads_file
from imgd.core import steps
from imgd.core.events import (
    NOWHERE,
    DismissWorker,
    ForkWorker,
    GiveTodo,
    KillWorker,
    SegmentId,
    SegmentsDetached,
    StageDone,
    StageFailed,
    StageGrew,
    WorkerEnded,
    WorkerId,
    WorkerJoined,
    WorkerStuck,
)
from imgd.core.jobs import Job, Phase, Survey, Worker, loans, survey
from imgd.core.ledger import Ledger
from imgd.model import Crashed, Outcome, Refused, Stopped, TimedOut


class Crew:
    """Lead the workers. What a worker was lent counts as mapped by it until it says Detached or is gone."""

    def __init__(self, ledger: Ledger) -> None:
        self.workers: dict[WorkerId, Worker] = {}
        self._ledger = ledger
        self._next_worker = 1
        self._detaching: Counter[str] = Counter()  # Workers about to be free, by owner, not yet counted on.

    # What workers say

    def joined(self, event: WorkerJoined) -> None:
        """Take in a worker that is not ours."""
        assert event.worker < 0, "ids of workers that are not ours are negative"
        assert event.worker not in self.workers, "a worker joined twice"
        self.workers[event.worker] = Worker(event.worker, event.owner, external=True)

    def grew(self, event: StageGrew) -> None:
        """Tell the readers of a stage's first output that there is more of it."""
        worker = self._find(event.worker)
        job = worker.job
        if job is None or worker.ending:
            return  # It was stopped while this was on its way.
        self._check_due(worker, job, event.stage)
        stage = job.recipe.stages[worker.given[0]]
        assert stage.outputs and stage.outputs[0] in job.segments, "a step that makes nothing grew"
        segment = job.segments[stage.outputs[0]]
        facts = job.segments[stage.inputs[0]].facts if stage.inputs and stage.inputs[0] in job.segments else ""
        self._ledger.pool.grow(segment, event.used_bytes, facts)
        steps.tell_progress(self._ledger, job, worker.given[0], segment)
        for reader in self._ledger.readers(segment):
            self._ledger.tell_growth(reader, segment, event.ends)

    def done(self, event: StageDone) -> None:
        """Publish a stage's outputs; who waited for one of them is told."""
        ledger, worker = self._ledger, self._find(event.worker)
        job = worker.job
        if job is None or worker.ending:
            return
        self._check_due(worker, job, event.stage)
        stage = job.recipe.stages[worker.given[0]]
        assert len(event.used_bytes) == len(stage.outputs), "bytes of other outputs than it has"
        made = [
            (job.segments[buffer], used)
            for buffer, used in zip(stage.outputs, event.used_bytes, strict=True)
            if buffer in job.segments and job.segments[buffer].producer == job.id
        ]  # The others existed already.
        assert all(segment.used_bytes <= used <= segment.capacity_bytes for segment, used in made)
        number, worker.given = worker.given[0], worker.given[1:]
        worker.since_s = ledger.now_s
        steps.tell_done(ledger, job, number, event)
        for segment, used in made:
            ledger.pool.finish(segment, used, event.facts)
            ledger.finished += 1
            steps.tell_joined(ledger, job, segment)
            for reader in ledger.readers(segment):
                ledger.tell_replied(reader, segment)
        if worker.given:
            steps.tell_start(ledger, job, worker.given[0])
        if not stage.outputs and job.waits:
            ledger.tell_delivered(job)
        self._may_be_free(worker)

    def failed(self, event: StageFailed) -> None:
        """Tell everybody who waited for what will not be made; the worker detaches and is then free."""
        worker = self._find(event.worker)
        job = worker.job
        if job is None or worker.ending:
            return
        assert worker.given, "a step that was not to be done failed"
        worker.given = ()
        self._ledger.totals["failed"] += 1
        self._ledger.spoil_unfinished(job, event.outcome)
        if job.waits:
            self._ledger.end(job, event.outcome)
        self._may_be_free(worker)

    def detached(self, event: SegmentsDetached) -> None:
        """Let go of segments for a worker, and for its job those that the job has no further use for."""
        worker = self._find(event.worker)
        assert worker.held.issuperset(event.segments), "detached what it does not hold"
        for segment_id in event.segments:
            self._let_go(worker, segment_id)
        self._may_be_free(worker)

    def _let_go(self, worker: Worker, segment_id: SegmentId) -> None:
        pool, job = self._ledger.pool, worker.job
        segment = pool.segments[segment_id]
        worker.held.discard(segment_id)
        pool.let_go(segment, worker.id)
        if job is not None:
            for index, mine in list(job.segments.items()):
                if mine is segment and (index != job.recipe.result or job.hands_over or not (job.waits or job.reads)):
                    del job.segments[index]
                    pool.give_back(segment, job.id)

    def ended(self, event: WorkerEnded) -> None:
        """Take back all that a worker held: its process is gone."""
        ledger, worker = self._ledger, self._find(event.worker)
        del self.workers[worker.id]
        for segment_id in sorted(worker.held):
            ledger.pool.let_go(ledger.pool.segments[segment_id], worker.id)
        worker.held.clear()
        if not worker.stuck:
            self._lose(worker, event.outcome)

    def stuck(self, event: WorkerStuck) -> None:
        """Give up a worker that does not die: its place is free, what it holds is not, and its file is let alone."""
        ledger, worker = self._ledger, self._find(event.worker)
        assert not worker.stuck, "stuck twice"
        self._lose(worker, event.outcome)
        worker.ending = worker.stuck = True
        worker.given = ()
        for job in list(ledger.queue):
            self.refuse_if_it_hangs(job, survey(job, ledger.pool))

    def refuse_if_it_hangs(self, job: Job, need: Survey) -> bool:
        """End a job that would read a file at which a worker hangs, or a file system on which many do."""
        places = [worker.place for worker in self.workers.values() if worker.stuck and worker.place != NOWHERE]
        if not places or not any(reads_file(job.recipe.stages[index]) for index in need.stages):
            return False
        limits = self._ledger.limits
        if job.place not in places and sum(place[0] == job.place[0] for place in places) < limits.hung_max:
            return False
        self._ledger.end(job, Refused("the frame's file system does not answer", limits.hung_retry_s, "storage"))
        return True

    def _lose(self, worker: Worker, outcome: Outcome) -> None:
        """End what a worker was doing, and what nobody else may do."""
        ledger = self._ledger
        ledger.totals["crashed"] += isinstance(outcome, Crashed)
        ledger.totals["timed_out"] += isinstance(outcome, TimedOut)
        if (job := worker.job) is not None:
            worker.job = None
            if worker.external and not worker.ending:  # Its own client's fault: the others may try again.
                ledger.spoil_unfinished(job, Stopped())
            ledger.leave_place(job, outcome)
        for job in [job for job in ledger.jobs.values() if job.pinned == worker.id and job.worker is None]:
            if job.waits:
                ledger.end(job, outcome)  # Nobody else may do it.

    def is_there(self, worker_id: WorkerId) -> bool:
        """Tell whether a worker can still be given anything."""
        worker = self.workers.get(worker_id)
        return worker is not None and not worker.stuck

    # What workers are told

    def stop_the_unwanted(self) -> None:
        """Stop the jobs whose client is gone and for whose buffers nobody waits, until none is left."""
        acted = True
        while acted:
            acted = False
            for job in list(self._ledger.places.values()):
                if self._ledger.wanted(job):
                    continue
                if job.worker is None:
                    self._ledger.dissolve(job, Stopped())
                    acted = True
                elif (worker := self.workers[job.worker]).given and not worker.ending:
                    self._kill(worker, job)
                    acted = True

    def dispatch(self) -> None:
        """Give every admitted job whose borrowed buffers are finished to a worker of its owner.

        A worker that has done its steps and only detaches is waited for: that takes less time than to fork another.
        """
        ledger = self._ledger
        ready = [job for job in ledger.places.values() if job.phase is Phase.ADMITTED and job.ready()]
        if not ready:
            return
        self._detaching = Counter(
            w.owner for w in self.workers.values() if w.job is not None and not (w.given or w.ending or w.external)
        )
        for job in ready:
            worker = self._worker_for(job)
            if worker is None:
                continue
            if not job.waits:  # Only others wait for what it makes: there is nobody to deliver to.
                job.stages = tuple(index for index in job.stages if job.recipe.stages[index].outputs)
            stages, lent = loans(job)
            job.phase, job.worker = Phase.RUNNING, worker.id
            worker.job, worker.given = job, job.stages
            worker.held = {loan.segment for loan in lent}
            worker.lists += 1
            worker.place = job.place if any(map(reads_file, stages)) else NOWHERE
            worker.since_s = ledger.now_s
            for loan in lent:
                ledger.pool.hold(ledger.pool.segments[loan.segment], worker.id)
            ledger.order_memory()
            ledger.order(GiveTodo(worker.id, job.id, job.recipe, stages, lent))
            steps.tell_start(ledger, job, job.stages[0])

    def outdate(self) -> None:
        """Let all go that are there: the idle ones now, the others with the end of their list."""
        for worker in self.workers.values():
            worker.outdated = True
        for worker in self._idle():
            self._dismiss(worker)

    def dismiss_surplus(self) -> None:
        """Let go of the idle ones that are more than may be."""
        idle = sorted(self._idle(), key=lambda worker: worker.idle_since_s)
        for worker in idle[: max(0, len(idle) - self._ledger.limits.workers_idle_max)]:
            self._dismiss(worker)

    def dismiss_the_idle(self) -> None:
        """Let workers go that have had nothing to do for too long."""
        ledger = self._ledger
        for worker in self._idle():
            if ledger.now_s - worker.idle_since_s > ledger.limits.worker_idle_s:
                self._dismiss(worker)

    def _find(self, worker_id: WorkerId) -> Worker:
        worker = self.workers.get(worker_id)
        assert worker is not None, "a worker that is not there said something"
        return worker

    def _idle(self) -> list[Worker]:
        return [w for w in self.workers.values() if w.job is None and not w.ending and not w.external]

    def _check_due(self, worker: Worker, job: Job, stage: int) -> None:
        assert worker.given and stage == len(job.stages) - len(worker.given), "a step that is not due"

    def _worker_for(self, job: Job) -> Worker | None:
        if job.pinned is not None:
            pinned = self.workers.get(job.pinned)
            if pinned is not None:
                return pinned if pinned.job is None and not pinned.ending else None
        idle = [worker for worker in self._idle() if worker.owner == job.asker.owner]
        if idle:
            return max(idle, key=lambda w: w.idle_since_s)
        if self._detaching[job.asker.owner] > 0:
            self._detaching[job.asker.owner] -= 1
            return None
        worker = Worker(self._next_worker, job.asker.owner, idle_since_s=self._ledger.now_s)
        self._next_worker += 1
        self.workers[worker.id] = worker
        self._ledger.order(ForkWorker(worker.id, worker.owner))
        return worker

    def _may_be_free(self, worker: Worker) -> None:
        job, ledger = worker.job, self._ledger
        if job is None or worker.given or worker.held or worker.ending:
            return
        worker.job = None
        ledger.leave_place(job, Stopped())
        worker.idle_since_s = ledger.now_s
        if worker.external:
            return
        idle = self._idle()
        if worker.outdated or worker.lists >= ledger.limits.lists_max:
            self._dismiss(worker)
        elif len(idle) > ledger.limits.workers_idle_max:
            self._dismiss(min(idle, key=lambda w: w.idle_since_s))

    def _kill(self, worker: Worker, job: Job) -> None:
        worker.ending = True
        self._ledger.totals["stopped"] += 1
        self._ledger.order(KillWorker(worker.id))
        self._ledger.spoil_unfinished(job, Stopped())

    def _dismiss(self, worker: Worker) -> None:
        worker.ending = True
        self._ledger.order(DismissWorker(worker.id))
