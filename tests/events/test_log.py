"""The log over its store: one reader of the tail, everybody woken, outages and other epochs told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from imgd.config import Settings
from imgd.errors import Busy
from imgd.events.event import Cursor
from imgd.events.feed import Batch, Feed, Reset
from imgd.events.filters import read_filters
from imgd.events.log import PRUNE_S, Log, open_log
from imgd.events.store import StoreDown
from tests.events.listed import ListStore, drafted

ALL = read_filters(None)


@pytest.fixture
def store() -> ListStore:
    return ListStore()


@asynccontextmanager
async def following(store: ListStore, **settings: Any) -> AsyncIterator[Log]:
    async with open_log(store, Settings(**settings)) as log:
        await trio.testing.wait_all_tasks_blocked()  # The store's nudges are listened to.
        yield log


async def read_on(log: Log, feed: Feed) -> list[int]:
    """All ids up to the head."""
    got: list[int] = []
    while True:
        messages = await log.advance(feed)
        for message in messages or ():
            if isinstance(message, Batch):
                got += [event.id for _, event in message.items]
        if messages == [] and feed.wants(log.head) is None:
            return got


async def next_wake(log: Log) -> None:
    woken = trio.Event()
    with log.waking(woken.set):
        await woken.wait()


async def test_what_is_published_wakes_who_waits(store: ListStore, autojump_clock: object) -> None:
    async with following(store) as log:
        feed = log.feed()
        feed.subscribe(1, ALL, None, await log.settle(None))
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(next_wake, log)
            assert await log.publish([drafted(), drafted()]) == [1, 2]
        assert trio.current_time() == before
        assert await read_on(log, feed) == [1, 2]


async def test_a_lost_nudge_costs_a_second_at_most(store: ListStore, autojump_clock: object) -> None:
    store.silent = True
    async with following(store) as log:
        before = trio.current_time()
        store.append(drafted())
        await next_wake(log)
        assert trio.current_time() - before <= 1.0
        assert log.head.id == 1


async def test_one_reader_for_all_clients(store: ListStore, autojump_clock: object) -> None:
    async with following(store, ring_max=100) as log:
        feeds = [log.feed() for _ in range(20)]
        for feed in feeds:
            feed.subscribe(1, ALL, None, await log.settle(None))
        for _ in range(10):
            await log.publish([drafted()] * 5)
            await trio.testing.wait_all_tasks_blocked()
        reads = len(store.reads)
        assert reads <= 10
        for feed in feeds:
            assert await read_on(log, feed) == list(range(1, 51))
        assert len(store.reads) == reads


async def test_who_is_behind_the_ring_reads_the_store(store: ListStore, autojump_clock: object) -> None:
    store.append(*[drafted()] * 600)
    async with following(store, ring_max=10) as log:
        feed = log.feed()
        feed.subscribe(1, ALL, Cursor(store.epoch, 5), await log.settle(None))
        await log.publish([drafted()] * 30)
        await trio.testing.wait_all_tasks_blocked()
        assert await read_on(log, feed) == list(range(6, 631))
        assert log.statistics().in_memory < 20


async def test_what_the_store_has_that_the_log_has_not_seen_is_told_later_and_once(
    store: ListStore, autojump_clock: object
) -> None:
    store.append(*[drafted()] * 10)
    async with following(store) as log:
        feed = log.feed()
        feed.subscribe(1, ALL, Cursor(store.epoch, 5), log.head)
        store.silent = True
        store.append(*[drafted()] * 3)  # By another daemon: the store's page has them before the head is looked at.
        assert await read_on(log, feed) == [6, 7, 8, 9, 10]
        assert feed.cursor(log.head) == log.head
        await next_wake(log)
        assert await read_on(log, feed) == [11, 12, 13]
        assert await log.advance(feed) == []


async def test_what_was_read_for_other_subscriptions_is_not_taken(store: ListStore, autojump_clock: object) -> None:
    store.append(*[drafted()] * 10)
    async with following(store) as log:
        feed = log.feed()
        feed.subscribe(1, ALL, Cursor(store.epoch, 5), log.head)
        store.gate = trio.Event()
        taken: list[object] = []

        async def advance() -> None:
            taken.append(await log.advance(feed))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(advance)
            await trio.testing.wait_all_tasks_blocked()
            feed.subscribe(2, ALL, Cursor(store.epoch, 2), log.head)
            store.gate.set()
        assert taken == [None]
        assert await read_on(log, feed) == list(range(3, 11))


async def test_a_cursor_that_another_daemon_gave_is_looked_up(store: ListStore, autojump_clock: object) -> None:
    store.silent = True
    async with following(store) as log:
        store.append(drafted(), drafted())
        assert log.head.id == 0
        assert (await log.settle(Cursor(store.epoch, 2))).id == 2


async def test_a_store_that_lost_its_tail_gets_another_epoch(store: ListStore, autojump_clock: object) -> None:
    async with following(store) as log:
        feed = log.feed()
        feed.subscribe(1, ALL, None, await log.settle(None))
        await log.publish([drafted()] * 5)
        await trio.testing.wait_all_tasks_blocked()
        assert await read_on(log, feed) == [1, 2, 3, 4, 5]
        first = store.epoch
        store.lose(3)
        await next_wake(log)
        assert store.epoch != first
        messages = await log.advance(feed)
        assert messages == [Reset((1,), Cursor(store.epoch, 3))]
        await log.publish([drafted()])
        await next_wake(log)
        assert await read_on(log, feed) == [4]


async def test_an_outage_is_told_and_waited_for(store: ListStore, autojump_clock: object) -> None:
    async with following(store) as log:
        assert log.down == ""
        feed = log.feed()
        feed.subscribe(1, ALL, None, await log.settle(None))
        store.down = "the disk is full"
        await trio.sleep(3)
        assert log.down == "the disk is full"
        with pytest.raises(StoreDown):
            await log.publish([drafted()])
        with pytest.raises(Busy):
            await log.settle(Cursor(store.epoch, 9))
        assert (await log.settle(None)).id == 0
        store.down = ""
        await log.publish([drafted()])
        await trio.testing.wait_all_tasks_blocked()
        assert log.down == ""
        assert await read_on(log, feed) == [1]


async def test_a_store_that_takes_nothing_is_told_until_it_does(store: ListStore, autojump_clock: object) -> None:
    async with following(store) as log:
        store.full = "no space left"
        with pytest.raises(StoreDown):
            await log.publish([drafted()])
        await trio.sleep(3)
        assert log.down == "no space left"
        store.full = ""
        await log.publish([drafted()])
        assert log.down == ""


async def test_publishing_nudges_even_where_the_store_does_not(store: ListStore, autojump_clock: object) -> None:
    store.silent = True
    async with following(store) as log:
        await trio.sleep(0.5)
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(next_wake, log)
            await log.publish([drafted()])
        assert trio.current_time() == before


async def test_a_store_that_is_down_at_first_is_waited_for(store: ListStore, autojump_clock: object) -> None:
    store.down = "no such server"
    async with following(store) as log:
        assert log.down == "no such server"
        with pytest.raises(Busy):
            await log.settle(None)
        store.down = ""
        await next_wake(log)
        assert (await log.settle(None)).epoch == store.epoch


async def test_old_events_are_forgotten_from_time_to_time(store: ListStore, autojump_clock: object) -> None:
    async with following(store, events_max=3) as log:
        await log.publish([drafted()] * 10)
        await trio.sleep(PRUNE_S + 1)
        assert [each.id for each in store.events] == [8, 9, 10]
        assert log.statistics().pruned_total == 7


async def test_the_real_store(tmp_path: Path) -> None:
    opening = pytest.importorskip("imgd.events.opening")
    async with opening.open_store(f"sqlite:{tmp_path}/events.db") as store:
        async with open_log(store, Settings(ring_max=10)) as log:
            feed = log.feed()
            feed.subscribe(1, ALL, None, await log.settle(None))
            for number in range(40):
                await log.publish([drafted(f"{number}.fits")])
            with trio.fail_after(5):
                while log.head.id < 40:
                    await next_wake(log)
            assert await read_on(log, feed) == list(range(1, 41))
            epoch = log.head.epoch
        async with open_log(store, Settings()) as log:
            assert log.head == Cursor(epoch, 40)
