"""Random histories of clients, workers and time keep every promise that the slow obvious model knows of."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cgi_worker.wire.recipe import Recipe
from imgd.core.events import WorkerId
from imgd.core.scheduler import Limits
from imgd.model import Asker, Crashed, Outcome, Stopped, TimedOut, Urgency
from tests.core import recipes
from tests.core.model import World
from tests.core.profile import STEPS, histories

T = TypeVar("T")
PICK = st.integers(0, 1 << 16)
BUDGET_MIN = recipes.whole_bytes(recipes.picture(2, compressed=True))


def pick_from(found: Sequence[T], pick: int) -> T:
    """Choose one of what is found."""
    return found[pick % len(found)]


def recipe_of(pick: int) -> Recipe:
    """Choose a recipe; few sources and few views, so that much is shared."""
    pick, kind = divmod(pick, 8)
    pick, source = divmod(pick, 4)
    if kind == 0:
        return recipes.parse(source, pick % 2)
    pick, factor = divmod(pick, 2)
    pick, tone = divmod(pick, 3)
    return recipes.picture(source, 1 + factor, tone, pick % 2, compressed=source == 2)


class Clients(RuleBasedStateMachine):
    """Clients come and go, workers work, fail and die, time passes."""

    @initialize(
        budget_percent=st.sampled_from([100, 130, 200, 400, 1000]),
        workers_max=st.integers(1, 3),
        workers_idle_max=st.integers(0, 2),
        lists_max=st.sampled_from([1, 2, 1000]),
        queue_max=st.sampled_from([1, 3, 100]),
        overtake_max=st.integers(0, 3),
    )
    def begin(self, budget_percent: int, queue_max: int, **limits: int) -> None:
        more = Limits(queue_max=queue_max, memory_wait_s=20.0, worker_idle_s=5.0, ageing_s=3.0, **limits)
        self.world = World(BUDGET_MIN * budget_percent // 100, more)

    @rule(
        pick=PICK,
        owner=st.sampled_from("ab"),
        session=st.sampled_from("xy"),
        runner=st.sampled_from(["", "", "r"]),
        urgency=st.sampled_from(Urgency),
        again=st.sampled_from([1, 1, 1, 4]),
    )
    def submit(self, pick: int, owner: str, session: str, runner: str, urgency: Urgency, again: int) -> None:
        for _ in range(again):
            self.world.submit(recipe_of(pick), Asker(owner, session, runner, urgency))

    @rule(pick=PICK, owner=st.sampled_from("ab"))
    def submit_for_stdout(self, pick: int, owner: str) -> None:
        """A CGI hands its standard output over."""
        self.world.submit(recipes.handed_over(recipe_of(pick)), Asker(owner))

    @rule(owner=st.sampled_from("ab"))
    def join(self, owner: str) -> None:
        if sum(process.external for process in self.world.processes.values()) < 3:
            self.world.join(owner)

    @rule(pick=PICK, hand_over=st.booleans())
    def submit_to_its_own(self, pick: int, hand_over: bool) -> None:
        """A CGI that works for itself asks, perhaps when it is gone already."""
        gone: list[WorkerId] = [w for w in self.world.seen if w < 0 and w not in self.world.processes][:1]
        found = [w for w, process in self.world.processes.items() if process.external] + gone
        if found:
            worker = pick_from(found, pick)
            owner = self.world.processes[worker].owner if worker in self.world.processes else "a"
            recipe = recipe_of(pick >> 2)
            self.world.submit(recipes.handed_over(recipe) if hand_over else recipe, Asker(owner), worker)

    @precondition(lambda self: self.world.clients)
    @rule(pick=PICK)
    def leave(self, pick: int) -> None:
        there = [job for job, client in self.world.clients.items() if client.waits or client.reads is not None]
        self.world.leave(pick_from(there or list(self.world.clients), pick))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK, steps=st.integers(1, 6))
    def advance(self, pick: int, steps: int) -> None:
        for _ in range(steps):
            busy = [w for w, process in self.world.processes.items() if process.todo is not None]
            if busy:
                self.world.advance(pick_from(busy, pick), pick)

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def detach_early(self, pick: int) -> None:
        found = [
            worker for worker, process in self.world.processes.items()
            if process.todo is not None and self.world.detachable(process)
        ]  # fmt: skip
        if found:
            self.world.detach_early(pick_from(found, pick), pick >> 4)

    def _working(self) -> list[WorkerId]:
        """Workers that have a stage to do, also those killed whose last words are on their way."""
        return [
            worker for worker, process in self.world.processes.items()
            if process.todo is not None and not process.failed and process.stage < len(process.todo.stages)
        ]  # fmt: skip

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def grow(self, pick: int) -> None:
        growing = [
            worker for worker in self._working()
            if (todo := self.world.processes[worker].todo) is not None
            and max(todo.stages[self.world.processes[worker].stage].outputs[:1], default=-1) >= 0
        ]  # fmt: skip
        if growing:
            self.world.grow(pick_from(growing, pick))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        if working := self._working():
            self.world.fail(pick_from(working, pick))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK, outcome=st.sampled_from([Crashed(9), TimedOut(30.0)]))
    def die(self, pick: int, outcome: Outcome) -> None:
        worker = pick_from(list(self.world.processes), pick)
        self.world.end(worker, Stopped() if self.world.processes[worker].killed else outcome)

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.0, 25.0]))
    def tick(self, seconds: float) -> None:
        self.world.tick(seconds)

    @invariant()
    def count(self) -> None:
        STEPS["clients"] += 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        if len(self.world.clients) % 2:
            self.world.run_dry()
        self.world.leave_all()
        self.world.check_empty()


TestClients = Clients.TestCase
TestClients.settings = histories(examples_long=int(__import__("os").environ.get("EX","2200")))
