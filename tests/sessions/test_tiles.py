"""A viewport: what is made, who is sent which tile, and what becomes of tiles that a client did not get."""

import pytest

from cgi_worker.wire.tiles import ViewportView
from imgd.core.sessions.events import Forget
from imgd.core.sessions.messages import Open, Part, Picture, Set, Viewport
from imgd.errors import BadRequest
from tests.sessions.desk import Desk, tile


@pytest.fixture
def desk() -> Desk:
    """One client with a viewport on its way."""
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r", {"frame": "night/a.fits", "region": "0,0,9,9", "size": "50,50"})
    desk.viewport("ws1", "r")
    return desk


def wanted(desk: Desk) -> ViewportView:
    """Tell what the newest run makes."""
    found = desk.begun[-1].wanted
    assert isinstance(found, ViewportView)
    return found


def test_a_viewport_runs_its_tiles_coarse_first(desk: Desk) -> None:
    assert len(desk.begun) == 1
    assert (wanted(desk).level, wanted(desk).box, wanted(desk).coarse) == (0, (0, 0.0, 512.0, 512.0), True)
    assert desk.begun[0].have == frozenset()


def test_what_was_sent_is_not_made_or_sent_again(desk: Desk) -> None:
    desk.encode("r", 1, tile("e1"), tile("e2"))
    desk.send("ws1", "r", 1, "e1")
    desk.send("ws1", "r", 1, "e2")
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.viewport("ws1", "r", 256)
    assert desk.begun[-1].have == {"e1", "e2"} and not wanted(desk).coarse
    desk.encode("r", 2, tile("e2"), tile("e3"))
    assert desk.shown["ws1"] == ["e1", "e2", "e3"]


def test_what_has_not_left_when_a_newer_viewport_comes_is_made_again(desk: Desk) -> None:
    desk.encode("r", 1, tile("e1"), tile("e2"))
    desk.send("ws1", "r", 1, "e1")
    desk.later(1)
    desk.viewport("ws1", "r", 256)
    assert desk.ordered(Forget)[0] == Forget("ws1", "r", 1)
    assert desk.begun[-1].have == {"e1"}
    desk.encode("r", 2, tile("e2"))
    assert desk.shown["ws1"] == ["e1", "e2", "e2"]


def test_another_look_is_coarse_first_and_another_place_is_not(desk: Desk) -> None:
    desk.send("ws1", "r", 1, "e1")
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.set("ws1", "r", region="5,5,20,20", size="99,99")
    assert not wanted(desk).coarse
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.set("ws1", "r", stretch="log")
    assert wanted(desk).coarse


def test_a_look_counts_when_some_of_it_was_sent(desk: Desk) -> None:
    desk.later(1)
    desk.viewport("ws1", "r", 100)
    assert wanted(desk).coarse
    desk.send("ws1", "r", 1, "late")
    desk.later(1)
    desk.viewport("ws1", "r", 200)
    assert wanted(desk).coarse, "that was a tile of the run before"
    desk.send("ws1", "r", 3, "e1")
    desk.later(1)
    desk.viewport("ws1", "r", 300)
    assert not wanted(desk).coarse


def test_a_late_tile_of_the_view_before_is_not_of_the_new_look(desk: Desk) -> None:
    desk.set("ws1", "r", stretch="log")
    desk.send("ws1", "r", 1, "e1")
    desk.later(1)
    assert desk.begun[-1].turn == 2 and wanted(desk).coarse


def test_again_sends_all_anew(desk: Desk) -> None:
    desk.encode("r", 1, tile("e1"))
    desk.send("ws1", "r", 1, "e1")
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.viewport("ws1", "r", again=True)
    assert desk.begun[-1].have == frozenset() and wanted(desk).coarse
    desk.encode("r", 2, tile("e1"))
    assert desk.shown["ws1"] == ["e1", "e1"]


def test_each_holder_gets_what_it_lacks_and_only_what_all_have_is_left_out(desk: Desk) -> None:
    desk.encode("r", 1, tile("e1"), tile("e2"))
    desk.send("ws1", "r", 1, "e1", "e2")
    desk.whole_run("r", "ws1")
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.later(1)
    desk.viewport("ws2", "r")
    assert desk.begun[-1].have == frozenset() and wanted(desk).coarse
    desk.encode("r", 2, tile("e1"), tile("e3"))
    desk.send("ws1", "r", 2, "e3")
    desk.send("ws2", "r", 2, "e1", "e3")
    assert desk.shown["ws1"] == ["e1", "e2", "e3"] and desk.shown["ws2"] == ["e1", "e3"]
    desk.later(1)
    desk.viewport("ws2", "r")
    assert desk.begun[-1].have == {"e1", "e3"}


