"""From the name of a store, as settings have it, to the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imgd.errors import ConfigError, NotNow
from imgd.events.durable import keeping
from imgd.events.sessions import Database
from imgd.events.sqlite import SqliteDatabase
from imgd.events.store import Store, StoreDown, WrongStore


@asynccontextmanager
async def open_store(where: str) -> AsyncIterator[Store]:
    """Have the store that is named, its schema brought up to date; when this ends all that was asked is answered.

    where  `sqlite:/absolute/path`, or a `postgresql://` address as libpq knows them.

    Raises  NotNow if it cannot be had now: a directory is missing, the disk is full, no server answers. ConfigError if
            it never will: the name is none, another program or a newer imgd has written it.
    """
    database = _database_of(where)
    answered = False
    try:
        async with keeping(database) as store:
            answered = True
            yield store
    except StoreDown as error:
        if answered:
            raise
        raise (ConfigError if isinstance(error, WrongStore) else NotNow)(f"database: {error}") from error


def _database_of(where: str) -> Database:
    if where.startswith("sqlite:/"):
        return SqliteDatabase(Path(where.removeprefix("sqlite:")))
    if where.startswith(("postgresql://", "postgres://")):
        from imgd.events.postgres import PostgresDatabase  # noqa: PLC0415  # 10 MB that most need not.

        return PostgresDatabase(where)
    raise ConfigError("database must be sqlite:/absolute/path or postgresql://USER@HOST/NAME")
