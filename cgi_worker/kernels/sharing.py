"""Sharing out: threads take the next of what is waiting as they become free, and what they make is given in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Condition
from typing import Final, Generic, TypeVar

from cgi_worker.kernels.hands import HANDS

Turn = TypeVar("Turn")
Result = TypeVar("Result")
AHEAD: Final = 2  # So many results may wait for the one before them, beside those that are being made.


def share_out(do: Callable[[Turn], object], waiting: Iterable[Turn], threads: int) -> None:
    """Do this with all that is waiting, by up to so many threads, this one among them.

    Raises  what any of them raises; the others begin nothing further then, and are done when this returns.
    """
    all_of_it = tuple(waiting)
    for _ in _shared(do, all_of_it, threads, most=len(all_of_it)):
        pass


def in_order(make: Callable[[Turn], Result], waiting: Sequence[Turn], threads: int) -> Iterator[Result]:
    """Make something of all that is waiting, by up to so many threads, this one among them; give it in order.

    Of two that are begun, the one that is begun later ends first, and each in the thread that began it.

    Raises  as `share_out`; the same holds for a caller who goes away.
    Memory  as many results as there are threads, and `AHEAD`.
    """
    return _shared(make, waiting, threads, most=threads + AHEAD)


def _shared(make: Callable[[Turn], Result], waiting: Sequence[Turn], threads: int, *, most: int) -> Iterator[Result]:
    hands = min(threads, len(waiting)) - 1
    if hands < 1:
        yield from map(make, waiting)
        return
    share = _Share(make, waiting, most)
    with HANDS.beside(share.work, share.end, hands):
        yield from share.give()


class _Share(Generic[Turn, Result]):
    """What is waiting, what is being made of it, and what has been made but not given yet."""

    def __init__(self, make: Callable[[Turn], Result], waiting: Sequence[Turn], most: int) -> None:
        self._make = make
        self._waiting = waiting
        self._most = most
        self._taken = self._given = 0
        self._made: dict[int, Result] = {}
        self._is_over = False
        self._change = Condition()

    def give(self) -> Iterator[Result]:
        """Give what is made in order, and make what nobody else does meanwhile; less if another thread fails."""
        for number in range(len(self._waiting)):
            while number not in self._made:
                if not self._make_next(number):
                    return
            yield self._made.pop(number)
            with self._change:
                self._given += 1
                self._change.notify_all()

    def work(self) -> None:
        """Make what is next, until there is nothing."""
        while self._make_next(len(self._waiting)):
            pass

    def end(self) -> None:
        """Let nobody begin anything further."""
        with self._change:
            self._is_over = True
            self._change.notify_all()

    def _make_next(self, until: int) -> bool:
        """Make the next one, or wait until that may be done or this one is made; tell whether there is more to do."""
        with self._change:
            while not self._is_over and until not in self._made and not self._may_take():
                if self._taken == len(self._waiting) == until:
                    return False
                self._change.wait()
            if self._is_over or until in self._made:
                return not self._is_over
            number = self._taken
            self._taken += 1
        result = self._make(self._waiting[number])
        with self._change:
            self._made[number] = result
            self._change.notify_all()
        return True

    def _may_take(self) -> bool:
        return self._taken < min(len(self._waiting), self._given + self._most)
