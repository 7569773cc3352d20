"""Random histories of clients, workers and time keep every promise that the slow obvious model knows of."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cgi_worker.wire.steps import Recipe
from imgd.core.events import WorkerId
from imgd.core.scheduler import Limits
from imgd.model import Asker, Crashed, Outcome, Refused, Stopped, TimedOut, Urgency
from tests.core import recipes
from tests.core.model import World
from tests.core.profile import STEPS, run_counted

T = TypeVar("T")
PICK = st.integers(0, 1 << 16)
ASKERS = st.builds(
    Asker, st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from(["", "", "r"]), st.sampled_from(Urgency)
)
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
        hung_max=st.sampled_from([1, 2, 4]),
        queue_max=st.sampled_from([2, 100, 100]),
        overtake_max=st.integers(0, 3),
    )
    def begin(self, budget_percent: int, queue_max: int, **limits: int) -> None:
        more = Limits(queue_max=queue_max, memory_wait_s=20.0, worker_idle_s=5.0, ageing_s=3.0, **limits)
        self.world = World(BUDGET_MIN * budget_percent // 100, more)

    @rule(pick=PICK, asker=ASKERS, again=st.sampled_from([1, 1, 1, 4]))
    def submit(self, pick: int, asker: Asker, again: int) -> None:
        for _ in range(again):
            self.world.submit(recipe_of(pick), asker, continues=pick % 3 == 0)

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
    @rule(pick=PICK, steps=st.integers(1, 8), grows=st.booleans())
    def work(self, pick: int, steps: int, grows: bool) -> None:
        """One worker does some of its stages, or all of them and detaches."""
        busy = [w for w, process in self.world.processes.items() if process.todo is not None]
        if not busy:
            return
        worker = pick_from(busy, pick)
        for _ in range(steps):
            process = self.world.processes[worker]
            if process.todo is None:
                break
            if grows and process.growing():
                self.world.grow(worker)
            self.world.advance(worker, pick)

    @precondition(lambda self: self.world.processes)
    @rule(steps=st.integers(1, 4))
    def work_together(self, steps: int) -> None:
        """All workers do a little; those that were told to go are gone."""
        for worker, process in list(self.world.processes.items()):
            if process.killed or process.dismissed:
                self.world.end(worker, Stopped())
            for _ in range(steps):
                if worker in self.world.processes and process.todo is not None:
                    self.world.advance(worker)

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def detach_early(self, pick: int) -> None:
        found = [
            worker for worker, process in self.world.processes.items()
            if process.todo is not None and self.world.detachable(process)
        ]  # fmt: skip
        if found:
            self.world.detach_early(pick_from(found, pick), pick >> 4)

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def grow(self, pick: int) -> None:
        if growing := [worker for worker, process in self.world.processes.items() if process.growing()]:
            self.world.grow(pick_from(growing, pick))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        """A step cannot be done; the words of a worker that was killed may still be on their way."""
        if due := [worker for worker, process in self.world.processes.items() if process.due is not None]:
            self.world.fail(pick_from(due, pick))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK, outcome=st.sampled_from([Crashed(9), TimedOut(30.0)]))
    def die(self, pick: int, outcome: Outcome) -> None:
        going = [worker for worker, process in self.world.processes.items() if process.killed or process.dismissed]
        worker = pick_from(going if going and pick % 4 else list(self.world.processes), pick)
        self.world.end(worker, Stopped() if worker in going else outcome)

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def stick(self, pick: int) -> None:
        """A worker was killed, for its limit or because nobody wants what it does, and does not die."""
        living = [worker for worker, process in self.world.processes.items() if not process.stuck]
        if living and len(self.world.processes) - len(living) < 3:
            worker = pick_from(living, pick)
            process = self.world.processes[worker]
            self.world.stick(worker, Stopped() if process.killed or process.dismissed else TimedOut(30.0))

    @precondition(lambda self: self.world.processes)
    @rule(pick=PICK)
    def lack(self, pick: int) -> None:
        """A worker could not be given its list after all: there were no descriptors for it."""
        found = [w for w, process in self.world.processes.items() if process.due is not None and process.stage == 0]
        if found:
            self.world.fail(pick_from(found, pick), Refused("too many files are open", 2.0, "descriptors"))

    @rule(seconds=st.sampled_from([0.0, 0.5, 0.5, 4.0, 4.0, 25.0]))
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


def test_random_histories_of_clients_and_workers() -> None:
    run_counted(Clients, "clients", steps_long=170_000)
