"""The newest events, in memory. Pure."""

from collections.abc import Sequence

from imgd.events.event import Event


class Ring:
    """Hold the newest events, `size_max` at least once there are so many, twice that at most.

    Invariant: ids are dense, from `base + 1` to `last`.
    """

    def __init__(self, size_max: int, last: int = 0) -> None:
        self._size_max = size_max
        self._events: list[Event] = []
        self.base = last

    @property
    def last(self) -> int:
        """Id of the newest event."""
        return self.base + len(self._events)

    def extend(self, events: Sequence[Event]) -> None:
        """Add events, ascending; where some are missing before them, all that is older is dropped."""
        for event in events:
            assert event.id > self.last, "ids ascend"
            if event.id != self.last + 1:
                self._events.clear()
                self.base = event.id - 1
            self._events.append(event)
        if len(self._events) >= 2 * self._size_max:
            dropped = len(self._events) - self._size_max
            del self._events[:dropped]
            self.base += dropped

    def skip(self, last: int) -> None:
        """Go on after this id, with nothing before it."""
        self._events.clear()
        self.base = last

    def after(self, id: int, limit: int) -> Sequence[Event] | None:
        """Tell the events after this id, `limit` at most; None if they are no longer all here."""
        if id < self.base:
            return None
        start = id - self.base
        return self._events[start : start + limit]

    def __len__(self) -> int:
        return len(self._events)
