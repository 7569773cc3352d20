"""A budget that becomes another one while it is in use: never more is promised than it is to be."""

import random

import pytest

from imgd.core.events import LimitsChanged
from imgd.core.limits import Limits
from imgd.core.pool import Pool
from imgd.core.scheduler import Scheduler
from imgd.core.segment import Need, Segment

MIB = 1 << 20


@pytest.mark.parametrize("seed", range(20))
def test_a_pool_shrinks_as_what_is_in_use_comes_free(seed: int) -> None:
    dice = random.Random(seed)
    pool = Pool(64 * MIB)
    held: dict[int, Segment] = {}
    for step in range(300):
        match dice.randrange(4):
            case 0:
                pool.resize(dice.choice((8, 16, 32, 64, 128)) * MIB)
            case 1 | 2:
                pool.shrink()
                before = pool.budget_bytes
                made = pool.reserve(step, "o", [Need(f"k{step}", dice.randrange(1, 8 * MIB))])
                assert made is None or before == pool.target_bytes, "something new began while it was too large"
                if made:
                    held[step] = made[0]
                    pool.hold(made[0], step)
            case _ if held:
                job, segment = held.popitem() if dice.random() < 0.5 else (first := next(iter(held)), held.pop(first))
                pool.finish(segment, segment.capacity_bytes, "")
                pool.let_go(segment, job)
                pool.give_back(segment, job)
        pool.check_all()
        pool.take_commands()
    for job, segment in held.items():
        pool.finish(segment, segment.capacity_bytes, "")
        pool.let_go(segment, job)
        pool.give_back(segment, job)
    pool.shrink()
    pool.check_all()
    assert pool.budget_bytes == pool.target_bytes


def test_a_larger_budget_is_there_at_once() -> None:
    core = Scheduler(16 * MIB, Limits())
    assert core.handle(LimitsChanged(Limits(workers_max=7, queue_max=3), 64 * MIB)) == []
    assert (core.pool.budget_bytes, core.pool.free_bytes) == (64 * MIB, 64 * MIB)
    assert (core.limits.workers_max, core.limits.queue_max) == (7, 3)
    core.check_all()
