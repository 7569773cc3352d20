"""Jobs and workers as the scheduler knows them, and what a job needs of the pool. Pure."""

import enum
from dataclasses import dataclass, field

from cgi_worker.wire.steps import Recipe, Stage
from imgd.core.events import NOWHERE, JobId, Loan, SegmentId, WorkerId
from imgd.core.pool import Pool
from imgd.core.segment import Segment, State
from imgd.model import Asker


class Phase(enum.Enum):
    """How far a job is."""

    WAITING = "waiting"  # Holds nothing.
    ADMITTED = "admitted"  # Holds all its memory; waits for buffers that others make, or for nothing else.
    RUNNING = "running"  # A worker does its stages, or still detaches.
    DONE = "done"  # No worker is at it.


@dataclass(slots=True, eq=False)
class Job:
    """One request's way through the core.

    waits     the client is there and has not been told how it ended.
    reads     the client was told Replied and reads the result.
    stages    indices of the stages that this job itself has to do.
    segments  by buffer index: made by this job, or borrowed; each leased to it.
    """

    id: JobId
    recipe: Recipe
    asker: Asker
    at_s: float
    pinned: WorkerId | None = None
    order: int = 0
    continues: bool = False
    phase: Phase = Phase.WAITING
    waits: bool = True
    reads: bool = False
    stages: tuple[int, ...] = ()
    segments: dict[int, Segment] = field(default_factory=dict)
    worker: WorkerId | None = None
    overtaken: int = 0
    watched: bool = False
    place: tuple[int, int] = NOWHERE
    joining: dict[int, int] = field(default_factory=dict)  # Stages that others do for it -> the buffer that tells.

    @property
    def result_key(self) -> str:
        """Key of the buffer that the client asked for."""
        return self.recipe.buffers[self.recipe.result].key

    @property
    def hands_over(self) -> bool:
        """True when the answer is the end of a step that delivers the result, not the result itself."""
        return not self.recipe.stages[-1].outputs

    def makes(self) -> list[Segment]:
        """List the unfinished buffers that this job is to make."""
        return [s for s in self.segments.values() if s.producer == self.id and s.state is State.WRITING]

    def ready(self) -> bool:
        """True when all that it borrowed is finished, so that a worker may begin."""
        return all(s.state is State.READY for s in self.segments.values() if s.producer != self.id)


@dataclass(slots=True, eq=False)
class Worker:
    """One process, from the order to fork it until it is gone.

    stuck  it was killed and does not end; `place` is of the file that it was at.
    """

    id: WorkerId
    owner: str
    external: bool = False
    job: Job | None = None
    given: tuple[int, ...] = ()  # Stages of the job, in order, that are not done yet.
    held: set[SegmentId] = field(default_factory=set)
    lists: int = 0
    idle_since_s: float = 0.0
    since_s: float = 0.0  # When it began the step that it is at.
    ending: bool = False
    outdated: bool = False
    stuck: bool = False
    place: tuple[int, int] = NOWHERE


@dataclass(frozen=True, slots=True)
class Survey:
    """What a job would have to do now: stages to run, buffers to make, buffers to borrow."""

    stages: tuple[int, ...]
    makes: tuple[int, ...]
    borrows: tuple[int, ...]


def survey(job: Job, pool: Pool) -> Survey:
    """Walk a recipe back from its result; what exists, or is being made by another, is borrowed, not made."""
    recipe = job.recipe
    needed = {recipe.result}
    stages: list[int] = []
    makes: set[int] = set()
    for index in range(len(recipe.stages) - 1, -1, -1):
        stage = recipe.stages[index]
        missing = [b for b in stage.outputs if pool.find(recipe.buffers[b].key) is None]
        if stage.outputs and not needed.intersection(missing):
            continue
        stages.append(index)
        makes.update(missing)
        needed.update(stage.inputs)
    borrows = needed - makes
    return Survey(tuple(reversed(stages)), tuple(sorted(makes)), tuple(sorted(borrows)))


def loans(job: Job) -> tuple[tuple[Stage, ...], tuple[Loan, ...]]:
    """Write a job's todo list: its stages, renumbered, and the buffers that they read and write."""
    recipe = job.recipe
    places: dict[int, int] = {}
    lent: list[Loan] = []

    def place(buffer: int, writable: bool) -> int:
        if buffer not in places:
            segment = job.segments[buffer]
            places[buffer] = len(lent)
            lent.append(Loan(buffer, segment.id, writable, segment.used_bytes, segment.facts))
        return places[buffer]

    stages: list[Stage] = []
    for index in job.stages:
        stage = recipe.stages[index]
        made = [b in job.segments and job.segments[b].producer == job.id for b in stage.outputs]
        outputs = tuple(place(b, True) if mine else -1 for b, mine in zip(stage.outputs, made, strict=True))
        inputs = tuple(place(b, False) for b in stage.inputs)
        stages.append(Stage(stage.step, inputs, outputs))
    return tuple(stages), tuple(lent)