def test_only_so_many_tiles_are_remembered_the_oldest_goes_first(desk: Desk) -> None:
    desk.send("ws1", "r", 1, *(f"e{n}" for n in range(1024)))
    desk.send("ws1", "r", 1, "e0", "new")
    desk.later(1)
    desk.viewport("ws1", "r")
    have = desk.begun[-1].have
    assert len(have) == 1024 and "e0" in have and "e1" not in have and "new" in have


def test_tiles_that_a_slow_client_lost_are_made_again_when_it_has_taken_the_others(desk: Desk) -> None:
    desk.encode("r", 1, tile("e1"), tile("e2"))
    desk.drop("ws1", "r", 1)
    desk.send("ws1", "r", 1, "e2")
    desk.end("r", 1)
    desk.later(5)
    assert len(desk.begun) == 1, "it is busy with what it has"
    desk.show("ws1", "r", 1)
    assert len(desk.begun) == 2 and desk.begun[-1].have == {"e2"}
    desk.whole_run("r", "ws1")
    desk.later(5)
    assert len(desk.begun) == 2
    assert desk.sessions.statistics().tiles_dropped_total == 1


def test_lost_tiles_of_an_older_viewport_are_nobodys(desk: Desk) -> None:
    desk.later(1)
    desk.viewport("ws1", "r", 256)
    desk.drop("ws1", "r", 1, 3)
    desk.whole_run("r", "ws1")
    desk.later(5)
    assert len(desk.begun) == 2
    assert desk.sessions.statistics().tiles_dropped_total == 3


def test_what_was_lost_before_a_newer_viewport_is_not_made_for_its_own_sake(desk: Desk) -> None:
    desk.drop("ws1", "r", 1)
    desk.later(1)
    desk.viewport("ws1", "r", 256)
    desk.whole_run("r", "ws1")
    desk.later(5)
    assert len(desk.begun) == 2


def test_lost_tiles_wait_while_paused(desk: Desk) -> None:
    desk.pause("ws1", "r")
    desk.drop("ws1", "r", 1)
    desk.whole_run("r", "ws1")
    assert len(desk.begun) == 1
    desk.later(1)
    desk.play("ws1", "r")
    assert len(desk.begun) == 2


