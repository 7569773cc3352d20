"""What happens when steps fail, workers are lost, and guests come and go; and events that cannot be."""

import pytest

from cgi_worker.wire.steps import Deliver, Encode
from imgd.core.events import (
    DismissWorker,
    Event,
    SegmentsDetached,
    StageDone,
    StageFailed,
    StageGrew,
    Submitted,
    TellEnd,
    Ticked,
    Withdrawn,
    WorkerEnded,
    WorkerJoined,
    WorkerStuck,
)
from imgd.core.scheduler import Limits, Scheduler
from imgd.model import Crashed, Failed, Outcome, Refused, Replied, Stopped, TimedOut
from tests.core.model import World
from tests.core.recipes import UNIT, handed_over, parse, picture, single
from tests.core.scenes import MIB, A, B, make_world, steps_of, todos, told

# Losses


@pytest.mark.parametrize("outcome", [Crashed(11), TimedOut(30.0)])
def test_a_worker_lost_is_told_to_all_who_waited_for_it(outcome: Outcome) -> None:
    world = make_world(workers_max=3)
    jobs = [world.submit(picture(0), A), world.submit(picture(0), B), world.submit(picture(0, tone=1), A)]
    other = world.submit(picture(1), A)
    world.end(1, outcome)
    assert told(world) == dict.fromkeys(jobs, outcome)
    world.run_dry()
    assert world.ended[other] == Replied()


def test_a_failure_is_told_to_all_and_its_worker_goes_on() -> None:
    world = make_world()
    jobs = [world.submit(picture(0), A), world.submit(picture(0), B)]
    world.fail(1)
    ends = told(world)
    assert sorted(ends) == jobs and isinstance(ends[jobs[0]], Failed) and ends[jobs[0]] == ends[jobs[1]]
    world.work(1)
    world.submit(picture(0), A)
    assert [(todo.worker, len(todo.stages)) for todo in todos(world)] == [(1, 3)], "a failure is not kept"


def test_what_was_finished_before_a_loss_is_kept() -> None:
    world = make_world()
    first = world.submit(picture(0), A)
    second = world.submit(picture(0, tone=1), A)
    world.advance(1)
    world.end(1, Crashed(9))
    assert told(world) == {first: Crashed(9)}
    world.work(2)
    assert world.ended[second] == Replied()


def test_a_worker_that_only_detaches_is_waited_for_but_not_when_it_is_lost() -> None:
    world = make_world(workers_max=3)
    world.submit(picture(0), A)
    for _ in range(3):
        world.advance(1)
    waits = world.submit(picture(1), A)
    assert not todos(world)
    more = world.submit(picture(2), A)
    assert [(todo.job, todo.worker) for todo in todos(world)] == [(more, 2)], "one worker is counted on once"
    world.end(1, Crashed(9))
    assert [(todo.job, todo.worker) for todo in todos(world)] == [(waits, 3)]


# Delivery, and workers that are not ours


def test_delivery_ends_without_a_buffer_to_read() -> None:
    world = make_world()
    job = world.submit(handed_over(picture(0)), A)
    reader = world.submit(picture(0), A)
    for _ in range(3):
        world.advance(1)
    assert told(world) == {reader: Replied()}
    world.advance(1)
    assert world.commands == [TellEnd(job, Replied())]
    world.work(1)
    assert job not in world.core.jobs


def test_delivery_of_what_is_ready_is_one_step() -> None:
    world = make_world()
    world.submit(picture(0), A)
    world.work(1)
    world.submit(handed_over(picture(0)), A)
    assert steps_of(todos(world)[0]) == [Deliver]


def test_what_others_wait_for_is_not_delivered_to_one_that_left() -> None:
    world = make_world()
    world.submit(picture(0, tone=0), A)
    left = world.submit(handed_over(picture(0, tone=1)), A)
    stays = world.submit(picture(0, tone=1), B)
    world.leave(left)
    world.advance(1)
    assert [steps_of(todo)[-1] for todo in todos(world)] == [Encode]
    world.work(todos(world)[0].worker)
    assert world.ended[stays] == Replied()


