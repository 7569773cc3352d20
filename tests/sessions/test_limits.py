"""What a client may have is bounded: each refusal says which setting it was, changes nothing, and is counted."""

import pytest

from imgd.core.sessions.events import Connected
from imgd.errors import Busy
from tests.sessions.desk import Desk


def test_too_many_sessions_are_refused() -> None:
    desk = Desk(sessions_max=2)
    desk.connect("ws1", "ann")
    desk.connect("ws2", "bob")
    with pytest.raises(Busy, match="sessions_max"):
        desk.connect("ws3", "cid")
    assert desk.sessions.statistics().refused_sessions_total == 1
    desk.leave("ws1")
    assert desk.connect("ws3", "cid")["session"] == "ws3", "one that is parked is in nobody's way"


def test_too_many_sessions_of_one_owner_are_refused_and_others_let_in() -> None:
    desk = Desk(sessions_owner_max=1)
    desk.connect("ws1", "ann")
    with pytest.raises(Busy, match="sessions_owner_max"):
        desk.connect("ws2", "ann")
    desk.connect("ws3", "bob")
    desk.leave("ws1")
    assert desk.connect("ws4", "ann", resume="ws1!")["resumed"]


def test_too_many_runners_are_refused_whether_opened_or_attached() -> None:
    desk = Desk(runners_max=1)
    for name in ("ws1", "ws2"):
        desk.connect(name)
        desk.open(name, f"of {name}")
    with pytest.raises(Busy, match="runners_max"):
        desk.open("ws1", "more")
    with pytest.raises(Busy, match="runners_max"):
        desk.attach("ws1", "of ws2")
    found = desk.sessions.statistics()
    assert (found.refused_runners_total, found.runners, found.runners_total) == (2, 2, 2)
    desk.close("ws1", "of ws1")
    assert desk.attach("ws1", "of ws2")["number"] == 2


def test_a_refused_runner_takes_no_number() -> None:
    desk = Desk(runners_max=2)
    desk.connect("ws1")
    assert desk.open("ws1", "a")["number"] == 1
    desk.open("ws1", "b")
    with pytest.raises(Busy):
        desk.open("ws1", "c")
    desk.close("ws1", "a")
    assert desk.open("ws1", "d")["number"] == 3


@pytest.mark.parametrize("budget", ["time", "steps", "bytes"])
def test_runs_over_a_budget_fail_and_are_counted(budget: str) -> None:
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r")
    desk.run("ws1", "r")
    desk.end("r", 1, problem=(504, "Took too long", "more than the limit"), budget=budget)
    found = desk.sessions.statistics()
    assert {name: getattr(found, f"over_{name}_total") for name in ("time", "steps", "bytes")} == {
        "time": 0, "steps": 0, "bytes": 0, budget: 1,
    }  # fmt: skip
    assert found.runs_failed_total == 1 and desk.ops("ws1") == ["failed"]


def test_hello_tells_the_limits() -> None:
    assert Desk().connect("ws1")["limits"] == {
        "runners_max": 4, "session_uids_max": 64, "viewport_tiles_max": 100, "tiles_kept": 1024, "console_max": 20,
        "message_bytes": 16384, "resume_s": 60.0, "set_rest_s": 0.1, "ping_s": 30.0,
    }  # fmt: skip


def test_a_client_that_is_not_let_in_leaves_nothing() -> None:
    desk = Desk(sessions_max=1)
    desk.connect("ws1")
    before = desk.sessions.overview()
    with pytest.raises(Busy):
        desk.do(Connected("ws2", "bob", "s", 0.0))
    desk.sessions.check_all()
    assert desk.sessions.overview() == before
    desk.leave("ws1", clean=True)
    desk.do(Connected("ws2", "bob", "s", 0.0))
