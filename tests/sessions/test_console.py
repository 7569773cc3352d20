"""A runner's console: what happened in it, with severities; the same goes into the daemon's log, with the run's id."""

import pytest

from imgd.core.sessions.events import Write
from tests.sessions.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """One client whose runner runs."""
    desk = Desk(console_max=5)
    desk.connect("ws1")
    desk.open("ws1", "r")
    desk.run("ws1", "r")
    desk.accept("r", 1, "run7")
    return desk


def test_steps_warnings_and_the_end_are_entries(desk: Desk) -> None:
    desk.take_step("r", 1, "parse", cached=True, used_bytes=10)
    desk.take_step("r", 1, "reduce", state="start")
    desk.take_step("r", 1, "reduce", used_bytes=4096, elapsed_ms=12.3456)
    desk.find("r", 1, "facts", "truncated: 210 of 400 rows")
    desk.end("r", 1, problem=(422, "Bad frame", "too short"))
    assert desk.log("ws1", "r") == [
        ("info", "reduce: 12.346 ms, 4096 bytes"),
        ("warning", "truncated: 210 of 400 rows"),
        ("error", "failed: 422 Bad frame: too short"),
    ]


def test_each_entry_is_written_with_the_run(desk: Desk) -> None:
    desk.find("r", 1, "facts", "one", "two")
    assert desk.ordered(Write) == [Write("warning", "one", 1, "run7"), Write("warning", "two", 1, "run7")]


def test_notes_without_figures_are_entries_and_told_to_nobody(desk: Desk) -> None:
    desk.told.clear()
    desk.find("r", 1, "histogram", "coarse")
    assert desk.log("ws1", "r") == [("warning", "coarse")] and desk.ops("ws1") == []


def test_superseded_runs_are_one_entry(desk: Desk) -> None:
    for n in range(3):
        desk.later(1)
        desk.set("ws1", "r", plane=n)
    desk.end("r", 4)
    assert desk.log("ws1", "r") == [
        ("info", "superseded before this run: 3"),
        ("info", "completed, nothing had to be computed"),
    ]


def test_a_run_that_computed_something_is_told_by_its_steps(desk: Desk) -> None:
    desk.take_step("r", 1, elapsed_ms=1.0)
    desk.take_step("r", 1, "encode", joined=True)
    desk.end("r", 1)
    assert desk.log("ws1", "r") == [("info", "reduce: 1 ms, 0 bytes")]


def test_a_frame_is_warned_of_once_however_often_it_is_run(desk: Desk) -> None:
    for turn in (1, 2):
        desk.find("r", turn, "facts", "truncated: 210 of 400 rows")
        desk.later(1)
        desk.set("ws1", "r", plane=turn)
    assert desk.log("ws1", "r") == [("warning", "truncated: 210 of 400 rows")]
    desk.set("ws1", "r", frame="night/other.fits")
    desk.later(1)
    desk.find("r", desk.begun[-1].turn, "facts", "truncated: 210 of 400 rows")
    assert len(desk.log("ws1", "r")) == 2


def test_the_console_is_bounded_and_read_from_where_one_was(desk: Desk) -> None:
    desk.find("r", 1, "facts", *(f"note {n}" for n in range(1, 9)))
    assert [text for _, text in desk.log("ws1", "r")] == [f"note {n}" for n in range(4, 9)]
    assert [text for _, text in desk.log("ws1", "r", 6)] == ["note 7", "note 8"]
    assert desk.log("ws1", "r", 8) == []


def test_one_entry_and_one_finding_are_bounded(desk: Desk) -> None:
    desk.find("r", 1, "facts", "x" * 5000, *(f"y{n}" for n in range(100)))
    assert len(desk.ordered(Write)) == 20
    assert len(desk.ordered(Write)[0].text) == 500
    for n in range(20):
        desk.find("r", 1, "facts", *(f"{n} {m}" for m in range(20)))
    assert desk.ordered(Write) == [], "no more of one frame"


def test_the_console_outlives_a_broken_connection(desk: Desk) -> None:
    desk.find("r", 1, "facts", "old")
    desk.leave("ws1")
    desk.connect("ws2", resume="ws1!")
    assert desk.log("ws2", "r") == [("warning", "old")]
