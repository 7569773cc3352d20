"""Sharing out: threads take the next of what is waiting as they become free. They are kept from pass to pass."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import SimpleQueue
from threading import Barrier, Condition, get_native_id
from typing import Final, Generic, TypeVar

Turn = TypeVar("Turn")
Result = TypeVar("Result")
AHEAD: Final = 2  # So many results may wait for the one before them, beside those that are being made.


def share_out(do: Callable[[Turn], object], waiting: Iterable[Turn], threads: int) -> None:
    """Do this with all that is waiting, by up to so many threads, this one among them.

    Raises  what any of them raises; the others begin nothing further then, and are done when this returns.
    """
    for _ in in_order(do, tuple(waiting), threads):
        pass


def in_order(make: Callable[[Turn], Result], waiting: Sequence[Turn], threads: int) -> Iterator[Result]:
    """Make something of all that is waiting, by up to so many threads, this one among them; give it in order.

    Raises  as `share_out`; the same holds for a caller who goes away.
    Memory  as many results as there are threads, and `AHEAD`.
    """
    helpers = min(threads, len(waiting)) - 1
    if helpers < 1:
        yield from map(make, waiting)
        return
    share = _Share(make, waiting, threads + AHEAD)
    with KEPT.beside(share.work, share.end, helpers):
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
        try:
            while self._make_next(len(self._waiting)):
                pass
        except BaseException:
            self.end()
            raise

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


class Kept:
    """Threads that wait for work: to wake one takes half as long as to begin one, and nothing has to end it.

    apart  what is entered while they share something, with the native ids of all of them.
    """

    def __init__(self) -> None:
        self.apart: Callable[[Sequence[int]], AbstractContextManager[object]] = nullcontext
        self._kept: tuple[ThreadPoolExecutor, tuple[int, ...]] | None = None

    @contextmanager
    def beside(self, work: Callable[[], None], end: Callable[[], None], helpers: int) -> Iterator[None]:
        """Let up to so many threads do this meanwhile, as far as they get round to it; `end` lets them come to an end.

        Nothing that they worked on is held by them afterwards: segments can be detached at once.

        Raises  what one of them raises, if nothing else was raised; RuntimeError if no thread can be begun.
        """
        pool, threads = self._of(helpers)
        boxes = [[work] for _ in range(helpers)]
        begun: list[Future[None]] = []
        with self.apart(threads):
            try:
                begun += [pool.submit(_open, box) for box in boxes]
                yield
            finally:
                end()
                begun = [each for each in begun if not each.cancel()]
                wait(begun)
                for box in boxes:
                    box.clear()  # What was not begun stays where it waited.
        for each in begun:
            each.result()

    def _of(self, count: int) -> tuple[ThreadPoolExecutor, tuple[int, ...]]:
        if self._kept is None or len(self._kept[1]) < count:
            self._kept = _begin(count)  # Those there were end when nobody holds their pool any more.
        return self._kept


KEPT: Final = Kept()


def _begin(count: int) -> tuple[ThreadPoolExecutor, tuple[int, ...]]:
    """Begin so many threads, and tell their native ids."""
    pool, ids = ThreadPoolExecutor(count, "shared"), SimpleQueue[int]()
    all_there = Barrier(count)

    def say() -> None:
        ids.put(get_native_id())
        all_there.wait()

    try:
        for _ in range(count):
            pool.submit(say)
    except RuntimeError:
        all_there.abort()
        pool.shutdown(cancel_futures=True)
        raise
    return pool, tuple(ids.get() for _ in range(count))


def _open(box: list[Callable[[], None]]) -> None:
    """Do the work in a box: a pool holds what it was given a little longer than until it is done."""
    box.pop()()
