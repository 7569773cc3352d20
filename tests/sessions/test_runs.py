"""A run is told from `accepted` to its one end, and the newest always wins."""

import pytest

from imgd.core.sessions.events import Begin, Forget, Heard, Stop
from imgd.core.sessions.messages import Run
from imgd.core.sessions.sessions import CHECK_EVERY
from imgd.errors import BadRequest
from tests.sessions.desk import ENDS, FRAME, Desk, picture


@pytest.fixture
def desk() -> Desk:
    """One client with one runner, that nobody has run."""
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r")
    return desk


def test_opening_runs_nothing_and_says_how_things_stand() -> None:
    desk = Desk()
    desk.connect("ws1")
    reply = desk.open("ws1", "r", {"frame": "night/a b.fits", "stretch": "log", "quality": 85}, paused=True)
    assert not desk.begun
    assert reply == {
        "id": reply["id"],
        "op": "opened",
        "runner": "r",
        "number": 1,
        "state": {
            "runner": "r", "number": 1, "view": "frame=night/a%20b.fits&stretch=log", "frame": "night/a%20b.fits",
            "follow": None, "results": ("facts", "levels", "picture"), "viewport": None, "paused": True,
            "pending": False, "pending_frame": None, "skipped": 0, "turn": 0, "running": False, "sessions": 1,
        },
    }  # fmt: skip


def test_a_run_is_told_in_order_to_its_one_end(desk: Desk) -> None:
    assert desk.run("ws1", "r")["state"]["turn"] == 1
    assert desk.begun[0].owner == "ann" and desk.begun[0].session == "ws1" and desk.view().frame == FRAME
    desk.accept("r", 1, "run9")
    desk.take_step("r", 1, state="start")
    desk.take_step("r", 1, state="progress", used_bytes=5)
    desk.take_step("r", 1, cached=True, used_bytes=7)
    desk.find("r", 1, "facts")
    desk.find("r", 1, "levels")
    desk.encode("r", 1, picture("e1"))
    desk.end("r", 1, document={"run": "run9"})
    about = {"runner": "r", "turn": 1}
    step = {
        "op": "step",
        **about,
        "number": 0,
        "step": "reduce",
        "cached": False,
        "joined": False,
        "bytes": 0,
        "ms": 0.0,
    }
    assert desk.told["ws1"] == [
        {"op": "accepted", **about, "run": "run9", "frame": FRAME, "view": f"frame={FRAME}", "version": "v1"},
        {**step, "state": "start"},
        {**step, "state": "progress", "bytes": 5},
        {**step, "state": "end", "cached": True, "bytes": 7},
        {"op": "facts", **about, "document": {"some": "facts"}},
        {"op": "levels", **about, "document": {"some": "levels"}},
        {"op": "completed", **about, "result": {"run": "run9"}},
    ]
    assert desk.shown["ws1"] == ["e1"]


