"""What examples are told with: a world, and what its latest event caused."""

from imgd.core.events import GiveTodo, JobId, KillWorker, TellEnd, WorkerId
from imgd.core.scheduler import Limits
from imgd.model import Asker, Outcome
from tests.core.model import World

MIB = 1 << 20
A, B = Asker("a"), Asker("b")
RUNNER = Asker("a", "x", "r")


def make_world(budget_bytes: int = 16 * MIB, **limits: float) -> World:
    """Make a world with room for everything, except where a test says otherwise."""
    return World(budget_bytes, Limits(**limits))  # type: ignore[arg-type]


def todos(world: World) -> list[GiveTodo]:
    """List the todo lists given at the latest event."""
    return [command for command in world.commands if isinstance(command, GiveTodo)]


def killed(world: World) -> list[WorkerId]:
    """List the workers killed at the latest event."""
    return [command.worker for command in world.commands if isinstance(command, KillWorker)]


def told(world: World) -> dict[JobId, Outcome]:
    """Tell who was told which end at the latest event."""
    return {command.job: command.outcome for command in world.commands if isinstance(command, TellEnd)}


def steps_of(todo: GiveTodo) -> list[type]:
    """List the kinds of steps of a todo list."""
    return [type(stage.step) for stage in todo.stages]
