"""Threads share out what is waiting: all of it, once, in order, and none holds anything when it is done."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from cgi_worker.kernels.sharing import AHEAD, in_order, share_out

WAIT_S = 20.0


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 57])
def test_each_is_made_once_and_given_in_order(threads: int, count: int) -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        time.sleep(0.001 * (number % 3))
        return number * number

    assert list(in_order(square, range(count), threads)) == [number * number for number in range(count)]
    assert sorted(made) == list(range(count))


def test_this_thread_takes_part_and_others_do() -> None:
    """Two wait for each other: one thread alone would never come to an end."""
    met, seen = threading.Barrier(2, timeout=WAIT_S), set()

    def meet(_: int) -> None:
        seen.add(threading.get_ident())
        met.wait()

    share_out(meet, range(2), 2)
    assert threading.get_ident() in seen and len(seen) == 2


def test_what_is_only_done_waits_for_nobody() -> None:
    """A thread that is held up does not hold up the other, as there is nothing to be given in order."""
    held_up, done = threading.Event(), list[int]()

    def work(number: int) -> None:
        if number == 0:
            assert held_up.wait(WAIT_S)
        done.append(number)
        if number == 39:
            held_up.set()

    share_out(work, range(40), 2)
    assert sorted(done) == list(range(40)) and done[-1] in (0, 39)


def test_what_is_made_waits_within_a_bound() -> None:
    begun: list[int] = []
    given = in_order(begun.append, range(100), 2)
    next(given)
    time.sleep(0.05)
    assert len(begun) <= 1 + 2 + AHEAD
    assert len(list(given)) == 99 and len(begun) == 100


@pytest.mark.parametrize("who", ["this", "another"])
def test_a_failure_is_raised_and_nothing_further_begun(who: str) -> None:
    begun: list[int] = []
    own = threading.get_ident()
    failed = threading.Event()

    def fail(number: int) -> None:
        begun.append(number)
        if (threading.get_ident() == own) == (who == "this"):
            failed.set()
            raise ValueError(f"no {number}")
        assert failed.wait(WAIT_S)
        time.sleep(0.01)

    with pytest.raises(ValueError, match="no "):
        share_out(fail, range(1000), 2)
    count = len(begun)
    assert count < 1000
    time.sleep(0.02)
    assert len(begun) == count, "all are done when it is raised"
    assert list(in_order(str, range(9), 2)) == list("012345678"), "the threads go on to other work"


def test_a_caller_who_goes_away_waits_for_all() -> None:
    at_work = [0]

    def work(number: int) -> int:
        at_work[0] += 1
        time.sleep(0.002)
        at_work[0] -= 1
        return number

    given = in_order(work, range(1000), 3)
    assert isinstance(given, Iterator) and next(given) == 0
    given.close()  # type: ignore[attr-defined]
    assert at_work == [0]


def test_nothing_is_held_when_it_is_done() -> None:
    """A segment is detached at once afterwards: a thread that still held an array of it would be in the way."""
    for _ in range(300):
        array = np.zeros(100)
        gone = weakref.ref(array)
        share_out(lambda at, array=array: array.__setitem__(at, 1.0), range(20), 2)
        assert sys.getrefcount(array) <= 3, "this name, the call's own, and the loop's lambda at most"
        del array
        gc.collect(0)
        assert gone() is None
