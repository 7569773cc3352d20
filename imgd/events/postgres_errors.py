"""What PostgreSQL has against a statement, in the terms of a store."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import errors

from imgd.events.sessions import Collided, Undone
from imgd.events.store import StoreDown

# What a statement of ours meets when somebody has changed the tables beneath it.
_CHANGED: Final = (
    errors.FeatureNotSupported,  # A cached plan whose result has other columns now.
    errors.InsufficientPrivilege,
    errors.InvalidSchemaName,
    errors.UndefinedColumn,
    errors.UndefinedTable,
    errors.UniqueViolation,  # The counter was put back, and the events were not.
)


@contextlib.contextmanager
def told(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Tell what the server has against it as StoreDown; a bug of ours (a wrong statement or value) stays what it is."""
    try:
        yield
    except (errors.DeadlockDetected, errors.SerializationFailure) as error:
        raise Collided(words_of(error)) from error
    except errors.NotNullViolation as error:
        raise Undone("the log has lost its end") from error
    except (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError, *_CHANGED) as error:
        raise StoreDown(words_of(error)) from error


def words_of(error: psycopg.Error) -> str:
    """Tell what is wrong in one line; libpq's first line names the server, the last one the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines) or type(error).__name__
