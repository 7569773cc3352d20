"""The queue's order, seen from outside: who is served when, and who is passed over how often."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from imgd.core.events import GiveTodo, JobId
from imgd.core.jobs import Job
from imgd.core.queue import REMEMBERED_MAX, Queue
from imgd.core.scheduler import Limits
from imgd.model import Asker, Replied, Urgency
from tests.core.model import World
from tests.core.profile import histories
from tests.core.recipes import UNIT, handed_over, single

ACTIONS = st.lists(
    st.sampled_from([*[(owner, session) for owner in "abc" for session in "xy"], ("work", ""), ("work", "")]),
    min_size=4,
    max_size=40,
)
SIZES = st.lists(st.one_of(st.integers(1, 8), st.just(0), st.just(0)), min_size=4, max_size=40)


def make_job(order: int, asker: Asker, at_s: float = 0.0, key: str = "") -> Job:
    """Make a job that waits."""
    return Job(order, single(key or f"key {order}"), asker, at_s, order=order)


def served(world: World) -> list[JobId]:
    """List the jobs begun at the latest event."""
    return [command.job for command in world.commands if isinstance(command, GiveTodo)]


def is_fair(log: list[tuple[str, str]]) -> bool:
    """Tell whether one is served at least once between two turns of another, if it waits all the while.

    log  "asks" and "served" with names, in order.
    """
    waiting: Counter[str] = Counter()
    passed: dict[str, set[str]] = {}  # Of each that waits: who had a turn since it last was served or came.
    for what, name in log:
        if what == "asks":
            waiting[name] += 1
            if waiting[name] == 1:
                passed[name] = set()
            continue
        waiting[name] -= 1
        for other in [other for other, count in waiting.items() if count and other != name]:
            if name in passed[other]:
                return False
            passed[other].add(name)
        passed[name] = set()
    return True


def test_the_fairness_check_can_fail() -> None:
    asks = [("asks", name) for name in "aabb"]
    assert not is_fair([*asks, ("served", "a"), ("served", "a")])
    assert is_fair([*asks, ("served", "a"), ("served", "b"), ("served", "a")])


@histories(examples_long=1500, examples_short=100)
@given(actions=ACTIONS, workers_max=st.integers(1, 2))
def test_owners_and_their_sessions_take_turns(actions: list[tuple[str, str]], workers_max: int) -> None:
    world = World(1 << 30, Limits(workers_max=workers_max))
    owners: list[tuple[str, str]] = []
    sessions: dict[str, list[tuple[str, str]]] = {"a": [], "b": [], "c": []}
    for count, (owner, session) in enumerate([*actions, *[("work", "")] * len(actions)]):
        if owner == "work":
            busy = [worker for worker, process in world.processes.items() if process.todo is not None]
            if not busy:
                continue
            world.advance(busy[0])
            world.advance(busy[0])
        else:
            owners.append(("asks", owner))
            sessions[owner].append(("asks", session))
            world.submit(single(f"key {count}"), Asker(owner, session))
        for job in served(world):
            asker = world.clients[job].asker
            owners.append(("served", asker.owner))
            sessions[asker.owner].append(("served", asker.session))
    assert not any(client.waits for client in world.clients.values())
    assert is_fair(owners)
    assert all(is_fair(log) for log in sessions.values())


@histories(examples_long=1500, examples_short=100)
@given(sizes=SIZES, overtake_max=st.integers(0, 3))
def test_nobody_is_overtaken_more_often_than_allowed(sizes: list[int], overtake_max: int) -> None:
    """One session, so that the order is that of asking; sizes in units of a segment, 0 lets the oldest finish."""
    world = World(8 * UNIT, Limits(workers_max=8, overtake_max=overtake_max))
    overtaken: Counter[JobId] = Counter()
    for count, size in enumerate([*sizes, *[0] * 2 * len(sizes)]):
        if size:
            world.submit(single(f"key {count}", size * UNIT), Asker())
        else:
            busy = [worker for worker, process in world.processes.items() if process.todo is not None]
            for _ in busy[:1] * 2:
                world.advance(busy[0])
            for job, client in world.clients.items():
                if client.reads is not None and not client.waits:
                    world.leave(job)
                    break
        for job in served(world):
            at_work = begun(world)
            waiting = [older for older, client in world.clients.items() if client.waits and older not in at_work]
            overtaken.update(older for older in waiting if older < job)
    world.run_dry()
    assert max(overtaken.values(), default=0) <= overtake_max
    assert set(world.ended.values()) <= {Replied()}


def begun(world: World) -> set[JobId]:
    """List the jobs that are at work."""
    return {process.todo.job for process in world.processes.values() if process.todo is not None}


def test_a_newcomer_goes_before_whoever_had_a_turn() -> None:
    queue = Queue(10.0)
    first, second, third = make_job(1, Asker("a")), make_job(2, Asker("a")), make_job(3, Asker("b"))
    for job in (first, second, third):
        queue.add(job)
    assert queue.in_order(0.0) == [first, second, third]
    queue.serve(first)
    assert queue.in_order(0.0) == [third, second]


def test_leaving_is_not_a_turn() -> None:
    queue = Queue(10.0)
    first, second, third = make_job(1, Asker("a")), make_job(2, Asker("a")), make_job(3, Asker("b"))
    for job in (first, second, third):
        queue.add(job)
    queue.discard(first)
    queue.discard(first)
    assert queue.in_order(0.0) == [second, third] and first not in queue and len(queue) == 2


def test_ageing_rises_a_class_at_a_time_and_never_above_the_first() -> None:
    queue = Queue(10.0)
    batch = make_job(1, Asker("a", urgency=Urgency.BATCH))
    prefetch = make_job(2, Asker("b", urgency=Urgency.PREFETCH), at_s=9.0)
    interactive = make_job(3, Asker("c"), at_s=9.0)
    for job in (batch, prefetch, interactive):
        queue.add(job)
    assert queue.in_order(9.9) == [interactive, prefetch, batch]
    assert queue.in_order(10.0) == [interactive, batch, prefetch]
    assert queue.in_order(20.0) == [batch, prefetch, interactive]
    assert queue.in_order(1000.0) == [batch, prefetch, interactive]


def test_a_first_look_goes_before_all_that_is_only_not_yet_sharp_however_old() -> None:
    queue = Queue(10.0)
    old = make_job(1, Asker("a", urgency=Urgency.BATCH))
    begun = make_job(2, Asker("b"))
    begun.continues = True
    first = make_job(3, Asker("c", urgency=Urgency.FIRST_LOOK), at_s=99.0)
    later = make_job(4, Asker("d", urgency=Urgency.FIRST_LOOK), at_s=99.5)
    for job in (old, begun, later, first):
        queue.add(job)
    assert queue.in_order(100.0) == [first, later, begun, old]


def test_with_result_finds_who_waits_for_a_buffer_as_its_answer() -> None:
    queue = Queue(10.0)
    one, other = make_job(1, Asker(), key="k"), make_job(2, Asker(), key="l")
    delivers = Job(3, handed_over(single("k")), Asker(), 0.0, order=3)
    for job in (one, other, delivers):
        queue.add(job)
    assert queue.with_result({"k", "m"}) == [one]


def test_turns_are_remembered_in_a_bounded_number() -> None:
    queue = Queue(10.0)
    for order in range(REMEMBERED_MAX):
        queue.serve(make_job(order, Asker(f"owner {order}")))
    assert len(queue._served) == REMEMBERED_MAX
    late, forgotten = make_job(-1, Asker(f"owner {REMEMBERED_MAX - 1}")), make_job(-2, Asker("owner 0"))
    queue.add(late)
    queue.add(forgotten)
    assert queue.in_order(0.0) == [forgotten, late]


def test_a_request_that_was_begun_goes_before_those_that_were_not_and_takes_no_second_turn() -> None:
    queue = Queue(10.0)
    first, other = Asker(owner="a", session="x"), Asker(owner="b", session="x")
    parse = make_job(1, first)
    queue.add(parse)
    queue.serve(parse)
    fresh = [make_job(2, other), make_job(3, first)]
    picture = make_job(4, first)
    picture.continues = True
    for job in (*fresh, picture):
        queue.add(job)
    assert queue.in_order(0.0) == [picture, *fresh]
    queue.serve(picture)
    queue.serve(fresh[0])
    queue.add(make_job(5, other))
    assert queue.in_order(0.0)[0] is fresh[1], "the picture was counted as a second turn of its owner"
