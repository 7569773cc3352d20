"""Schema and opening: from nothing to now, by two at once, and what is refused."""

import sqlite3
from pathlib import Path

import pytest
import trio

from imgd.errors import ConfigError, NotNow
from imgd.events import schema
from imgd.events.durable import keeping
from imgd.events.opening import open_store
from imgd.events.postgres import PostgresDatabase
from imgd.events.sessions import Database
from imgd.events.sqlite import SqliteDatabase
from imgd.events.store import StoreDown
from tests.events.postgres import PrivatePostgres
from tests.events.stores import Place, draft

NEXT: schema.Migration = ("ALTER TABLE roots ADD COLUMN note TEXT", "UPDATE meta SET last = last + 100")
BROKEN: schema.Migration = ("CREATE TABLE half (one {integer})", "CREATE NONSENSE")


def database(place: Place, *more: schema.Migration) -> Database:
    migrations = (*schema.MIGRATIONS, *more)
    if place.is_sqlite:
        return SqliteDatabase(Path(place.address.removeprefix("sqlite:")), migrations)
    return PostgresDatabase(place.address, migrations)


async def test_many_daemons_that_start_at_once_make_one_schema(place: Place) -> None:
    epochs: list[str] = []

    async def start() -> None:
        async with open_store(place.address) as store:
            await store.publish([draft()])
            epochs.append((await store.head()).epoch)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(start)
    assert len(set(epochs)) == 1
    assert place.run("SELECT count(*), max(id) FROM events") == [(6, 6)]


async def test_a_file_that_somebody_else_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    refused: list[float] = []

    def sleep(seconds: float) -> None:
        refused.append(seconds)
        other.rollback()

    monkeypatch.setattr("imgd.events.sqlite.time.sleep", sleep)
    async with open_store(f"sqlite:{path}") as store:
        assert await store.publish([draft()]) == [1]
    assert refused
    other.close()


async def test_a_step_of_the_schema_is_taken_once_and_keeps_what_is_there(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft("old")])
    for ids in ([102], [103]):
        async with keeping(database(place, NEXT)) as store:
            assert await store.publish([draft()]) == ids
    assert place.run("SELECT count(note) FROM roots") == [(0,)]


async def test_a_step_that_fails_leaves_the_store_as_it_was(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft("old")])
    with pytest.raises(Exception, match="NONSENSE"):
        async with keeping(database(place, BROKEN)):
            pytest.fail("it was opened")
    async with open_store(place.address) as store:
        assert await store.publish([draft()]) == [2]
    with pytest.raises(Exception, match="half"):
        place.run("SELECT * FROM half")


async def test_a_store_that_a_newer_daemon_has_written_is_refused(place: Place) -> None:
    async with keeping(database(place, NEXT)) as store:
        await store.publish([draft()])
    known = len(schema.MIGRATIONS)
    with pytest.raises(ConfigError, match=rf"newer imgd \(schema {known + 1}, this one knows {known}\)") as caught:
        async with open_store(place.address):
            pytest.fail("it was opened")
    assert caught.type is ConfigError, "to try again changes nothing"


async def test_a_store_whose_schema_is_made_newer_while_it_is_open_goes_on_until_its_connection_is_lost(
    postgres: PrivatePostgres,
) -> None:
    address = postgres.new_database()
    place = Place(address, lambda text: postgres.execute(address, text))  # type: ignore[arg-type]
    async with open_store(address) as store:
        await store.publish([draft()])
        async with keeping(database(place, NEXT)):
            pass
        assert await store.publish([draft()]) == [102]
        place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
        with pytest.raises(StoreDown, match="newer imgd"):
            await store.publish([draft()])


@pytest.mark.parametrize(
    "where",
    ["", "sqlite:relative.db", "mysql://x/y", "events.db", "sqlite:/nowhere/at/all.db", "sqlite:/dev/null/events.db"],
)
async def test_what_names_no_store_is_refused_in_words(where: str) -> None:
    with pytest.raises(ConfigError, match=r"^database.{8}"):
        async with open_store(where):
            pytest.fail("it was opened")


@pytest.mark.parametrize(
    "where",
    [
        "postgresql://imgd:hidden@/x?host=/nowhere/at/all",
        "postgresql://imgd:hidden@127.0.0.1:1/x",
        "postgresql://imgd:hid%den@/x",
        "postgres://imgd:hidden@/x?nonsense=1",
    ],
)
async def test_a_server_that_does_not_answer_is_refused_without_telling_the_password(where: str) -> None:
    with pytest.raises(ConfigError, match=r"^database: .{8}") as caught:
        async with open_store(where):
            pytest.fail("it was opened")
    assert "hid" not in f"{caught.value} {caught.value.__cause__}"
    is_address = "%" not in where and "nonsense" not in where
    assert caught.type is (NotNow if is_address else ConfigError), "a server may answer later"


async def test_a_database_that_is_not_there_is_refused(postgres: PrivatePostgres) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        async with open_store(postgres.address("absent")):
            pytest.fail("it was opened")


@pytest.mark.parametrize("text", ["CREATE TABLE recipes (cake TEXT)", "PRAGMA user_version = 1"])
async def test_a_file_of_another_program_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.db"
    connection = sqlite3.connect(path)
    connection.execute(text)
    connection.execute("CREATE TABLE IF NOT EXISTS recipes (cake TEXT)")
    connection.close()
    with pytest.raises(ConfigError, match="another program"):
        async with open_store(f"sqlite:{path}"):
            pytest.fail("it was opened")
    path.write_bytes(b"no database at all, but a text that somebody wrote" * 100)
    with pytest.raises(ConfigError, match="not a database") as caught:
        async with open_store(f"sqlite:{path}"):
            pytest.fail("it was opened")
    assert caught.type is ConfigError


async def test_an_error_of_who_uses_a_store_comes_out_as_it_was(place: Place) -> None:
    with pytest.raises(StoreDown, match="mine"):
        async with open_store(place.address):
            raise StoreDown("mine")


async def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    async with open_store(f"sqlite:{tmp_path}/events.db") as store:
        await store.publish([draft()])
        names = {"events.db", "events.db-wal", "events.db-shm", "events.db.seen"}
        assert {path.name for path in tmp_path.iterdir()} - {"events.db.seen~"} == names  # It is written now and then.
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in names} == {0o600}
