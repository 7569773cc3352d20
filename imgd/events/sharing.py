"""Equal questions that wait are asked once: all who wait get the one answer, which none of them could call too old."""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

import trio

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Crowded(Exception):
    """Too many different questions wait already."""


@dataclass(eq=False, slots=True)
class _Look:
    """One look for an answer, and how many wait for what it finds. begun: who asks from now on may not have that."""

    askers: int = 0
    begun: bool = False
    answer: object = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)

    def begins(self) -> None:
        """Take note of it; in a thread, without a lock: whoever still reads False has joined before it looks."""
        self.begun = True

    @property
    def waits(self) -> bool:
        """Tell whether it can still be joined."""
        return not (self.begun or self.scope.cancel_called)


@dataclass(eq=False, slots=True)
class _Line(Generic[K]):
    """A question that is asked: one look is under way; `last` is that one or, once it has begun, the one after it."""

    question: K
    last: _Look = field(default_factory=_Look)


class Sharing(Generic[K, T]):
    """Of equal questions at most one is under way and one waits.

    Who asks joins a look that has not begun yet: what it finds is what there is when it begins, or later. One that has
    begun is joined by nobody, since it could miss what was true before the question; the next one begins at its end.

    find         finds an answer; calls what it is given, from any thread, just before it looks at what may change. An
                 error that is an answer is returned, so that each who asked can raise one of his own.
    waiting_max  different questions that may wait.
    """

    def __init__(self, find: Callable[[K, Callable[[], None]], Awaitable[T]], waiting_max: int) -> None:
        self._find = find
        self._waiting_max = waiting_max
        self._lines: dict[K, _Line[K]] = {}
        self._new: deque[_Line[K]] = deque()  # Not taken yet by `serve`; all of them are in `_lines`.
        self._come = trio.Event()
        self.joined_total = 0

    @property
    def waiting(self) -> int:
        """Count the different questions that wait."""
        return sum(line.last.waits for line in self._lines.values())

    @property
    def asked(self) -> int:
        """Count the different questions that wait or are under way."""
        return len(self._lines)

    async def ask(self, question: K) -> T:
        """Have an answer, found for this question alone or for others as well.

        Blocks while `serve` does not run. Cancelled: others who asked the same get their answer; without others the
        look is cancelled.

        Raises  Crowded.
        """
        look = self._join(question)
        look.askers += 1
        try:
            await look.ended.wait()
        finally:
            look.askers -= 1
            if not look.askers:
                look.scope.cancel()
        return cast(T, look.answer)

    async def serve(self) -> None:
        """Find answers, each in a task that belongs to none of those who ask, until cancelled.

        No look outlives this call. An error that `find` raises is a bug of ours, and ends it.
        """
        async with trio.open_nursery() as looking:
            while True:
                while self._new:
                    looking.start_soon(self._answer, self._new.popleft())
                self._come = trio.Event()
                await self._come.wait()

    def _join(self, question: K) -> _Look:
        line = self._lines.get(question)
        if line is not None and line.last.waits:
            self.joined_total += 1
            return line.last
        if self.waiting >= self._waiting_max:
            raise Crowded
        if line is None:
            line = self._lines[question] = _Line(question)
            self._new.append(line)
            self._come.set()
        else:
            line.last = _Look()
        return line.last

    async def _answer(self, line: _Line[K]) -> None:
        """Look for as long as somebody waits for what the last look will find."""
        while not (look := line.last).ended.is_set():
            with look.scope:
                if look.askers:
                    look.answer = await self._find(line.question, look.begins)
            look.ended.set()
        del self._lines[line.question]
