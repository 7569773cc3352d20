"""Hands: they are kept, as many as there are to be had, hold nothing, and nobody waits for one that is not there."""

import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from cgi_worker.kernels import bands, sharing
from cgi_worker.kernels.hands import Hands
from cgi_worker.kernels.sharing import share_out

WAIT_S = 20.0


@pytest.fixture(name="hands")
def _own_hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    own = Hands()
    for module in (sharing, bands):
        monkeypatch.setattr(module, "HANDS", own)
    return own


def refuse(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let so many threads start, and no further one."""
    start, left = threading.Thread.start, [after]

    def refused(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)


def who_meets(count: int) -> set[int]:
    """Share out as many things as threads, each of which waits for the others: all of these take part."""
    met, seen = threading.Barrier(count, timeout=WAIT_S), set()

    def meet(_: int) -> None:
        seen.add(threading.get_native_id())
        met.wait()

    share_out(meet, range(count), count)
    return seen


def test_they_are_kept(hands: Hands) -> None:
    three, two = who_meets(3), who_meets(2)
    assert len(three) == 3 and two < three
    assert who_meets(3) == three and who_meets(2) == two
    assert who_meets(4) > three, "those that wait already are among more"


def test_two_who_share_at_a_time_have_hands_of_their_own(hands: Hands) -> None:
    met = threading.Barrier(4, timeout=WAIT_S)

    def share() -> None:
        share_out(lambda _: met.wait(), range(2), 2)

    others = threading.Thread(target=share)
    others.start()
    share()
    others.join(WAIT_S)
    assert not others.is_alive() and not met.broken


@pytest.mark.parametrize("had", [0, 1])
def test_what_is_shared_is_done_without_them_and_with_them_when_they_can_be_had_again(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, had: int
) -> None:
    done: list[int] = []
    with monkeypatch.context() as patch:
        refuse(patch, had)
        share_out(done.append, range(100), 4)
        assert sorted(done) == list(range(100))
        assert len(who_meets(1 + had)) == 1 + had
    assert len(who_meets(4)) == 4


def test_a_hand_that_fails_ends_it_and_goes_on_to_other_work(hands: Hands) -> None:
    ended = threading.Event()

    def fail() -> None:
        raise ValueError("not this")

    with pytest.raises(ValueError, match="not this"), hands.beside(fail, ended.set, 1):
        assert ended.wait(WAIT_S)
    assert len(who_meets(2)) == 2


def test_of_two_failures_this_threads_own_is_raised(hands: Hands) -> None:
    def fail() -> None:
        raise ValueError("the hand's")

    def own() -> None:
        with hands.beside(fail, ended.set, 1):
            assert ended.wait(WAIT_S)
            raise KeyError("own")

    ended = threading.Event()
    with pytest.raises(KeyError, match="own"):
        own()


def test_work_that_nobody_got_round_to_is_not_done_later(hands: Hands) -> None:
    """One hand is held up by what it did before it was given this."""
    goes_on, done = threading.Event(), list[int]()
    who_meets(2)
    held_up = hands._idle[0]
    blocker = hands.beside(lambda: goes_on.wait(WAIT_S) and None, goes_on.set, 1)
    with blocker:
        hands._idle.append(held_up)  # As if it were free.
        with hands.beside(lambda: done.append(1), lambda: None, 1):
            pass
    time.sleep(0.02)
    assert not done
    assert len(who_meets(2)) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_held_afterwards(hands: Hands, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is detached at once: a hand that still held an array of it would be in the way."""
    monkeypatch.setattr(Future, "set_result", lately(Future.set_result))
    monkeypatch.setattr(Future, "set_exception", lately(Future.set_exception))
    for _ in range(30):
        array = np.zeros(100)
        gone = weakref.ref(array)
        with contextlib.suppress(ZeroDivisionError):
            share_out(filling(array, fails), range(20), 2)
        gc.collect(0)  # What was raised leads to the frames that it came through.
        del array
        assert gone() is None


def lately(tell: Callable[..., None]) -> Callable[..., None]:
    """Have a hand do nothing for a moment after it has told that it is done."""

    def telling(*told: object) -> None:
        tell(*told)
        time.sleep(0.003)

    return telling


def filling(array: np.ndarray[Any, Any], fails: bool) -> Callable[[int], None]:
    def fill(at: int) -> None:
        array[at] = 1 / (at < 10 or not fails)

    return fill


def test_a_process_that_was_forked_begins_hands_of_its_own(hands: Hands) -> None:
    who_meets(3)
    child = os.fork()
    if not child:
        code = 99
        try:
            code = len(who_meets(3))
        finally:
            os._exit(code)  # Never back into the tests.
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert len(who_meets(3)) == 3
