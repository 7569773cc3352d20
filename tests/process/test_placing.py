"""Threads that work together are on processors of their own; whoever shared something may run anywhere afterwards."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from cgi_worker import placing, run
from cgi_worker.kernels.hands import Hands
from cgi_worker.kernels.sharing import share_out
from cgi_worker.placing import apart

ALLOWED = os.sched_getaffinity(0)
WAIT_S = 20.0


@pytest.fixture(autouse=True)
def _everywhere() -> Iterator[None]:
    yield
    assert os.sched_getaffinity(0) == ALLOWED


@contextmanager
def waiting(count: int) -> Iterator[list[int]]:
    """Have so many threads that wait, and give their native ids."""
    end, ids = threading.Event(), SimpleQueue[int]()

    def wait() -> None:
        ids.put(threading.get_native_id())
        assert end.wait(WAIT_S)

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield [ids.get(timeout=WAIT_S) for _ in threads]
    finally:
        end.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("hands", [0, 1, 2])
def test_processors_are_divided(hands: int) -> None:
    with waiting(hands) as ids, apart(ids):
        parts = [os.sched_getaffinity(thread) for thread in (0, *ids)]
        enough = parts[: len(ALLOWED)]
        assert sum(map(len, enough)) == len(ALLOWED) and set().union(*enough) == ALLOWED
        assert all(part == ALLOWED for part in parts[len(ALLOWED) :]), "for these there is none of their own"


def test_the_caller_stays_and_helpers_are_elsewhere_also_after_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting(1) as ids:
        for cpu in sorted(ALLOWED) * 2:
            monkeypatch.setattr(placing, "_current_cpu", lambda cpu=cpu: cpu)
            with apart(ids):
                assert cpu in os.sched_getaffinity(0)
                assert cpu not in os.sched_getaffinity(ids[0]) or len(ALLOWED) == 1


def test_where_this_thread_may_not_run_no_hand_does() -> None:
    first = {min(ALLOWED)}
    os.sched_setaffinity(0, first)
    try:
        with waiting(1) as ids, apart(ids):
            assert os.sched_getaffinity(0) == os.sched_getaffinity(ids[0]) == first
        assert os.sched_getaffinity(0) == first
    finally:
        os.sched_setaffinity(0, ALLOWED)


def test_a_hand_that_has_ended_is_nobodys_loss() -> None:
    with waiting(1) as ids:
        pass
    with apart(ids):
        pass


def test_steps_keep_threads_apart() -> None:
    assert run.HANDS.apart is apart  # type: ignore[attr-defined]


def test_only_those_who_take_part_are_placed() -> None:
    hands, teams = Hands(), list[Sequence[int]]()

    @contextmanager
    def watch(ids: Sequence[int]) -> Iterator[None]:
        teams.append(ids)
        idle = {thread: os.sched_getaffinity(thread) for thread in set(teams[0]) - set(ids)}
        with apart(ids):
            assert set().union(*map(os.sched_getaffinity, (0, *ids))) == ALLOWED, "all processors are somebody's"
            yield
        assert idle == {thread: os.sched_getaffinity(thread) for thread in idle}

    hands.apart = watch
    for count in (2, 1, 2, 0):
        with hands.beside(lambda: None, lambda: None, count):
            pass
    assert [len(ids) for ids in teams] == [2, 1, 2, 0]


@pytest.mark.parametrize("fails", [False, True])
def test_who_shares_is_apart_while_it_lasts(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands()
    hands.apart = apart
    monkeypatch.setattr("cgi_worker.kernels.sharing.HANDS", hands)
    met, where = threading.Barrier(2, timeout=WAIT_S), SimpleQueue[set[int]]()

    def work(number: int) -> None:
        where.put(os.sched_getaffinity(0))
        met.wait()
        if fails and number == 1:
            raise ValueError("no second")

    for _ in range(3):
        if fails:
            with pytest.raises(ValueError, match="no second"):
                share_out(work, range(2), 2)
        else:
            share_out(work, range(2), 2)
        one, other = where.get(), where.get()
        assert one | other == ALLOWED and (len(ALLOWED) == 1 or not one & other)
        assert os.sched_getaffinity(0) == ALLOWED
