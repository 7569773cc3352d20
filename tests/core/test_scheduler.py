"""Rules of the scheduler, one example each. Every event also passes through the slow obvious model."""

import pytest

from cgi_worker.wire.steps import Parse, Reduce
from imgd.core.events import DismissWorker, ForkWorker, Released, TellGrowth, Ticked, Withdrawn, WorkerId
from imgd.core.scheduler import Limits, Scheduler
from imgd.model import Asker, Refused, Replied, Stopped, Superseded, Urgency
from tests.core.model import World
from tests.core.recipes import UNIT, parse, picture, single, whole_bytes
from tests.core.scenes import MIB, RUNNER, A, B, killed, make_world, steps_of, todos, told

# Sharing


def test_fifty_for_one_view_are_one_todo_list() -> None:
    world = make_world()
    given = []
    for count in range(50):
        world.submit(picture(0), Asker("ab"[count % 2], f"session {count}"))
        given += todos(world)
    assert [steps_of(todo).count(Reduce) for todo in given] == [1]
    for _ in range(3):
        world.advance(given[0].worker)
    assert told(world) == dict.fromkeys(range(1, 51), Replied())
    assert world.core.statistics().joined_total == 49


def test_what_is_ready_is_told_at_once() -> None:
    world = make_world()
    world.submit(picture(0), A)
    world.work(1)
    job = world.submit(picture(0), A)
    assert told(world) == {job: Replied()} and not todos(world)
    assert world.core.statistics().cached_total == 1


def test_an_output_that_exists_is_not_made_again() -> None:
    world = make_world()
    world.submit(picture(0, factor=1), A)
    world.work(1)
    world.submit(picture(0, factor=2), A)
    reduce = todos(world)[0].stages[0]
    assert isinstance(reduce.step, Reduce) and reduce.outputs[0] >= 0 and reduce.outputs[1] == -1


def test_other_levels_begin_at_the_plane() -> None:
    world = make_world()
    world.submit(picture(0, tone=0), A)
    world.work(1)
    world.submit(picture(0, tone=1), A)
    assert Reduce not in steps_of(todos(world)[0]) and len(todos(world)[0].stages) == 2


def test_what_nobody_needs_any_more_is_not_made_again() -> None:
    world = make_world(whole_bytes(picture(0)) + 2 * UNIT)
    world.submit(picture(0), A)
    world.work(1)
    world.leave(1)
    world.leave(world.submit(single("evicts the plane", 4 * UNIT), A))
    assert world.core.pool.find("plane0/1") is None
    world.end(1, Stopped())
    world.submit(picture(0, quality=1), A)
    assert len(todos(world)[0].stages) == 1


def test_a_borrower_begins_when_the_buffer_is_finished_while_its_maker_goes_on() -> None:
    world = make_world()
    world.submit(picture(0, tone=0), A)
    second = world.submit(picture(0, tone=1), B)
    assert not todos(world)
    world.advance(1)
    assert [todo.job for todo in todos(world)] == [second] and not killed(world)


def test_a_second_result_of_a_step_under_way_is_joined_from_the_queue() -> None:
    world = make_world(workers_max=1)
    world.submit(picture(0), A)
    facts, header = world.submit(parse(1, 0), A), world.submit(parse(1, 1), B)
    world.work(1)
    assert [steps_of(todo) for todo in todos(world)] == [[Parse]]
    world.advance(todos(world)[0].worker)
    assert told(world) == {facts: Replied(), header: Replied()}


def test_growth_is_told_to_all_who_wait_and_to_whoever_comes_later() -> None:
    world = make_world()
    first, second = world.submit(picture(0), A), world.submit(picture(0), B)
    world.advance(1)
    world.advance(1)
    words = world.memory[todos_loan(world, 1, 2)].words
    world.grow(1)
    growths = [command for command in world.commands if isinstance(command, TellGrowth)]
    assert [growth.job for growth in growths] == [first, second]
    assert {growth.facts for growth in growths} == {words}, "the levels used travel with the first bytes"
    third = world.submit(picture(0), A)
    assert [c.job for c in world.commands if isinstance(c, TellGrowth)] == [third]


def todos_loan(world: World, worker: WorkerId, buffer: int) -> int:
    """Find the segment that a worker was lent for a buffer."""
    todo = world.processes[worker].todo
    assert todo is not None
    return next(loan.segment for loan in todo.loans if loan.buffer == buffer)


# Leaving


@pytest.mark.parametrize("done", [0, 1, 2])
def test_the_last_client_to_leave_kills_at_once(done: int) -> None:
    world = make_world()
    first, second = world.submit(picture(0), A), world.submit(picture(0), B)
    for _ in range(done):
        world.advance(1)
    world.leave(first)
    assert killed(world) == []
    world.leave(second)
    assert killed(world) == [1]


def test_a_killed_worker_holds_its_memory_until_it_is_gone() -> None:
    recipe = picture(0)
    world = make_world(whole_bytes(recipe))
    world.leave(world.submit(recipe, A))
    job = world.submit(picture(0, tone=7), A)
    assert not todos(world)
    world.end(1, Stopped())
    assert [todo.job for todo in todos(world)] == [job]


