"""The grammar of each message, and that one that is wrong changes nothing."""

from typing import Any

import msgspec
import pytest

from cgi_worker.wire.view import View
from imgd.core.sessions import messages
from imgd.core.sessions.asking import query_of, view_of
from imgd.core.sessions.events import (
    Connected,
    Disconnected,
    Dropped,
    EndOrdered,
    Heard,
    RunEnded,
    Sent,
    Shown,
    Ticked,
)
from imgd.core.sessions.messages import Hello, RunnerMessage
from imgd.errors import BadRequest, Gone
from imgd.query import read_pairs
from tests.sessions.desk import FRAME, Desk

DECODER = msgspec.json.Decoder(RunnerMessage)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id":1,"op":"hello"}', messages.Hello(1)),
        ('{"id":1,"op":"hello","resume":"s"}', messages.Hello(1, "s")),
        ('{"id":1,"op":"open","view":"frame=a%FFb"}', messages.Open(1, "frame=a%FFb")),
        ('{"id":1,"op":"open","view":{"a":1,"b":1.5,"c":"x"}}', messages.Open(1, {"a": 1, "b": 1.5, "c": "x"})),
        ('{"id":1,"op":"open","follow":"n","results":["histogram"]}', messages.Open(1, "", "n", ("histogram",))),
        ('{"id":1,"op":"set","runner":"r","changes":{"a":null}}', messages.Set(1, "r", {"a": None})),
        (
            '{"id":1,"op":"viewport","runner":"r","level":2,"box":[0,-1,2.5,3],"dpr":2,"again":true}',
            messages.Viewport(1, "r", 2, (0.0, -1.0, 2.5, 3.0), 2.0, True),
        ),
        ('{"id":1,"op":"run","runner":"r"}', messages.Run(1, "r")),
        ('{"id":1,"op":"play","runner":"r"}', messages.Play(1, "r")),
        ('{"id":1,"op":"pause","runner":"r"}', messages.Pause(1, "r")),
        ('{"id":1,"op":"step","runner":"r"}', messages.Step(1, "r")),
        ('{"id":1,"op":"close","runner":"r"}', messages.Close(1, "r")),
        ('{"id":1,"op":"attach","runner":"r"}', messages.Attach(1, "r")),
        ('{"id":1,"op":"log","runner":"r","since":3}', messages.Log(1, "r", 3)),
    ],
)
def test_messages_are_read(text: str, message: RunnerMessage) -> None:
    assert DECODER.decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"run","runner":"r"}',
        '{"id":1.5,"op":"run","runner":"r"}',
        '{"id":1,"op":"jump","runner":"r"}',
        '{"id":1,"op":"run"}',
        '{"id":1,"op":"run","runner":1}',
        '{"id":1,"op":"run","runner":"r","more":1}',
        '{"id":1,"op":"open","view":{"a":true}}',
        '{"id":1,"op":"open","view":[]}',
        '{"id":1,"op":"open","results":["sound"]}',
        '{"id":1,"op":"open","paused":1}',
        '{"id":1,"op":"set","runner":"r"}',
        '{"id":1,"op":"viewport","runner":"r","level":1.5,"box":[0,0,1,1]}',
        '{"id":1,"op":"viewport","runner":"r","level":1,"box":[0,0,1]}',
        '{"id":1,"op":"viewport","runner":"r","level":1,"box":[0,0,1,NaN]}',
        '{"id":1,"op":"viewport","runner":"r","level":1,"box":[0,0,1,1e999]}',
    ],
)
def test_what_breaks_the_grammar_is_not_read(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode(text)


@pytest.mark.parametrize(
    ("view", "parameter"),
    [
        ({}, "frame"),
        ("", "frame"),
        ({"frame": ""}, "frame"),
        ({"frame": FRAME, "stretch": "odd"}, "stretch"),
        ({"frame": FRAME, "odd": 1}, "odd"),
        ({"frame": FRAME, "levels": "0,1", "cut": "0,1"}, "cut"),
        ("frame=a&frame=b", "frame"),
        ("frame", "frame"),
        ("frame=%zz", "frame"),
        ("frame=ä", "view"),
        ({"frame": FRAME, **{f"p{n}": n for n in range(64)}}, "view"),
    ],
)
def test_a_wrong_view_opens_nothing(view: Any, parameter: str) -> None:
    desk = Desk()
    desk.connect("ws1")
    with pytest.raises(BadRequest) as caught:
        desk.open("ws1", "r", view)
    assert caught.value.parameter == parameter
    assert desk.sessions.statistics().runners_total == 0
    assert desk.open("ws1", "r")["number"] == 1


def test_results_are_named_once() -> None:
    desk = Desk()
    desk.connect("ws1")
    with pytest.raises(BadRequest) as caught:
        desk.open("ws1", "r", results=("facts", "facts"))
    assert caught.value.parameter == "results"


def test_numbers_are_read_as_they_are_written() -> None:
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r", {"frame": FRAME, "plane": 2, "power": 2.5})
    desk.run("ws1", "r")
    assert (desk.view().plane, desk.view().power) == (2, 2.5)


def test_names_that_are_not_utf8_survive() -> None:
    desk = Desk()
    desk.connect("ws1")
    state = desk.open("ws1", "r", "frame=n/%FF%20a+b&map=")["state"]
    assert (state["frame"], state["view"]) == ("n/%FF%20a%20b", "frame=n/%FF%20a%20b")
    desk.run("ws1", "r")
    assert desk.view().frame == "n/\udcff a b"


@pytest.mark.parametrize("changes", [{"frame": None}, {"odd": "1"}, {"plane": -1}, {f"p{n}": n for n in range(65)}])
def test_a_wrong_change_changes_nothing(changes: dict[str, Any]) -> None:
    desk = Desk()
    desk.connect("ws1")
    before = desk.open("ws1", "r")["state"]
    with pytest.raises(BadRequest):
        desk.set("ws1", "r", **changes)
    assert desk.pause("ws1", "r")["state"] == {**before, "paused": True}


def test_many_changes_one_after_another_are_bounded() -> None:
    """What is taken away leaves nothing behind."""
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r")
    for n in range(200):
        desk.set("ws1", "r", plane=n)
        desk.set("ws1", "r", plane=None)


def test_a_view_as_a_query_string_reads_back() -> None:
    view = View("n/a&b=c%d+e.fits", plane=3, stretch="log", invert=True)
    assert view_of(dict(read_pairs(query_of(view).encode())), None) == view


def test_what_comes_late_from_who_is_gone_is_nothing() -> None:
    desk = Desk()
    for event in (
        Disconnected("none", False, 0.0),
        Sent("none", "none", 1, ("e",)),
        Dropped("none", "none", 1, ()),
        Shown("none", "none", 1, 0.0),
        RunEnded("none", 1, 0.0),
        EndOrdered("none"),
        EndOrdered(number=7),
        Ticked(5.0),
    ):
        assert desk.do(event) == []
    with pytest.raises(Gone):
        desk.do(Heard("none", Hello(1), "t", 0.0))


@pytest.mark.parametrize("again", [("ws1", "fresh"), ("ws9", "ws1!")])
def test_a_name_or_a_secret_used_twice_is_our_own_fault(again: tuple[str, str]) -> None:
    desk = Desk()
    desk.connect("ws1")
    with pytest.raises(AssertionError):
        desk.do(Connected(again[0], "ann", again[1], 0.0))


def test_a_runners_id_used_twice_is_our_own_fault() -> None:
    desk = Desk()
    desk.connect("ws1")
    desk.open("ws1", "r")
    with pytest.raises(AssertionError):
        desk.open("ws1", "r")
