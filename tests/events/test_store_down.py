"""A store that cannot: it says why, nothing is half done, and it comes back by itself."""

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import trio

from imgd.events import postgres as postgres_store
from imgd.events import sqlite as sqlite_store
from imgd.events.opening import open_store
from imgd.events.store import Store, StoreDown
from tests.events.postgres import PrivatePostgres
from tests.events.stores import (
    LIMIT_S,
    Place,
    change,
    draft,
    everything,
    index_of,
    postgres_place,
    sqlite_place,
    until_up,
)

TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Have a disk that is full: no file of this process grows beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_told_and_what_is_there_is_still_read(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    taken: list[int] = []
    async with open_store(place.address) as store:
        taken += await store.publish([draft(x="x" * 1000)] * 50)
        size_bytes = max((tmp_path / f"events.db{end}").stat().st_size for end in ("", "-wal"))
        with files_no_larger_than(size_bytes + 65_536):
            with pytest.raises(StoreDown, match=r"disk|full") as caught:
                await _publish_for_ever(store, taken)
            assert str(tmp_path) not in str(caught.value)
            assert store.statistics().down == 1
            assert [event.id for event in await everything(store)] == taken
            assert (await store.head()).last == len(taken)
            with pytest.raises(StoreDown):
                await store.note([change("a", "1:1")] * 100 + [change(f"{n}" * 100, "1:1") for n in range(5000)])
        await until_up(store)
        assert store.statistics().down == 0
        assert await index_of(store) == {}
        assert [event.id for event in await everything(store)] == [*taken, len(taken) + 1]


async def _publish_for_ever(store: Store, taken: list[int]) -> None:
    while True:
        taken += await store.publish([draft(x="x" * 1000)] * 7)


async def test_a_file_that_another_program_holds_locked_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_BUSY_S", 0.1)
    place = sqlite_place(tmp_path)
    async with open_store(place.address) as store:
        await store.publish([draft()])
        with closing(sqlite3.connect(place.address.removeprefix("sqlite:"), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreDown, match="locked"):
                await store.publish([draft()])
            assert len(await store.read(0, 10)) == 1
        await until_up(store)


async def test_a_server_that_is_stopped_is_told_at_once_and_found_again(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    send_ready, ready = trio.open_memory_channel[None](100)
    async with open_store(place.address) as store, trio.open_nursery() as nursery:
        nursery.start_soon(store.nudges, lambda: None, lambda: send_ready.send_nowait(None))
        await ready.receive()
        await store.publish([draft("before")])
        before = await store.head()
        postgres.stop()
        try:
            began = time.monotonic()
            for ask in (store.publish, store.note, store.read, store.head):
                with pytest.raises(StoreDown, match=r"connection|terminat|server"):
                    await _ask(store, ask.__name__)
            assert store.statistics().down == 1
            assert time.monotonic() - began < 5
            await trio.sleep(0.2)  # The listening one is told no a few times.
        finally:
            postgres.start()
        with trio.fail_after(LIMIT_S):
            await until_up(store)
            await ready.receive()
        assert [event.draft.path for event in await everything(store)] == ["before", "up again.fits"]
        after = await store.head()
        assert (after.epoch, after.last) == (before.epoch, 2)
        assert store.statistics().down == 0
        nursery.cancel_scope.cancel()


async def _ask(store: Store, what: str) -> object:
    match what:
        case "publish":
            return await store.publish([draft()])
        case "note":
            return await store.note([change("a", "1:1")])
        case "read":
            return await store.read(0, 1)
    return await store.head()


async def test_connections_that_were_killed_while_nobody_used_them_are_not_noticed(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(store.read, 0, 10)
        await store.publish([draft()])
        for _ in range(3):
            place.run(TERMINATE)
            await store.publish([draft()])
            await store.read(0, 10)
            assert (await store.note([change("a", None)])) == [None]
        assert (await store.head()).last == 4
        assert store.statistics().failures_total == 0


async def test_connections_that_are_killed_under_load_lose_and_repeat_nothing(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    acknowledged: dict[int, str] = {}
    failed: set[str] = set()

    async def write(store: Store, writer: int) -> None:
        for number in range(10**9):
            name = f"{writer}-{number}"
            try:
                for id in await store.publish([draft(name)]):
                    acknowledged[id] = name
            except StoreDown:
                failed.add(name)

    with trio.fail_after(LIMIT_S):
        async with open_store(place.address) as store:
            async with trio.open_nursery() as nursery:
                for writer in range(8):
                    nursery.start_soon(write, store, writer)
                for _ in range(30):
                    goal = len(acknowledged) + 100
                    while len(acknowledged) < goal:
                        await trio.sleep(0.002)  # The load goes on meanwhile.
                    await trio.to_thread.run_sync(place.run, TERMINATE)
                nursery.cancel_scope.cancel()
            events = {event.id: event.draft.path for event in await everything(store)}
    assert list(events) == list(range(1, len(events) + 1))
    assert len(set(events.values())) == len(events)
    assert events.items() >= acknowledged.items()
    assert set(events.values()) - set(acknowledged.values()) <= failed


async def test_a_listening_connection_that_is_killed_is_made_again(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    send_ready, ready = trio.open_memory_channel[None](100)
    send_nudge, nudged = trio.open_memory_channel[None](100)
    async with open_store(place.address) as store, open_store(place.address) as other:
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    store.nudges, lambda: send_nudge.send_nowait(None), lambda: send_ready.send_nowait(None)
                )
                for _ in range(3):
                    await ready.receive()
                    await other.publish([draft()])
                    await nudged.receive()
                    place.run(TERMINATE)
                nursery.cancel_scope.cancel()


async def test_a_server_that_says_nothing_any_more_is_given_up(
    postgres: PrivatePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "_ANSWER_S", 0.3)
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        await store.publish([draft("before")])
        pids = [pid for (pid,) in place.run(TERMINATE.replace("pg_terminate_backend(pid)", "pid"))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StoreDown):
                await store.publish([draft("unheard")])
            assert time.monotonic() - began < 3
            await until_up(store)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        paths = [event.draft.path for event in await everything(store)]
        assert paths[:2] == ["before", "up again.fits"]


async def test_a_deadlock_with_somebody_else_is_tried_again(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    ids: list[int | None] = []
    lock = "SELECT 1 FROM frames WHERE path = %s FOR UPDATE"

    async def note(store: Store) -> None:
        ids.extend(await store.note([change("a", "2:2"), change("b", "2:2")]))

    with trio.fail_after(LIMIT_S):
        async with open_store(place.address) as store:
            await store.note([change("a", "1:1"), change("b", "1:1")])
            with closing(psycopg.connect(place.address, options="-csearch_path=imgd")) as other:
                other.execute(lock, (b"b",))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(note, store)
                    while not place.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
                        await trio.sleep(0.01)  # It has `a` and waits for `b`.
                    await trio.to_thread.run_sync(other.execute, lock, (b"a",))
                    other.commit()
            assert ids == [3, 4]
            assert store.statistics().failures_total == 0
            assert store.statistics().opened_total == 3


async def test_a_store_ends_in_bounded_time_though_it_is_down(place: Place, postgres: PrivatePostgres) -> None:
    began = time.monotonic()
    async with open_store(place.address) as store:
        await store.publish([draft()])
        if not place.is_sqlite:
            postgres.stop()
    if not place.is_sqlite:
        postgres.start()
    assert time.monotonic() - began < LIMIT_S / 2
