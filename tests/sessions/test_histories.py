"""Random histories of owners, tabs, broken connections and runs keep every promise that the obvious model knows."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imgd.core.sessions.events import EndOrdered
from imgd.core.sessions.messages import Pause, Play, Run, Set, Step, Viewport
from tests.core.profile import STEPS, run_counted
from tests.sessions.model import World

T = TypeVar("T")
PICK = st.integers(0, 1 << 16)
OWNERS = st.sampled_from(["ann", "ann", "bob"])
PARAMETERS = st.fixed_dictionaries(
    {"frame": st.sampled_from(["n/a", "n/b"])}, optional={"stretch": st.sampled_from(["log", "linear"])}
)
CHANGES = st.one_of(
    st.fixed_dictionaries({"plane": st.integers(0, 5)}),
    st.fixed_dictionaries({"stretch": st.sampled_from(["log", "sqrt", None])}),
    st.fixed_dictionaries({"quality": st.sampled_from([50, 200])}),
    st.fixed_dictionaries({"frame": st.sampled_from(["n/a", "n/b"])}),
)


def pick_from(found: Sequence[T], pick: int) -> T:
    """Choose one of what is found."""
    return found[pick % len(found)]


class Tabs(RuleBasedStateMachine):
    """Tabs come, go, break off, come back, open, drive and close; workers tell, finish and fail; links are slow."""

    @initialize(sessions=st.sampled_from([2, 3, 5]), owned=st.sampled_from([1, 2, 5]), runners=st.integers(1, 3))
    def begin(self, sessions: int, owned: int, runners: int) -> None:
        self.world = World(sessions_max=sessions, sessions_owner_max=owned, runners_max=runners)
        for owner in ("ann", "bob", "ann"):
            if (name := self.world.connect(owner)) is not None:
                self.world.hello(name, "")
                self.world.open(name, {"frame": "n/a"}, follow=False, paused=False)
                self.world.open(name, {}, follow=True, paused=False)

    @rule(owner=OWNERS, pick=PICK, resumes=st.booleans())
    def connect(self, owner: str, pick: int, resumes: bool) -> None:
        """Most come with the secret of some session, whosever it is."""
        secrets = [client.secret for client in self.world.clients.values()] + ["wrong"]
        if (name := self.world.connect(owner)) is not None and pick % 4:
            self.world.hello(name, pick_from(secrets, pick >> 2) if resumes else "")

    def client(self, pick: int) -> str:
        return pick_from(self.world.connected(), pick).name

    def runner(self, name: str, pick: int) -> str:
        """Mostly one that it holds."""
        held, every = sorted(self.world.clients[name].holds), list(self.world.runners)
        return pick_from(held if held and pick % 8 else every or ["none"], pick >> 3)

    @precondition(lambda self: self.world.connected())
    @rule(pick=PICK, clean=st.booleans())
    def leave(self, pick: int, clean: bool) -> None:
        if pick % 3 == 0:
            self.world.leave(self.client(pick), clean)

    @precondition(lambda self: self.world.away)
    @rule(pick=PICK, owner=OWNERS)
    def come_back(self, pick: int, owner: str) -> None:
        away = self.world.clients[pick_from(self.world.away, pick)]
        if (name := self.world.connect(away.owner if pick % 4 else owner)) is not None:
            self.world.hello(name, away.secret)

    @precondition(lambda self: self.world.connected())
    @rule(pick=PICK)
    def greet(self, pick: int) -> None:
        """A hello in the midst of a session, perhaps to take over another one."""
        secrets = [client.secret for client in self.world.clients.values()] + [""]
        self.world.hello(self.client(pick), pick_from(secrets, pick >> 3))

    @precondition(lambda self: self.world.connected())
    @rule(pick=PICK, parameters=PARAMETERS, follow=st.booleans(), paused=st.sampled_from([False, False, True]))
    def open(self, pick: int, parameters: dict[str, str], follow: bool, paused: bool) -> None:
        self.world.open(self.client(pick), parameters, follow, paused)

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK)
    def attach(self, pick: int, more: int) -> None:
        self.world.attach(self.client(pick), pick_from(list(self.world.runners), more))

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK)
    def close(self, pick: int, more: int) -> None:
        name = self.client(pick)
        self.world.close(name, self.runner(name, more))

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK, kind=st.sampled_from([Run, Run, Play, Pause, Step]))
    def drive(self, pick: int, more: int, kind: type[Run | Play | Pause | Step]) -> None:
        name = self.client(pick)
        id = self.runner(name, more)
        self.world.drive(name, id, kind(1, id))

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK, changes=CHANGES, again=st.sampled_from([1, 1, 5]))
    def set(self, pick: int, more: int, changes: dict[str, str | int | None], again: int) -> None:
        name = self.client(pick)
        id = self.runner(name, more)
        for _ in range(again):
            self.world.drive(name, id, Set(1, id, changes))

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK, x=st.integers(0, 3), level=st.sampled_from([0, 1, 99]))
    def look(self, pick: int, more: int, x: int, level: int) -> None:
        name = self.client(pick)
        id = self.runner(name, more)
        self.world.drive(name, id, Viewport(1, id, level, (256.0 * x, 0.0, 512.0, 512.0)))

    def working(self) -> list[str]:
        return [id for id, runner in self.world.runners.items() if runner.working is not None]

    @precondition(lambda self: self.working())
    @rule(pick=PICK, steps=st.lists(PICK, min_size=1, max_size=5))
    def work(self, pick: int, steps: list[int]) -> None:
        for step in steps:
            self.world.advance(pick_from(self.working(), pick), step)

    @precondition(lambda self: self.world.runners)
    @rule(pick=PICK, step=PICK)
    def work_in_vain(self, pick: int, step: int) -> None:
        """Somebody tells of a run that is over, or has not begun."""
        self.world.advance(pick_from(list(self.world.runners), pick), step)

    @precondition(lambda self: self.working())
    @rule(pick=PICK, fails=st.booleans())
    def finish(self, pick: int, fails: bool) -> None:
        self.world.finish(pick_from(self.working(), pick), fails)

    @precondition(lambda self: self.world.runners)
    @rule(pick=PICK, older=st.booleans())
    def finish_late(self, pick: int, older: bool) -> None:
        self.world.finish(pick_from(list(self.world.runners), pick), fails=False, older=older)

    @precondition(lambda self: self.world.runners and self.world.connected())
    @rule(pick=PICK, more=PICK, drops=st.sampled_from([False, False, True]))
    def deliver(self, pick: int, more: int, drops: bool) -> None:
        name = self.client(pick)
        if held := sorted(self.world.clients[name].holds):
            self.world.deliver(name, pick_from(held, more), drops)

    @precondition(lambda self: self.working())
    @rule(pick=PICK, drops=st.sampled_from([False, False, True]), steps=st.lists(PICK, max_size=4))
    def work_through(self, pick: int, drops: bool, steps: list[int]) -> None:
        """A run goes from its beginning to its end, and to all who hold its runner."""
        id = pick_from(self.working(), pick)
        for step in steps:
            if self.world.runners[id].working is not None:
                self.world.advance(id, step)
        self.world.finish(id, fails=False)
        for name in sorted(self.world.holders(id)):
            self.world.deliver(name, id, drops)

    @precondition(lambda self: self.world.followed)
    @rule(pick=PICK, count=st.sampled_from([1, 1, 3]))
    def arrive(self, pick: int, count: int) -> None:
        id = pick_from(sorted(self.world.followed), pick)
        for _ in range(count):
            self.world.arrive(id)

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.2, 0.2, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    @precondition(lambda self: self.world.clients)
    @rule(pick=PICK)
    def end_by_order(self, pick: int) -> None:
        numbers = [runner.number for runner in self.world.runners.values()]
        if pick % 64 == 0:
            self.world.end_by_order(EndOrdered(at_s=self.world.now_s))
        elif pick % 8 == 1 and numbers:
            self.world.end_by_order(EndOrdered(number=pick_from(numbers, pick >> 4), at_s=self.world.now_s))
        elif pick % 8 == 2:
            name = pick_from(list(self.world.clients), pick >> 4)
            self.world.end_by_order(EndOrdered(name, at_s=self.world.now_s))

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def count(self) -> None:
        if hasattr(self, "world"):
            STEPS["sessions"] += 1
            self.world.check()

    def teardown(self) -> None:
        """When all have closed all, it is as if nobody had been there."""
        if not hasattr(self, "world"):
            return
        self.world.settle()
        for client in self.world.connected():
            for id in sorted(client.holds):
                self.world.close(client.name, id)
        for client in self.world.connected():
            self.world.leave(client.name, clean=True)
        self.world.tick(100.0)
        found = self.world.sessions.statistics()
        assert (found.sessions, found.sessions_parked, found.runners, found.runs) == (0, 0, 0, 0)
        assert not self.world.runners and not self.world.followed and self.world.wake_s is None


def test_random_histories_keep_the_promises() -> None:
    run_counted(Tabs, "sessions", 100_000)