def test_who_attached_while_it_ran_and_lost_tiles_gets_them_too(desk: Desk) -> None:
    desk.connect("ws2")
    desk.attach("ws2", "r")
    desk.drop("ws2", "r", 1)
    desk.end("r", 1)
    desk.later(1)
    desk.show("ws1", "r", 1)
    assert len(desk.begun) == 1
    desk.show("ws2", "r", 1)
    assert len(desk.begun) == 2


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"level": -1}, "level"),
        ({"level": 32}, "level"),
        ({"box": (0.0, 0.0, 0.0, 5.0)}, "box"),
        ({"box": (0.0, 0.0, 5.0, -1.0)}, "box"),
        ({"box": (3e9, 0.0, 5.0, 5.0)}, "box"),
        ({"box": (0.0, 0.0, 1e308, 5.0)}, "box"),
        ({"dpr": 0.0}, "dpr"),
        ({"dpr": 17.0}, "dpr"),
    ],
)
def test_a_viewport_that_cannot_be_is_refused_and_changes_nothing(
    desk: Desk, values: dict[str, object], parameter: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        desk.viewport("ws1", "r", **values)
    assert caught.value.parameter == parameter
    assert desk.pause("ws1", "r")["state"]["viewport"]["box"] == (0, 0.0, 512.0, 512.0)
    assert desk.ops("ws1") == []


def test_a_viewport_of_too_many_tiles_is_refused_naming_the_limit(desk: Desk) -> None:
    with pytest.raises(BadRequest) as caught:
        desk.viewport("ws1", "r", box=(0.5, 0.0, 2560.0, 2560.0))
    assert caught.value.text == "has 110 tiles; the limit is 100 (setting viewport_tiles_max)"
    assert desk.sessions.statistics().over_tiles_total == 1
    desk.later(1)
    desk.viewport("ws1", "r", box=(0.0, 0.0, 2560.0, 2560.0))


def test_what_is_opened_with_a_viewport_runs_at_once(desk: Desk) -> None:
    state = desk.open("ws1", "s", viewport=Part(fit=(1400, 900), dpr=2.0))["state"]
    assert (state["turn"], state["running"]) == (1, True)
    assert state["viewport"] == {"level": None, "box": None, "fit": (1400, 900), "dpr": 2.0}
    assert (desk.begun[-1].runner, wanted(desk).fit, wanted(desk).coarse) == ("s", (1400, 900), True)


def test_a_glance_is_wanted_only_where_nothing_of_the_look_is_seen_and_by_who_asks_for_it(desk: Desk) -> None:
    desk.open("ws1", "s", viewport=Part(fit=(1400, 900), glance=True))
    assert (wanted(desk).glance, wanted(desk).coarse) == (True, True)
    turn = desk.begun[-1].turn
    desk.encode("s", turn, Picture(b"x", "", "jpeg", 700, 450, glance=True))
    assert desk.begun[-1].have == frozenset()
    desk.send("ws1", "s", turn, "e1")
    desk.whole_run("s", "ws1")
    desk.later(1)
    desk.ask("ws1", Viewport(1, "s", fit=(700, 450), glance=True))
    assert (wanted(desk).glance, wanted(desk).coarse) == (False, False)
    desk.open("ws1", "t", viewport=Part(fit=(1400, 900)))
    assert not wanted(desk).glance
    desk.open("ws1", "u", results=("levels",), viewport=Part(fit=(1400, 900), glance=True))
    assert not wanted(desk).glance


def test_one_that_is_paused_waits_with_its_viewport(desk: Desk) -> None:
    state = desk.open("ws1", "s", paused=True, viewport=Part(fit=(1400, 900)))["state"]
    assert (state["turn"], state["running"], state["pending"]) == (0, False, True)
    assert desk.step("ws1", "s")["state"]["turn"] == 1 and wanted(desk).fit == (1400, 900)


def test_a_followed_directory_shows_its_first_frame_in_the_viewport(desk: Desk) -> None:
    desk.open("ws1", "s", follow="night", viewport=Part(fit=(1400, 900)))
    desk.arrive("s", "night/b.fits")
    assert (wanted(desk).view.frame, wanted(desk).fit) == ("night/b.fits", (1400, 900))


def test_a_fit_stays_for_other_frames_until_another_part_is_shown(desk: Desk) -> None:
    desk.ask("ws1", Viewport(1, "r", fit=(1400, 900)))
    desk.later(1)
    desk.set("ws1", "r", frame="night/b.fits")
    assert (wanted(desk).view.frame, wanted(desk).fit) == ("night/b.fits", (1400, 900))
    desk.later(1)
    state = desk.viewport("ws1", "r", 5)["state"]
    assert wanted(desk).fit is None and wanted(desk).box == (5, 0.0, 512.0, 512.0)
    assert state["viewport"] == {"level": 0, "box": (5, 0.0, 512.0, 512.0), "fit": None, "dpr": 1.0}


def test_view_and_viewport_change_in_one_run(desk: Desk) -> None:
    desk.whole_run("r", "ws1")
    desk.later(1)
    desk.ask("ws1", Set(1, "r", {"stretch": "log"}, Part(1, (0, 0, 9, 9))))
    assert len(desk.begun) == 2
    assert (wanted(desk).level, wanted(desk).box, wanted(desk).view.stretch) == (1, (0, 0, 9, 9), "log")


@pytest.mark.parametrize(
    ("part", "parameter"),
    [
        (Part(), "box"),
        (Part(box=(0, 0, 9, 9), fit=(9, 9)), "fit"),
        (Part(level=1, fit=(9, 9)), "fit"),
        (Part(fit=(0, 9)), "fit"),
        (Part(box=(0, 0, 9, 9), glance=True), "glance"),
        (Part(fit=(2**31 + 1, 9)), "fit"),
        (Part(fit=(2000, 2000)), "fit"),
        (Part(box=(0, 0, 9, 9), dpr=99.0), "dpr"),
    ],
)
def test_a_part_that_is_wrong_changes_nothing(desk: Desk, part: Part, parameter: str) -> None:
    before = desk.run("ws1", "r")["state"]["viewport"]
    for message in (
        Open(1, {"frame": "night/a.fits"}, viewport=part),
        Set(1, "r", {"stretch": "log"}, part),
        Viewport(1, "r", part.level, part.box, part.dpr, fit=part.fit, glance=part.glance),
    ):
        with pytest.raises(BadRequest) as caught:
            desk.ask("ws1", message, "s")
        assert caught.value.parameter == parameter
    state = desk.pause("ws1", "r")["state"]
    assert state["viewport"] == before and "stretch" not in state["view"]


def test_each_turn_tells_the_view_that_it_began_with(desk: Desk) -> None:
    desk.set("ws1", "r", stretch="log")
    desk.accept("r", 1)
    desk.later(1)
    desk.accept("r", 2)
    views = [each["view"] for each in desk.told["ws1"] if each["op"] == "accepted"]
    assert ["stretch=log" in view for view in views] == [False, True]
