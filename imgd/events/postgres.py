"""The store in PostgreSQL, for several daemons on several machines. Blocks; called from the store's threads.

An epoch belongs to one history of one table: another cluster, timeline, database or table makes a new one, and so does
a log that lost what this process has seen. Not noticed by a daemon that was not running meanwhile: rows that were put
back into the same tables (a restore of data only), and a data directory that was put back whole, as from a snapshot
of its disk; whoever does that empties the column meta.origin, and a new epoch begins.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, LiteralString

import psycopg
import trio
from msgspec.structs import astuple
from psycopg import errors
from psycopg.rows import TupleRow

from imgd.events import schema
from imgd.events.catalogue_sql import FORGET_HEADERS_POSTGRES, KEEP_POSTGRES, POSTGRES, Dialect, Statement
from imgd.events.event import Event
from imgd.events.headers import Looked
from imgd.events.orders import EnterRoot, Fill, Keep, Key, Row
from imgd.events.postgres_errors import told, words_of
from imgd.events.sessions import Collided, SchemaTooNew, Seen, TookTooLong, Undone, is_behind, readable
from imgd.events.store import Head, StoreDown, WrongStore

_ANSWER_S: Final = 10.0  # A server that says nothing for so long is down,
_SLOW_ANSWER_S: Final = 600.0  # but for what goes through a whole table.
_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "imgd",
    "autocommit": True,
}
_LOCK: Final = 0x696D6764  # Advisory, while the schema is brought up to date.
_WORDS: Final = {
    "integer": "BIGINT", "octets": "BYTEA", "table": "", "text": 'TEXT COLLATE "C"', "number": "DOUBLE PRECISION",
    "json": "JSONB", "modified": POSTGRES.modified,
}  # fmt: skip
_SETTINGS: Final = """SELECT set_config('search_path', 'imgd', false),
    set_config('client_min_messages', 'warning', false),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)"""
_ORIGIN: Final = """SELECT system_identifier || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ':' ||
    (SELECT oid FROM pg_database WHERE datname = current_database()) || ':' || 'events'::regclass::oid
    FROM pg_control_system()"""
_RENEW: Final = "UPDATE meta SET epoch = %s, last = greatest(last, (SELECT max(id) FROM events))"
_META: Final = "SELECT epoch, last, origin, coalesce((SELECT max(id) FROM events), 0) FROM meta"
_HEAD: Final = "SELECT epoch, last, coalesce((SELECT min(id) FROM events), last + 1) FROM meta"
_IDENTITIES: Final = """SELECT root, path, identity FROM frames
    JOIN unnest(%b::text[], %b::bytea[]) AS asked (root, path) USING (root, path)"""
# Locks what is there, and holds the place of what is not, in the order given; says what was there before.
_LOCK_KEYS: Final = """INSERT INTO frames (root, path, identity)
    SELECT root, path, '' FROM unnest(%b::text[], %b::bytea[]) WITH ORDINALITY AS asked (root, path, place)
    ORDER BY place
    ON CONFLICT (root, path) DO UPDATE SET identity = frames.identity RETURNING root, path, identity"""
_PUT: Final = """UPDATE frames SET identity = given.identity
    FROM unnest(%b::text[], %b::bytea[], %b::text[]) AS given (root, path, identity)
    WHERE frames.root = given.root AND frames.path = given.path"""
_DROP: Final = """DELETE FROM frames USING unnest(%b::text[], %b::bytea[]) AS given (root, path)
    WHERE frames.root = given.root AND frames.path = given.path"""
# The last statement: the counter's row is locked from here to the commit, so ids are seen in the order of commits.
# A counter that is behind what this process has seen becomes NULL, which the table refuses.
_APPEND: Final = """WITH counter AS (UPDATE meta SET last = CASE WHEN epoch <> %b::text OR last >= %b::bigint
        THEN last + %b::bigint END RETURNING epoch, last),
    appended AS (INSERT INTO events (id, at, type, body)
        SELECT counter.last - %b::bigint + place, at, type, body FROM counter,
            unnest(%b::text[], %b::text[], %b::bytea[]) WITH ORDINALITY AS given (at, type, body, place))
    SELECT epoch, last, pg_notify('imgd_events', '') FROM counter"""
_FILL: Final = """INSERT INTO frames (root, path, identity)
    SELECT %s, path, identity FROM unnest(%b::bytea[], %b::text[]) WITH ORDINALITY AS given (path, identity, place)
    ORDER BY place ON CONFLICT DO NOTHING"""
_ENTER: Final = """INSERT INTO roots AS known (name, directory) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET directory = excluded.directory WHERE known.directory <> excluded.directory"""
_LAST_BEFORE: Final = """SELECT coalesce(max(id), 0) FROM events WHERE at < %s AND id < coalesce(
    (SELECT id FROM events WHERE at >= %s AND at <= %s ORDER BY id LIMIT 1), 9223372036854775807)"""


class _Connection(psycopg.Connection[TupleRow]):
    """A connection that does not wait for ever."""

    slow = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit_s = _SLOW_ANSWER_S if self.slow else _ANSWER_S
        return super().wait(gen, interval, limit_s if timeout is None else timeout)

    @contextlib.contextmanager
    def slowly(self) -> Iterator[None]:
        self.slow = True
        try:
            yield
        finally:
            self.slow = False


class PostgresDatabase:
    """A database on a server."""

    def __init__(self, address: str, migrations: Sequence[schema.Migration] = schema.MIGRATIONS) -> None:
        self._address = address
        self._migrations = migrations
        self.seen = Seen()

    def open(self) -> "PostgresSession":
        """Open a session.

        Raises  StoreDown.
        """
        before = self.seen.place
        with contextlib.ExitStack() as undo:
            connection = undo.enter_context(contextlib.closing(self._connect()))
            with told(connection):
                connection.execute(_SETTINGS)
                with connection.slowly():
                    self._migrate(connection)
                session = PostgresSession(connection, self.seen)
                session.check_epoch(before)
            undo.pop_all()
        return session

    async def listen(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        """Nudge after commits of any process, until cancelled or the connection is lost.

        Raises  StoreDown if it cannot listen.
        """
        try:
            connection = await trio.to_thread.run_sync(self._connect_listening)
        except RuntimeError as error:
            raise StoreDown("no thread can be started for listening") from error
        try:
            ready()
            while True:
                await trio.lowlevel.wait_readable(connection.fileno())
                connection.pgconn.consume_input()
                heard = False
                while connection.pgconn.notifies() is not None:
                    heard = True
                if heard:
                    nudge()
        except psycopg.OperationalError:
            return
        finally:
            connection.close()

    def _connect_listening(self) -> _Connection:
        connection = self._connect()
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            with told(connection):
                connection.execute("LISTEN imgd_events")
            undo.pop_all()
        return connection

    def _connect(self) -> _Connection:
        try:
            return _Connection.connect(self._address, **_CONNECT)
        except psycopg.OperationalError as error:
            raise StoreDown(words_of(error)) from error
        except (psycopg.Error, UnicodeDecodeError):  # Not `from`: what is wrong may quote the password.
            raise WrongStore("is not an address that PostgreSQL knows") from None

    def _migrate(self, connection: _Connection) -> None:
        if self._version(connection) == len(self._migrations):
            return
        # Of two that start at once, one waits here. Its transaction begins after that, or it would not see the tables.
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        with connection.transaction():
            version = self._version(connection)
            if version < 0:
                connection.execute("CREATE SCHEMA IF NOT EXISTS imgd")
                connection.execute("CREATE TABLE version AS SELECT 0 AS version")
                version = 0
            for number, migration in enumerate(self._migrations[version:], start=version + 1):
                for statement in schema.statements(migration, epoch=secrets.token_hex(8), **_WORDS):
                    connection.execute(statement.encode())
                connection.execute("UPDATE version SET version = %s", (number,))
        connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    def _version(self, connection: _Connection) -> int:
        """Read the schema's version; -1: there is none."""
        if _one(connection, "SELECT to_regclass('imgd.version') IS NULL")[0]:
            return -1
        version = int(_one(connection, "SELECT version FROM version")[0])
        if version > len(self._migrations):
            raise SchemaTooNew(version, len(self._migrations))
        return version


