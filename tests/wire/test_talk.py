"""The order of a worker's conversation: each message out of order is refused, and changes nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.packets import (
    DESCRIPTORS_MAX,
    VERSION,
    Detached,
    Done,
    Failed,
    FromWorker,
    Hello,
    Lent,
    Progress,
    Todo,
    WireError,
)
from cgi_worker.wire.steps import Buffer, Deliver, Encode, Parse, Stage
from cgi_worker.wire.talk import Talk

HELLO = Hello(VERSION, 100)
LENT = tuple(Lent(Buffer(f"k{n}", 100), segment, n > 0) for n, segment in enumerate((10, 11, 12)))
# 10 -> 11 -> 12, and the last step reads 12 and writes nothing.
TODO = Todo(
    7,
    (
        Stage(Parse(), (0,), (1,)),
        Stage(Encode("png", 1), (1,), (2, -1)),
        Stage(Deliver(""), (2,), ()),
    ),
    LENT, "", has_source=True, has_sink=True, threads=1,
)  # fmt: skip
RIGHT: list[FromWorker] = [
    HELLO,
    Progress(7, 0, 10),
    Progress(7, 0, 10),
    Done(7, 0, (50,), "{}", 1.0),
    Detached(7, (10,)),
    Progress(7, 1, 100),
    Done(7, 1, (100, 0), "{}", 1.0),
    Detached(7, (11,)),
    Done(7, 2, (), "{}", 1.0),
    Detached(7, (12,)),
]


def state(talk: Talk) -> tuple[object, ...]:
    return tuple(vars(talk).values())


def talk_after(count: int) -> Talk:
    """Lead the right conversation up to its first `count` messages; the todo list is given after Hello."""
    talk = Talk()
    for message in RIGHT[:count]:
        talk.hear(message)
        if message is HELLO:
            talk.give(TODO)
    return talk


def refused(talk: Talk, message: FromWorker) -> None:
    before = state(talk)
    with pytest.raises(WireError):
        talk.hear(message)
    assert state(talk) == before


def test_the_right_conversation_ends_idle_and_can_begin_again() -> None:
    talk = talk_after(len(RIGHT))
    assert talk.idle
    assert talk.held == frozenset()
    talk.give(TODO)
    assert not talk.idle
    assert talk.held == {10, 11, 12}


@pytest.mark.parametrize("count", range(len(RIGHT) + 1))
def test_no_message_passes_that_is_not_due(count: int) -> None:
    """After each prefix, what may come is listed by hand; all else of a large choice is refused."""
    due: dict[int, Callable[[FromWorker], bool]] = {
        0: lambda m: m == HELLO,
        1: lambda m: may(m, stage=0, low=0, outputs=1),
        2: lambda m: may(m, stage=0, low=10, outputs=1),
        3: lambda m: may(m, stage=0, low=10, outputs=1),
        4: lambda m: may(m, stage=1, low=0, outputs=2) or m == Detached(7, (10,)),
        5: lambda m: may(m, stage=1, low=0, outputs=2),
        6: lambda m: may(m, stage=1, low=100, outputs=2),
        7: lambda m: may(m, stage=2, low=0, outputs=0) or m == Detached(7, (11,)),
        8: lambda m: may(m, stage=2, low=0, outputs=0),
        9: lambda m: m == Detached(7, (12,)),
        10: lambda m: False,
    }
    passed = 0
    for message in CHOICE:
        if due[count](message):
            talk_after(count).hear(message)
            passed += 1
        else:
            refused(talk_after(count), message)
    assert passed or count == len(RIGHT)


DETACHED = ((), (9,), (10,), (11,), (12,), (10, 11), (12, 11), (10, 11, 12), (10, 9), (10, 10))
CHOICE: list[FromWorker] = [
    HELLO,
    Hello(VERSION + 1, 100),
    *[Progress(todo, stage, used) for todo in (6, 7) for stage in range(-1, 4) for used in (-1, 0, 10, 100, 101)],
    *[
        Done(todo, stage, used, "{}", 1.0)
        for todo in (6, 7)
        for stage in range(-1, 4)
        for used in ((), (0,), (9,), (10,), (100,), (101,), (-1,), (100, 0), (100, 1), (10, 0), (0, 0, 0))
    ],
    *[Failed(todo, stage, "changed", "") for todo in (6, 7) for stage in range(-1, 4)],
    *[Detached(todo, segments) for todo in (6, 7) for segments in DETACHED],
]


def may(message: FromWorker, *, stage: int, low: int, outputs: int) -> bool:
    """Tell whether a message about the step that is due is right: `low` bytes of output 0 were announced."""
    match message:
        case Progress(7, at, used):
            return at == stage and outputs > 0 and low <= used <= 100
        case Done(7, at, used):
            first_ok = not used or low <= used[0] <= 100
            return at == stage and len(used) == outputs and first_ok and used[1:] in ((), (0,))
        case Failed(7, at):
            return at == stage
    return False


def is_due(segments: tuple[int, ...], held: frozenset[int]) -> bool:
    """Tell whether these may be detached, of those that are held: some, and each once."""
    return bool(segments) and len(set(segments)) == len(segments) and held.issuperset(segments)


@pytest.mark.parametrize("count", [1, 4, 6, 8])
def test_after_a_failure_only_detachments_are_due(count: int) -> None:
    stage = {1: 0, 4: 1, 6: 1, 8: 2}[count]
    held = talk_after(count).held
    for message in CHOICE:
        talk = talk_after(count)
        talk.hear(Failed(7, stage, "bad_frame", ""))
        if isinstance(message, Detached) and message.todo == 7 and is_due(message.segments, held):
            talk.hear(message)
        else:
            refused(talk, message)
    talk = talk_after(count)
    talk.hear(Failed(7, stage, "bad_frame", ""))
    for segment in held:
        assert not talk.idle
        talk.hear(Detached(7, (segment,)))
    assert talk.idle


def test_nothing_but_hello_comes_first_and_never_twice() -> None:
    for message in CHOICE:
        if message != HELLO:
            refused(Talk(), message)
    talk = Talk()
    talk.hear(HELLO)
    refused(talk, HELLO)
    refused(talk, Done(7, 0, (), "{}", 0.0))


def test_one_list_at_a_time_never_empty_and_within_a_packet() -> None:
    talk = talk_after(1)
    with pytest.raises(AssertionError):
        talk.give(TODO)
    with pytest.raises(AssertionError):
        Talk().give(Todo(1, (), (), "", False, False, 1))
    many = tuple(Lent(Buffer("", 1), n, False) for n in range(DESCRIPTORS_MAX))
    Talk().give(Todo(1, TODO.stages, many, "", False, False, 1))
    with pytest.raises(AssertionError):
        Talk().give(Todo(1, TODO.stages, many, "", True, False, 1))


@given(st.lists(st.sampled_from(CHOICE), max_size=30))
def test_whatever_is_said_held_only_shrinks_and_idle_means_nothing_held(said: list[FromWorker]) -> None:
    talk = talk_after(1)
    for message in said:
        before, held = state(talk), talk.held
        try:
            talk.hear(message)
        except WireError:
            assert state(talk) == before
        assert talk.held <= held
        assert not (talk.idle and talk.held)
