"""What a session has to say: replies, which go first, and the signal that there may be more to say."""

import trio


class Outbox:
    """Replies on their way from the task that reads to the one that writes.

    Bounded: `room` makes the reading task wait, and so a client that asks without taking what is answered.
    """

    __slots__ = ("_replies", "_room", "_size_max", "_woken", "ended")

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._replies: list[str] = []  # No deque: an empty one takes 600 bytes, and there are few replies.
        self._room = trio.Event()
        self._woken = trio.Event()
        self.ended = False

    async def room(self) -> None:
        """Wait until one more reply may be put."""
        while len(self._replies) >= self._size_max:
            self._room = trio.Event()
            await self._room.wait()

    def put(self, reply: str) -> None:
        """Add a reply, after `room`."""
        assert len(self._replies) < self._size_max, "no room was waited for"
        self._replies.append(reply)
        self.wake()

    def take(self) -> str | None:
        """Take the next reply; None if there is none."""
        if not self._replies:
            return None
        self._room.set()
        return self._replies.pop(0)

    def end(self) -> None:
        """Have nothing more said than the replies that are there."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Have the writing task look for more."""
        self._woken.set()

    async def woken(self) -> None:
        """Wait until `wake` was called since this was called last."""
        await self._woken.wait()
        self._woken = trio.Event()

    async def woken_within(self, limit_s: float) -> bool:
        """Do as `woken`; False if it was not called within the limit."""
        with trio.move_on_after(limit_s) as limit:
            await self.woken()
        return not limit.cancelled_caught