class PostgresSession:
    """A connection to the server."""

    def __init__(self, connection: _Connection, seen: Seen) -> None:
        self._connection = connection
        self._seen = seen

    def check_epoch(self, before: tuple[str, int]) -> None:
        """Begin a new epoch if this is another table than when it began, or lost what this process has seen."""
        (origin,) = _one(self._connection, _ORIGIN)
        if not self._is_other(origin, before, _META):
            return
        with self._connection.transaction():  # Of two that notice it, one waits here, and finds it done.
            if self._is_other(origin, before, _META + " FOR UPDATE"):
                self._connection.execute(_RENEW + ", origin = %s", (secrets.token_hex(8), origin))
        head = self._head()
        self._seen.saw(head.epoch, head.last)

    def _is_other(self, origin: str, before: tuple[str, int], text: LiteralString) -> bool:
        """Tell whether this is another table than it was, or has another end."""
        epoch, last, known, newest = _one(self._connection, text)
        self._seen.saw(epoch, last)
        return known != origin or newest > last or is_behind(Head(epoch, last, 0), before)

    def begin(self) -> None:
        """Begin a transaction."""
        with self._undone():
            self._connection.execute("BEGIN")

    def identities(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look up what the index knows."""
        return self._by_key(_IDENTITIES, keys)

    def lock(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look it up again, each row locked until the transaction's end."""
        return {key: identity for key, identity in self._by_key(_LOCK_KEYS, keys).items() if identity}

    def put(self, identities: Mapping[Key, str | None]) -> None:
        """Set what the index knows; a place that was held for nothing goes as well."""
        gone = [key for key, identity in identities.items() if identity is None]
        here = [(*key, identity) for key, identity in identities.items() if identity is not None]
        with self._undone():
            if gone:
                self._connection.execute(_DROP, _columns(gone, 2))
                self._connection.execute(FORGET_HEADERS_POSTGRES, _columns(gone, 2))
            if here:
                self._connection.execute(_PUT, _columns(here, 3))

    def put_headers(self, looked: Sequence[Looked]) -> None:
        """Set what is known of headers."""
        if looked:
            with self._undone():
                rows = [(*key, h.object, h.filter, h.exptime, h.taken_us, h.words, h.hdu, h.why)
                        for *key, h in map(astuple, looked)]  # fmt: skip
                self._connection.execute(KEEP_POSTGRES, _columns(rows, 10))

    def finish(self, rows: Sequence[Row]) -> int:
        """Append events and commit, in one round trip."""
        if not rows:
            with told(self._connection):
                self._connection.execute("COMMIT")
            return 0
        with told(self._connection), self._connection.pipeline():
            values = (*self._seen.place, len(rows), len(rows), *_columns(rows, 3))
            cursor = self._connection.execute(_APPEND, values, binary=True)
            self._connection.execute("COMMIT")
            ((epoch, last, _),) = cursor.fetchall()
        self._seen.saw(epoch, last)
        return int(last)

    def fill(self, order: Fill) -> None:
        """Put frames into the index that it does not have."""
        known = sorted(order.known.items())
        with self._changing() as connection:
            connection.execute(_FILL, (order.root, *_columns(known, 2)))

    def keep(self, order: Keep) -> None:
        """Set what is known of headers."""
        with self._changing():
            self.put_headers(order.looked)

    @property
    def dialect(self) -> Dialect:
        """Tell how PostgreSQL is asked."""
        return POSTGRES

    def select(self, statements: Sequence[Statement], limit_s: float) -> list[list[TupleRow]]:
        """Read rows for each statement, as of one moment."""
        with self._undone():
            try:
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                limit = "SELECT set_config('statement_timeout', %s, true)"
                self._connection.execute(limit, (f"{limit_s * 1000:.0f}",))
                asked = [(text.replace("?", "%s").encode(), values) for text, values in statements]
                found = [self._connection.execute(*each).fetchall() for each in asked]
                self._connection.execute("COMMIT")
            except errors.QueryCanceled as error:
                raise TookTooLong(f"it took longer than {limit_s:g} s") from error
        return found

    def enter_root(self, order: EnterRoot) -> bool:
        """Note a root's directory."""
        with self._changing() as connection:
            known = connection.execute("SELECT FROM roots WHERE name = %s", (order.root,)).rowcount > 0
            connection.execute(_ENTER, (order.root, order.directory))
        return known

    def renew_epoch(self, epoch: str) -> Head:
        """Begin a new epoch if it is still this one."""
        with self._changing() as connection:
            connection.execute(_RENEW + " WHERE epoch = %s", (secrets.token_hex(8), epoch))
            head = self._head()
        self._seen.saw(head.epoch, head.last)
        return head

    def forget(self, id: int) -> int:
        """Delete the events up to this id."""
        with self._changing() as connection:
            return connection.execute("DELETE FROM events WHERE id <= %s", (id,)).rowcount

    def head(self) -> Head:
        """Read the log's state."""
        with self._undone():
            head = self._head()
        self._seen.saw(head.epoch, head.last)
        return head

    def read(self, after: int, limit: int) -> list[Event]:
        """Read events."""
        return readable(self._rows, after, limit, self._seen)

    def page(self, root: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Read a page of a root's index."""
        with self._undone():
            text = "SELECT path, identity FROM frames WHERE root = %s AND path > %b ORDER BY path LIMIT %s"
            rows = self._connection.execute(text, (root, after, limit), binary=True).fetchall()
        return [(path, identity) for path, identity in rows]

    def last_before(self, at: str, now: str) -> int:
        """Find the last id that is older than `at` and lies before all that are younger."""
        with self._undone():
            return int(_one(self._connection, _LAST_BEFORE, at, at, now)[0])

    def rest(self) -> None:
        """Do nothing: the server keeps what it needs."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _head(self) -> Head:
        return Head(*_one(self._connection, _HEAD))

    def _rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        with self._undone():
            text = "SELECT id, body FROM events WHERE id > %s ORDER BY id LIMIT %s"
            rows = self._connection.execute(text, (after, limit), binary=True).fetchall()
        return [(id, body) for id, body in rows]

    def _by_key(self, text: LiteralString, keys: Sequence[Key]) -> dict[Key, str]:
        with self._undone():
            rows = self._connection.execute(text, _columns(keys, 2), binary=True).fetchall()
        return {(root, path): identity for root, path, identity in rows}

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Connection]:
        with self._undone(), self._connection.slowly():
            self._connection.execute("BEGIN")
            yield self._connection
        with told(self._connection):
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def _undone(self) -> Iterator[None]:
        """Tell a connection that was lost before a commit as Undone: it can be tried again."""
        try:
            with told(self._connection):
                yield
        except (Undone, Collided):
            raise
        except StoreDown as error:
            if self._connection.closed:
                raise Undone(*error.args) from error
            raise


def _one(connection: _Connection, text: LiteralString, *values: object) -> TupleRow:
    row = connection.execute(text, values or None).fetchone()
    assert row is not None, "a row that is always there"
    return row


def _columns(rows: Sequence[tuple[Any, ...]], number: int) -> list[list[Any]]:
    """Turn rows into columns, also when there are none."""
    return [[row[column] for row in rows] for column in range(number)]