def test_last_words_of_a_killed_worker_change_nothing() -> None:
    world = make_world()
    world.leave(world.submit(picture(0), A))
    for _ in range(7):
        world.advance(1)
        assert world.commands == []
    world.submit(picture(0), A)
    assert steps_of(todos(world)[0])[0] is Reduce, "nothing that it said was believed"


def test_a_job_goes_on_while_another_waits_for_its_plane_and_no_longer() -> None:
    world = make_world()
    first = world.submit(picture(0, tone=0), A)
    world.submit(picture(0, tone=1), A)
    world.leave(first)
    assert killed(world) == []
    world.advance(1)
    assert killed(world) == [1]
    assert len(todos(world)) == 1, "the plane is there, so the other begins"


def test_one_that_waits_for_a_place_keeps_the_work_that_it_needs_going() -> None:
    world = make_world(workers_max=1)
    first = world.submit(picture(0, tone=0), A)
    second = world.submit(picture(0, tone=1), A)
    world.leave(first)
    assert killed(world) == [], "it would begin the same reduce anew"
    world.advance(1)
    assert killed(world) == [1]
    world.end(1, Stopped())
    assert [(todo.job, len(todo.stages)) for todo in todos(world)] == [(second, 2)]


def test_one_admitted_but_not_begun_is_forgotten_at_once() -> None:
    world = make_world()
    world.submit(picture(0, tone=0), A)
    reserved = world.core.pool.statistics().reserved_bytes
    second = world.submit(picture(0, tone=1), A)
    assert world.core.pool.statistics().reserved_bytes > reserved
    world.leave(second)
    assert world.core.pool.statistics().reserved_bytes == reserved and second not in world.core.jobs


def test_leaving_while_the_end_is_on_its_way_gives_the_result_back() -> None:
    world = make_world()
    job = world.submit(picture(0), A)
    world.work(1)
    world.core.handle(Withdrawn(job))
    assert job not in world.core.jobs and world.core.pool.statistics().leased_bytes == 0


def test_leaving_twice_or_unknown_is_no_event() -> None:
    core = Scheduler(MIB, Limits())
    for event in (Withdrawn(1), Released(1), Ticked(0.0)):
        assert core.handle(event) == []


# Superseding


def test_a_newer_view_of_a_runner_supersedes_the_older() -> None:
    world = make_world()
    old = world.submit(picture(0), RUNNER)
    new = world.submit(picture(1), RUNNER)
    assert told(world) == {old: Superseded()} and killed(world) == [1]
    assert [todo.job for todo in todos(world)] == [new]


@pytest.mark.parametrize("workers_max", [1, 2])
def test_a_newer_view_keeps_the_plane_under_way(workers_max: int) -> None:
    world = make_world(workers_max=workers_max)
    for tone in range(5):
        world.submit(picture(0, tone=tone), RUNNER)
        assert killed(world) == []
    world.advance(1)
    assert killed(world) == [1]
    if workers_max == 1:
        world.end(1, Stopped())
    assert [(todo.job, len(todo.stages)) for todo in todos(world)] == [(5, 2)]


@pytest.mark.parametrize(
    "other", [Asker("b", "x", "r"), Asker("a", "y", "r"), Asker("a", "x", "s"), Asker("a", "x", "")]
)
def test_only_the_same_runner_is_superseded(other: Asker) -> None:
    world = make_world()
    world.submit(picture(0), RUNNER)
    world.submit(picture(1), other)
    assert told(world) == {}


def test_without_a_runner_nothing_is_superseded() -> None:
    world = make_world()
    world.submit(picture(0), A)
    world.submit(picture(1), A)
    assert told(world) == {}


def test_what_is_being_read_is_not_superseded() -> None:
    world = make_world()
    old = world.submit(picture(0), RUNNER)
    world.work(1)
    world.submit(picture(1), RUNNER)
    assert told(world) == {} and world.core.jobs[old].reads


# Limits


def test_a_full_queue_refuses_the_newcomer() -> None:
    world = make_world(workers_max=1, queue_max=2, retry_after_s=7.0)
    for source in range(3):
        world.submit(picture(source), A)
        assert told(world) == {}
    late = world.submit(picture(3), A)
    assert told(world) == {late: Refused("the queue is full", 7.0, "queue_full")}
    joiner = world.submit(picture(0), A)
    assert joiner not in told(world), "what needs no place is not refused"


def test_waiting_has_a_limit() -> None:
    world = make_world(workers_max=1, memory_wait_s=10.0)
    first, second = world.submit(picture(0), A), world.submit(picture(1), A)
    world.tick(10.0)
    assert told(world) == {}
    world.tick(0.1)
    assert list(told(world)) == [second] and isinstance(told(world)[second], Refused)
    assert world.core.jobs[first].waits, "what was begun is not refused"


