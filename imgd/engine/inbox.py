"""A bounded inbox that can be put into from anywhere in the loop, also while being cancelled."""

from collections import deque
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Inbox(Generic[T]):
    """Many putters, one taker. Putting never waits; more than `items_max` waiting is a bug of ours and asserts."""

    def __init__(self, items_max: int) -> None:
        self._items: deque[T] = deque()
        self._items_max = items_max
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; the taker wakes."""
        assert len(self._items) < self._items_max, "an inbox is over its bound: its taker is stuck"
        self._items.append(item)
        self._filled.set()

    def drain(self) -> list[T]:
        """Take all that waits."""
        taken = list(self._items)
        self._items.clear()
        return taken

    async def take(self) -> T:
        """Take the oldest item.

        Blocks until there is one. Cancelled: nothing is taken.
        """
        while not self._items:
            self._filled = trio.Event()
            await self._filled.wait()
        return self._items.popleft()
