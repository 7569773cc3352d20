"""The pool: which segment holds which buffer, who may use it, and what is left of the budget. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from imgd.core.events import Command, CreateSegment, DestroySegment, JobId, PunchSegment, SegmentId, WorkerId
from imgd.core.limits import SEGMENTS_MAX
from imgd.core.segment import PAGE_BYTES, Need, Segment, State, Use

HEADROOM_BYTES_MAX: Final = 16 << 20  # Left free for what will hardly be filled; so large a part of the budget at most:
HEADROOM_SHARE: Final = 8
SPARES_MAX: Final = 32  # Each is looked at for each buffer that is reserved.


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Bytes of the budget by use; the first five add up to the sixth."""

    free_bytes: int
    reserved_bytes: int
    leased_bytes: int
    idle_bytes: int
    spare_bytes: int
    budget_bytes: int
    segments: int
    evicted_total: int
    recycled_total: int


def nobody_wants() -> Collection[str]:
    """Tell that no waiting job wants any buffer."""
    return ()


class Pool:
    """Account for every byte of the budget, from before a segment exists until after its last user is gone.

    Invariants: free + the charges of all segments == budget; a key names at most one segment, in writing or ready;
    a segment that a worker holds, or a job leases, is never reused, emptied or destroyed.
    """

    def __init__(self, budget_bytes: int, segments_max: int = SEGMENTS_MAX) -> None:
        self.budget_bytes = budget_bytes
        self.target_bytes = budget_bytes  # What the budget is to become as soon as what is in use allows.
        self.segments_max: Final = segments_max
        self.free_bytes = budget_bytes
        self.segments: dict[SegmentId, Segment] = {}
        self._by_key: dict[str, Segment] = {}
        self._bytes: dict[Use, int] = dict.fromkeys(Use, 0)
        self._counted: dict[SegmentId, tuple[Use, int]] = {}
        self._idle: OrderedDict[SegmentId, Segment] = OrderedDict()  # Least recently used first.
        self._spare: OrderedDict[SegmentId, Segment] = OrderedDict()
        self._commands: list[Command] = []
        self._next_id = 1
        self._evicted_total = 0
        self._recycled_total = 0

    @property
    def available_bytes(self) -> int:
        """What a reservation can have: free, or kept for nobody in particular."""
        return self.free_bytes + self._bytes[Use.IDLE] + self._bytes[Use.SPARE]

    def take_commands(self) -> list[Command]:
        """Hand over the commands caused since the last call, in order."""
        commands, self._commands = self._commands, []
        return commands

    def find(self, key: str) -> Segment | None:
        """Find the segment that holds, or will hold, a buffer."""
        return self._by_key.get(key)

    def reserve(
        self,
        job: JobId,
        owner: str,
        needs: Sequence[Need],
        wanted: Callable[[], Collection[str]] = nobody_wants,
    ) -> list[Segment] | None:
        """Reserve a segment for each at once, leased to the job; None and no change if they do not fit.

        wanted  tells the keys that waiting jobs want: those buffers are evicted last.
        """
        assert all(need.key not in self._by_key for need in needs), "reserved twice"
        slack_bytes = self.available_bytes - sum(need.capacity_bytes for need in needs)
        in_use = len(self.segments) - len(self._idle) - len(self._spare)
        if slack_bytes < 0 or in_use + len(needs) > self.segments_max:
            return None

        while len(self._spare) > SPARES_MAX:
            self._destroy()

        def use(segment: Segment, need: Need) -> None:
            nonlocal slack_bytes
            slack_bytes -= segment.capacity_bytes - need.capacity_bytes
            waiting.remove(need)
            segment.state, segment.key, segment.producer, segment.owner = State.WRITING, need.key, job, owner
            segment.used_bytes, segment.facts, segment.kept = 0, "", need.kept
            segment.leases.add(job)
            self._by_key[need.key] = segment
            self._count(segment)

        waiting = sorted(needs, key=lambda need: -need.size_bytes)  # The largest gain most.
        for need in list(waiting):
            fitting = [segment for segment in self._spare.values() if need.fits(segment, slack_bytes)]
            if fitting:
                best = min(fitting, key=lambda segment: (segment.owner != owner, segment.capacity_bytes))
                use(self._recycle(best, owner), need)
        for segment in self._evict_for(waiting, wanted):
            if (alike := next((need for need in waiting if need.fits(segment, slack_bytes)), None)) is not None:
                use(self._recycle(segment, owner), alike)
        still_needed = sum(need.capacity_bytes for need in waiting)
        while self.free_bytes < still_needed or len(self.segments) + len(waiting) > self.segments_max:
            self._destroy()
        for need in list(waiting):
            use(self._create(need.capacity_bytes, owner), need)
        return [self._by_key[need.key] for need in needs]

    def resize(self, budget_bytes: int) -> None:
        """Have another budget: a larger one at once, a smaller one as `shrink` can."""
        self.target_bytes = budget_bytes
        if budget_bytes > self.budget_bytes:
            self.free_bytes += budget_bytes - self.budget_bytes
            self.budget_bytes = budget_bytes

    def shrink(self, wanted: Callable[[], Collection[str]] = nobody_wants) -> None:
        """Give up what the budget is still to lose, as far as it is free, or kept for nobody in particular."""
        while self.budget_bytes > self.target_bytes and self.available_bytes:
            if not self.free_bytes:
                if not self._spare:
                    self._evict(self._oldest_but(wanted()))
                self._destroy()
            lost = min(self.free_bytes, self.budget_bytes - self.target_bytes)
            self.free_bytes -= lost
            self.budget_bytes -= lost

    def lease(self, segment: Segment, job: JobId) -> None:
        """Give a job the right to use a buffer until it is given back."""
        assert segment.state in (State.WRITING, State.READY), "leased what is not there"
        segment.leases.add(job)
        self._count(segment)

    def give_back(self, segment: Segment, job: JobId) -> None:
        """End a job's lease, if it has one."""
        segment.leases.discard(job)
        self._drop_if_passing(segment)
        self._count(segment)

    def hold(self, segment: Segment, worker: WorkerId) -> None:
        """Note that a worker may have a segment mapped from now on."""
        assert segment.state in (State.WRITING, State.READY), "held what is not there"
        segment.holders.add(worker)
        self._count(segment)

    def let_go(self, segment: Segment, worker: WorkerId) -> None:
        """Note that a worker no longer maps a segment."""
        assert worker in segment.holders, "let go of what it did not hold"
        segment.holders.discard(worker)
        if not segment.holders:
            if segment.state is State.DOOMED:
                self._retire(segment)
            elif segment.state is State.READY and segment.producer != -1:
                segment.producer = -1
                self._drop_if_passing(segment)
                self._trim(segment)
        self._count(segment)

    def grow(self, segment: Segment, used_bytes: int, facts: str) -> None:
        """Note that the first bytes of a buffer are final."""
        assert segment.state is State.WRITING and segment.used_bytes <= used_bytes <= segment.capacity_bytes
        segment.used_bytes, segment.facts = used_bytes, facts

    def finish(self, segment: Segment, used_bytes: int, facts: str) -> None:
        """Publish a finished buffer under its key."""
        self.grow(segment, used_bytes, facts)
        segment.state = State.READY
        self._count(segment)

    def spoil(self, segment: Segment) -> set[JobId]:
        """Take a buffer that will not be finished from its key; return the jobs that had leased it."""
        assert segment.state is State.WRITING, "spoiled what is not being written"
        del self._by_key[segment.key]
        leases, segment.leases = segment.leases, set()
        segment.state, segment.key, segment.producer = State.DOOMED, "", -1
        if not segment.holders:
            self._retire(segment)
        self._count(segment)
        return leases

    def statistics(self) -> PoolStatistics:
        """Tell the budget by use."""
        by = self._bytes
        return PoolStatistics(
            self.free_bytes, by[Use.RESERVED], by[Use.LEASED], by[Use.IDLE], by[Use.SPARE], self.budget_bytes,
            len(self.segments), self._evicted_total, self._recycled_total,
        )  # fmt: skip

    def check(self) -> None:
        """Assert that every byte of the budget is accounted for; cheap enough for after every event."""
        assert self.free_bytes >= 0, "the budget is exceeded"
        assert len(self.segments) <= self.segments_max, "more segments than there are descriptors for"
        assert self.free_bytes + sum(self._bytes.values()) == self.budget_bytes, "bytes were lost or found"

    def check_all(self) -> None:
        """Assert all invariants, segment by segment."""
        self.check()
        sums = dict.fromkeys(Use, 0)
        keyed = 0
        for segment in self.segments.values():
            sums[segment.use] += segment.charge_bytes
            assert 0 < segment.charge_bytes <= segment.capacity_bytes
            match segment.state:
                case State.WRITING | State.READY:
                    assert self._by_key.get(segment.key) is segment, "a buffer cannot be found under its key"
                    keyed += 1
                case State.SPARE:
                    assert not segment.leases and not segment.holders, "a spare segment is in use"
                case State.DOOMED:
                    assert segment.holders and not segment.leases, "a doomed segment that nobody holds"
            if segment.state in (State.WRITING, State.DOOMED):
                assert segment.charge_bytes == segment.capacity_bytes, "written beyond its charge"
        assert sums == self._bytes, "a segment is counted under the wrong heading"
        assert keyed == len(self._by_key), "a key without a segment"
        assert self._idle.keys() == {s.id for s in self.segments.values() if s.use is Use.IDLE}
        assert self._spare.keys() == {s.id for s in self.segments.values() if s.use is Use.SPARE}

    def _evict_for(self, waiting: Sequence[Need], wanted: Callable[[], Collection[str]]) -> Iterator[Segment]:
        """Evict one buffer after the other, until segments for all that wait can be made; give what becomes spare.

        What will be written wholly takes the place of what was used longest ago before nothing is free any more: that
        is warm, and what will hardly be filled needs much room for a short time. Nobody who waits is harmed for that.
        """
        headroom_bytes = min(HEADROOM_BYTES_MAX, self.budget_bytes // HEADROOM_SHARE)
        wished: Collection[str] | None = None
        while not self._has_room(waiting, headroom_bytes if any(need.whole for need in waiting) else 0):
            wished = wanted() if wished is None else wished
            oldest = self._oldest_but(wished)
            if oldest is None and self._has_room(waiting, 0):
                return
            yield self._evict(oldest)

    def _has_room(self, needs: Sequence[Need], more_bytes: int) -> bool:
        """Tell whether segments for all of them, and some more, can be made of what is free or spare."""
        room_bytes = self.free_bytes + self._bytes[Use.SPARE] - sum(need.capacity_bytes for need in needs)
        return room_bytes >= more_bytes and len(self.segments) - len(self._spare) + len(needs) <= self.segments_max

    def _recycle(self, segment: Segment, owner: str) -> Segment:
        """Use a spare segment again; another owner gets it empty.

        What is free may be less than nothing after it, until room is made for all that is reserved.
        """
        if segment.owner != owner:
            self._commands.append(PunchSegment(segment.id, 0))
        self.free_bytes -= segment.capacity_bytes - segment.charge_bytes
        self._bytes[Use.SPARE] += segment.capacity_bytes - segment.charge_bytes
        segment.charge_bytes = segment.capacity_bytes
        self._counted[segment.id] = (Use.SPARE, segment.charge_bytes)
        self._recycled_total += 1
        return segment

    def _create(self, capacity: int, owner: str) -> Segment:
        segment = Segment(self._next_id, capacity, capacity, owner)
        self._next_id += 1
        self.segments[segment.id] = segment
        self.free_bytes -= capacity
        self._bytes[Use.SPARE] += capacity
        self._counted[segment.id] = (Use.SPARE, capacity)
        self._commands.append(CreateSegment(segment.id, capacity))
        return segment

    def _destroy(self) -> None:
        """Destroy the spare segment that was used longest ago."""
        assert self._spare, "nothing to destroy: what is available was counted wrongly"
        segment = next(iter(self._spare.values()))
        del self.segments[segment.id]
        self._uncount(segment)
        self.free_bytes += segment.charge_bytes
        self._commands.append(DestroySegment(segment.id))

    def _oldest_but(self, wished: Collection[str]) -> Segment | None:
        """Find the idle buffer used longest ago of those that nobody wishes."""
        return next((segment for segment in self._idle.values() if segment.key not in wished), None)

    def _evict(self, victim: Segment | None) -> Segment:
        """Make an idle buffer a spare segment; None: the one used longest ago."""
        assert self._idle, "nothing to evict: what is available was counted wrongly"
        if victim is None:
            victim = next(iter(self._idle.values()))
        self._evicted_total += 1
        del self._by_key[victim.key]
        self._retire(victim)
        self._count(victim)
        return victim

    def _retire(self, segment: Segment) -> None:
        segment.state, segment.key, segment.producer = State.SPARE, "", -1
        segment.used_bytes, segment.facts = 0, ""

    def _drop_if_passing(self, segment: Segment) -> None:
        if segment.use is Use.IDLE and not segment.kept:
            del self._by_key[segment.key]
            self._retire(segment)

    def _trim(self, segment: Segment) -> None:
        """Give back the pages beyond what is used; nobody can write them any more. A spare segment stays warm."""
        if segment.state is State.SPARE:
            return
        charge = max(PAGE_BYTES, -(-segment.used_bytes // PAGE_BYTES) * PAGE_BYTES)
        if charge < segment.charge_bytes:
            self._uncount(segment)
            self.free_bytes += segment.charge_bytes - charge
            segment.charge_bytes = charge
            self._commands.append(PunchSegment(segment.id, charge))

    def _uncount(self, segment: Segment) -> None:
        if (counted := self._counted.pop(segment.id, None)) is not None:
            self._bytes[counted[0]] -= counted[1]
        self._idle.pop(segment.id, None)
        self._spare.pop(segment.id, None)

    def _count(self, segment: Segment) -> None:
        """Count a segment's charge under the heading that is right now; it is then the most recently used there."""
        self._uncount(segment)
        use = segment.use
        self._counted[segment.id] = (use, segment.charge_bytes)
        self._bytes[use] += segment.charge_bytes
        if use is Use.IDLE:
            self._idle[segment.id] = segment
        elif use is Use.SPARE:
            self._spare[segment.id] = segment
