"""The pool: every byte of the budget is accounted for, and nothing in use is taken away."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imgd.core.events import (
    Command,
    CreateSegment,
    DestroySegment,
    JobId,
    PunchSegment,
    SegmentId,
    WorkerId,
)
from imgd.core.pool import SPARES_MAX, Pool
from imgd.core.segment import CAPACITY_BYTES_MIN, PAGE_BYTES, WASTE_MAX, Need, Segment, State, capacity_for
from tests.core.profile import STEPS, run_counted
from tests.core.recipes import UNIT

PICK = st.integers(0, 1 << 16)


@dataclass
class Row:
    """What the test remembers of a buffer."""

    segment: Segment
    key: str
    maker: JobId
    leases: set[JobId] = field(default_factory=set)
    holders: set[WorkerId] = field(default_factory=set)
    ready: bool = False
    idle_since: int = 0
    size_bytes: int = 0

    @property
    def idle(self) -> bool:
        return self.ready and not self.leases and not self.holders


class Buffers(RuleBasedStateMachine):
    """Reserve, write, lease, map and give back in any order that is legal; bookkeeping of its own tells what is due."""

    @initialize(budget=st.integers(4, 40))
    def begin(self, budget: int) -> None:
        self.budget_bytes = budget * UNIT
        self.pool = Pool(self.budget_bytes)
        self.rows: list[Row] = []
        self.doomed: list[Row] = []
        self.resident: dict[SegmentId, int] = {}
        self.capacity: dict[SegmentId, int] = {}
        self.bytes_of: dict[SegmentId, str] = {}
        self.time = 0

    @invariant()
    def count(self) -> None:
        STEPS["pool"] += 1

    def _in_use(self) -> set[SegmentId]:
        return {row.segment.id for row in self.rows if not row.idle} | {row.segment.id for row in self.doomed}

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case CreateSegment(segment, capacity_bytes):
                    assert segment not in self.capacity
                    self.capacity[segment] = self.resident[segment] = capacity_bytes
                    self.bytes_of[segment] = ""
                case DestroySegment(segment):
                    assert segment not in self._in_use()
                    del self.capacity[segment], self.resident[segment], self.bytes_of[segment]
                case PunchSegment(segment, from_bytes):
                    users = [row for row in [*self.rows, *self.doomed] if row.segment.id == segment]
                    assert not any(row.holders for row in users)
                    assert all(row.ready and row.segment.used_bytes <= from_bytes for row in users)
                    self.resident[segment] = min(self.resident[segment], from_bytes)
                    if from_bytes == 0:
                        self.bytes_of[segment] = ""
                case _:
                    raise AssertionError("a pool commands segments alone")
            assert sum(self.resident.values()) <= self.budget_bytes

    def _settle(self) -> None:
        """After each rule: carry out, forget what nobody maps, compare the sums."""
        self.time += 1
        self.doomed = [row for row in self.doomed if row.holders]
        self._carry_out(self.pool.take_commands())
        self.pool.check_all()
        told = self.pool.statistics()
        in_use = self._in_use()
        charged = {segment.id: segment.charge_bytes for segment in self.pool.segments.values()}
        assert charged.keys() == self.capacity.keys()
        assert told.reserved_bytes + told.leased_bytes == sum(charged[segment] for segment in in_use)
        assert told.idle_bytes == sum(charged[row.segment.id] for row in self.rows if row.idle)
        assert sum(charged.values()) + told.free_bytes == self.budget_bytes
        for row in self.rows:
            assert self.pool.find(row.key) is row.segment
            assert self.resident[row.segment.id] <= charged[row.segment.id], "more pages than are paid for"

    def _touch(self, row: Row) -> None:
        row.idle_since = self.time

    @rule(
        sizes=st.lists(st.integers(1, 8 * UNIT), min_size=1, max_size=3),
        owner=st.sampled_from("ab"),
        wanted=st.lists(PICK, max_size=2),
        whole=st.sampled_from((True, False)),
    )
    def reserve(self, sizes: list[int], owner: str, wanted: list[int], whole: bool) -> None:
        self._reserve(sizes, owner, wanted, whole)

    def _reserve(self, sizes: list[int], owner: str, wanted: list[int], whole: bool) -> list[Row]:
        idle = [row for row in self.rows if row.idle]
        wished = {idle[pick % len(idle)].key for pick in wanted} if idle else set()
        in_use = sum(self.pool.segments[segment].charge_bytes for segment in self._in_use())
        fits = sum(map(capacity_for, sizes)) <= self.budget_bytes - in_use
        job = self.time + 1
        needs = [Need(f"key {job} {index}", size, whole=whole or index > 0) for index, size in enumerate(sizes)]
        before = self.pool.statistics()
        made = self.pool.reserve(job, owner, needs, lambda: wished)
        assert (made is not None) == fits
        if made is None:
            assert self.pool.statistics() == before and not self.pool.take_commands()
            return []
        self._check_evictions(idle, wished)
        assert len({segment.id for segment in made}) == len(made)
        assert not {segment.id for segment in made} & self._in_use()
        self._carry_out(self.pool.take_commands())
        for need, segment in zip(needs, made, strict=True):
            assert need.size_bytes <= segment.capacity_bytes <= WASTE_MAX * capacity_for(need.size_bytes)
            assert self.bytes_of[segment.id] in ("", owner), "another owner's bytes"
            self.resident[segment.id], self.bytes_of[segment.id] = segment.capacity_bytes, owner
            self.rows.append(Row(segment, need.key, job, {job}, size_bytes=need.size_bytes))
        self._settle()
        return self.rows[-len(made) :]

    @rule(sizes=st.lists(st.integers(1, 4 * UNIT), min_size=1, max_size=4), owner=st.sampled_from("ab"), pick=PICK)
    def keep(self, sizes: list[int], owner: str, pick: int) -> None:
        """Make whole buffers of which less is used than was reserved, and leave them for whoever asks next."""
        for size in sizes:
            for row in self._reserve([size], owner, [pick], pick % 3 > 0):
                self.pool.hold(row.segment, 9)
                row.ready = True
                self.pool.finish(row.segment, pick % (size + 1), "")
                self.pool.let_go(row.segment, 9)
                self.pool.give_back(row.segment, row.maker)
                row.leases.clear()
                self._touch(row)
                self._settle()

    @precondition(lambda self: any(row.idle for row in self.rows))
    @rule(pick=PICK)
    def use_again(self, pick: int) -> None:
        idle = [row for row in self.rows if row.idle]
        row = idle[pick % len(idle)]
        self.pool.lease(row.segment, 5)
        self.pool.give_back(row.segment, 5)
        self._touch(row)
        self._settle()

    def _check_evictions(self, idle: list[Row], wished: set[str]) -> None:
        """The buffers evicted are the least recently used, those that somebody wants last."""
        gone = [row for row in idle if self.pool.find(row.key) is None]
        kept = [row for row in idle if row not in gone]
        for row in gone:
            for other in kept:
                assert (row.key in wished, row.idle_since) < (other.key in wished, other.idle_since)
        self.rows = [row for row in self.rows if row not in gone]

    @precondition(lambda self: self.rows)
    @rule(pick=PICK, worker=st.integers(1, 3))
    def hold(self, pick: int, worker: int) -> None:
        row = self.rows[pick % len(self.rows)]
        if row.leases:  # Only a job with a lease has a worker.
            self.pool.hold(row.segment, worker)
            row.holders.add(worker)
            self._settle()

    @precondition(lambda self: any(row.holders for row in [*self.rows, *self.doomed]))
    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        held = [row for row in [*self.rows, *self.doomed] if row.holders]
        row = held[pick % len(held)]
        worker = min(row.holders)
        row.holders.remove(worker)
        self._touch(row)
        self.pool.let_go(row.segment, worker)
        self._settle()

    @precondition(lambda self: any(not row.ready for row in self.rows))
    @rule(pick=PICK, finish=st.booleans())
    def write(self, pick: int, finish: bool) -> None:
        writing = [row for row in self.rows if not row.ready]
        row = writing[pick % len(writing)]
        used = row.segment.used_bytes + pick % (row.size_bytes - row.segment.used_bytes + 1)
        if finish:
            row.ready = True
            self._touch(row)
            self.pool.finish(row.segment, used, f"{used}")
        else:
            self.pool.grow(row.segment, used, f"{used}")
        assert (row.segment.used_bytes, row.segment.facts) == (used, f"{used}")
        self._settle()

    @precondition(lambda self: any(not row.ready for row in self.rows))
    @rule(pick=PICK)
    def spoil(self, pick: int) -> None:
        writing = [row for row in self.rows if not row.ready]
        row = writing[pick % len(writing)]
        assert self.pool.spoil(row.segment) == row.leases
        assert self.pool.find(row.key) is None
        self.rows.remove(row)
        self.doomed.append(row)
        self._settle()

    @precondition(lambda self: self.rows)
    @rule(pick=PICK, job=st.integers(-3, -1))
    def lease(self, pick: int, job: int) -> None:
        row = self.rows[pick % len(self.rows)]
        self.pool.lease(row.segment, job)
        row.leases.add(job)
        self._settle()

    @precondition(lambda self: any(row.leases for row in self.rows))
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        leased = [row for row in self.rows if row.leases]
        row = leased[pick % len(leased)]
        if not row.ready and len(row.leases) == 1:
            return  # Its maker keeps it until it is finished or spoiled.
        job = min(row.leases)
        row.leases.remove(job)
        self._touch(row)
        self.pool.give_back(row.segment, job)
        self._settle()


def test_random_histories_of_buffers() -> None:
    run_counted(Buffers, "pool", steps_long=50_000)


def make(pool: Pool, key: str, size_bytes: int = UNIT, owner: str = "a", used_bytes: int | None = None) -> Segment:
    """Make a finished buffer that nobody uses."""
    made = pool.reserve(1, owner, [Need(key, size_bytes)])
    assert made is not None
    pool.hold(made[0], 1)
    pool.finish(made[0], size_bytes if used_bytes is None else used_bytes, "{}")
    pool.let_go(made[0], 1)
    pool.give_back(made[0], 1)
    return made[0]


@given(st.integers(1, 1 << 40))
def test_a_capacity_wastes_at_most_an_eighth(size_bytes: int) -> None:
    capacity = capacity_for(size_bytes)
    assert capacity % PAGE_BYTES == 0 and capacity_for(capacity) == capacity
    assert size_bytes <= capacity <= max(CAPACITY_BYTES_MIN, size_bytes + size_bytes / 8 + PAGE_BYTES)


def test_idle_buffers_go_least_recently_used_first_and_the_wanted_last() -> None:
    pool = Pool(4 * UNIT)
    for key in ("one", "two", "three"):
        segment = make(pool, key)
    pool.lease(segment, 7)
    pool.give_back(segment, 7)
    one = pool.find("one")
    assert one is not None
    pool.lease(one, 7)
    pool.give_back(one, 7)
    order: list[str] = []
    for count in range(4):
        before = {key for key in ("one", "two", "three") if pool.find(key)}
        assert pool.reserve(9, "a", [Need(f"new {count}", UNIT)], lambda: {"two"}) is not None
        order += before - {key for key in before if pool.find(key)}
    assert order == ["three", "one", "two"]
    assert pool.statistics().evicted_total == 3


def test_an_owners_segment_comes_back_warm_and_anothers_comes_empty() -> None:
    pool = Pool(UNIT)
    segment = make(pool, "a's", owner="a")
    assert pool.take_commands() == [CreateSegment(segment.id, UNIT)]
    make(pool, "a's too", owner="a")
    assert pool.take_commands() == []
    make(pool, "b's", owner="b")
    assert pool.take_commands() == [PunchSegment(segment.id, 0)]
    assert pool.statistics().recycled_total == 2


def test_what_is_not_used_of_a_finished_buffer_is_given_back() -> None:
    pool = Pool(10 * UNIT)
    segment = make(pool, "short", 8 * UNIT, used_bytes=PAGE_BYTES + 1)
    assert PunchSegment(segment.id, 2 * PAGE_BYTES) in pool.take_commands()
    assert pool.free_bytes == 10 * UNIT - 2 * PAGE_BYTES
    empty = make(pool, "empty", used_bytes=0)
    assert empty.charge_bytes == PAGE_BYTES, "a buffer that exists is charged something"


def test_a_spare_segment_much_too_large_is_not_taken() -> None:
    pool = Pool(12 * UNIT)
    made = pool.reserve(1, "a", [Need("large", 8 * UNIT)])
    assert made is not None
    pool.spoil(made[0])
    small = pool.reserve(2, "a", [Need("small", UNIT)])
    assert small is not None and small[0] is not made[0]
    fitting = pool.reserve(3, "a", [Need("fitting", 4 * UNIT)])
    assert fitting == made


def test_a_reservation_takes_all_or_nothing() -> None:
    pool = Pool(4 * UNIT)
    make(pool, "idle")
    pool.take_commands()
    before = pool.statistics()
    assert pool.reserve(2, "a", [Need("x", 2 * UNIT), Need("y", 2 * UNIT), Need("z", 1)]) is None
    assert pool.statistics() == before and pool.find("idle") and not pool.take_commands()
    assert pool.reserve(2, "a", [Need("x", 2 * UNIT), Need("y", 2 * UNIT)]) is not None


def test_a_segment_that_a_process_maps_is_not_reused_before_it_lets_go() -> None:
    pool = Pool(UNIT)
    made = pool.reserve(1, "a", [Need("key", UNIT)])
    assert made is not None
    pool.hold(made[0], 1)
    assert pool.spoil(made[0]) == {1}
    assert pool.find("key") is None and pool.reserve(2, "a", [Need("key", UNIT)]) is None
    pool.let_go(made[0], 1)
    assert pool.reserve(2, "a", [Need("key", UNIT)]) == made


def test_what_cannot_be_raises_and_changes_nothing() -> None:
    pool = Pool(8 * UNIT)
    ready = make(pool, "ready")
    writing = (pool.reserve(1, "a", [Need("writing", UNIT)]) or [])[0]
    spare = (pool.reserve(2, "a", [Need("spoiled", UNIT)]) or [])[0]
    pool.spoil(spare)
    pool.grow(writing, 10, "")
    assert spare.state is State.SPARE
    before = repr((pool.segments, pool.statistics()))
    for wrong in (
        lambda: pool.reserve(3, "a", [Need("fresh", 1), Need("ready", 1)]),
        lambda: pool.lease(spare, 3),
        lambda: pool.hold(spare, 1),
        lambda: pool.let_go(writing, 1),
        lambda: pool.grow(writing, 9, ""),
        lambda: pool.grow(writing, writing.capacity_bytes + 1, ""),
        lambda: pool.grow(ready, 20, ""),
        lambda: pool.finish(ready, UNIT, ""),
        lambda: pool.spoil(ready),
    ):
        with pytest.raises(AssertionError):
            wrong()
        assert repr((pool.segments, pool.statistics())) == before
        pool.check_all()


def test_check_finds_a_lost_byte() -> None:
    pool = Pool(8 * UNIT)
    make(pool, "ready")
    pool.free_bytes -= 1
    with pytest.raises(AssertionError):
        pool.check()


def test_segments_are_bounded_in_number_too() -> None:
    pool = Pool(1000 * UNIT, segments_max=4)
    for number in range(4):
        (segment,) = pool.reserve(number, "a", [Need(f"key {number}", UNIT)]) or []
        pool.finish(segment, UNIT, "")
        if number:
            pool.give_back(segment, number)
    assert len(pool.segments) == 4
    assert pool.reserve(9, "a", [Need(f"more {n}", UNIT) for n in range(4)]) is None, "one of the four is in use"
    pool.take_commands()
    made = pool.reserve(9, "a", [Need("small", UNIT), Need("large", 10 * UNIT), Need("other", UNIT)])
    assert made is not None
    pool.check_all()
    assert len(pool.segments) == 4
    assert pool.find("key 0") is not None, "what is in use was evicted"
    created = [command for command in pool.take_commands() if isinstance(command, CreateSegment)]
    assert [command.capacity_bytes for command in created] == [10 * UNIT], "warm segments were not used again"


def test_a_buffer_in_passing_is_spare_and_warm_once_nobody_uses_it() -> None:
    pool = Pool(8 * UNIT)
    kept, passing = pool.reserve(1, "a", [Need("kept", UNIT), Need("passing", UNIT, kept=False)]) or []
    for segment in (kept, passing):
        pool.hold(segment, 1)
        pool.finish(segment, UNIT, "")
        pool.let_go(segment, 1)
        pool.check_all()
    assert pool.find("passing") is passing, "dropped while it was leased"
    for segment in (kept, passing):
        pool.give_back(segment, 1)
        pool.check_all()
    assert pool.find("kept") is kept
    assert pool.find("passing") is None
    pool.take_commands()
    assert pool.reserve(2, "a", [Need("next", UNIT)]) == [passing]
    assert pool.take_commands() == [], "a warm segment was not used as it is"


def test_warm_pages_are_kept_for_what_will_be_written_wholly() -> None:
    pool = Pool(64 * UNIT)
    plane = spoilt(pool, "plane", 8 * UNIT)
    roomy, small, large = pool.reserve(
        2, "a", [Need("roomy", 8 * UNIT, whole=False), Need("small", 4 * UNIT), Need("large", 7 * UNIT)]
    ) or []  # fmt: skip
    assert plane is large and plane not in (roomy, small), "the largest gains most"
    make(pool, "answer", 8 * UNIT, used_bytes=100)
    answer = pool.find("answer")
    for _ in range(3):
        assert pool.reserve(3, "a", [Need("other plane", 8 * UNIT)]) not in (None, [answer]), "hardly a page is warm"
        pool.spoil(pool.find("other plane") or roomy)
    pool.check_all()


def test_no_more_segments_are_kept_warm_than_are_looked_at_in_no_time() -> None:
    pool = Pool(1000 * UNIT)
    made = pool.reserve(1, "a", [Need(f"{number}", UNIT) for number in range(200)])
    assert made is not None
    for segment in made:
        pool.spoil(segment)
    assert pool.reserve(2, "a", [Need("next", UNIT)]) == [made[-SPARES_MAX]], "those go that were used longest ago"
    assert sum(segment.state is State.SPARE for segment in pool.segments.values()) == SPARES_MAX - 1
    pool.check_all()


def spoilt(pool: Pool, key: str, size_bytes: int) -> Segment:
    """Make a spare segment."""
    made = pool.reserve(1, "a", [Need(key, size_bytes)])
    assert made is not None
    pool.spoil(made[0])
    return made[0]


@pytest.mark.parametrize("budget_mib", [40, 64, 300])
def test_one_frame_after_the_other_is_made_in_memory_that_is_warm(budget_mib: int) -> None:
    """The plane of the frame that was left longest ago becomes the next one's; nothing is destroyed and made anew."""
    pool = Pool(budget_mib << 20)
    made_bytes = {}
    for number in range(200):
        pool.take_commands()
        see(pool, number, {"facts": (256_000, 900), "header": (4 << 20, 9_000)}, whole=False)
        whole = {"plane": (3_825_612, 3_825_612), "histogram": (524_288, 524_288), "picture": (956_403, 956_403)}
        see(pool, number, {**whole, "answer": (2_242_336, 132_465)}, whole=True)
        made_bytes[number] = sum(
            command.capacity_bytes for command in pool.take_commands() if isinstance(command, CreateSegment)
        )
    rooms = capacity_for(256_000) + capacity_for(4 << 20) + capacity_for(2_242_336)
    assert made_bytes[0] > 2 * rooms / 1.5
    assert all(made_bytes[number] <= rooms for number in range(150, 200)), made_bytes
    assert pool.find("plane 199") and pool.find(f"plane {200 - budget_mib // 8}"), "less is kept than there is room for"


def see(pool: Pool, number: int, sizes: dict[str, tuple[int, int]], *, whole: bool) -> None:
    """Make some buffers together, each of (bytes at most, bytes used), as a job for a picture does."""
    needs = [
        Need(f"{name} {number}", most, kept=name != "picture", whole=whole and name != "answer")
        for name, (most, _) in sizes.items()
    ]
    made = pool.reserve(number, "a", needs)
    assert made is not None
    for segment, (_, used) in zip(made, sizes.values(), strict=True):
        pool.hold(segment, 1)
        pool.finish(segment, used, "")
    for segment in made:
        pool.let_go(segment, 1)
        pool.give_back(segment, number)
    pool.check_all()
