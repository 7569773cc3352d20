"""A followed runner shows the newest frame: what cannot be shown in time is skipped and counted, never queued."""

import pytest

from imgd.core.sessions.events import Follow, NotFollowed, Unfollow
from imgd.errors import BadRequest
from tests.sessions.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """One client that follows a directory."""
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "f", follow="night/m%2031")
    return desk


def frames(desk: Desk) -> list[str]:
    """Tell which frames were run."""
    return [each.wanted.frame for each in desk.begun]


def test_following_waits_for_a_frame_and_runs_each_newest(desk: Desk) -> None:
    assert desk.ordered(Follow) == [Follow("f", "night/m 31", "ann")] and not desk.begun
    desk.run("ws1", "f")
    desk.viewport("ws1", "f")
    assert not desk.begun, "there is nothing yet"
    desk.arrive("f", "night/m 31/a.fits")
    assert frames(desk) == ["night/m 31/a.fits"]
    assert desk.told["ws1"] == [
        {"op": "following", "runner": "f", "frame": "night/m%2031/a.fits", "pending": None, "skipped": 0}
    ]
    desk.whole_run("f", "ws1")
    desk.arrive("f", "night/m 31/b.fits")
    assert frames(desk)[1:] == ["night/m 31/b.fits"], "no rest between frames"


def test_a_camera_faster_than_the_link_has_its_frames_skipped(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.ops("ws1")
    for n in range(1, 6):
        desk.arrive("f", f"n/{n}")
    desk.end("f", 1)
    desk.arrive("f", "n/6")
    assert frames(desk) == ["n/0"], "the picture is still on its way to the client"
    assert desk.told["ws1"][0] == {"op": "following", "runner": "f", "frame": "n/0", "pending": "n/1", "skipped": 0}
    assert len(desk.ops("ws1")) == 2, "a slow client is not told of each"
    desk.show("ws1", "f", 1)
    assert frames(desk) == ["n/0", "n/6"]
    assert desk.told["ws1"] == [{"op": "following", "runner": "f", "frame": "n/6", "pending": None, "skipped": 5}]
    assert desk.sessions.statistics().frames_skipped_total == 5


def test_the_slowest_of_those_who_hold_it_counts_until_it_leaves(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "f")
    desk.arrive("f", "n/0")
    desk.arrive("f", "n/1")
    desk.end("f", 1)
    desk.show("ws1", "f", 1)
    assert frames(desk) == ["n/0"]
    desk.leave("ws2")
    assert frames(desk) == ["n/0", "n/1"]


def test_it_is_the_newest_run_that_has_to_be_sent(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.later(1)
    desk.run("ws1", "f")
    desk.arrive("f", "n/1")
    desk.end("f", 2)
    desk.show("ws1", "f", 1)
    assert frames(desk) == ["n/0", "n/0"]
    desk.show("ws1", "f", 2)
    assert frames(desk) == ["n/0", "n/0", "n/1"]


def test_pause_lets_the_running_one_finish_and_keeps_only_the_newest(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.pause("ws1", "f")
    desk.whole_run("f", "ws1")
    assert desk.ops("ws1") == ["following", "completed"]
    desk.arrive("f", "n/1")
    desk.arrive("f", "n/2")
    assert frames(desk) == ["n/0"]
    assert desk.told["ws1"][-1] == {"op": "following", "runner": "f", "frame": "n/0", "pending": "n/2", "skipped": 1}
    state = desk.play("ws1", "f")["state"]
    assert frames(desk) == ["n/0", "n/2"]
    assert (state["frame"], state["pending"], state["pending_frame"], state["skipped"]) == ("n/2", False, None, 1)


def test_paused_what_waited_for_the_running_one_goes_on_waiting(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.arrive("f", "n/1")
    desk.pause("ws1", "f")
    desk.whole_run("f", "ws1")
    desk.later(5)
    assert frames(desk) == ["n/0"]


def test_step_shows_one(desk: Desk) -> None:
    desk.pause("ws1", "f")
    desk.step("ws1", "f")
    assert not desk.begun
    desk.arrive("f", "n/0")
    desk.arrive("f", "n/1")
    assert desk.step("ws1", "f")["state"]["paused"]
    assert frames(desk) == ["n/1"]
    desk.whole_run("f", "ws1")
    desk.later(1)
    desk.step("ws1", "f")
    desk.arrive("f", "n/2")
    assert frames(desk) == ["n/1"]


def test_a_set_runs_the_shown_frame_again_even_if_a_newer_one_is_pending(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.whole_run("f", "ws1")
    desk.pause("ws1", "f")
    desk.arrive("f", "n/1")
    desk.set("ws1", "f", stretch="log")
    desk.later(1)
    assert frames(desk) == ["n/0"]
    desk.run("ws1", "f")
    assert frames(desk) == ["n/0", "n/0"] and desk.view().stretch == "log"


def test_a_set_while_it_plays_runs_the_newest_frame(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.arrive("f", "n/1")
    desk.set("ws1", "f", stretch="log")
    desk.later(1)
    assert frames(desk) == ["n/0", "n/1"] and desk.view().stretch == "log"


def test_play_does_not_cut_short_what_is_on_its_way(desk: Desk) -> None:
    desk.arrive("f", "n/0")
    desk.pause("ws1", "f")
    desk.arrive("f", "n/1")
    desk.later(1)
    desk.play("ws1", "f")
    assert frames(desk) == ["n/0"]
    desk.whole_run("f", "ws1")
    assert frames(desk) == ["n/0", "n/1"]


def test_closing_follows_no_more(desk: Desk) -> None:
    desk.close("ws1", "f")
    assert desk.ordered(Unfollow) == [Unfollow("f")]
    desk.arrive("f", "n/0")
    assert not desk.begun


def test_a_directory_that_cannot_be_read_is_a_warning_and_followed_on(desk: Desk) -> None:
    desk.do(NotFollowed("f", "there is no such directory", 0.0))
    assert desk.log("ws1", "f") == [("warning", "night/m%2031: there is no such directory")]
    desk.arrive("f", "night/m 31/a.fits")
    assert desk.begun


@pytest.mark.parametrize("follow", ["", "/", "/n", "a%zz", "a b", "ä", "a%00b", "x" * 5000])
def test_a_directory_that_cannot_be_is_refused(desk: Desk, follow: str) -> None:
    with pytest.raises(BadRequest) as caught:
        desk.open("ws1", "g", follow=follow)
    assert caught.value.parameter == "follow"
    assert desk.sessions.statistics().runners == 1


def test_who_follows_names_no_frame(desk: Desk) -> None:
    with pytest.raises(BadRequest) as caught:
        desk.open("ws1", "g", {"frame": "n/0"}, follow="n")
    assert caught.value.parameter == "frame"
    with pytest.raises(BadRequest) as caught:
        desk.set("ws1", "f", frame="n/0")
    assert caught.value.parameter == "frame"