def test_nothing_of_a_run_is_told_after_its_end(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.end("r", 1)
    assert desk.ops("ws1") == ["completed"]
    desk.accept("r", 1)
    desk.take_step("r", 1)
    desk.find("r", 1)
    desk.encode("r", 1, picture())
    desk.end("r", 1)
    assert desk.ops("ws1") == [] and not desk.shown["ws1"]


def test_nothing_of_an_older_run_is_told(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.now_s = 1.0
    desk.run("ws1", "r")
    assert desk.ops("ws1") == ["cancelled"]
    desk.accept("r", 1)
    desk.take_step("r", 1)
    desk.encode("r", 1, picture())
    desk.end("r", 1)
    assert desk.ops("ws1") == [] and not desk.shown["ws1"]
    desk.accept("r", 2)
    assert desk.ops("ws1") == ["accepted"]


def test_a_failure_has_code_and_text(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.end("r", 1, problem=(422, "Bad frame", "truncated"))
    assert desk.told["ws1"] == [
        {"op": "failed", "runner": "r", "turn": 1, "code": 422, "title": "Bad frame", "text": "truncated"}
    ]
    assert desk.sessions.statistics().runs_failed_total == 1


def test_only_the_figures_that_were_asked_for_are_told(desk: Desk) -> None:
    desk.open("ws1", "few", results=("histogram",))
    desk.run("ws1", "few")
    assert desk.begun[-1].results == ("histogram",)
    desk.find("few", 1, "facts")
    desk.find("few", 1, "histogram")
    assert desk.ops("ws1") == ["histogram"]


def test_the_progress_of_tiles_is_the_tiles(desk: Desk) -> None:
    desk.run("ws1", "r")
    for state in ("start", "progress", "end"):
        desk.take_step("r", 1, "tiles", state=state)
    assert [message["state"] for message in desk.told["ws1"]] == ["start", "end"]


def test_a_set_ends_the_running_one_and_runs_the_newest_state(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.now_s = 0.2
    desk.set("ws1", "r", stretch="log")
    assert desk.told["ws1"] == [{"op": "cancelled", "runner": "r", "turn": 1, "why": "superseded"}]
    assert [each.turn for each in desk.ordered(Forget)][:1] == [1]
    assert not desk.ordered(Stop), "what both need goes on"
    assert desk.begun[-1].turn == 2 and desk.view().stretch == "log"


def test_a_set_runs_nothing_that_was_never_run(desk: Desk) -> None:
    assert desk.set("ws1", "r", stretch="log")["state"]["view"] == f"frame={FRAME}&stretch=log"
    assert not desk.begun
    desk.run("ws1", "r")
    assert desk.view().stretch == "log"


def test_a_null_takes_a_parameter_away(desk: Desk) -> None:
    desk.set("ws1", "r", cut="1,2", stretch="log")
    assert (
        desk.set("ws1", "r", cut=None, levels="0.1,0.9")["state"]["view"] == f"frame={FRAME}&levels=0.1,0.9&stretch=log"
    )


def test_a_wrong_set_changes_nothing_and_the_run_goes_on(desk: Desk) -> None:
    desk.run("ws1", "r")
    with pytest.raises(BadRequest) as caught:
        desk.set("ws1", "r", stretch="log", quality=200)
    assert caught.value.parameter == "quality"
    assert desk.ops("ws1") == [] and desk.sessions.statistics().sets_total == 0
    desk.end("r", 1)
    assert desk.ops("ws1") == ["completed"]
    desk.later(1)
    desk.run("ws1", "r")
    assert desk.view().stretch != "log"


def test_200_sets_in_a_second_cost_few_runs_and_the_last_is_shown(desk: Desk) -> None:
    desk.run("ws1", "r")
    for n in range(200):
        desk.later(1 / 200)
        desk.set("ws1", "r", quality=1 + n % 100, plane=n)
    desk.later(1)
    assert len(desk.begun) <= 12
    assert desk.view().plane == 199 and desk.view().quality == 100
    desk.end("r", desk.begun[-1].turn)
    ops = desk.ops("ws1")
    assert ops.count("completed") == 1 and ops[-1] == "completed"
    assert len([op for op in ops if op in ENDS]) == len(desk.begun)


def test_sets_between_runs_wait_for_the_rest_and_only_the_last_runs(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.end("r", 1)
    desk.later(0.05)
    assert desk.set("ws1", "r", plane=1)["state"]["running"]
    desk.set("ws1", "r", plane=2)
    assert len(desk.begun) == 1
    desk.later(0.06)
    assert len(desk.begun) == 2 and desk.view().plane == 2


def test_a_runner_that_was_quiet_runs_at_once(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.end("r", 1)
    desk.later(5)
    desk.set("ws1", "r", plane=1)
    assert len(desk.begun) == 2


def test_a_run_goes_on_until_the_newer_one_begins_so_that_who_drags_sees_something(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.set("ws1", "r", plane=1)
    assert desk.ops("ws1") == []
    desk.end("r", 1)
    assert desk.ops("ws1") == ["completed"]
    desk.later(0.2)
    assert desk.begun[-1].turn == 2
    desk.set("ws1", "r", plane=2)
    desk.later(0.2)
    assert desk.ops("ws1")[-1] == "cancelled" and desk.begun[-1].turn == 3
    assert desk.sessions.statistics().runs_cancelled_total == 1


def test_the_end_of_superseded_work_is_nobodys(desk: Desk) -> None:
    """The work may go on until the newer run's plan is with the engine, and end before that."""
    desk.run("ws1", "r")
    desk.later(0.2)
    desk.set("ws1", "r", plane=1)
    desk.end("r", 1)
    assert desk.ops("ws1") == ["cancelled"]
    assert desk.begun[-1].turn == 2


def test_paused_a_run_finishes_and_changes_wait(desk: Desk) -> None:
    desk.run("ws1", "r")
    assert desk.pause("ws1", "r")["state"]["paused"]
    desk.set("ws1", "r", plane=1)
    assert desk.set("ws1", "r", plane=2)["state"]["pending"]
    desk.end("r", 1)
    assert desk.ops("ws1") == ["completed"]
    desk.later(5)
    assert len(desk.begun) == 1
    assert not desk.play("ws1", "r")["state"]["pending"]
    assert len(desk.begun) == 2 and desk.view().plane == 2


def test_a_step_runs_what_is_pending_once_and_stays_paused(desk: Desk) -> None:
    desk.pause("ws1", "r")
    desk.step("ws1", "r")
    assert not desk.begun, "there is nothing new"
    desk.viewport("ws1", "r")
    assert not desk.begun
    assert desk.step("ws1", "r")["state"]["paused"]
    desk.step("ws1", "r")
    assert len(desk.begun) == 1


def test_run_runs_even_when_paused(desk: Desk) -> None:
    desk.pause("ws1", "r")
    desk.set("ws1", "r", plane=3)
    desk.run("ws1", "r")
    assert desk.view().plane == 3 and len(desk.begun) == 1
    assert not desk.pause("ws1", "r")["state"]["pending"]


def test_pausing_keeps_what_was_about_to_run_and_lets_the_running_one_finish(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.set("ws1", "r", plane=4)
    assert desk.pause("ws1", "r")["state"]["pending"]
    assert not desk.ordered(Stop)
    desk.later(5)
    assert len(desk.begun) == 1
    desk.end("r", 1)
    assert desk.ops("ws1") == ["completed"]
    desk.play("ws1", "r")
    assert desk.view().plane == 4


def test_closing_ends_the_run_before_the_runner(desk: Desk) -> None:
    desk.run("ws1", "r")
    assert desk.close("ws1", "r")["op"] == "closed"
    assert desk.told["ws1"] == [{"op": "cancelled", "runner": "r", "turn": 1, "why": "closed"}]
    assert desk.ordered(Stop) == [Stop("r")]
    desk.end("r", 1)
    desk.accept("r", 1)
    desk.arrive("r", "night/b.fits")
    assert desk.last == []


def test_a_run_that_has_ended_is_not_stopped(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.end("r", 1)
    desk.close("ws1", "r")
    assert not desk.ordered(Stop)


def test_a_newer_run_throws_away_what_is_still_on_its_way(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.encode("r", 1, picture())
    desk.end("r", 1)
    desk.later(1)
    desk.run("ws1", "r")
    assert [type(command) for command in desk.last][:2] == [Forget, Begin]
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.run("ws1", "r")
    assert not desk.ordered(Forget), "all of it has left"


def test_all_is_looked_through_now_and_then_whatever_is_going_on(desk: Desk) -> None:
    for turn in range(1, 2 * CHECK_EVERY):
        desk.sessions.handle(Heard("ws1", Run(turn, "r"), "", float(turn)))
    assert desk.sessions.statistics().runs == 1
