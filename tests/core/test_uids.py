"""Uids: a UID lives with its session, and no longer than its session's newer ones let it."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cgi_worker.wire.view import View
from imgd.core.uids import Uids, Wanted
from imgd.errors import Busy

VIEW = View("night/a")


def test_a_uid_is_known_until_its_session_ends() -> None:
    sessions = Uids(2, 2)
    sessions.open("a")
    sessions.open("b")
    wanted = Wanted(VIEW, "a", "a/main")
    assert sessions.src(wanted, "1") == ()
    sessions.src(Wanted(VIEW, "b", ""), "2")
    assert sessions.lookup("1") == wanted
    sessions.close("a")
    assert sessions.lookup("1") is None
    assert sessions.lookup("2") is not None


def test_the_oldest_is_forgotten_first() -> None:
    sessions = Uids(1, 2)
    sessions.open("a")
    forgotten = [sessions.src(Wanted(VIEW, "a", ""), uid) for uid in "1234"]
    assert forgotten == [(), (), ("1",), ("2",)]
    assert [sessions.lookup(uid) is not None for uid in "1234"] == [False, False, True, True]
    assert sessions.statistics().uids_forgotten_total == 2


def test_too_many_sessions() -> None:
    sessions = Uids(1, 2)
    sessions.open("a")
    with pytest.raises(Busy):
        sessions.open("b")
    assert sessions.statistics().sessions == 1
    sessions.close("a")
    sessions.open("b")


def test_what_the_caller_must_not_do() -> None:
    sessions = Uids(2, 2)
    sessions.open("a")
    sessions.src(Wanted(VIEW, "a", ""), "1")
    with pytest.raises(AssertionError):
        sessions.open("a")
    with pytest.raises(AssertionError):
        sessions.src(Wanted(VIEW, "a", ""), "1")
    with pytest.raises(KeyError):
        sessions.src(Wanted(VIEW, "z", ""), "2")
    assert sessions.lookup("2") is None
    assert sessions.statistics().uids == 1


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "src"]), st.integers(0, 4))))
def test_histories_agree_with_a_list(history: list[tuple[str, int]]) -> None:
    sessions = Uids(3, 2)
    model: dict[str, list[str]] = {}
    everything: list[str] = []
    for number, (what, who) in enumerate(history):
        session = f"s{who}"
        if what == "open" and session not in model:
            if len(model) < 3:
                model[session] = []
                sessions.open(session)
            else:
                with pytest.raises(Busy):
                    sessions.open(session)
        elif what == "close" and session in model:
            del model[session]
            sessions.close(session)
        elif what == "src" and session in model:
            model[session] = [*model[session], str(number)][-2:]
            everything.append(str(number))
            sessions.src(Wanted(VIEW, session, ""), str(number))
        known = {uid for uids in model.values() for uid in uids}
        assert {uid for uid in everything if sessions.lookup(uid)} == known
        statistics = sessions.statistics()
        assert (statistics.sessions, statistics.uids) == (len(model), len(known))
