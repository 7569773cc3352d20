"""Every message round-trips in its direction; every illegal packet is a WireError and nothing else."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire import packets as p
from tests.wire.made import BY_TYPE

DIRECTIONS: dict[str, tuple[p.Grammar[Any], tuple[type[Any], ...]]] = {
    "from worker": (p.FROM_WORKER, (p.Hello, p.Progress, p.Done, p.Failed, p.Detached)),
    "from template": (p.FROM_TEMPLATE, (p.Hello, p.Warming, p.Warmed, p.Forked, p.Reaped)),
    "from CGI": (p.FROM_CGI, (p.Ask, p.Progress, p.Done, p.Failed, p.Detached)),
    "to worker": (p.TO_WORKER, (p.Todo, p.Drop, p.Bye)),
    "to template": (p.TO_TEMPLATE, (p.Fork, p.Bye)),
    "to CGI": (p.TO_CGI, (p.Todo, p.Answer, p.Bye)),
}
directions = pytest.mark.parametrize("direction", DIRECTIONS)
kinds = pytest.mark.parametrize("kind", BY_TYPE, ids=lambda kind: kind.__name__)


@kinds
@given(data=st.data())
def test_a_message_arrives_as_it_was_sent_where_it_has_a_place_and_nowhere_else(
    kind: type[Any], data: st.DataObject
) -> None:
    message = data.draw(BY_TYPE[kind])
    packet = p.encode(message)
    places = [grammar for grammar, messages in DIRECTIONS.values() if kind in messages]
    assert places
    for grammar, messages in DIRECTIONS.values():
        if kind in messages:
            assert grammar.decode(packet) == message
        else:
            with pytest.raises(p.WireError):
                grammar.decode(packet)


@directions
@given(packet=st.binary(max_size=200))
def test_random_bytes_are_a_wire_error(direction: str, packet: bytes) -> None:
    with pytest.raises(p.WireError):
        DIRECTIONS[direction][0].decode(packet)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@directions
@given(value=json_values)
def test_json_that_is_no_message_is_a_wire_error(direction: str, value: Any) -> None:
    with pytest.raises(p.WireError):
        DIRECTIONS[direction][0].decode(json.dumps(value).encode("utf-8", "surrogatepass"))


@kinds
@given(data=st.data())
def test_a_field_of_the_wrong_type_missing_or_unknown_is_a_wire_error(kind: type[Any], data: st.DataObject) -> None:
    whole = json.loads(p.encode(data.draw(BY_TYPE[kind])))
    grammar = next(grammar for grammar, messages in DIRECTIONS.values() if kind in messages)
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    broken = [whole | {"more": 1}, whole | {"say": "nothing"}, {k: v for k, v in whole.items() if k != "say"}]
    broken += [{key: value for key, value in whole.items() if key != name} for name in required]
    broken += [whole | {name: {"no": "such"}} for name in whole]
    for one in broken:
        with pytest.raises(p.WireError):
            grammar.decode(json.dumps(one).encode())


@kinds
@given(data=st.data())
def test_a_packet_cut_short_is_a_wire_error(kind: type[Any], data: st.DataObject) -> None:
    packet = p.encode(data.draw(BY_TYPE[kind]))
    grammar = next(grammar for grammar, messages in DIRECTIONS.values() if kind in messages)
    cut = data.draw(st.integers(0, len(packet) - 1))
    with pytest.raises(p.WireError):
        grammar.decode(packet[:cut])


@directions
def test_an_empty_packet_is_a_wire_error(direction: str) -> None:
    with pytest.raises(p.WireError, match="empty"):
        DIRECTIONS[direction][0].decode(b"")


def test_the_longest_packet_passes_and_one_byte_more_does_not() -> None:
    room = p.PACKET_BYTES_MAX - len(p.encode(p.Ask(1, "", False)))
    fits = p.encode(p.Ask(1, "x" * room, False))
    assert len(fits) == p.PACKET_BYTES_MAX
    assert isinstance(p.FROM_CGI.decode(fits), p.Ask)
    with pytest.raises(p.WireError, match="over the limit"):
        p.encode(p.Ask(1, "x" * (room + 1), False))
    with pytest.raises(p.WireError, match="over the limit"):
        p.FROM_CGI.decode(fits.replace(b'"x', b'"xx', 1))


def test_facts_and_words_have_limits_of_their_own() -> None:
    def hear(facts: str) -> None:
        p.FROM_WORKER.decode(p.encode(p.Done(1, 0, (), facts, 0.0)))

    room = p.STEP_FACTS_BYTES_MAX - len(r'"\"\""')  # As it is written again: quoted, its quotes escaped.
    hear('"' + "x" * room + '"')
    for over in ('"' + "x" * (room + 1) + '"', '"' + "\x01" * (room // 4) + '"'):
        with pytest.raises(p.WireError, match="over the limit"):
            hear(over)
    for odd in ("no JSON", "[" * 5000, '{"half":'):
        with pytest.raises(p.WireError, match="no JSON"):
            hear(odd)
    hear("")
    p.FROM_WORKER.decode(p.encode(p.Failed(1, 0, "changed", "x" * p.TEXT_MAX)))
    with pytest.raises(p.WireError, match="text"):
        p.FROM_WORKER.decode(p.encode(p.Failed(1, 0, "changed", "x" * (p.TEXT_MAX + 1))))


def test_a_failure_code_that_nobody_knows_is_a_wire_error() -> None:
    packet = p.encode(p.Failed(1, 0, "changed", "")).replace(b"changed", b"strange")
    with pytest.raises(p.WireError):
        p.FROM_WORKER.decode(packet)


def test_what_is_no_whole_number_are_wire_errors() -> None:
    for value in (b"1e400", b"NaN", b"-Infinity", b"1.5", b"true", b'"1"'):
        with pytest.raises(p.WireError):
            p.FROM_WORKER.decode(b'{"say":"detached","todo":1,"segment":' + value + b"}")


def test_nesting_without_end_is_a_wire_error() -> None:
    with pytest.raises(p.WireError):
        p.FROM_WORKER.decode(b'{"say":"detached","todo":1,"segment":' + b"[" * 60_000)
    with pytest.raises(p.WireError):
        p.TO_WORKER.decode(b'{"more":' + b"[" * 60_000)
