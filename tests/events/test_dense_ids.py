"""Why ids come from a counter that is locked until the commit: a sequence loses events for who reads `id > last`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import trio

from imgd.events.opening import open_store
from imgd.events.store import Store
from tests.events.postgres import PrivatePostgres
from tests.events.stores import draft, postgres_place


@contextmanager
def connected(address: str) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(address, options="-csearch_path=imgd,public")) as connection:
        yield connection


def ids_above(connection: psycopg.Connection, table: str, last: int) -> list[int]:
    rows = connection.execute(f"SELECT id FROM {table} WHERE id > {last} ORDER BY id").fetchall()  # type: ignore[arg-type]
    connection.rollback()
    return [id for (id,) in rows]


def test_a_sequence_loses_the_event_of_a_transaction_that_commits_after_a_later_id(postgres: PrivatePostgres) -> None:
    address = postgres.new_database()
    with connected(address) as early, connected(address) as late, connected(address) as client:
        early.execute("CREATE TABLE told (id bigserial PRIMARY KEY, body text)")
        early.commit()
        early.execute("INSERT INTO told (body) VALUES ('early')")
        late.execute("INSERT INTO told (body) VALUES ('late')")
        late.commit()
        seen = ids_above(client, "told", 0)
        early.commit()
        seen += ids_above(client, "told", max(seen))
        assert seen == [2]  # Event 1 is in the table, and this client never gets it.
        assert ids_above(client, "told", 0) == [1, 2]


async def test_a_counter_makes_the_later_one_wait_so_that_nobody_misses_any(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        with connected(place.address) as early:
            await _overtake(store, early, away=False)


async def test_a_client_who_was_away_in_between_misses_none_either(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        with connected(place.address) as early:
            await _overtake(store, early, away=True)


async def _overtake(store: Store, early: psycopg.Connection, away: bool) -> None:
    """Let a transaction that has its id be slow to commit, and another one begin and wish to end meanwhile."""
    seen: list[int] = []
    late: list[int] = []

    async def publish_late() -> None:
        late.extend(await store.publish([draft("late")]))

    async def read() -> None:
        seen.extend(event.id for event in await store.read(seen[-1] if seen else 0, 10))

    early.execute("WITH c AS (UPDATE meta SET last = last + 1 RETURNING last) INSERT INTO events"
                  " SELECT last, '2026-01-31T20:15:00.250Z', 'daemon.started',"
                  " '{\"at\":\"2026-01-31T20:15:00.250Z\",\"type\":\"daemon.started\"}'::bytea FROM c")  # fmt: skip
    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish_late)
        with trio.move_on_after(0.3):  # Long enough for a commit, were it not waiting.
            while not late:
                await read()
        assert not late
        assert not seen
        await trio.to_thread.run_sync(early.commit)
        if not away:
            await read()
    await read()
    assert late == [2]
    assert seen == [1, 2]