def test_a_job_of_a_guest_is_done_by_it_alone() -> None:
    world = make_world()
    guest = world.join("a")
    world.submit(picture(1), A)
    assert todos(world)[0].worker == 1, "no other's job is given to a guest"
    world.submit(handed_over(picture(0)), A, guest)
    assert [todo.worker for todo in todos(world)] == [guest]
    world.work(guest)
    assert not any(isinstance(command, DismissWorker) for command in world.commands)


def test_a_guest_lost_before_it_began_ends_its_job() -> None:
    world = make_world()
    guest = world.join("a")
    world.submit(picture(0), A)
    job = world.submit(handed_over(picture(0, tone=1)), A, guest)
    other = world.submit(picture(0, tone=1), B)
    world.end(guest, Crashed())
    assert told(world) == {job: Crashed()}
    world.run_dry()
    assert world.ended[other] == Replied(), "a worker of ours makes what others wait for"


def test_a_guest_lost_at_work_lets_the_others_try_again() -> None:
    world = make_world()
    guest = world.join("a")
    job = world.submit(handed_over(picture(0)), A, guest)
    other = world.submit(picture(0), B)
    world.end(guest, Crashed())
    assert told(world) == {job: Crashed(), other: Stopped()}


def test_a_job_for_a_guest_that_is_gone_ends_at_once() -> None:
    world = make_world()
    guest = world.join("a")
    world.end(guest, Stopped())
    job = world.submit(handed_over(picture(0)), A, guest)
    assert world.commands == [TellEnd(job, Crashed())] and not world.core.jobs


# Illegal events


def scene() -> World:
    """Job 1 is in its last step but one on worker 1; job 2 is idle work done by worker 2; guest -1 is to deliver."""
    world = make_world(workers_max=3)
    world.submit(picture(0), A)
    world.submit(parse(0), B)
    world.work(2)
    guest = world.join("a")
    world.submit(handed_over(picture(1)), A, guest)
    for _ in range(3):
        world.advance(guest)
    world.advance(1)
    world.grow(1)
    return world


IDS: dict[str, Event] = {
    "submitted twice": Submitted(1, picture(2), A, 5.0),
    "a plan that could never fit": Submitted(9, single("huge", 17 * MIB), A, 5.0),
    "a guest with an id of ours": WorkerJoined(7, "a"),
    "a guest twice": WorkerJoined(-1, "a"),
    "growth from nobody": StageGrew(9, 0, 1),
    "done by nobody": StageDone(9, 0, (1,), ""),
    "failed by nobody": StageFailed(9, Failed("bad_frame", "")),
    "detached by nobody": SegmentsDetached(9, (1,)),
    "ended nobody": WorkerEnded(9, Stopped()),
    "growth of a step done": StageGrew(1, 0, UNIT),
    "growth of a step not begun": StageGrew(1, 2, UNIT),
    "growth backwards": StageGrew(1, 1, 1),
    "growth beyond the segment": StageGrew(1, 1, MIB),
    "growth of a delivery": StageGrew(-1, 3, 1),
    "done again": StageDone(1, 0, (UNIT, UNIT), ""),
    "done too early": StageDone(1, 2, (UNIT,), ""),
    "done with other outputs": StageDone(1, 1, (UNIT, UNIT), ""),
    "done with less than was announced": StageDone(1, 1, (1,), ""),
    "done beyond the segment": StageDone(1, 1, (MIB,), ""),
    "detached what it does not hold": SegmentsDetached(1, (999,)),
}


@pytest.mark.parametrize("event", IDS.values(), ids=IDS.keys())
def test_an_event_that_cannot_be_raises_and_changes_nothing(event: Event) -> None:
    core = scene().core
    before = state_of(core)
    with pytest.raises(AssertionError):
        core.handle(event)
    assert state_of(core) == before
    core.check_all()
    assert core.handle(Ticked(0.0)) == []


def test_failing_after_the_last_step_cannot_be() -> None:
    world = make_world()
    world.submit(picture(0), A)
    for _ in range(3):
        world.advance(1)
    before = state_of(world.core)
    with pytest.raises(AssertionError):
        world.core.handle(StageFailed(1, Failed("bad_frame", "")))
    assert state_of(world.core) == before


