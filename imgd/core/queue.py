"""The queue: jobs that wait for memory or a place at work, and the order in which they are considered. Pure."""

from collections.abc import Collection, Iterator
from typing import Final

from imgd.core.events import JobId
from imgd.core.jobs import Job
from imgd.model import Urgency

REMEMBERED_MAX: Final = 4096  # Owners and sessions whose last turn is remembered; the forgotten count as never served.


class Queue:
    """Order waiting jobs: class with ageing, begun requests, round robin over owners, then sessions, first come."""

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s  # A waiting job rises by one class in this time.
        self._jobs: dict[JobId, Job] = {}
        self._served: dict[tuple[str, str], int] = {}  # Turn at which (owner, session) went last; "" for any session.
        self._turn = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, job: Job) -> bool:
        return job.id in self._jobs

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs[job.id] = job

    def discard(self, job: Job) -> None:
        """Take a job out, if it is in."""
        self._jobs.pop(job.id, None)

    def serve(self, job: Job) -> None:
        """Take a job out because it was admitted: its owner and session have had their turn, if it begins a request."""
        self.discard(job)
        if job.continues:
            return
        self._turn += 1
        for session in ("", job.asker.session):
            self._served.pop((job.asker.owner, session), None)
            self._served[job.asker.owner, session] = self._turn
        while len(self._served) > REMEMBERED_MAX:
            del self._served[next(iter(self._served))]

    def with_result(self, keys: Collection[str]) -> list[Job]:
        """List the jobs that wait for one of these buffers as their result."""
        return [job for job in self._jobs.values() if job.result_key in keys and not job.hands_over]

    def in_order(self, now_s: float) -> list[Job]:
        """List the waiting jobs, the one to consider first in front."""

        def place(job: Job) -> tuple[int, bool, int, int, int]:
            risen = int((now_s - job.at_s) / self._ageing_s)
            owner, session = job.asker.owner, job.asker.session
            urgency = job.asker.urgency
            return (
                min(int(urgency), max(int(Urgency.INTERACTIVE), int(urgency) - risen)),
                not job.continues,
                self._served.get((owner, ""), 0),
                self._served.get((owner, session), 0),
                job.order,
            )

        return sorted(self._jobs.values(), key=place)