def test_workers_max_bounds_what_is_at_work() -> None:
    world = make_world(workers_max=3)
    for source in range(5):
        world.submit(picture(source), A)
    assert sum(process.todo is not None for process in world.processes.values()) == 3


def test_lists_max_renews_a_worker() -> None:
    world = make_world(lists_max=2)
    for source in range(2):
        world.submit(picture(source), A)
        assert todos(world)[0].worker == 1
        world.work(1)
    assert world.commands == [DismissWorker(1)]
    world.submit(picture(2), A)
    assert todos(world)[0].worker == 2


def test_idle_workers_are_bounded_and_the_longest_idle_goes() -> None:
    world = make_world(workers_max=3, workers_idle_max=2)
    for source in range(3):
        world.submit(picture(source), A)
    world.work(2)
    world.tick(1.0)
    world.work(1)
    assert not any(isinstance(command, DismissWorker) for command in world.commands)
    world.tick(1.0)
    world.work(3)
    assert DismissWorker(2) in world.commands


def test_a_worker_idle_for_too_long_goes() -> None:
    world = make_world(worker_idle_s=5.0)
    world.submit(picture(0), A)
    world.work(1)
    world.tick(5.0)
    assert world.commands == []
    world.tick(0.1)
    assert world.commands == [DismissWorker(1)]
    world.submit(picture(1), A)
    assert ForkWorker(2, "a") in world.commands, "one that was told to go gets no more"


def test_a_worker_serves_one_owner_for_life() -> None:
    world = make_world()
    world.submit(picture(0), A)
    world.work(1)
    world.submit(picture(1), B)
    assert ForkWorker(2, "b") in world.commands
    world.submit(picture(2), A)
    assert todos(world)[0].worker == 1


# Order


def test_two_owners_take_turns() -> None:
    world = make_world(workers_max=1, workers_idle_max=0)
    world.submit(single("first"), A)
    for count in range(3):
        world.submit(single(f"a{count}"), A)
    for count in range(3):
        world.submit(single(f"b{count}"), B)
    assert run_in_turn(world) == ["b0", "a0", "b1", "a1", "b2", "a2"]


def test_sessions_of_an_owner_take_turns() -> None:
    world = make_world(workers_max=1)
    world.submit(single("first"), Asker("a", "x"))
    for key in ("x0", "x1", "y0", "y1"):
        world.submit(single(key), Asker("a", key[0]))
    assert run_in_turn(world) == ["y0", "x0", "y1", "x1"]


def test_classes_go_in_order_and_ageing_lifts() -> None:
    world = make_world(workers_max=1, ageing_s=5.0)
    world.submit(single("first"), A)
    world.submit(single("batch"), Asker("a", urgency=Urgency.BATCH))
    world.submit(single("prefetch"), Asker("a", urgency=Urgency.PREFETCH))
    world.submit(single("interactive"), A)
    assert run_in_turn(world) == ["interactive", "prefetch", "batch"]
    world.submit(single("second"), A)
    world.submit(single("old batch"), Asker("a", urgency=Urgency.BATCH))
    world.tick(10.0)
    world.submit(single("new interactive"), A)
    assert run_in_turn(world) == ["old batch", "new interactive"]


def run_in_turn(world: World) -> list[str]:
    """Let each worker finish in turn; list what was begun then."""
    begun: list[str] = []
    while busy := [worker for worker, process in world.processes.items() if process.todo is not None]:
        for _ in range(2):
            world.advance(busy[0])
            begun += [todo.recipe.buffers[0].key for todo in todos(world)]
        for worker, process in list(world.processes.items()):
            if process.dismissed:
                world.end(worker, Stopped())
    return begun


def test_memory_is_saved_up_for_one_that_was_overtaken_often() -> None:
    world = make_world(8 * UNIT, workers_max=8, overtake_max=3)
    world.submit(single("half", 4 * UNIT), A)
    big = world.submit(single("big", 8 * UNIT), A)
    begun = []
    for count in range(6):
        world.submit(single(f"small {count}"), A)
        begun += [todo.recipe.buffers[0].key for todo in todos(world)]
    assert begun == ["small 0", "small 1", "small 2"]
    world.run_dry()
    assert world.ended[big] == Replied()


def test_when_the_one_that_memory_is_saved_for_leaves_the_next_begins_at_once() -> None:
    world = make_world(8 * UNIT, workers_max=8, overtake_max=0)
    world.submit(single("half", 4 * UNIT), A)
    big = world.submit(single("big", 8 * UNIT), A)
    small = world.submit(single("small"), A)
    assert not todos(world)
    world.leave(big)
    assert [todo.job for todo in todos(world)] == [small]


def test_nothing_starts_half_reserved() -> None:
    recipe = picture(1)
    world = make_world(whole_bytes(recipe))
    world.submit(picture(0), A)
    before = world.core.pool.statistics()
    assert before.free_bytes >= 2 * UNIT, "some of its buffers would fit"
    world.submit(recipe, A)
    assert world.core.pool.statistics() == before and world.commands == []
