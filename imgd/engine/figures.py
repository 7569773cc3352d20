"""Figures of the engine: the budget by use, jobs and workers by state, and each worker with its process."""

from dataclasses import asdict, dataclass
from typing import Any

from imgd.core.roll import Waiting, WorkerRecord, roll_of
from imgd.engine.desk import Desk
from imgd.engine.forges import Forges
from imgd.engine.supervise import Floor
from imgd.figures import Distribution


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The budget by use, in bytes; jobs and workers by state; what happened so far."""

    budget_bytes: int
    free_bytes: int
    reserved_bytes: int
    leased_bytes: int
    idle_bytes: int
    spare_bytes: int
    kernel_bytes: int
    segments: int
    segments_max: int
    jobs: int
    jobs_waiting: int
    jobs_admitted: int
    jobs_reading: int
    queue_max: int
    workers: int
    workers_busy: int
    workers_stuck: int
    workers_max: int
    workers_alive: int
    template_pid: int
    ready: int
    facts_kept: int
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
    evicted_total: int
    recycled_total: int
    workers_forked_total: int
    template_starts_total: int
    template_losses_total: int
    wait_seconds: Distribution


@dataclass(frozen=True, slots=True)
class Crew:
    """Who is at work, each worker's process beside it (0: none yet, or none of ours), and what waits.

    at_s  the time by the clock of the records.
    """

    workers: tuple[tuple[WorkerRecord, int], ...]
    waiting: Waiting
    template_pid: int
    state: str
    at_s: float


def statistics_of(floor: Floor, forge: Forges, facts_kept: int) -> EngineStatistics:
    """Sum up the engine."""
    core = floor.core
    known: dict[str, Any] = _fields(core.pool.statistics()) | _fields(core.statistics()) | asdict(forge.statistics())
    known |= {
        "kernel_bytes": floor.segments.kernel_bytes(), "segments_max": core.limits.segments_max,
        "jobs": len(core.jobs), "queue_max": core.limits.queue_max, "workers_max": core.limits.workers_max,
        "ready": int(not forge.state), "facts_kept": facts_kept,
    }  # fmt: skip
    return EngineStatistics(**{name: known[name] for name in EngineStatistics.__slots__})


def crew_of(floor: Floor, forge: Forges) -> Crew:
    """Tell who is at work."""
    roll = roll_of(floor.core)
    desks = floor.desks
    workers = tuple((each, _pid(desks.get(each.number))) for each in roll.workers)
    return Crew(workers, roll.waiting, forge.statistics().template_pid, forge.state, floor.core.now_s)


def _pid(desk: object) -> int:
    return desk.pid if isinstance(desk, Desk) else 0


def _fields(record: Any) -> dict[str, Any]:
    """Tell a record's fields; those that are records stay whole."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
