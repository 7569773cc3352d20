"""Killed with -9 under load: what was acknowledged is there, and no id that was seen is given to another event."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

from imgd.events.opening import open_store
from imgd.events.store import Store, StoreDown
from tests.events.postgres import PrivatePostgres
from tests.events.stores import LIMIT_S, draft, everything, postgres_place, sqlite_place, until_up

PROJECT = Path(__file__).resolve().parents[2]
ROUNDS = 3
WRITER = """
import sys, trio
from imgd.events.opening import open_store
from tests.events.stores import draft

async def main():
    async with open_store(sys.argv[1]) as store, trio.open_nursery() as nursery:
        async def write(writer):
            for number in range(10**9):
                name = f"{sys.argv[2]}-{writer}-{number}"
                (id,) = await store.publish([draft(name)])
                print(id, name, flush=True)
        for writer in range(8):
            nursery.start_soon(write, writer)

trio.run(main)
"""


class Client:
    """Follows a store, and remembers what each id was."""

    def __init__(self) -> None:
        self.epoch = ""
        self.seen: dict[int, str] = {}

    def saw(self, id: int, name: str) -> None:
        assert self.seen.setdefault(id, name) == name, f"id {id} was {self.seen[id]}, and now is {name}"

    async def follow(self, store: Store) -> None:
        """Read on, and look at the epoch."""
        head = await store.head()
        assert head.epoch == (self.epoch or head.epoch)
        self.epoch = head.epoch
        for event in await store.read(max(self.seen, default=0), 1000):
            self.saw(event.id, event.draft.path)


async def test_an_sqlite_writer_that_is_killed_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    place = sqlite_place(tmp_path)
    client = Client()
    with trio.fail_after(LIMIT_S):
        async with open_store(place.address) as store:
            for round in range(ROUNDS):
                await _write_and_kill(place.address, round, (client, store))
                await client.follow(store)
                names = {event.id: event.draft.path for event in await everything(store)}
                assert names.items() >= client.seen.items()
                assert list(names) == list(range(1, len(names) + 1))
            assert len(client.seen) > ROUNDS * 50
    assert place.run("PRAGMA integrity_check") == [("ok",)]


async def _write_and_kill(address: str, round: int, watching: tuple[Client, Store]) -> None:
    client, store = watching
    command = [sys.executable, "-c", WRITER, address, str(round)]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(PROJECT)}
    )
    assert process.stdout is not None
    try:
        text = b""
        while text.count(b"\n") < 60:
            text += await process.stdout.receive_some()
            await client.follow(store)
        process.send_signal(signal.SIGKILL)
        while more := await process.stdout.receive_some():
            text += more
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()
    for line in text.decode().split("\n")[:-1]:
        id, name = line.split(" ")
        client.saw(int(id), name)


async def test_a_postgres_server_that_is_killed_under_load_loses_and_repeats_nothing(
    postgres: PrivatePostgres,
) -> None:
    place = postgres_place(postgres)
    client = Client()
    failed: set[str] = set()
    acknowledged: dict[int, str] = {}

    async def write(store: Store, writer: str) -> None:
        for number in range(10**9):
            try:
                (id,) = await store.publish([draft(f"{writer}-{number}")])
                acknowledged[id] = f"{writer}-{number}"
            except StoreDown:
                failed.add(f"{writer}-{number}")
                await trio.sleep(0.05)

    async def follow(store: Store) -> None:
        while True:
            try:
                await client.follow(store)
            except StoreDown:
                await trio.sleep(0.05)
            await trio.lowlevel.checkpoint()

    with trio.fail_after(LIMIT_S * 2):
        async with open_store(place.address) as one, open_store(place.address) as two:
            async with trio.open_nursery() as nursery:
                for writer in range(8):
                    nursery.start_soon(write, (one, two)[writer % 2], str(writer))
                nursery.start_soon(follow, two)
                for _ in range(ROUNDS):
                    goal = len(client.seen) + 300
                    while len(client.seen) < goal:
                        await trio.sleep(0.01)  # The load goes on meanwhile.
                    await trio.to_thread.run_sync(postgres.kill)
                    await trio.to_thread.run_sync(postgres.start)
                nursery.cancel_scope.cancel()
            await until_up(one)
            await until_up(two)
            events = await everything(one)
    names = {event.id: event.draft.path for event in events[:-2]}
    assert names.items() >= client.seen.items()
    assert names.items() >= acknowledged.items()
    assert set(names.values()) - set(acknowledged.values()) - {"up again.fits"} <= failed
    assert list(names) == list(range(1, len(names) + 1))
    assert len(set(names.values())) == len(names)
