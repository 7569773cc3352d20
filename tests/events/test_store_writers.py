"""Sixteen writers, some of whom leave or are refused: what was acknowledged is what is in the log, in order, once."""

import random

import pytest
import trio

from imgd.events.opening import open_store
from imgd.events.store import Store
from tests.events.stores import LIMIT_S, Place, change, draft, everything, index_of

WRITERS = 16
ROUNDS = 60


async def publish_one(store: Store, name: str, acknowledged: dict[int, str]) -> None:
    for place, id in enumerate(await store.publish([draft(f"{name}.0"), draft(f"{name}.1")])):
        acknowledged[id] = f"{name}.{place}"


async def note_one(store: Store, name: str, acknowledged: dict[int, str]) -> None:
    for id in await store.note([change(name, "1:1")]):
        assert id is not None
        acknowledged[id] = name


async def write(store: Store, writer: int, acknowledged: dict[int, str]) -> None:
    chance = random.Random(writer)
    for round in range(ROUNDS):
        name = f"{writer}-{round}"
        one = note_one if chance.random() < 0.3 else publish_one
        if chance.random() < 0.1:  # A writer who leaves: before, while, or after it is written.
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one, store, name, acknowledged)
                    for _ in range(chance.randrange(30)):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        elif chance.random() < 0.05:
            with pytest.raises(ValueError, match=r"no event of type"):
                await store.publish([draft(name), draft(name), _rotten()])
        else:
            await one(store, name, acknowledged)


def _rotten() -> object:
    return type("Rotten", (), {"type": "nonsense", "at": "", "path": ""})()


async def test_the_log_is_what_was_acknowledged_also_with_writers_who_leave_or_are_refused(place: Place) -> None:
    acknowledged: dict[int, str] = {}
    with trio.fail_after(LIMIT_S):
        async with open_store(place.address) as store, open_store(place.address) as other:
            async with trio.open_nursery() as nursery:
                for writer in range(WRITERS):
                    nursery.start_soon(write, (store, other)[writer % 2], writer, acknowledged)
            events = await everything(store, 37)
            index = await index_of(store)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert {event.id: event.draft.path for event in events} == acknowledged
    assert len(events) > WRITERS * ROUNDS
    assert {event.draft.path.encode() for event in events if "." not in event.draft.path} == set(index)


async def test_who_is_cancelled_while_waiting_in_the_queue_has_asked_for_nothing(place: Place) -> None:
    async with open_store(place.address) as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.publish([draft()])
        assert scope.cancelled_caught
        assert await store.publish([draft("b")]) == [1]


async def test_a_reader_who_follows_sees_each_id_once_without_a_gap_while_many_write(place: Place) -> None:
    total = 3000
    seen: list[int] = []

    async def follow(store: Store) -> None:
        while len(seen) < total:
            seen.extend(event.id for event in await store.read(seen[-1] if seen else 0, 50))

    async def publish(store: Store, number: int) -> None:
        for _ in range(number):
            await store.publish([draft()])

    with trio.fail_after(LIMIT_S):
        async with (
            open_store(place.address) as one,
            open_store(place.address) as two,
            open_store(place.address) as reads,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(follow, reads)
            for writer in range(20):
                nursery.start_soon(publish, (one, two)[writer % 2], total // 20)
    assert seen == list(range(1, total + 1))
