"""Hands: threads that work beside another one, and are kept for the next time.

To wake one takes half as long as to begin one, and nothing has to end it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import current_thread
from typing import Final

Work = Callable[[], None]


class Hands:
    """The hands of a process.

    apart  what is entered while some of them are at work, with their native ids.
    """

    def __init__(self) -> None:
        self.apart: Callable[[Sequence[int]], AbstractContextManager[object]] = nullcontext
        self._idle: deque[_Hand] = deque()

    @contextmanager
    def beside(self, work: Work, end: Work, count: int) -> Iterator[None]:
        """Have this done by up to so many hands meanwhile, as far as they get round to it; all are done afterwards.

        By fewer, if the system lets no further thread start. Nothing that they worked on is held by them afterwards:
        segments can be detached at once.

        end  lets all come to an end, this thread too: called when it is done, and before that if one of them fails.

        Raises  what one of them raises, if nothing else was raised.
        """
        team = self._team(count)
        boxes = [[end, work] for _ in team]
        begun: list[Future[None]] = []
        try:
            with self.apart([hand.native_id for hand in team]):
                try:
                    for hand, box in zip(team, boxes, strict=True):
                        begun.append(hand.give(box))
                    yield
                finally:
                    end()
                    begun = [each for each in begun if not each.cancel()]
                    wait(begun)
                    for box in boxes:
                        box.clear()  # What was not begun stays where it waited.
        finally:
            self._idle.extend(reversed(team))  # The one that is asked first is so the next time.
        while begun:
            begun.pop(0).result()

    def _team(self, count: int) -> list["_Hand"]:
        team: list[_Hand] = []
        try:
            while len(team) < count:
                team.append(self._kept() or _Hand())
        except RuntimeError:  # The system lets no further thread start.
            pass
        return team

    def _kept(self) -> "_Hand | None":
        """Take one that waits; those of a process that this one was forked from do not."""
        while self._idle:
            hand = self._idle.pop()
            if hand.is_there():
                return hand
        return None


HANDS: Final = Hands()


class _Hand:
    """One thread."""

    def __init__(self) -> None:
        """Begin it.

        Raises  RuntimeError if there are as many threads as the system allows.
        """
        self._pool = ThreadPoolExecutor(1, "hand")
        self._thread = self._pool.submit(current_thread).result()
        self.native_id = self._thread.native_id or 0

    def is_there(self) -> bool:
        return self._thread.is_alive()

    def give(self, box: list[Work]) -> Future[None]:
        """Have it do next what is in a box: a pool holds what it was given a little longer than until it is done."""
        return self._pool.submit(_open, box)


def _open(box: list[Work]) -> None:
    work, end = box.pop(), box.pop()
    try:
        work()
    except BaseException:
        end()
        raise
