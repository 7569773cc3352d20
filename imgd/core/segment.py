"""Segments: what one is there for, what it is charged, and what a buffer needs of it. Values only."""

import enum
import functools
from dataclasses import dataclass, field
from typing import Final

from imgd.core.events import JobId, SegmentId, WorkerId

PAGE_BYTES: Final = 4096
CAPACITY_BYTES_MIN: Final = 16 * PAGE_BYTES
WASTE_MAX: Final = 2  # A warm segment may be this many times larger than what it is taken for.
COLD_MIN: Final = 2  # What will hardly be filled takes one of whose capacity at most so small a part is warm: a half.


class State(enum.Enum):
    """What a segment is there for."""

    SPARE = "spare"  # Holds nothing of value; its pages are warm.
    WRITING = "writing"  # Reserved for a buffer, or being written.
    READY = "ready"  # Holds a finished buffer under its key.
    DOOMED = "doomed"  # Holds nothing of value, but a process may still have it mapped.


class Use(enum.Enum):
    """Under which heading of the budget a segment's charge is counted."""

    RESERVED = "reserved"  # Set aside for a plan; no process has it yet.
    LEASED = "leased"  # In use by a job, or mapped by a process.
    IDLE = "idle"  # A finished buffer kept for whoever asks next.
    SPARE = "spare"

    __hash__ = object.__hash__  # That of enum is not compiled, and counting asks for it again and again.


@dataclass(slots=True, eq=False)
class Segment:
    """One segment. `charge_bytes` is what it takes of the budget: its capacity, or less once trimmed."""

    id: SegmentId
    capacity_bytes: int
    charge_bytes: int
    owner: str
    state: State = State.SPARE
    key: str = ""
    producer: JobId = -1
    used_bytes: int = 0
    facts: str = ""
    kept: bool = True  # False: spare, not idle, once nobody uses it.
    leases: set[JobId] = field(default_factory=set)
    holders: set[WorkerId] = field(default_factory=set)

    @property
    def use(self) -> Use:
        """The heading under which its charge is counted."""
        if self.state is State.SPARE:
            return Use.SPARE
        if self.state is State.WRITING and not self.holders:
            return Use.RESERVED
        if self.state is State.READY and not self.leases and not self.holders:
            return Use.IDLE
        return Use.LEASED


@functools.lru_cache(maxsize=4096)
def capacity_for(size_bytes: int) -> int:
    """Round a size up to a segment's capacity: an eighth of a power of two, so that segments fit again."""
    size_bytes = max(size_bytes, CAPACITY_BYTES_MIN)
    grain: int = max(PAGE_BYTES, 1 << (size_bytes.bit_length() - 4))
    return -(-size_bytes // grain) * grain


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """A buffer that is to be reserved.

    kept   False: its segment is spare, not idle, once nobody uses it.
    whole  False: it will hardly be filled; pages that are warm would be wasted on it.
    """

    key: str
    size_bytes: int
    kept: bool = True
    whole: bool = True

    @property
    def capacity_bytes(self) -> int:
        """What a segment for it holds."""
        return capacity_for(self.size_bytes)

    def fits(self, segment: Segment, slack_bytes: int) -> bool:
        """Tell whether a spare segment is of use: warm as far as it will be written, and at most so much too large."""
        warm, capacity = segment.charge_bytes, self.capacity_bytes
        most_bytes = min(capacity * WASTE_MAX, capacity + slack_bytes)
        is_alike = warm >= self.size_bytes if self.whole else warm * COLD_MIN <= capacity
        return is_alike and capacity <= segment.capacity_bytes <= most_bytes
