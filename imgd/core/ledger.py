"""The ledger: jobs, what each has reserved and leased, who waits for whom, and how jobs end. Pure."""

from typing import Final

from imgd.core.events import Command, JobId, TellEnd, TellGrowth
from imgd.core.jobs import Job, Phase, survey
from imgd.core.limits import Limits
from imgd.core.pool import Pool
from imgd.core.queue import Queue
from imgd.core.segment import Segment, State
from imgd.figures import Spread
from imgd.model import Outcome, Refused, Replied, Stopped

WAIT_S: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)  # Ticks come four times a second: no finer than that.
_TROUBLES: Final = ("failed", "crashed", "timed_out", "queue_full", "waited_out")


class Ledger:
    """What the parts of the scheduler share. A job is forgotten when it has neither client nor worker."""

    def __init__(self, budget_bytes: int, limits: Limits) -> None:
        self.limits = limits
        self.pool: Final = Pool(budget_bytes, limits.segments_max)
        self.queue: Final = Queue(limits.ageing_s)
        self.jobs: Final[dict[JobId, Job]] = {}
        self.places: Final[dict[JobId, Job]] = {}  # Admitted jobs with stages of their own, until their worker leaves.
        self.now_s = 0.0
        self.finished = 0  # Buffers published so far.
        self.totals: Final = dict.fromkeys(("submitted", "joined", "cached", "stopped", "refused", *_TROUBLES), 0)
        self.waits: Final = Spread(WAIT_S)
        self._commands: list[Command] = []

    def order(self, command: Command) -> None:
        """Add a command to those that the present event causes."""
        self._commands.append(command)

    def order_memory(self) -> None:
        """Add what the pool has decided so far: what comes after may count on it."""
        self._commands += self.pool.take_commands()

    def take_commands(self) -> list[Command]:
        """Hand over the commands caused since the last call, in order."""
        self.order_memory()
        commands, self._commands = self._commands, []
        return commands

    def pass_time(self, at_s: float) -> None:
        """Move the clock on; it never goes back."""
        self.now_s = max(self.now_s, at_s)

    def readers(self, segment: Segment) -> list[Job]:
        """List the jobs whose clients wait for exactly this buffer."""
        leasing = (self.jobs[job_id] for job_id in sorted(segment.leases))
        return [job for job in leasing if job.waits and not job.hands_over and job.result_key == segment.key]

    def wanted(self, job: Job) -> bool:
        """Tell whether anybody waits for what a job at a place is doing: its client, or another job.

        A job that still waits for its own place counts once the buffer is being written: it would begin it anew.
        """
        if job.waits or job.reads:
            return True
        makes = job.makes()
        if any(segment.leases - {job.id} for segment in makes):
            return True
        if job.worker is None or not makes:
            return False
        keys = {segment.key for segment in makes}
        return any(
            other.recipe.buffers[index].key in keys
            for other in self.queue
            for index in survey(other, self.pool).borrows
        )  # fmt: skip

    def tell_growth(self, job: Job, segment: Segment, ends: tuple[int, ...] = ()) -> None:
        """Tell a job's client that the first bytes of its result may be read."""
        self.order(TellGrowth(job.id, segment.id, segment.used_bytes, segment.facts, ends))

    def tell_replied(self, job: Job, segment: Segment) -> None:
        """Tell a job's client that its result is ready; it reads from now on."""
        job.waits, job.reads = False, True
        self.order(TellEnd(job.id, Replied(), segment.id, segment.used_bytes, segment.facts))

    def tell_delivered(self, job: Job) -> None:
        """Tell a job's client that its result was handed over; there is nothing to read."""
        job.waits = False
        self.order(TellEnd(job.id, Replied()))

    def end(self, job: Job, outcome: Outcome) -> None:
        """Tell a job's client, if it still waits, how it ended other than well."""
        if isinstance(outcome, Refused):
            self.totals["refused"] += 1
            self.totals["queue_full"] += outcome.reason == "queue_full"
            self.totals["waited_out"] += outcome.reason == "waited"
        if job.waits:
            self.order(TellEnd(job.id, outcome))
        self.let_client_go(job)

    def let_client_go(self, job: Job) -> None:
        """Note that nobody waits for a job's end, or reads its result, any more."""
        job.waits = job.reads = False
        self.queue.discard(job)
        if job.id not in self.places:
            self.dissolve(job, Stopped())

    def leave_place(self, job: Job, outcome: Outcome) -> None:
        """Note that a job's worker is done with it, or gone; a client that still waits gets the outcome."""
        job.worker, job.phase, job.stages = None, Phase.DONE, ()
        self.places.pop(job.id, None)
        self.spoil_unfinished(job, outcome)
        if job.waits:
            self.end(job, outcome)
        elif not job.reads:
            self.dissolve(job, outcome)

    def dissolve(self, job: Job, outcome: Outcome) -> None:
        """Forget a job that has neither client nor worker; who waited for what it was to make gets the outcome."""
        assert not job.waits and not job.reads
        self.jobs.pop(job.id, None)
        self.places.pop(job.id, None)
        self.spoil_unfinished(job, outcome)
        for segment in job.segments.values():
            self.pool.give_back(segment, job.id)
        job.segments.clear()

    def spoil_unfinished(self, job: Job, outcome: Outcome) -> None:
        """What a job has not finished will not be made by it: everybody who waited for it gets the outcome."""
        losers: set[JobId] = set()
        for index, segment in list(job.segments.items()):
            if segment.producer == job.id and segment.state is State.WRITING:
                losers |= self.pool.spoil(segment)
                del job.segments[index]
        for loser_id in sorted(losers - {job.id}):
            loser = self.jobs.get(loser_id)
            if loser is None:
                continue  # It was lost with another buffer of the same job.
            for index, segment in list(loser.segments.items()):
                if loser_id not in segment.leases:
                    del loser.segments[index]
            self.end(loser, outcome)
            if loser.id in self.places and loser.worker is None:
                self.dissolve(loser, outcome)