def state_of(core: Scheduler) -> str:
    """Write down all that a scheduler knows."""
    return repr((core.jobs, core.workers, core.pool.segments, core.pool.statistics(), list(core.queue), core.now_s))


def test_the_scene_of_the_illegal_events_goes_on_well() -> None:
    world = scene()
    world.run_dry()
    assert set(world.ended.values()) == {Replied()}
    world.leave_all()
    world.check_empty()


def test_the_same_events_cause_the_same_commands() -> None:
    events: list[Event] = [Submitted(job, picture(job % 3), A, 0.5 * job) for job in range(1, 9)]
    events += [Withdrawn(1), Ticked(9.0), WorkerEnded(1, Stopped()), Withdrawn(2)]
    runs = []
    for _ in range(2):
        core = Scheduler(16 * MIB, Limits())
        runs.append([core.handle(event) for event in events])
    assert runs[0] == runs[1] and any(runs[0])


# Workers that do not die


def test_a_stuck_worker_leaves_its_place_and_keeps_its_memory() -> None:
    world = make_world(workers_max=1)
    job = world.submit(picture(0), A)
    waits = world.submit(picture(1), A)
    held = world.core.pool.statistics().free_bytes
    world.stick(1, TimedOut(30.0))
    assert told(world) == {job: TimedOut(30.0)}
    assert [(todo.job, todo.worker) for todo in todos(world)] == [(waits, 2)], "its place is free"
    assert world.core.pool.statistics().free_bytes < held, "its memory is not"
    world.work(2)
    world.end(1, TimedOut(30.0))
    world.leave_all()
    world.check_empty()


def test_a_file_at_which_a_worker_hangs_is_let_alone_until_the_worker_is_gone() -> None:
    world = make_world(workers_max=3)
    done = world.submit(picture(1), A)
    world.work(1)
    world.submit(picture(0), A)
    queued = world.submit(picture(0, factor=2), A)
    world.stick(1, TimedOut(30.0))
    assert isinstance(told(world)[queued], TimedOut), "it was under way for both"
    refused = world.submit(picture(0), B)
    assert isinstance(told(world)[refused], Refused)
    other = world.submit(picture(2), B)
    assert [todo.job for todo in todos(world)] == [other], "another file of the same device is read"
    known = world.submit(picture(1), A)
    assert told(world) == {known: Replied()} and world.ended[done] == Replied()
    world.end(1, TimedOut(30.0))
    again = world.submit(picture(0), B)
    assert [todo.job for todo in todos(world)] == [again]


def test_a_file_system_on_which_many_hang_is_let_alone_but_for_what_is_known() -> None:
    world = make_world(workers_max=2, hung_max=2)
    world.submit(picture(3), A)
    world.work(1)
    world.submit(picture(5), A)
    world.submit(picture(7), A)
    world.stick(1, TimedOut(30.0))
    world.stick(2, TimedOut(30.0))
    refused = world.submit(picture(11), A)
    assert isinstance(told(world)[refused], Refused)
    toned = world.submit(picture(3, tone=1), A)
    assert [todo.job for todo in todos(world)][-1] == toned, "its plane is known: no file is read for it"
    elsewhere = world.submit(picture(2), A)
    world.run_dry()
    assert world.ended[elsewhere] == Replied()


def test_those_who_wait_for_a_hung_file_system_are_told_at_once() -> None:
    world = make_world(workers_max=1, hung_max=1)
    world.submit(picture(5), A)
    waits, elsewhere = world.submit(picture(7), A), world.submit(picture(2), A)
    world.stick(1, TimedOut(30.0))
    assert isinstance(told(world)[waits], Refused)
    assert [todo.job for todo in todos(world)] == [elsewhere]


def test_a_guest_that_is_stuck_lets_the_others_try_again() -> None:
    world = make_world()
    guest = world.join("a")
    job = world.submit(handed_over(picture(0)), A, guest)
    other = world.submit(picture(0), B)
    world.stick(guest, Crashed())
    assert told(world) == {job: Crashed(), other: Stopped()}


def test_stuck_twice_cannot_be() -> None:
    world = make_world()
    world.submit(picture(0), A)
    world.stick(1, TimedOut(30.0))
    with pytest.raises(AssertionError):
        world.core.handle(WorkerStuck(1, Stopped()))
