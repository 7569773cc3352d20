"""Both real stores for the same tests, and what is put into them."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from imgd.access.listing import Entry
from imgd.events.event import Draft, Event
from imgd.events.store import Change, Store, StoreDown
from tests.events.postgres import PrivatePostgres

AT = "2026-01-31T20:15:00.250Z"
LIMIT_S = 30.0


@dataclass(frozen=True)
class Place:
    """Where a store is, before it is opened; `run` goes past the store, to its tables."""

    address: str
    run: Callable[[str], list[Any]]

    @property
    def is_sqlite(self) -> bool:
        """Tell which of the two it is."""
        return self.address.startswith("sqlite:")


def sqlite_place(folder: Path) -> Place:
    """Have a place for an SQLite store that does not exist yet."""
    path = folder / "events.db"

    def run(text: str) -> list[Any]:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()

    return Place(f"sqlite:{path}", run)


def postgres_place(server: PrivatePostgres) -> Place:
    """Have a new database."""
    address = server.new_database()
    path = "&options=-csearch_path%3Dimgd"
    return Place(address, lambda text: server.execute(address + path, text))  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Have a place for a store that does not exist yet: one of each kind."""
    if request.param == "sqlite":
        return sqlite_place(tmp_path)
    return postgres_place(request.getfixturevalue("postgres"))


def draft(name: str = "a.fits", at: str = AT, **detail: Any) -> Draft:
    """Have a draft that says much."""
    entry = Entry(name, f"night/{name}", "frame", 2880, "2026-01-31T20:15:00Z")
    return Draft(at=at, type="frame.arrived", root="night", path=name, frame=entry, hdu={"EXPTIME": 0.5}, detail=detail)


def change(name: str, identity: str | None, root: str = "night") -> Change:
    """Have a change of a file; its draft is named as it is."""
    return Change(root, os.fsencode(name), identity, draft(name))


async def everything(store: Store, page: int = 1000) -> list[Event]:
    """Read the whole log, page by page, as a client does."""
    events: list[Event] = []
    while rows := await store.read(events[-1].id if events else 0, page):
        events += rows
    return events


async def index_of(store: Store, root: str = "night", page: int = 10_000) -> dict[bytes, str]:
    """Read the index of a root."""
    return {path: identity async for rows in store.index(root, page) for path, identity in rows}


async def until_up(store: Store) -> None:
    """Wait until a store takes events again, by sending it one."""
    with trio.fail_after(LIMIT_S):
        while True:
            try:
                await store.publish([draft("up again.fits")])
                return
            except StoreDown:
                await trio.sleep(0.05)  # It tries again by itself, later each time; nobody tells us.
