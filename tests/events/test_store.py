"""What both stores promise: ids, the index, reading, forgetting."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from imgd.events import sqlite
from imgd.events.opening import open_store
from imgd.events.postgres import PostgresDatabase
from imgd.events.store import Change, Head, Retention
from tests.events.postgres import PrivatePostgres
from tests.events.stores import Place, change, draft, everything, index_of, postgres_place


async def test_what_is_published_is_read_as_it_was_with_dense_ids(place: Place) -> None:
    drafts = [draft("a.fits"), draft("ü \n.fits", why="\0 \\ ' % ? \U0001f52d"), draft("c.fits", n=2**53, x=None)]
    async with open_store(place.address) as store:
        empty = await store.head()
        assert (empty.last, empty.oldest) == (0, 1)
        assert await store.publish(drafts[:1]) == [1]
        assert await store.publish(drafts[1:]) == [2, 3]
        assert await store.publish([]) == []
        events = await store.read(0, 100)
        assert [event.draft for event in events] == drafts
        assert [event.id for event in events] == [1, 2, 3]
        assert [event.id for event in await store.read(1, 1)] == [2]
        assert await store.read(3, 100) == []
        assert await store.head() == Head(empty.epoch, 3, 1)


async def test_a_store_opened_again_goes_on_where_it_was(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft("a.fits"), draft("b.fits")])
        await store.note([change("n.fits", "1:1")])
        head, events = await store.head(), await everything(store)
    async with open_store(place.address) as store:
        assert await store.head() == head
        assert await everything(store) == events
        assert await store.publish([draft("c.fits")]) == [4]
        assert await index_of(store) == {b"n.fits": "1:1"}


async def test_many_at_once_share_commits_and_each_gets_its_own_ids(place: Place) -> None:
    ids: dict[int, list[int]] = {}

    async def publish(number: int) -> None:
        ids[number] = list(await store.publish([draft(f"{number}.fits"), draft(f"{number}+.fits")]))

    async with open_store(place.address) as store:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(publish, number)
        names = {event.id: event.draft.path for event in await everything(store)}
        figures = store.statistics()
    assert sorted(id for both in ids.values() for id in both) == list(range(1, 201))
    assert all([names[id] for id in ids[number]] == [f"{number}.fits", f"{number}+.fits"] for number in ids)
    assert figures.events_published_total == 200
    assert figures.commits_total < 50
    assert figures.largest_batch > 4
    assert (figures.waiting, figures.down, figures.failures_total) == (0, 0, 0)


async def test_the_index_decides_what_an_event_is_and_whether_there_is_one(place: Place) -> None:
    async with open_store(place.address) as store:
        assert await store.note([]) == []
        assert await store.note([change("a", "1:1"), change("b", "2:1")]) == [1, 2]
        assert await store.note([change("a", "1:1"), change("b", "3:9"), change("c", None)]) == [None, 3, None]
        assert await store.note([change("a", None)]) == [4]
        assert await store.note([change("a", None)]) == [None]
        assert await store.note([change("a", "1:1"), change("a", "1:1"), change("a", "1:2"), change("a", None)]) == [
            5,
            None,
            6,
            7,
        ]
        assert await store.note([change("a", "1:1", root="other")]) == [8]
        assert [(event.draft.path, event.draft.type.removeprefix("frame.")) for event in await everything(store)] == [
            ("a", "arrived"),
            ("b", "arrived"),
            ("b", "rewritten"),
            ("a", "gone"),
            ("a", "arrived"),
            ("a", "rewritten"),
            ("a", "gone"),
            ("a", "arrived"),
        ]
        assert await index_of(store) == {b"b": "3:9"}
        assert await index_of(store, "other") == {b"a": "1:1"}


async def test_a_frame_that_came_and_went_in_one_breath_leaves_nothing_in_the_index(place: Place) -> None:
    async with open_store(place.address) as store:
        assert await store.note([change("a", "1:1"), change("a", None), change("b", None)]) == [1, 2, None]
        assert await index_of(store) == {}
        assert await store.note([change("a", None)]) == [None]


async def test_two_daemons_that_see_the_same_make_one_event(place: Place) -> None:
    names = [f"{number:03}.fits" for number in range(200)]
    made: list[int] = []

    async def watch(daemon: int, backwards: bool) -> None:
        async with open_store(place.address) as store:
            for part in range(0, 200, 20):
                changes = [change(name, f"{part}:1") for name in names[part : part + 20]]
                ids = await store.note(changes[::-1] if backwards else changes)
                made.extend(id for id in ids if id is not None)
            assert store.statistics().opened_total == 2  # One that reads, one that writes: none was lost in a deadlock.

    async with open_store(place.address) as store:
        async with trio.open_nursery() as nursery:
            for daemon in range(4):
                nursery.start_soon(watch, daemon, daemon % 2 == 1)
        events = await everything(store)
    assert sorted(made) == list(range(1, 201))
    assert sorted(event.draft.path for event in events) == names
    assert {event.draft.type for event in events} == {"frame.arrived"}


async def test_notes_and_events_of_one_moment_stay_in_the_order_they_were_asked(place: Place) -> None:
    order: list[int] = []

    async def publish(number: int) -> None:
        order.extend(await store.publish([draft(f"{number}")]))

    async def note(number: int) -> None:
        order.extend(id for id in await store.note([change(f"{number}", "1:1")]) if id)

    async with open_store(place.address) as store, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(publish if number % 3 else note, number)
    assert sorted(order) == list(range(1, 41))
    async with open_store(place.address) as store:
        assert sorted(event.draft.path for event in await everything(store)) == sorted(map(str, range(40)))


async def test_names_are_bytes_and_their_order_is_that_of_bytes(place: Place) -> None:
    names = [b"a", b"\xff\xfe not text", "é".encode(), b"a b", b"A", b"a\\b'%s?"]
    async with open_store(place.address) as store:
        await store.fill("night", dict.fromkeys(names, "1:1"))
        pages = [rows async for rows in store.index("night", 2)]
        assert [path for rows in pages for path, _ in rows] == sorted(names)
        assert max(map(len, pages)) == 2
        assert await store.note([replace(change("x", "1:1"), path=name) for name in names]) == [None] * 6


async def test_a_first_scan_makes_no_events_and_leaves_what_is_newer(place: Place) -> None:
    known = {f"{number}.fits".encode(): "1:1" for number in range(3000)}
    async with open_store(place.address) as store:
        await store.note([change("7.fits", "2:2")])
        await store.fill("night", known)
        await store.fill("night", {})
        assert await index_of(store, page=700) == known | {b"7.fits": "2:2"}
        assert (await store.head()).last == 1


async def test_a_root_keeps_its_index_by_its_name_however_its_directory_is_spelled(place: Place) -> None:
    async with open_store(place.address) as store:
        assert not await store.enter_root("night", "/data/one")
        await store.fill("night", {b"a": "1:1"})
        await store.fill("day", {b"a": "1:1"})
        assert await store.enter_root("night", "/data/one")
        assert await index_of(store) == {b"a": "1:1"}
        assert await store.enter_root("night", "/data/\udcff")
        assert await store.enter_root("night", "/data/one")
        assert await index_of(store) == {b"a": "1:1"}
        assert await store.note([change("a", "1:1"), change("b", "1:1")]) == [None, 1]
        assert not await store.enter_root("day", "/data/one")
        assert await index_of(store, "day") == {b"a": "1:1"}
    assert place.run("SELECT name, directory FROM roots ORDER BY name") == [
        ("day", "/data/one"),
        ("night", "/data/one"),
    ]


async def test_what_no_store_takes_is_refused_before_it_is_asked_for(place: Place) -> None:
    async with open_store(place.address) as store:
        for bad in (
            replace(draft(), type="frame.eaten"),
            replace(draft(), type="root.scanning"),
            draft(at="2026-01-31T20:15:00Z"),
            draft(at="yesterday"),
            draft(note="\udcff"),
            draft(note="x" * 2**20),
        ):
            with pytest.raises(ValueError, match=r".") as caught:
                await store.publish([draft(), bad])
            assert not isinstance(caught.value, AssertionError)
            with pytest.raises(ValueError, match=r"."):
                await store.note([replace(change("a", "1:1"), draft=bad)])
        for wrong in (change("a", ""), change("", "1:1"), change("a", "1:1", root="a\0b"), change("x" * 5000, "1:1")):
            with pytest.raises(ValueError, match=r"must have"):
                await store.note([wrong])
        with pytest.raises(ValueError, match=r"must have"):
            await store.fill("night", {b"": "1:1"})
        with pytest.raises(ValueError, match=r"must have"):
            await store.enter_root("", "/data")
        assert (await store.head()).last == 0
        assert await index_of(store) == {}


async def test_old_events_are_forgotten_by_count(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft(f"{number}") for number in range(5000)])
        assert await store.prune(Retention(1e9, 6000)) == 0
        assert await store.prune(Retention(1e9, 120)) == 4880
        head = await store.head()
        assert (head.last, head.oldest) == (5000, 4881)
        assert [event.id for event in await everything(store)] == list(range(4881, 5001))
        assert await store.prune(Retention(1e9, 0)) == 120
        assert await store.prune(Retention(1e9, 0)) == 0
        assert await store.head() == replace(head, oldest=5001)
        assert await store.publish([draft()]) == [5001]
        assert await store.head() == replace(head, last=5001, oldest=5001)


async def test_old_events_are_forgotten_by_age_up_to_the_first_young_one(place: Place) -> None:
    def ago(hours: float) -> str:
        moment = datetime.now(UTC) - timedelta(hours=hours)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async with open_store(place.address) as store:
        await store.publish([draft(at=ago(hours)) for hours in (30, 26, 23, 25, 1)])
        assert await store.prune(Retention(48 * 3600, 1000)) == 0
        assert await store.prune(Retention(24 * 3600, 1000)) == 2
        assert [event.id for event in await everything(store)] == [3, 4, 5]
        assert await store.prune(Retention(60, 1000)) == 3
        assert (await store.head()).oldest == 6


async def test_an_event_of_the_future_keeps_no_older_ones_and_is_kept_until_an_old_one_comes_after_it(
    place: Place,
) -> None:
    def ago(hours: float) -> str:
        moment = datetime.now(UTC) - timedelta(hours=hours)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    future = "2099-01-01T00:00:00.000Z"
    day = Retention(24 * 3600, 1000)
    async with open_store(place.address) as store:
        await store.publish([draft(at=at) for at in (ago(30), future, ago(26), future, future)])
        assert await store.prune(day) == 3
        assert await store.prune(day) == 0
        assert (await store.head()).oldest == 4
        await store.publish([draft(at=at) for at in (ago(25), future, ago(1), ago(30), future)])
        assert await store.prune(day) == 3
        assert [event.id for event in await everything(store)] == [7, 8, 9, 10]


async def test_forgetting_much_lets_writers_through_in_between(place: Place) -> None:
    async with open_store(place.address) as store:
        await store.publish([draft(f"{number}") for number in range(9000)])
        forgotten: list[int] = []

        async def prune() -> None:
            forgotten.append(await store.prune(Retention(1e9, 10)))

        between = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(prune)
            await trio.testing.wait_all_tasks_blocked()
            while not forgotten:
                await store.publish([draft()])
                between += not forgotten
        assert forgotten == [8990]
        assert between >= 3
        assert (await store.head()).oldest == 8991


async def test_a_nudge_comes_for_what_this_daemon_wrote_and_for_what_another_one_wrote(place: Place) -> None:
    async with open_store(place.address) as store, open_store(place.address) as other:
        for writer in (store, other):
            nudged, ready = trio.Event(), trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.nudges, nudged.set, ready.set)
                await ready.wait()
                assert not nudged.is_set()
                await writer.publish([draft()])
                with trio.fail_after(5):
                    await nudged.wait()
                nursery.cancel_scope.cancel()


async def test_own_commits_nudge_at_once_and_not_by_looking_at_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_LOOK_EACH_S", 3600.0)
    nudged, ready = trio.Event(), trio.Event()
    async with open_store(f"sqlite:{tmp_path}/events.db") as store, trio.open_nursery() as nursery:
        nursery.start_soon(store.nudges, nudged.set, ready.set)
        await ready.wait()
        await store.note([change("a", "1:1")])
        with trio.fail_after(5):
            await nudged.wait()
        nursery.cancel_scope.cancel()


async def test_what_is_acknowledged_is_on_the_disk_whatever_the_servers_default_is(
    tmp_path: Path, postgres: PrivatePostgres
) -> None:
    place = postgres_place(postgres)
    name = place.address.partition("@/")[2].partition("?")[0]
    postgres.execute("postgres", f"ALTER DATABASE {name} SET synchronous_commit = off")  # type: ignore[arg-type]
    one = PostgresDatabase(place.address).open()
    assert one._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    one.close()
    two = sqlite.SqliteDatabase(tmp_path / "events.db").open()
    assert two._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert two._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    two.close()


async def test_a_frame_that_is_gone_is_told_as_the_index_saw_it_last(place: Place) -> None:
    async with open_store(place.address) as store:
        seen = change("a", "2880:1738354500250000000")
        assert seen.draft.frame is not None
        await store.note([seen])
        nothing = replace(seen.draft.frame, size_bytes=0, modified=None)
        gone = replace(seen.draft, frame=nothing)
        await store.note([Change("night", b"a", None, gone)])
        (_, told) = await everything(store)
    assert (told.draft.type, told.draft.frame) == (
        "frame.gone", replace(nothing, size_bytes=2880, modified="2025-01-31T20:15:00.250Z"),
    )  # fmt: skip
