"""Events and commands of the core: facts in the past tense in, orders in the imperative out."""

from dataclasses import dataclass
from typing import Final, Literal

from cgi_worker.wire.steps import Recipe, Stage
from imgd.core.limits import Limits
from imgd.model import Asker, Outcome

JobId = int
WorkerId = int
SegmentId = int
NOWHERE: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job is asked for.

    worker     the one process that may do it (a CGI that attached), None for any of ours.
    place      device and inode of its file; (0, 0): it has none that could hang.
    continues  the request behind it has had its turn with an earlier job: it goes before those that have not begun.
    watched    its client is told of each step.
    """

    job: JobId
    recipe: Recipe
    asker: Asker
    at_s: float
    worker: WorkerId | None = None
    continues: bool = False
    watched: bool = False
    place: tuple[int, int] = NOWHERE


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The client of a job left before it ended."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Released:
    """The client has read the result of a job that was replied, or left while reading."""

    job: JobId


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A process that is not ours (a CGI) offers itself for one job."""

    worker: WorkerId
    owner: str


@dataclass(frozen=True, slots=True)
class StageGrew:
    """A worker's stage has made the first bytes of its first output final; `ends`: of the items among them."""

    worker: WorkerId
    stage: int
    used_bytes: int
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StageDone:
    """A worker's stage is finished."""

    worker: WorkerId
    stage: int
    used_bytes: tuple[int, ...]
    facts: str
    elapsed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A worker's stage cannot be done; the worker is well and will detach everything."""

    worker: WorkerId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SegmentsDetached:
    """A worker no longer maps these segments."""

    worker: WorkerId
    segments: tuple[SegmentId, ...]


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker's process is gone: exited, its memory unmapped by the kernel."""

    worker: WorkerId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerStuck:
    """A worker was killed and does not end: the kernel waits for a file system on its behalf.

    It does nothing more, and holds on to what it has mapped until its WorkerEnded.
    """

    worker: WorkerId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time went by."""

    at_s: float


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """The settings are others now."""

    limits: Limits
    budget_bytes: int


@dataclass(frozen=True, slots=True)
class WorkersOutdated:
    """Those that are there may not read what they should, or may read more: each is to go when it has done its list."""


Event = (
    Submitted
    | LimitsChanged
    | WorkersOutdated
    | Withdrawn
    | Released
    | WorkerJoined
    | StageGrew
    | StageDone
    | StageFailed
    | SegmentsDetached
    | WorkerEnded
    | WorkerStuck
    | Ticked
)


@dataclass(frozen=True, slots=True)
class CreateSegment:
    """Make a segment of so many bytes; they are within the budget."""

    segment: SegmentId
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class PunchSegment:
    """Give the pages from this byte on back to the kernel; nobody maps the segment."""

    segment: SegmentId
    from_bytes: int


@dataclass(frozen=True, slots=True)
class DestroySegment:
    """Close a segment that nobody maps."""

    segment: SegmentId


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """Start a worker for an owner."""

    worker: WorkerId
    owner: str


@dataclass(frozen=True, slots=True)
class Loan:
    """One buffer of a todo list: its index in the recipe, its segment, and what it holds already."""

    buffer: int
    segment: SegmentId
    writable: bool
    used_bytes: int = 0
    facts: str = ""


@dataclass(frozen=True, slots=True)
class GiveTodo:
    """Give a worker these stages of a job; their indices point into `loans`, -1 is an output not to be written."""

    worker: WorkerId
    job: JobId
    recipe: Recipe
    stages: tuple[Stage, ...]
    loans: tuple[Loan, ...]


@dataclass(frozen=True, slots=True)
class KillWorker:
    """Kill a worker at once: nobody waits for what it does."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class DismissWorker:
    """Tell an idle worker to exit."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class TellGrowth:
    """Tell a job's client that the first bytes of its result may be read."""

    job: JobId
    segment: SegmentId
    used_bytes: int
    facts: str
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TellEnd:
    """Tell a job's client how it ended; after Replied the result is leased to it until Released."""

    job: JobId
    outcome: Outcome
    segment: SegmentId = -1
    used_bytes: int = 0
    facts: str = ""


@dataclass(frozen=True, slots=True)
class TellStep:
    """Tell a watched job's client how far a step of its recipe is.

    cached  nothing was computed for it. joined: another job computes it.
    """

    job: JobId
    stage: int
    state: Literal["start", "progress", "end"]
    cached: bool = False
    joined: bool = False
    used_bytes: int = 0
    elapsed_ms: float = 0.0


Command = (
    CreateSegment
    | PunchSegment
    | DestroySegment
    | ForkWorker
    | GiveTodo
    | KillWorker
    | DismissWorker
    | TellGrowth
    | TellStep
    | TellEnd
)
