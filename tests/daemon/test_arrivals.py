"""Frames that arrive below the roots of real daemons: announced once, whoever dies meanwhile."""

import contextlib
import json
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio

from imgd.events.opening import open_store
from imgd.events.store import StoreDown
from tests.daemon.following import Follower, drafts, following
from tests.daemon.rig import RunningDaemon, running_daemon, starting_daemon
from tests.events.postgres import PrivatePostgres, private_postgres
from tests.frames import make

LIMIT_S = 30.0
DISK_BYTES = 6 << 20  # More than any segment of these small frames.
MANY = 50_000


@pytest.fixture(name="server", scope="module")
def private_server() -> Any:
    """A PostgreSQL of one's own."""
    with private_postgres() as server:
        yield server


def small(value: int = 1000) -> bytes:
    """A frame of 40 x 30."""
    return make.image_hdu(np.full((30, 40), value, np.uint16), cards=[make.card("OBJECT", "M 31")])


class Arrivals:
    """A client that follows, and keeps the events of frames whole."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.events: list[dict[str, Any]] = []
        self.cursor = ""

    async def subscribe(self, since: str | None = None) -> None:
        """Follow from now on, or from a cursor."""
        reply = await self.follower.ask(op="subscribe", since=since, filters=[["type", "in", FRAMES]])
        self.cursor = since or reply["head"]

    async def hear(self) -> None:
        """Take one message."""
        message = await self.follower.hear()
        for each in message.get("events", ()):
            self.events.append(each["event"])
            self.cursor = f"{self.cursor.partition(':')[0]}:{each['event']['id']}"

    async def until(self, count: int) -> list[tuple[str, str]]:
        """Take messages until there are so many; tell (type, path) of each."""
        while len(self.events) < count:
            await self.hear()
        return [(event["type"].removeprefix("frame."), event["path"]) for event in self.events]


FRAMES = ["frame.arrived", "frame.rewritten", "frame.gone"]


@asynccontextmanager
async def arriving(daemon: RunningDaemon, since: str | None = None) -> AsyncIterator[Arrivals]:
    """Follow frames."""
    async with following(daemon) as follower:
        arrivals = Arrivals(follower)
        await arrivals.subscribe(since)
        yield arrivals


async def test_a_frame_is_announced_as_the_api_gives_it_and_its_thumbnail_is_there(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    async with running_daemon(f"night={tmp_path}/night") as daemon, arriving(daemon) as client:
        (tmp_path / "night" / "a b.fits").write_bytes(small())
        await client.until(1)
        (tmp_path / "night" / "a b.fits").write_bytes(small(1001) + bytes(2880))
        await client.until(2)
        (tmp_path / "night" / "a b.fits").unlink()
        assert await client.until(3) == [("arrived", "a b.fits"), ("rewritten", "a b.fits"), ("gone", "a b.fits")]
        (tmp_path / "night" / "c.fits").write_bytes(small())
        await client.until(4)
        event = client.events[3]
        listed = json.loads((await daemon.get("/frames?dir=night")).body)["entries"]
        assert event["frame"] == listed[0]
        assert event["hdu"]["OBJECT"] == "M 31"
        assert event["hdu"]["NAXIS1"] == 40
        picture = await daemon.get("/" + event["thumbnail"])
        assert (picture.status, picture.headers["content-type"]) == (200, "image/jpeg")


async def test_a_frame_in_pieces_over_seconds_is_announced_once(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    octets = make.image_hdu(np.arange(300_000, dtype=np.uint16).reshape(500, 600))
    async with running_daemon(f"night={tmp_path}/night", settle_s=3) as daemon, arriving(daemon) as client:
        path = tmp_path / "night" / "slow.fits"
        for start in range(0, len(octets), 100_000):  # Opened and closed for each piece, as some cameras do.
            with path.open("ab") as file:
                file.write(octets[start : start + 100_000])
            await trio.sleep(0.3)
        assert await client.until(1) == [("arrived", "slow.fits")]
        assert "detail" not in client.events[0]
        (tmp_path / "night" / "next.fits").write_bytes(small())
        assert (await client.until(2))[1] == ("arrived", "next.fits")


async def test_a_frame_cut_short_is_announced_as_such_once_it_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    async with running_daemon(f"night={tmp_path}/night", settle_s=0.5) as daemon, arriving(daemon) as client:
        (tmp_path / "night" / "cut.fits").write_bytes(make.image_hdu(np.zeros((500, 600), np.uint16))[:300_000])
        await client.until(1)
        assert client.events[0]["detail"] == {"incomplete": True}


async def test_two_daemons_on_one_store_announce_once_and_a_client_moves_from_one_to_the_other(
    tmp_path: Path, server: PrivatePostgres
) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    where = server.new_database()
    async with (
        running_daemon(f"night={folder}", database=where) as one,
        running_daemon(f"night={folder}", database=where) as other,
    ):
        async with arriving(one) as client, arriving(other) as beside:
            for number in range(20):
                (folder / f"{number}.fits").write_bytes(small())
            assert await client.until(20) == await beside.until(20)
            assert len({event["path"] for event in client.events}) == 20
            cursor = client.cursor
        one.process.kill()
        await one.process.wait()
        for number in range(20, 30):
            (folder / f"{number}.fits").write_bytes(small())
        async with arriving(other, cursor) as client:
            await client.until(10)
            assert sorted(event["path"] for event in client.events) == [f"{n}.fits" for n in range(20, 30)]
        (folder / "last.fits").write_bytes(small())
        async with arriving(other, cursor) as client:
            assert (await client.until(11))[10] == ("arrived", "last.fits")
            ids = [event["id"] for event in client.events]
            assert ids == sorted(set(ids))


async def test_what_happened_while_no_daemon_ran_is_announced_at_the_next_start(tmp_path: Path) -> None:
    folder, where = tmp_path / "night", f"sqlite:{tmp_path}/events.sqlite"
    folder.mkdir()
    for name in ("stays.fits", "goes.fits", "changes.fits"):
        (folder / name).write_bytes(small())
    async with running_daemon(f"night={folder}", database=where) as daemon, arriving(daemon) as client:
        (folder / "first.fits").write_bytes(small())
        assert await client.until(1) == [("arrived", "first.fits")], "what was there at the first start is no event"
        cursor = client.cursor
        past = f"/events?since={cursor.partition(':')[0]}:0"
        with trio.fail_after(LIMIT_S):  # Files this young are waited for: the root counts as known when that is over.
            while b'"root.scanned"' not in (await daemon.get(past)).body:
                await trio.sleep(0.05)
    (folder / "goes.fits").unlink()
    (folder / "changes.fits").write_bytes(small() + bytes(2880))
    (folder / "comes.fits").write_bytes(small())
    async with running_daemon(f"night={folder}", database=where) as daemon, arriving(daemon, cursor) as client:
        told = sorted(await client.until(3))
        assert told == [("arrived", "comes.fits"), ("gone", "goes.fits"), ("rewritten", "changes.fits")]


async def test_a_root_that_comes_later_and_goes_is_told_as_facts_and_served_while_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.fits").write_bytes(small())
    (tmp_path / "night" / "a.fits").write_bytes(small())
    roots = [f"night={tmp_path}/night", f"later={tmp_path}/later"]
    async with running_daemon(roots, settle_s=0.2) as daemon, following(daemon) as client:
        assert "cannot open" in daemon.log()
        epoch = (await client.ask(op="subscribe"))["head"].partition(":")[0]
        away = await daemon.get("/img?frame=later/a.fits")
        assert (away.status, json.loads(away.body)["detail"]) == (503, "the directory of root 'later' is not there")

        async def told(kind: str) -> None:
            with trio.fail_after(LIMIT_S):
                while True:
                    page = json.loads((await daemon.get(f"/events?since={epoch}:0&limit=1000")).body)
                    kinds = [event["type"] for event in page["events"] if event.get("root") == "later"]
                    if kinds and kinds[-1] == kind:
                        return
                    await trio.sleep(0.05)

        assert (await daemon.get("/img?frame=night/a.fits")).status == 200  # By a worker that may not read the other.
        (tmp_path / "made").rename(tmp_path / "later")  # As a mount: there, with all that is in it.
        assert (await daemon.get("/img?frame=later/a.fits&size=,9")).status == 200
        await told("root.scanned")
        assert (await daemon.get("/img?frame=later/a.fits")).status == 200
        (tmp_path / "later" / "b.fits").write_bytes(small())
        await told("frame.arrived")
        (tmp_path / "later").rename(tmp_path / "away")
        await told("root.vanished")
        assert (await daemon.get("/img?frame=later/a.fits&size=10,")).status == 503
        assert (await daemon.get("/frames?dir=later")).status == 503
        (tmp_path / "away" / "c.fits").write_bytes(small())
        (tmp_path / "away").rename(tmp_path / "later")
        await told("frame.arrived")  # Of what changed meanwhile, and only that.
        assert (await daemon.get("/img?frame=later/c.fits&size=10,")).status == 200
        page = json.loads((await daemon.get(f"/events?since={epoch}:0&limit=1000")).body)
        told_of = [(event["type"], event.get("path", "")) for event in page["events"] if event.get("root") == "later"]
        assert [each for each in told_of if each[0].startswith("frame.")] == [
            ("frame.arrived", "b.fits"), ("frame.arrived", "c.fits"),
        ]  # fmt: skip


async def test_a_database_killed_under_load_gives_no_id_twice(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    seen: dict[str, str] = {}  # By cursor: what the event said.
    with private_postgres() as server:
        where = server.new_database()
        async with (
            running_daemon(f"night={tmp_path}/night", database=where) as daemon,
            following(daemon) as client,
            open_store(where) as store,
        ):
            epoch = (await client.ask(op="subscribe"))["head"].partition(":")[0]
            acknowledged = 0

            async def publish() -> None:
                nonlocal acknowledged
                for number in range(10_000):
                    try:
                        acknowledged += len(await store.publish(drafts(1, number)))
                    except StoreDown:
                        await trio.sleep(0.02)  # A database may take some seconds to come back.

            async def follow() -> None:
                nonlocal epoch
                while True:
                    message = json.loads(await client.socket.get_message())
                    epoch = message.get("head", epoch).partition(":")[0]
                    for each in message.get("events", ()):
                        cursor, text = f"{epoch}:{each['event']['id']}", json.dumps(each["event"])
                        assert seen.setdefault(cursor, text) == text, "an id was given twice"

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                for _ in range(2):
                    async with trio.open_nursery() as publishing:
                        publishing.start_soon(publish)
                        before = acknowledged
                        with trio.fail_after(LIMIT_S):
                            while acknowledged < before + 200:
                                await trio.sleep(0.01)
                        await trio.to_thread.run_sync(server.kill)
                        await trio.sleep(0.2)
                        await trio.to_thread.run_sync(server.start)
                        with trio.fail_after(LIMIT_S):
                            while acknowledged < before + 400:
                                await trio.sleep(0.01)
                        publishing.cancel_scope.cancel()
                last = (await store.head()).last
                with trio.fail_after(LIMIT_S):
                    while f"{epoch}:{last}" not in seen:
                        await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
            stored = {f"{epoch}:{event.id}": event for event in await store.read(0, 100_000)}
            assert len(seen) >= acknowledged > 800
            for cursor, text in seen.items():
                assert json.loads(text) == json.loads(stored[cursor].json), cursor
            assert (await daemon.get("/readyz")).status == 200


async def test_a_full_disk_stops_events_and_no_picture(tmp_path: Path) -> None:
    folder, database = tmp_path / "night", tmp_path / "events.sqlite"
    folder.mkdir()
    (folder / "a.fits").write_bytes(small())
    async with (
        running_daemon(f"night={folder}", database=f"sqlite:{database}") as daemon,
        open_store(f"sqlite:{database}") as store,
        arriving(daemon) as client,
    ):
        assert json.loads((await daemon.get("/readyz")).body) == {"status": "ok", "events": "ok"}
        await store.publish(drafts(1))
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()  # As long as it reads, the file only grows.
            while (tmp_path / "events.sqlite-wal").stat().st_size < DISK_BYTES:
                await store.publish(drafts(100, size=10_000))
            sizes = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (DISK_BYTES, sizes[1]))  # As a disk that is full.
            for number in range(20):
                (folder / f"{number}.fits").write_bytes(small())
            with trio.fail_after(LIMIT_S):
                while (told := json.loads((await daemon.get("/readyz")).body))["events"] == "ok":
                    await trio.sleep(0.05)
            assert (told["status"], "disk" in told["events"]) == ("ok", True)
            assert (await daemon.get("/img?frame=night/a.fits")).status == 200
            assert not {"0.fits", "19.fits"} & {event["path"] for event in client.events}
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, sizes)
        arrived = [f"{number}.fits" for number in range(20)]
        while len([event for event in client.events if event.get("frame")]) < len(arrived):
            await client.hear()
        assert sorted(event["path"] for event in client.events if event.get("frame")) == sorted(arrived)
        assert json.loads((await daemon.get("/readyz")).body)["events"] == "ok"


async def test_a_large_tree_is_no_reason_to_wait_and_costs_nothing_when_it_has_not_changed(tmp_path: Path) -> None:
    root, where = tmp_path / "archive", f"sqlite:{tmp_path}/events.sqlite"
    octets = small()
    for folder in range(MANY // 500):
        (root / f"{folder:03d}").mkdir(parents=True)
        for number in range(500):
            (root / f"{folder:03d}" / f"{number:03d}.fits").write_bytes(octets)
    async with starting_daemon(f"archive={root}", database=where) as daemon, following(daemon) as client:
        await client.ask(op="subscribe", filters=[["type", "in", ["root.scanning", "root.scanned"]]])
        assert len(json.loads((await daemon.get("/frames?dir=archive/000")).body)["entries"]) == 500
        assert (await root_figures(daemon))["frames"] < MANY, "the start has waited for the scan"
        progress = await until_scanned(client)
        assert progress == sorted(progress)
        assert (progress[-1], len(progress) > 1) == (MANY, True)
        await scanned(daemon)
        figures = await root_figures(daemon)
        assert figures["frames"] == MANY
        assert figures["events_total"] == figures["describes_total"] == 0
    async with starting_daemon(f"archive={root}", database=where) as daemon:
        await scanned(daemon)
        figures = await root_figures(daemon)
        assert figures["frames"] == MANY
        assert figures["events_total"] == figures["describes_total"] == 0
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.process.wait() == 0


async def until_scanned(client: Follower) -> list[int]:
    """Hear how far the scan is, until it is over."""
    progress: list[int] = []
    while True:
        message = await client.hear()
        if message["op"] == "progress":
            progress.append(message["event"]["detail"]["scanned"])
        if any(each["event"]["type"] == "root.scanned" for each in message.get("events", ())):
            return progress


async def scanned(daemon: RunningDaemon) -> None:
    """Wait until the root was looked through; the daemon answers meanwhile."""
    with trio.fail_after(120):
        while (figures := await root_figures(daemon))["scanning"] or figures["frames"] < MANY:
            await trio.sleep(0.05)


async def root_figures(daemon: RunningDaemon) -> dict[str, float]:
    """The figures of the only root."""
    text = (await daemon.get("/metrics")).body.decode()
    told = (line.removeprefix("imgd_root_") for line in text.splitlines() if line.startswith("imgd_root_"))
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in told}
