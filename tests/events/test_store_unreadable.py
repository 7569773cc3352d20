"""Events that another imgd wrote: of a type that this one does not know, or such that it cannot read them at all."""

import logging

import pytest

from imgd.config import Settings
from imgd.events.event import Cursor, body_of
from imgd.events.feed import Batch, Live, Message, Missed
from imgd.events.filters import read_filters
from imgd.events.log import open_log
from imgd.events.opening import open_store
from tests.events.stores import Place, draft, everything


def _spoil(place: Place, ids: str, body: bytes) -> None:
    text = f"x'{body.hex()}'" if place.is_sqlite else f"'\\x{body.hex()}'::bytea"
    place.run(f"UPDATE events SET body = {text} WHERE id IN ({ids})")


async def _told(place: Place) -> list[Message]:
    """Follow the log from its beginning to its head, as a client does."""
    messages: list[Message] = []
    async with open_store(place.address) as store, open_log(store, Settings(ring_max=10)) as log:
        assert not log.down
        feed = log.feed()
        feed.subscribe(1, read_filters(None), Cursor(log.head.epoch, 0), log.head)
        while feed.at < log.head.id:
            messages += await log.advance(feed, 2) or []
        await store.publish([draft("later.fits")])
        await log.catch_up()
        messages += await log.advance(feed) or []
    return messages


async def test_a_type_that_only_a_newer_daemon_knows_passes_through(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft("a.fits"), draft("b.fits")])
    newer = body_of(draft("b.fits")).replace(b"frame.arrived", b"frame.eaten").replace(b"{", b'{"by":["a"],', 1)
    _spoil(place, "2", newer)
    batches = [item for message in await _told(place) if isinstance(message, Batch) for item in message.items]
    assert [(event.id, event.draft.type) for _, event in batches] == [
        (1, "frame.arrived"),
        (2, "frame.eaten"),
        (3, "frame.arrived"),
    ]
    assert batches[1][1].json == b'{"id":2,' + newer[1:]


@pytest.mark.parametrize(
    "body", [b"\0", b"[]", b"{", body_of(draft()).replace(b"frame.arrived", b"frame.arrived\\ndata: x")]
)
async def test_what_cannot_be_read_is_told_as_missed_and_stops_nobody(
    place: Place, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft(f"{number}") for number in range(1, 7)])
    _spoil(place, "2, 5, 6", body)
    with caplog.at_level(logging.ERROR, "imgd.events"):
        messages = await _told(place)
    told: list[object] = []
    for message in messages:
        match message:
            case Batch(items):
                told += [event.id for _, event in items]
            case Missed(_, first, last):
                told.append((first, last))
            case _:
                assert isinstance(message, Live)
    assert told == [1, (2, 2), 3, 4, (5, 6), 7]
    logged = [record.getMessage().partition(",")[0] for record in caplog.records]
    assert logged == [f"event {id} cannot be read" for id in (2, 5, 6)]


async def test_many_that_cannot_be_read_hide_nothing_that_comes_after_them(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft(f"{number}") for number in range(1, 1001)])
        _spoil(place, ",".join(map(str, range(3, 999))), b"\0")
        assert [event.id for event in await everything(store, 2)] == [1, 2, 999, 1000]
        assert [event.id for event in await store.read(2, 1)] == [999]
        assert await store.read(2, 0) == []
        assert (await store.head()).last == 1000
