"""A session ends with its socket, and may be taken up again by who it belongs to, for a while."""

import pytest

from imgd.core.sessions.events import CLOSE_TAKEN_OVER, Begin, Connected, Disconnected, Follow, Stop, Unfollow
from imgd.core.sessions.messages import Hello
from imgd.errors import Busy, Gone
from tests.sessions.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """One client with a runner that has run, with a viewport."""
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r")
    desk.viewport("ws1", "r")
    desk.send("ws1", "r", 1, "e1")
    desk.whole_run("r", "ws1")
    desk.later(1)
    return desk


def counts(desk: Desk) -> tuple[int, int, int, int]:
    """Tell what there is now."""
    found = desk.sessions.statistics()
    return found.sessions, found.sessions_parked, found.runners, found.runs


def test_after_a_clean_end_nothing_is_left(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.leave("ws1", clean=True)
    assert desk.ordered(Stop) == [Stop("r")]
    assert counts(desk) == (0, 0, 0, 0)
    assert desk.sessions.overview().runners == ()
    assert not desk.connect("ws2", resume="ws1!")["resumed"]


def test_after_an_unclean_end_nothing_works_any_more(desk: Desk) -> None:
    desk.open("ws1", "f", follow="night")
    desk.run("ws1", "r")
    desk.leave("ws1")
    assert desk.ordered(Stop) == [Stop("r")] and desk.ordered(Unfollow) == [Unfollow("f")]
    assert counts(desk) == (0, 1, 2, 0)
    desk.end("r", 2)
    desk.arrive("f", "night/a.fits")
    assert not desk.last


def test_who_resumes_in_time_has_all_as_it_was(desk: Desk) -> None:
    desk.set("ws1", "r", stretch="log")
    before = desk.open("ws1", "other")["state"]
    desk.leave("ws1")
    desk.later(59)
    reply = desk.connect("ws2", resume="ws1!")
    assert reply["resumed"] and reply["resume"] == "ws2!" and reply["session"] == "ws2"
    assert [state["runner"] for state in reply["runners"]] == ["r", "other"]
    assert reply["runners"][1] == before
    begin = desk.begun[-1]
    assert (begin.runner, begin.turn, begin.session, desk.view().stretch) == ("r", 3, "ws2", "log")
    assert not begin.have and begin.wanted.coarse, "nobody knows what it has got"  # type: ignore[union-attr]
    desk.end("r", 3)
    assert desk.ops("ws2") == ["completed"]
    assert counts(desk) == (1, 0, 2, 0)


def test_what_is_paused_is_not_run_again_but_has_what_is_pending(desk: Desk) -> None:
    desk.pause("ws1", "r")
    desk.set("ws1", "r", plane=3)
    desk.leave("ws1")
    runs = len(desk.begun)
    state = desk.connect("ws2", resume="ws1!")["runners"][0]
    assert state["paused"] and state["pending"] and len(desk.begun) == runs
    desk.play("ws2", "r")
    assert desk.view().plane == 3


def test_too_late_is_forgotten(desk: Desk) -> None:
    desk.leave("ws1")
    desk.later(60)
    assert counts(desk) == (0, 0, 0, 0)
    assert not desk.connect("ws2", resume="ws1!")["resumed"]


def test_too_late_is_too_late_even_if_nobody_has_looked_at_the_clock(desk: Desk) -> None:
    desk.leave("ws1")
    desk.now_s += 60
    assert not desk.connect("ws2", resume="ws1!")["resumed"]


@pytest.mark.parametrize(("owner", "secret"), [("bob", "ws1!"), ("ann", "wrong"), ("ann", "ws2!"), ("ann", "ws1")])
def test_without_the_secret_or_for_another_owner_it_is_a_new_session(desk: Desk, owner: str, secret: str) -> None:
    desk.leave("ws1")
    reply = desk.connect("ws2", owner, resume=secret)
    fresh = desk.connect("ws3", owner)
    assert {**reply, "id": 0, "session": "", "resume": ""} == {**fresh, "id": 0, "session": "", "resume": ""}
    assert not reply["resumed"] and reply["runners"] == []
    assert desk.connect("ws4", "ann", resume="ws1!")["resumed"], "it is there for its owner still"


def test_a_secret_is_good_once(desk: Desk) -> None:
    desk.leave("ws1")
    assert desk.connect("ws2", resume="ws1!")["resumed"]
    assert not desk.connect("ws3", resume="ws1!")["resumed"]
    desk.leave("ws2")
    assert desk.connect("ws4", resume="ws2!")["resumed"]


def test_a_newer_connection_with_the_secret_takes_over_from_one_that_is_half_dead(desk: Desk) -> None:
    reply = desk.connect("ws2", resume="ws1!")
    assert reply["resumed"] and desk.hung_up == {"ws1": CLOSE_TAKEN_OVER}
    assert counts(desk)[:3] == (1, 0, 1)
    with pytest.raises(Gone):
        desk.run("ws1", "r")
    desk.do(Disconnected("ws1", False, desk.now_s))
    assert counts(desk)[:3] == (1, 0, 1)
    desk.run("ws2", "r")


def test_a_connected_session_of_another_owner_is_not_taken_over(desk: Desk) -> None:
    assert not desk.connect("bob", "bob", resume="ws1!")["resumed"]
    assert not desk.hung_up


def test_who_was_never_told_the_secret_leaves_nothing_behind() -> None:
    desk = Desk()
    desk.do(Connected("ws1", "ann", "s", 0.0))
    desk.open("ws1", "r")
    desk.leave("ws1")
    assert counts(desk) == (0, 0, 0, 0)


def test_followed_directories_are_followed_again(desk: Desk) -> None:
    desk.open("ws1", "f", follow="night/m%2031", paused=True)
    desk.arrive("f", "night/m 31/b.fits")
    desk.leave("ws1")
    state = desk.connect("ws2", resume="ws1!")["runners"][1]
    assert desk.ordered(Follow) == [Follow("f", "night/m 31", "ann")]
    assert (state["follow"], state["pending_frame"], state["paused"]) == ("night/m%2031", "night/m%2031/b.fits", True)


def test_the_newest_frame_told_again_is_not_a_newer_one(desk: Desk) -> None:
    desk.open("ws1", "f", follow="n")
    desk.arrive("f", "n/0")
    desk.whole_run("f", "ws1")
    desk.open("ws1", "g", follow="n", paused=True)
    desk.arrive("g", "n/0")
    desk.later(1)
    desk.leave("ws1")
    desk.connect("ws2", resume="ws1!")
    runs = len(desk.begun)
    desk.arrive("f", "n/0")
    desk.arrive("g", "n/0")
    desk.whole_run("f", "ws2")
    assert len(desk.begun) == runs and desk.sessions.statistics().frames_skipped_total == 0
    desk.arrive("f", "n/0")
    assert len(desk.begun) == runs + 1, "it was written again"
    desk.arrive("g", "n/1")
    assert desk.sessions.statistics().frames_skipped_total == 1


def test_a_frame_that_came_meanwhile_is_shown(desk: Desk) -> None:
    desk.open("ws1", "f", follow="n")
    desk.arrive("f", "n/0")
    desk.whole_run("f", "ws1")
    desk.leave("ws1")
    desk.connect("ws2", resume="ws1!")
    desk.arrive("f", "n/1")
    desk.later(1)
    desk.whole_run("f", "ws2")
    assert desk.begun[-1].wanted.frame == "n/1"


def test_a_session_that_was_attached_as_well_holds_it_once(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.leave("ws1")
    reply = desk.ask("ws2", Hello(99, "ws1!"))
    assert reply["resumed"] and [state["runner"] for state in reply["runners"]] == ["r"]
    assert reply["runners"][0]["sessions"] == 1


def test_a_run_of_those_who_stayed_is_not_disturbed(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.leave("ws1")
    desk.run("ws2", "r")
    desk.connect("ws3", resume="ws1!")
    assert not desk.ordered(Begin) and desk.ops("ws2") == []
    desk.end("r", 2)
    assert desk.ops("ws2") == desk.ops("ws3") == ["completed"]


def test_who_comes_back_to_a_runner_that_others_kept_awake_is_shown_it(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.leave("ws1")
    desk.later(1)
    desk.connect("ws3", resume="ws1!")
    assert [(each.runner, each.turn) for each in desk.ordered(Begin)] == [("r", 2)]
    desk.end("r", 2)
    assert desk.ops("ws2") == desk.ops("ws3") == ["completed"]


def test_a_runner_that_others_end_while_one_is_away_stays_for_it(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.leave("ws1")
    desk.close("ws2", "r")
    assert [state["runner"] for state in desk.connect("ws3", resume="ws1!")["runners"]] == ["r"]


def test_resuming_keeps_the_limit_of_runners_and_can_be_tried_again(desk: Desk) -> None:
    desk.leave("ws1")
    desk.connect("ws2")
    for n in range(4):
        desk.open("ws2", f"new{n}")
    with pytest.raises(Busy):
        desk.ask("ws2", Hello(99, "ws1!"))
    assert desk.connect("ws3", resume="ws1!")["resumed"]


def test_parked_sessions_do_not_keep_newcomers_out_and_the_oldest_is_forgotten_first() -> None:
    desk = Desk(sessions_max=4, sessions_owner_max=2)
    for n, owner in enumerate(["bob", "ann", "cid", "ann", "ann", "dan"]):
        desk.connect(f"old{n}", owner)
        desk.leave(f"old{n}")
        desk.later(1)
        if n == 4:
            assert desk.sessions.statistics().sessions_parked == 4
            assert not desk.connect("a", "ann", resume="old1!")["resumed"], "Ann had two newer ones"
            desk.leave("a", clean=True)
    assert desk.sessions.statistics().sessions_parked == 4
    assert not desk.connect("b", "bob", resume="old0!")["resumed"], "it was the oldest of too many"
    assert desk.connect("c", "ann", resume="old4!")["resumed"]
    assert desk.connect("d", "dan", resume="old5!")["resumed"]


def test_all_may_come_back_at_once() -> None:
    """Nobody's return costs another one's place."""
    desk = Desk(sessions_max=4, sessions_owner_max=4)
    for n in range(4):
        desk.connect(f"old{n}")
    for n in range(4):
        desk.leave(f"old{n}")
    assert [desk.connect(f"new{n}", resume=f"old{n}!")["resumed"] for n in range(4)] == [True] * 4


def test_no_time_to_resume_means_no_resuming() -> None:
    desk = Desk(resume_s=0.0)
    desk.connect("ws1")
    desk.leave("ws1")
    assert counts(desk) == (0, 0, 0, 0)
