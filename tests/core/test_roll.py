"""The roll says what each worker does, and what waits; totals tell how work ended."""

from imgd.core.roll import roll_of
from imgd.model import Asker, Crashed, Failed, Refused, TimedOut, Urgency
from tests.core.recipes import picture
from tests.core.scenes import A, make_world, todos, told


def test_a_worker_is_told_with_its_step_and_since_when() -> None:
    world = make_world()
    assert roll_of(world.core).workers == ()
    world.tick(5.0)
    world.submit(picture(0), A)
    (busy,) = roll_of(world.core).workers
    assert (busy.state, busy.step, busy.steps_left, busy.lists, busy.owner) == ("busy", "reduce", 3, 1, "a")
    world.tick(2.0)
    world.advance(busy.number)
    (later,) = roll_of(world.core).workers
    assert (later.step, later.steps_left) == ("tone", 2) and later.since_s == busy.since_s + 2.0
    world.work(busy.number)
    (idle,) = roll_of(world.core).workers
    assert (idle.state, idle.step, idle.steps_left) == ("idle", "", 0)


def test_what_waits_is_told_by_class() -> None:
    world = make_world(workers_max=1)
    world.submit(picture(0), A)
    world.submit(picture(1), A)
    world.submit(picture(2), Asker("a", urgency=Urgency.BATCH))
    world.tick(3.0)
    waiting = roll_of(world.core).waiting
    assert (waiting.interactive, waiting.prefetch, waiting.batch) == (1, 0, 1) and waiting.longest_s >= 3.0


def test_the_ends_of_work_are_counted_apart() -> None:
    world = make_world()
    for number, outcome in enumerate((Crashed(11), TimedOut(30.0), Crashed(9))):
        world.submit(picture(number), A)
        world.end(todos(world)[0].worker, outcome)
    world.submit(picture(7), A)
    world.fail(todos(world)[0].worker, Failed("bad_frame", "broken"))
    found = world.core.statistics()
    assert (found.crashed_total, found.timed_out_total, found.failed_total, found.refused_total) == (2, 1, 1, 0)


def test_waits_are_counted_and_refusals_told_apart() -> None:
    world = make_world(workers_max=1, queue_max=1, memory_wait_s=5.0)
    first = world.submit(picture(0), A)
    worker = todos(world)[0].worker
    world.submit(picture(1), A)
    late = world.submit(picture(2), A)
    refused = told(world)[late]
    assert isinstance(refused, Refused) and refused.reason == "queue_full"
    world.tick(3.0)
    world.work(worker)
    assert first in world.ended
    found = world.core.statistics()
    assert found.queue_full_total == found.refused_total == 1 and found.waited_out_total == 0
    assert found.wait_seconds.sum >= 3.0 and sum(found.wait_seconds.counts) == 2
    world.submit(picture(3), A)
    world.submit(picture(4), A)
    world.tick(6.0)
    assert world.core.statistics().waited_out_total == 1
