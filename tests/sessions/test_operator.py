"""An operator sees everybody and can end each; what is seen lets nobody in."""

from imgd.core.sessions.events import CLOSE_ENDED, EndOrdered, HangUp, Stop, Unfollow, Write
from tests.sessions.desk import Desk


def busy_desk() -> Desk:
    """Make two tabs of Ann that share a runner, one of Bob, and one of Ann that is away."""
    desk = Desk()
    for name, owner in (("ws1", "ann"), ("ws2", "ann"), ("bob", "bob"), ("away", "ann")):
        desk.connect(name, owner)
        desk.open(name, f"secret of {name}")
    desk.attach("ws2", "secret of ws1")
    desk.attach("away", "secret of ws1")
    desk.run("ws1", "secret of ws1")
    desk.later(3)
    desk.leave("away")
    desk.told.clear()
    return desk


def test_an_operator_sees_all_sessions_and_runners() -> None:
    desk = busy_desk()
    desk.open("bob", "secret follower", follow="night/m%2031", paused=True)
    found = desk.sessions.overview()
    assert [(each.name, each.owner, each.since_s, each.connected, each.runners) for each in found.sessions] == [
        ("ws1", "ann", 0.0, True, (1,)),
        ("ws2", "ann", 0.0, True, (2, 1)),
        ("bob", "bob", 0.0, True, (3, 5)),
        ("away", "ann", 0.0, False, (4, 1)),
    ]
    first, *_, last = found.runners
    assert (first.number, first.sessions, first.turn, first.running) == (1, ("ws1", "ws2", "away"), 1, True)
    assert (first.view, last.view, last.follow, last.paused, last.since_s) == (
        "frame=night/a.fits", "", "night/m%2031", True, 3.0,
    )  # fmt: skip


def test_nothing_that_lets_anybody_in_is_seen() -> None:
    desk = busy_desk()
    assert "secret" not in repr(desk.sessions.overview()) and "!" not in repr(desk.sessions.overview())
    assert "!" not in repr([*desk.sessions._roster.connected.values()])


def test_a_session_can_be_ended() -> None:
    desk = busy_desk()
    desk.do(EndOrdered("ws1"))
    assert desk.ordered(HangUp) == [HangUp("ws1", CLOSE_ENDED, "ended by an operator")]
    assert not desk.ordered(Stop), "another tab sees it still"
    assert desk.told == {}
    assert not desk.connect("ws3", resume="ws1!")["resumed"]
    desk.end("secret of ws1", 1)
    assert desk.ops("ws2") == ["completed"]


def test_one_that_is_away_can_be_ended() -> None:
    desk = busy_desk()
    desk.do(EndOrdered("away"))
    assert not desk.ordered(HangUp)
    assert not desk.connect("ws3", resume="away!")["resumed"]


def test_a_runner_can_be_ended_for_all_who_hold_it() -> None:
    desk = busy_desk()
    desk.do(EndOrdered(number=1))
    for name in ("ws1", "ws2"):
        assert [(each["op"], each["why"]) for each in desk.told[name]] == [
            ("cancelled", "ended"),
            ("closed", "ended by an operator"),
        ]
    assert desk.ordered(Stop) == [Stop("secret of ws1")]
    assert desk.ordered(Write) == [Write("warning", "ended by an operator", 1, "")]
    assert desk.told.keys() == {"ws1", "ws2"}
    reply = desk.connect("ws3", resume="away!")
    assert [state["number"] for state in reply["runners"]] == [4]


def test_one_that_sleeps_can_be_ended() -> None:
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "f", follow="n")
    desk.leave("ws1")
    desk.do(EndOrdered(number=1))
    assert not desk.ordered(Unfollow) and not desk.ordered(Stop)
    assert desk.connect("ws2", resume="ws1!")["runners"] == []


def test_all_can_be_ended() -> None:
    desk = busy_desk()
    desk.open("bob", "f", follow="n")
    desk.do(EndOrdered())
    assert {each.session for each in desk.ordered(HangUp)} == {"ws1", "ws2", "bob"}
    assert desk.ordered(Stop) and desk.ordered(Unfollow)
    found = desk.sessions.statistics()
    assert (found.sessions, found.sessions_parked, found.runners, found.runs) == (0, 0, 0, 0)
    assert desk.connect("ws1")["session"] == "ws1"
