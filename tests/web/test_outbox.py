"""The outbox: replies first, texts never dropped, the oldest tiles dropped for newer ones."""

from typing import Any

import trio

from cgi_worker.wire.tiles import TilePlace
from imgd.web.outbox import TEXTS_HEARD_MAX, TEXTS_MAX, Item, Outbox

Drops = list[tuple[str, int, tuple[TilePlace, ...]]]


def made(shown_max: int = 1_000) -> tuple[Outbox, Drops]:
    drops: Drops = []
    return Outbox(4, shown_max, lambda *dropped: drops.append(dropped)), drops


def tile(column: int, *, runner: str = "r", turn: int = 1, size: int = 300) -> Item:
    return Item(b"t" * size, runner, turn, TilePlace(0, column, 0), f"e{column}")


def picture(runner: str = "r", turn: int = 1, size: int = 300) -> Item:
    return Item(b"p" * size, runner, turn)


def taken(outbox: Outbox) -> list[Any]:
    items = []
    while (item := outbox.take()) is not None:
        items.append(item.place.column if item.place else item.data[:1] if isinstance(item.data, bytes) else item.data)
    return items


def test_replies_go_first_and_the_rest_in_order() -> None:
    outbox, _ = made()
    outbox.say("a", "r", 1)
    outbox.show(tile(7))
    outbox.say("b", "r", 1, last=True)
    outbox.put("reply")
    assert taken(outbox) == ["reply", "a", 7, "b"]


def test_the_oldest_tiles_are_dropped_and_told_of_and_texts_stay() -> None:
    outbox, drops = made(1_000)
    outbox.say("a", "r", 1)
    for column in range(5):
        outbox.show(tile(column))
    assert [place.column for _, _, places in drops for place in places] == [0, 1]
    assert outbox.shown_bytes == 900
    assert taken(outbox) == ["a", 2, 3, 4]
    assert outbox.shown_bytes == 0


def test_a_picture_is_dropped_for_a_newer_one_of_its_runner_only() -> None:
    outbox, drops = made(1_000)
    outbox.show(picture("one"))
    outbox.show(picture("two"))
    outbox.show(tile(1))
    outbox.show(picture("one", 2, 350))  # Over the bound: the older picture of this runner goes, and no tile has to.
    assert taken(outbox) == [b"p", 1, b"p"]
    assert drops == []
    outbox.show(picture("one", size=700))
    outbox.show(tile(2))
    outbox.show(picture("two", size=700))
    assert taken(outbox) == [b"p", b"p"]
    assert len(drops) == 1


def test_what_is_larger_than_the_bound_is_sent_alone() -> None:
    outbox, drops = made(100)
    outbox.show(tile(1))
    outbox.show(tile(2))
    assert taken(outbox) == [2]
    assert len(drops) == 1


def test_what_is_forgotten_is_of_this_turn_or_older_and_is_not_told_of() -> None:
    outbox, drops = made(10_000)
    for turn in (1, 2, 3):
        outbox.show(tile(turn, turn=turn))
        outbox.show(tile(10 + turn, turn=turn, runner="other"))
    outbox.say("text", "r", 1)
    outbox.forget("r", 2)
    assert taken(outbox) == [11, 12, 3, 13, "text"]
    assert drops == []


def test_taking_together_stops_at_a_size() -> None:
    outbox, _ = made(10_000)
    for column in range(5):
        outbox.show(tile(column))
    assert [len(outbox.take_some(500)), len(outbox.take_some(1)), len(outbox.take_some(10_000))] == [2, 1, 2]


def test_many_messages_are_taken_in_order() -> None:
    outbox, _ = made(10_000)
    for number in range(300):
        outbox.say(str(number))
        if number % 3 == 0:
            outbox.take()
    rest = taken(outbox)
    assert rest == [str(number) for number in range(100, 300)]


def test_too_many_texts_stuff_it() -> None:
    outbox, _ = made()
    for _ in range(TEXTS_MAX):
        outbox.say("x")
    assert not outbox.stuffed
    outbox.say("x")
    assert outbox.stuffed


async def test_nobody_is_listened_to_while_many_texts_wait(autojump_clock: trio.abc.Clock) -> None:
    outbox, _ = made()
    for _ in range(TEXTS_HEARD_MAX + 1):
        outbox.say("x")
    with trio.move_on_after(1) as limit:
        await outbox.room()
    assert limit.cancelled_caught
    outbox.take()
    with trio.fail_after(1):
        await outbox.room()
