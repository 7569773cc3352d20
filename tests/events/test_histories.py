"""The whole way of many events: sixteen writers, some of whom fail, and a client that is thrown out again and again."""

import random
from typing import Final

import pytest
import trio

from imgd.config import Settings
from imgd.events.event import Cursor
from imgd.events.feed import Batch, Feed, Missed, Reset
from imgd.events.filters import read_filters
from imgd.events.log import Log, open_log
from imgd.events.opening import open_store
from imgd.events.store import Store
from tests.events.stores import Place, draft, everything

EVENTS: Final = 20_000
WRITERS: Final = 16
FAILING: Final = 0.02
RING: Final = 2_000
LIMIT_S: Final = 120.0


async def write(store: Store, writer: int, acknowledged: dict[int, str]) -> None:
    """Publish a writer's share, one at a time; now and then one is refused, or nobody waits for its answer."""
    chance = random.Random(writer)
    for number in range(EVENTS // WRITERS):
        name = f"{writer}-{number}"
        fate = chance.random()
        if fate < FAILING / 2:
            with pytest.raises(ValueError, match="no event of type"):
                await store.publish([draft(name), _rotten()])
        elif fate < FAILING:
            with trio.CancelScope() as scope:
                scope.deadline = trio.current_time() + chance.random() * 0.002
                acknowledged[(await store.publish([draft(name)]))[0]] = name
        else:
            acknowledged[(await store.publish([draft(name)]))[0]] = name


def _rotten() -> object:
    return type("Rotten", (), {"type": "nonsense", "at": "", "path": ""})()


async def follow(log: Log, got: list[int], written: trio.Event) -> None:
    """Follow from the beginning; leave at random moments, and come back with the last cursor."""
    chance = random.Random(7)
    epoch = (await log.settle(None)).epoch
    while not (written.is_set() and got and got[-1] == log.head.id):
        feed = log.feed()
        head = await log.settle(since := Cursor(epoch, got[-1] if got else 0))
        feed.subscribe(1, read_filters(None), since, head)
        with trio.move_on_after(chance.expovariate(20)):
            await _read(log, feed, got, written)


async def _read(log: Log, feed: Feed, got: list[int], written: trio.Event) -> None:
    while True:
        messages = await log.advance(feed)
        for message in messages or ():
            assert not isinstance(message, Missed | Reset), message
            if isinstance(message, Batch):
                got += [event.id for _, event in message.items]
        if messages == [] and feed.wants(log.head) is None:
            if written.is_set():
                return
            await trio.sleep(0.001)  # It follows as fast as it likes: nobody wakes it.


async def test_sixteen_writers_and_a_client_that_drops(place: Place) -> None:
    acknowledged: dict[int, str] = {}
    got: list[int] = []
    written = trio.Event()
    with trio.fail_after(LIMIT_S):
        async with (
            open_store(place.address) as one,
            open_store(place.address) as other,
            open_log(one, Settings(ring_max=RING)) as log,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(follow, log, got, written)
            async with trio.open_nursery() as writers:
                for writer in range(WRITERS):
                    writers.start_soon(write, (one, other)[writer % 2], writer, acknowledged)
            await log.catch_up()
            written.set()
        async with open_store(place.address) as store:
            events = await everything(store)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert got == [event.id for event in events], "the client has another list than the store"
    assert {event.id: event.draft.path for event in events if event.id in acknowledged} == acknowledged
    assert EVENTS * (1 - 2 * FAILING) < len(acknowledged) <= len(events) < EVENTS
