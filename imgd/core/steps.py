"""Steps, as they are told to the client of a watched job: what is done for it, by whom, and what was there. Pure."""

from cgi_worker.wire.steps import Tiles
from imgd.core.events import StageDone, TellStep
from imgd.core.jobs import Job, Survey
from imgd.core.ledger import Ledger
from imgd.core.segment import Segment, State


def tell_shares(ledger: Ledger, job: Job, need: Survey) -> None:
    """Tell, when it is settled what a job does itself, of all steps that it does not do."""
    if not (job.watched and job.waits):
        return
    awaited = [index for index, segment in job.segments.items() if index in need.borrows and not _ready(segment)]
    for number, stage in enumerate(job.recipe.stages):
        if number in need.stages or not stage.outputs:
            continue
        known = (ledger.pool.find(job.recipe.buffers[index].key) for index in stage.outputs)
        # What does not exist is not needed: something later is there, or being made by who has made this.
        last = max((index for index in awaited if index >= stage.outputs[0]), default=-1)
        if last < 0 or all(segment is not None and _ready(segment) for segment in known):
            ledger.order(TellStep(job.id, number, "end", cached=True))
        else:
            job.joining[number] = last
            ledger.order(TellStep(job.id, number, "start", joined=True))


def tell_start(ledger: Ledger, job: Job, number: int) -> None:
    """Tell that a worker begins a step of this job."""
    if job.watched and job.waits and job.recipe.stages[number].outputs:
        ledger.order(TellStep(job.id, number, "start"))


def tell_progress(ledger: Ledger, job: Job, number: int, segment: Segment) -> None:
    """Tell that there is more of what a step makes, to all who watch. Tiles speak for themselves."""
    if isinstance(job.recipe.stages[number].step, Tiles):
        return
    if job.watched and job.waits:
        ledger.order(TellStep(job.id, number, "progress", used_bytes=segment.used_bytes))
    for other, its in _watchers(ledger, job, segment):
        if other.joining[its[-1]] in other.recipe.stages[its[-1]].outputs:
            ledger.order(TellStep(other.id, its[-1], "progress", joined=True, used_bytes=segment.used_bytes))


def tell_done(ledger: Ledger, job: Job, number: int, done: StageDone) -> None:
    """Tell that a worker has done a step of this job."""
    if job.watched and job.waits and job.recipe.stages[number].outputs:
        used_bytes = sum(done.used_bytes)
        ledger.order(TellStep(job.id, number, "end", used_bytes=used_bytes, elapsed_ms=done.elapsed_ms))


def tell_joined(ledger: Ledger, job: Job, segment: Segment) -> None:
    """Tell all others who share a buffer that its step, and those before it, are done."""
    for other, its in _watchers(ledger, job, segment):
        for number in its:
            mine = other.joining.pop(number) in other.recipe.stages[number].outputs
            used_bytes = segment.used_bytes if mine else 0  # Of the steps before it nothing is known.
            ledger.order(TellStep(other.id, number, "end", joined=True, used_bytes=used_bytes))


def _watchers(ledger: Ledger, job: Job, segment: Segment) -> list[tuple[Job, list[int]]]:
    """List the other jobs that wait for a buffer and watch, each with its steps that end with it, in order."""
    found = []
    for job_id in sorted(segment.leases - {job.id}):
        other = ledger.jobs[job_id]
        if other.waits and other.joining:
            its = [n for n, index in sorted(other.joining.items()) if other.segments.get(index) is segment]
            if its:
                found.append((other, its))
    return found


def _ready(segment: Segment) -> bool:
    return segment.state is State.READY
