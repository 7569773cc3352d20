"""Two tabs see nothing of each other unless they attach on purpose; another owner never does."""

from collections.abc import Callable

import pytest

from imgd.core.sessions.events import Stop
from imgd.errors import NoSuchRunner
from tests.sessions.desk import Desk, picture


@pytest.fixture
def desk() -> Desk:
    """Two tabs of Ann, and one of Bob; the first has a runner."""
    desk = Desk()
    desk.connect("ws1")
    desk.connect("ws2")
    desk.connect("bob", "bob")
    desk.open("ws1", "r")
    return desk


def test_what_one_runs_no_other_is_told(desk: Desk) -> None:
    desk.run("ws1", "r")
    desk.accept("r", 1)
    desk.encode("r", 1, picture())
    desk.end("r", 1)
    assert desk.told.keys() == {"ws1"} and desk.shown.keys() == {"ws1"}


DRIVES: list[Callable[[Desk, str, str], object]] = [
    Desk.run, Desk.set, Desk.viewport, Desk.play, Desk.pause, Desk.step, Desk.close, Desk.log,
]  # fmt: skip


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize(("session", "runner"), [("ws2", "r"), ("bob", "r"), ("ws1", "none")])
def test_a_runner_that_is_not_held_is_none(
    desk: Desk, drive: Callable[[Desk, str, str], object], session: str, runner: str
) -> None:
    with pytest.raises(NoSuchRunner) as caught:
        drive(desk, session, runner)
    assert (caught.value.text, caught.value.parameter) == ("there is no such runner", "runner")
    assert not desk.begun


def test_another_owner_cannot_attach_and_is_told_no_more_than_of_none(desk: Desk) -> None:
    texts = []
    for runner in ("r", "none"):
        with pytest.raises(NoSuchRunner) as caught:
            desk.attach("bob", runner)
        texts.append((caught.value.status, caught.value.title, caught.value.text))
    assert texts[0] == texts[1]
    desk.run("ws1", "r")
    desk.end("r", 1)
    assert desk.told.keys() == {"ws1"}


def test_who_attaches_is_told_and_may_drive(desk: Desk) -> None:
    desk.run("ws1", "r")
    reply = desk.attach("ws2", "r")
    assert reply["op"] == "attached" and reply["number"] == 1 and reply["state"]["sessions"] == 2
    assert len(desk.begun) == 1, "attaching runs nothing"
    desk.accept("r", 1)
    desk.encode("r", 1, picture("e1"))
    desk.end("r", 1)
    assert desk.told["ws1"] == desk.told["ws2"] and desk.ops("ws2") == ["accepted", "completed"]
    assert desk.shown["ws1"] == desk.shown["ws2"] == ["e1"]
    desk.later(1)
    desk.ops("ws1")
    reply = desk.set("ws2", "r", stretch="log")
    assert desk.told["ws1"] == [{"op": "changed", "runner": "r", "state": reply["state"]}]
    assert desk.ops("ws2") == []
    assert desk.view().stretch == "log"


def test_attaching_twice_is_attaching_once(desk: Desk) -> None:
    desk.attach("ws2", "r")
    assert desk.attach("ws2", "r")["state"]["sessions"] == 2
    desk.close("ws2", "r")
    with pytest.raises(NoSuchRunner):
        desk.run("ws2", "r")


def test_a_runner_ends_when_the_last_lets_go(desk: Desk) -> None:
    desk.attach("ws2", "r")
    desk.run("ws1", "r")
    assert desk.ops("ws2") == ["changed"]
    desk.close("ws1", "r")
    assert not desk.ordered(Stop) and desk.ops("ws1") == []
    desk.end("r", 1)
    assert desk.ops("ws2") == ["completed"] and desk.ops("ws1") == []
    desk.close("ws2", "r")
    assert desk.sessions.statistics().runners == 0


def test_who_closes_is_told_nothing_of_it_any_more(desk: Desk) -> None:
    desk.attach("ws2", "r")
    desk.run("ws1", "r")
    desk.close("ws2", "r")
    desk.told.clear()
    desk.encode("r", 1, picture())
    desk.end("r", 1)
    assert "ws2" not in desk.told and "ws2" not in desk.shown


def test_one_that_was_attached_goes_on_when_who_opened_it_is_away(desk: Desk) -> None:
    desk.attach("ws2", "r")
    desk.run("ws1", "r")
    desk.leave("ws1")
    assert not desk.ordered(Stop)
    desk.end("r", 1)
    assert desk.ops("ws2") == ["changed", "completed"]


def test_the_same_view_opened_twice_is_two_runners(desk: Desk) -> None:
    desk.open("ws2", "other")
    desk.run("ws1", "r")
    desk.set("ws2", "other", stretch="log")
    desk.run("ws2", "other")
    assert [each.runner for each in desk.begun] == ["r", "other"]
    assert desk.ops("ws1") == [] and desk.begun[0].wanted != desk.begun[1].wanted
