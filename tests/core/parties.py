"""Memory, processes and clients as a kernel sees them: what the slow obvious model is made of."""

from dataclasses import dataclass, field

from cgi_worker.wire.steps import Recipe, Stage
from imgd.core.events import NOWHERE, GiveTodo, SegmentId, WorkerId
from imgd.model import Asker


@dataclass
class Memory:
    """A segment as the kernel sees it: pages, and whose bytes may lie in them."""

    capacity_bytes: int
    resident_bytes: int
    mapped_by: set[WorkerId] = field(default_factory=set)
    bytes_of: str = ""  # Owner whose bytes may be found in it.
    key: str = ""
    finished: bool = False
    used_bytes: int = 0
    words: str = ""


@dataclass
class Process:
    """A worker as the kernel sees it, and the todo list that it was given."""

    owner: str
    external: bool = False
    todo: GiveTodo | None = None
    stage: int = 0
    failed: bool = False
    killed: bool = False
    dismissed: bool = False
    stuck: bool = False
    place: tuple[int, int] = NOWHERE
    lists: int = 0
    maps: set[SegmentId] = field(default_factory=set)

    @property
    def due(self) -> Stage | None:
        """The stage that it does now, also when it was killed and does not know it yet."""
        if self.todo is None or self.failed or self.stuck or self.stage == len(self.todo.stages):
            return None
        return self.todo.stages[self.stage]

    def growing(self) -> bool:
        """Tell whether it may say that the output of its stage grows."""
        return self.due is not None and max(self.due.outputs[:1], default=-1) >= 0

    @property
    def works(self) -> bool:
        """True while it has a stage to do and has not been stopped."""
        return self.due is not None and not self.killed and not self.stuck

    def unfinished(self) -> dict[str, SegmentId]:
        """Find the buffers that it is still to make, by key."""
        if self.todo is None or not self.works:
            return {}
        loans = [self.todo.loans[o] for s in self.todo.stages[self.stage :] for o in s.outputs if o >= 0]
        return {self.todo.recipe.buffers[loan.buffer].key: loan.segment for loan in loans}


@dataclass
class Client:
    """Somebody who asked."""

    asker: Asker
    recipe: Recipe
    at_s: float
    worker: WorkerId | None = None
    place: tuple[int, int] = NOWHERE
    waits: bool = True
    reads: SegmentId | None = None  # From the first growth until it left or gave back.
    reads_bytes: int = 0
    watched: bool = False
    steps: dict[int, str] = field(default_factory=dict)  # The last that was told of each.

    @property
    def handed_over(self) -> bool:
        return not self.recipe.stages[-1].outputs

    @property
    def result_key(self) -> str:
        return self.recipe.buffers[self.recipe.result].key

    def leave(self) -> None:
        self.waits, self.reads = False, None
