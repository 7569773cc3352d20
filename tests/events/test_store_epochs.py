"""When a store gets a new epoch: it was restored, or lost what somebody has seen. And when it does not."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from imgd.events.event import EPOCH
from imgd.events.opening import open_store
from imgd.events.orders import row_of
from imgd.events.sidecar import FileIdentity, identity_of
from imgd.events.sqlite import SqliteDatabase
from imgd.events.store import StoreDown
from tests.events.postgres import PrivatePostgres
from tests.events.stores import LIMIT_S, Place, draft, everything, postgres_place, sqlite_place, until_up


async def test_an_epoch_is_kept_by_whoever_opens_the_store_and_is_not_that_of_another_store(
    place: Place, tmp_path: Path
) -> None:
    epochs = set()
    for number in range(3):
        async with open_store(place.address) as store, open_store(place.address) as other:
            await store.publish([draft()])
            epochs |= {(await store.head()).epoch, (await other.head()).epoch}
            assert (await other.head()).last == number + 1
    assert len(epochs) == 1
    assert EPOCH.fullmatch(epochs.pop())
    (tmp_path / "second").mkdir()
    async with open_store(sqlite_place(tmp_path / "second").address) as store:
        assert (await store.head()).epoch not in epochs


async def test_a_lost_tail_changes_the_epoch_once_whoever_notices_it(place: Place) -> None:
    async with open_store(place.address) as store, open_store(place.address) as other:
        await store.publish([draft(), draft()])
        before = await store.head()
        heads = [await store.lost_tail(before.epoch), await other.lost_tail(before.epoch)]
        assert heads[0] == heads[1] == await store.head() == await other.head()
        assert heads[0].epoch != before.epoch
        assert heads[0].last == 2
        assert await other.lost_tail("0" * 16) == heads[0]


@pytest.mark.parametrize("publishes_first", [False, True])
async def test_a_store_that_loses_its_tail_while_it_is_open_has_a_new_epoch_before_an_id_is_given_again(
    place: Place, publishes_first: bool
) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft(), draft(), draft()])
        before = await store.head()
        place.run("DELETE FROM events WHERE id > 1")
        place.run("UPDATE meta SET last = 1")
        if publishes_first:
            assert await store.publish([draft()]) == [2]
            assert place.run("SELECT epoch FROM meta") != [(before.epoch,)]
        after = await store.head()
        assert after.last == (2 if publishes_first else 1)
        assert after.epoch != before.epoch
        assert await store.head() == after
        assert await store.publish([draft()]) == [after.last + 1]


async def test_a_counter_that_was_put_back_by_itself_gives_no_id_again(place: Place) -> None:
    epochs = []
    async with open_store(place.address) as store:
        for ids in ([1, 2, 3], [4], [5]):
            assert await store.publish([draft()] * len(ids)) == ids
            epochs.append((await store.head()).epoch)
            place.run("UPDATE meta SET last = 1")
    async with open_store(place.address) as store:
        assert await store.publish([draft()]) == [6]
        epochs.append((await store.head()).epoch)
    assert len(set(epochs)) == 4


async def test_a_copy_of_everything_is_not_the_store_it_was(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    path = Path(place.address.removeprefix("sqlite:"))
    async with open_store(place.address) as store:
        for _ in range(3):
            await store.publish([draft()])
        before = await store.head()
    seen = tmp_path / "events.db.seen"
    assert seen.read_text() == f"{before.epoch} 3 {identity_of(seen)}\n"
    assert place.run("SELECT origin FROM meta") == [(str(identity_of(path)),)]
    shutil.copy(path, tmp_path / "copy")
    os.replace(tmp_path / "copy", path)
    async with open_store(place.address) as store:
        after = await store.head()
        assert after.epoch != before.epoch
        assert after.last == 3


def test_a_commit_into_a_file_that_was_taken_away_meanwhile_is_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    session = SqliteDatabase(path).open()
    session.begin()
    path.rename(tmp_path / "away.db")
    with pytest.raises(StoreDown, match="during a commit"):
        session.finish([row_of(draft())])
    session.close()


async def test_a_file_that_is_put_back_from_a_copy_gets_a_new_epoch(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    path = Path(place.address.removeprefix("sqlite:"))
    async with open_store(place.address) as store:
        await store.publish([draft("kept")])
        before = await store.head()
    shutil.copy(path, tmp_path / "copy")
    async with open_store(place.address) as store:
        assert (await store.head()).epoch == before.epoch
        await store.publish([draft("lost")])
    path.write_bytes((tmp_path / "copy").read_bytes())  # The same file, by its inode.
    async with open_store(place.address) as store:
        after = await store.head()
        assert after.epoch != before.epoch
        assert after.last == 1
    async with open_store(place.address) as store:
        assert (await store.head()).epoch == after.epoch
        await store.publish([draft("other")])
    os.replace(tmp_path / "copy", path)
    async with open_store(place.address) as store:
        assert (await store.head()).epoch not in (before.epoch, after.epoch)


def _anew(folder: Path, copies: Path) -> None:
    """As `rm` and `cp -a` do: other files, which may have the same inodes."""
    for file in sorted(folder.iterdir()):
        file.unlink()
    shutil.copytree(copies, folder, dirs_exist_ok=True)


def _over(folder: Path, copies: Path) -> None:
    """As `cat` does: the same files."""
    for copy in copies.iterdir():
        (folder / copy.name).write_bytes(copy.read_bytes())


def _alone(folder: Path, copies: Path) -> None:
    _anew(folder, copies)
    (folder / "events.db.seen").unlink()


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("put_back", [_anew, _over, _alone])
async def test_a_database_that_is_put_back_with_all_that_lies_beside_it_gets_a_new_epoch(
    tmp_path: Path, put_back: Callable[[Path, Path], None], crashed: bool
) -> None:
    folder, copies = tmp_path / "data", tmp_path / "copies"
    folder.mkdir()
    place = sqlite_place(folder)
    async with open_store(place.address) as store:
        await store.publish([draft("kept")])
        before = await store.head()
    shutil.copytree(folder, copies)
    if crashed:
        session = SqliteDatabase(folder / "events.db").open()
        session.begin()
        assert session.finish([row_of(draft("lost"))]) == 2
        session.close()  # And no word of it in `.seen`.
    else:
        async with open_store(place.address) as store:
            assert (await store.head()).epoch == before.epoch
            await store.publish([draft("lost")])
    put_back(folder, copies)
    heads = []
    for _ in range(2):
        async with open_store(place.address) as store:
            heads.append(await store.head())
    assert heads[0].epoch != before.epoch
    assert heads[0].last == 1
    assert heads[0] == heads[1]


async def test_neither_a_crash_nor_another_name_nor_another_owner_makes_a_new_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    async with open_store(sqlite_place(folder).address) as store:
        await store.publish([draft()])
        epoch = (await store.head()).epoch
    for _ in range(2):
        session = SqliteDatabase(folder / "events.db").open()
        session.begin()
        session.finish([row_of(draft())])
        session.close()
    for file in folder.iterdir():
        os.utime(file)
        file.chmod(0o640)
    folder = folder.rename(tmp_path / "moved")
    async with open_store(sqlite_place(folder).address) as store:
        assert ((await store.head()).epoch, (await store.head()).last) == (epoch, 3)


def test_a_file_is_told_by_its_birth_as_well_where_that_is_known() -> None:
    assert not FileIdentity(7, 1).is_other(FileIdentity(7, 1))
    assert FileIdentity(7, 1).is_other(FileIdentity(7, 2))
    assert FileIdentity(7, 1).is_other(FileIdentity(8, 1))
    assert not FileIdentity(7, 0).is_other(FileIdentity(7, 2))
    assert not FileIdentity(7, 2).is_other(FileIdentity(7, 0))


async def test_who_reads_does_not_wait_for_another_process_that_hangs_in_a_commit(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    async with open_store(place.address) as store:
        await store.publish([draft()])
        before = await store.head()
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as hangs:
        hangs.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        session = SqliteDatabase(tmp_path / "events.db").open()
        assert session.head() == before
        assert len(session.read(0, 10)) == 1
        session.close()
        assert time.monotonic() - began_s < 2  # A lock would be waited for for 5 s, and not be had.


async def test_a_file_that_is_replaced_while_it_is_open_is_noticed_and_whole(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    path = Path(place.address.removeprefix("sqlite:"))
    async with open_store(place.address) as store:
        await store.publish([draft("kept"), draft("kept")])
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
            source.backup(copy)
        before = await store.head()
        assert await store.publish([draft("lost")] * 50) == list(range(3, 53))
        assert len(await everything(store)) == 52
        os.replace(tmp_path / "copy", path)
        assert await store.publish([draft("new")]) == [3]
        assert [event.draft.path for event in await everything(store)] == ["kept", "kept", "new"]
        assert (await store.head()).epoch != before.epoch
    assert place.run("PRAGMA integrity_check") == [("ok",)]
    assert place.run("SELECT count(*) FROM events") == [(3,)]


async def test_a_file_that_is_removed_while_it_is_open_is_begun_anew(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    path = Path(place.address.removeprefix("sqlite:"))
    async with open_store(place.address) as store:
        await store.publish([draft(), draft()])
        before = await store.head()
        path.unlink()
        after = await store.head()
        assert after.epoch != before.epoch
        assert after.last == 0
        assert await store.publish([draft("first")]) == [1]
        assert [event.draft.path for event in await everything(store)] == ["first"]


@pytest.mark.parametrize("rotten", [b"", b"\xff\xfe", b"not a line", b"0123456789abcdef 7\n"])
async def test_without_a_note_of_what_was_seen_a_store_is_believed(tmp_path: Path, rotten: bytes) -> None:
    place = sqlite_place(tmp_path)
    async with open_store(place.address) as store:
        await store.publish([draft()])
        before = await store.head()
    (tmp_path / "events.db.seen").write_bytes(rotten)
    async with open_store(place.address) as store:
        assert await store.head() == before
    assert (tmp_path / "events.db.seen").read_text().startswith(f"{before.epoch} 1 ")


async def test_a_dump_put_back_into_another_database_or_the_same_one_gets_a_new_epoch(
    postgres: PrivatePostgres,
) -> None:
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        await store.publish([draft()])
        epochs = [(await store.head()).epoch]
    name = place.address.partition("@/")[2].partition("?")[0]
    for other in ("copy_of_it", "another_copy"):
        postgres.execute("postgres", f"CREATE DATABASE {other} TEMPLATE {name}")  # type: ignore[arg-type]
        async with open_store(postgres.address(other)) as store:
            head = await store.head()
            assert head.last == 1
            epochs.append(head.epoch)
    # As `pg_restore --clean` does: the same database, other tables.
    place.run("CREATE TABLE kept AS SELECT * FROM events")
    place.run("DROP TABLE events")
    place.run("ALTER TABLE kept RENAME TO events")
    for _ in range(2):
        async with open_store(place.address) as store:
            epochs.append((await store.head()).epoch)
    assert epochs[-1] == epochs[-2]
    assert len(set(epochs)) == len(epochs) - 1


async def test_a_server_that_comes_back_without_its_tail_has_a_new_epoch(postgres: PrivatePostgres) -> None:
    place = postgres_place(postgres)
    async with open_store(place.address) as store:
        await store.publish([draft(), draft(), draft()])
        before = await store.head()
        place.run("DELETE FROM events WHERE id > 1")
        place.run("UPDATE meta SET last = 1")
        place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
        with trio.fail_after(LIMIT_S):
            await until_up(store)
        assert place.run("SELECT epoch FROM meta") != [(before.epoch,)]
        events, head = await everything(store), await store.head()
        assert head.epoch != before.epoch
        assert [event.id for event in events] == [1, 2]
