"""Clients of the real daemon that follow its log of events, and another writer of the same store."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from imgd.events.event import Draft
from imgd.events.opening import open_store
from imgd.events.store import Store
from tests.daemon.rig import RunningDaemon, starting_daemon

LIMIT_S = 20.0


def drafts(count: int, first: int = 1, size: int = 0) -> list[Draft]:
    """Events whose path is their number."""
    return [
        Draft(
            at="2026-01-31T20:15:00.250Z", type="frame.arrived", root="night", path=f"{number}.fits",
            hdu={"N": number, "COMMENT": "x" * size},
        )
        for number in range(first, first + count)
    ]  # fmt: skip


@asynccontextmanager
async def another_writer(folder: Path) -> AsyncIterator[tuple[str, Store]]:
    """Open a store as another process does; the first is the setting `database` for the daemon."""
    where = f"sqlite:{folder}/events.db"
    async with open_store(where) as store:
        yield where, store


@asynccontextmanager
async def quiet_daemon(roots: str, where: str, store: Store, **settings: object) -> AsyncIterator[RunningDaemon]:
    """Start a daemon on this store, and wait until it has said of itself what there is to say."""
    before = (await store.head()).last
    async with starting_daemon(roots, database=where, **settings) as daemon:
        with trio.fail_after(LIMIT_S):
            while not {"daemon.started", "root.scanned"} <= {e.draft.type for e in await store.read(before, 10)}:
                await trio.sleep(0.01)
        await until_seen(daemon, store)
        yield daemon


async def until_seen(daemon: RunningDaemon, store: Store) -> None:
    """Wait until the daemon knows of all that is in the store: another process' writing is polled for."""
    last = (await store.head()).last
    with trio.fail_after(LIMIT_S):
        while int(json.loads((await daemon.get("/events")).body)["cursor"].split(":")[1]) < last:
            await trio.sleep(0.01)


@dataclass
class Follower:
    """One session; what it is told is kept by subscription."""

    socket: WebSocketConnection
    told: dict[int, list[int]] = field(default_factory=dict)
    copies: list[tuple[list[int], int]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0

    async def hear(self) -> dict[str, Any]:
        """Hear one message; events and what concerns subscriptions are noted on the way."""
        with trio.fail_after(LIMIT_S):
            message = json.loads(await self.socket.get_message())
        for each in message.get("events", ()):
            self.copies.append((each["subs"], each["event"]["id"]))
            for sub in each["subs"]:
                self.told.setdefault(sub, []).append(each["event"]["id"])
        if message["op"] in ("live", "missed", "reset"):
            self.notes.append(message)
        return dict(message)

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Ask, and hear until the reply is there."""
        self.number += 1
        await self.socket.send_message(json.dumps({"id": self.number, **message}))
        while (reply := await self.hear()).get("id") != message.get("id", self.number):
            pass
        return reply

    async def until(self, sub: int, last: int) -> list[int]:
        """Hear until this subscription was told this event."""
        while self.told.get(sub, [0])[-1] < last:
            await self.hear()
        return self.told[sub]


@asynccontextmanager
async def following(daemon: RunningDaemon) -> AsyncIterator[Follower]:
    async with daemon.websocket("/live") as socket:
        yield Follower(socket)


async def publish_all(store: Store, all_drafts: Sequence[Draft], page: int = 2_000) -> None:
    for start in range(0, len(all_drafts), page):
        await store.publish(all_drafts[start : start + page])
