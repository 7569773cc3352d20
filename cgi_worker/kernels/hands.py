"""Hands: threads that work beside another one, and are kept for the next time.

To wake one takes half as long as to begin one, and nothing has to end it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
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
        boxes = [_Box(work, end) for _ in team]
        begun: list[Future[None]] = []
        try:
            with self.apart([hand.native_id for hand in team]):
                try:
                    for hand, box in zip(team, boxes, strict=True):
                        begun.append(hand.give(box))
                    yield
                finally:
                    end()
                    wait([each for each in begun if not each.cancel()])
                    errors = list(filter(None, map(_Box.emptied, boxes)))
        finally:
            self._idle.extend(reversed(team))  # The one that is asked first is so the next time.
        if errors:
            try:
                raise errors[0]
            finally:
                errors.clear()  # It leads to this frame.

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
        with suppress(IndexError):
            while not (hand := self._idle.pop()).is_there():
                pass
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

    def give(self, box: "_Box") -> Future[None]:
        """Have it do next what is in a box."""
        return self._pool.submit(box.open)


class _Box:
    """What a hand is to do, and then what went wrong: a pool holds what it was given, and what that raises, a little
    longer than until it is done."""

    def __init__(self, work: Work, end: Work) -> None:
        self._held: tuple[Work, Work] | None = work, end
        self._error: BaseException | None = None

    def open(self) -> None:
        """Do it."""
        assert self._held is not None
        with self:
            self._held[0]()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None and self._held is not None:
            self._error = error
            self._held[1]()
        return True

    def emptied(self) -> BaseException | None:
        """Let go of all that is in it; give what went wrong."""
        error, self._held, self._error = self._error, None, None
        return error
