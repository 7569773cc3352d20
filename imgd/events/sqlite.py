"""The store in one file: SQLite, for one machine. Blocks; called from the store's threads.

The database says in which file it is, and a small file beside it (`.seen`) which ids were durable a moment ago: a
database that is put back from a copy, alone or with that file, is another file, or older than it, or the small file is
another one; it gets a new epoch. Not noticed: a whole file system that is put back (a snapshot); and where the file
system does not say when a file was born, copies of both that got the same inodes.
"""

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import trio
from msgspec.structs import astuple

from imgd.events import schema
from imgd.events.catalogue_sql import SQLITE, Dialect, Statement
from imgd.events.event import Event
from imgd.events.headers import Looked
from imgd.events.orders import EnterRoot, Fill, Keep, Key, Row
from imgd.events.sessions import SchemaTooNew, Seen, TookTooLong, Undone, is_behind, readable
from imgd.events.sidecar import FileIdentity, Sidecar, identity_of, read_identity
from imgd.events.store import Head, StoreDown, WrongStore

APPLICATION_ID: Final = 0x696D6764
_BUSY_S: Final = 5.0
_MAKING_S: Final = 30.0  # Another process may be making the file, on a disk that takes its time.
_LOOK_EACH_S: Final = 0.05
_SIZES: Final = (256, 32, 4, 1)  # Rows of one INSERT: few texts, so that all stay prepared.
_HEAD: Final = "SELECT epoch, last, coalesce((SELECT min(id) FROM events), last + 1) FROM meta"
_RENEW: Final = "UPDATE meta SET epoch = ?, last = max(last, (SELECT coalesce(max(id), 0) FROM events))"
_WORDS: Final = {
    "integer": "INTEGER", "octets": "BLOB", "table": "WITHOUT ROWID", "text": "TEXT", "number": "REAL", "json": "TEXT",
    "modified": SQLITE.modified,
}  # fmt: skip
_KEEP: Final = """INSERT OR REPLACE INTO headers (root, path, words, hdu, why)
    SELECT root, path, ?, ?, ? FROM frames WHERE root = ? AND path = ? AND identity = ?"""
_LOOKED: Final = """UPDATE frames SET looked = identity, object = ?, filter = ?, exptime = ?, taken = ?
    WHERE root = ? AND path = ? AND identity = ?"""
_LOOK_AT_CLOCK_EACH: Final = 20_000  # Instructions of a statement: about a millisecond.


class SqliteDatabase:
    """A database file."""

    def __init__(self, path: Path, migrations: Sequence[schema.Migration] = schema.MIGRATIONS) -> None:
        self._path = path
        self._migrations = migrations
        self.seen = Seen()

    def open(self) -> "SqliteSession":
        """Open a session; the file is made if there is none.

        Raises  StoreDown.
        """
        before = self.seen.place
        with _told(), contextlib.ExitStack() as undo:
            with contextlib.suppress(FileExistsError):  # It names what people took pictures of: nobody else reads it.
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                self._path, timeout=_MAKING_S, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            undo.callback(connection.close)
            file = identity_of(self._path)
            _prepare(connection)
            self._migrate(connection)
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000:.0f}")
            session = SqliteSession(connection, self._path, file, self.seen)
            session.check_epoch(before)
            undo.pop_all()
        return session

    async def listen(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        """Nudge after commits of other processes, until cancelled: the log file beside the database has changed."""
        before = self._log_state()
        ready()
        while True:
            await trio.sleep(_LOOK_EACH_S)
            if (state := self._log_state()) != before:
                before = state
                nudge()

    def _log_state(self) -> tuple[int, int, int] | None:
        try:
            log = os.stat(f"{self._path}-wal")
        except OSError:
            return None
        return log.st_ino, log.st_size, log.st_mtime_ns

    def _migrate(self, connection: sqlite3.Connection) -> None:
        ours = _number(connection, "PRAGMA application_id") == APPLICATION_ID
        if ours and _number(connection, "PRAGMA user_version") == len(self._migrations):
            return
        with _transaction(connection):  # Of two that start at once, one waits here, and finds it done.
            ours = _number(connection, "PRAGMA application_id") == APPLICATION_ID
            if not ours and _number(connection, "SELECT count(*) FROM sqlite_schema"):
                raise WrongStore("is a database of another program")
            version = _number(connection, "PRAGMA user_version") if ours else 0
            if version > len(self._migrations):
                raise SchemaTooNew(version, len(self._migrations))
            for number, migration in enumerate(self._migrations[version:], start=version + 1):
                for statement in schema.statements(migration, epoch=secrets.token_hex(8), **_WORDS):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


class SqliteSession:
    """A connection to the file."""

    def __init__(self, connection: sqlite3.Connection, path: Path, file: FileIdentity, seen: Seen) -> None:
        self._connection = connection
        self._path = path
        self._file = file
        self._log = 0
        self._seen = seen
        self._sidecar = Sidecar(path)
        self._told: tuple[str, int] | None = None  # What this session wrote into `.seen`.

    def check_epoch(self, before: tuple[str, int]) -> None:
        """Begin a new epoch if this is not what it was when `.seen` was written, or when this process last looked.

        Waits for who writes only if it has to write: reading goes on while another process hangs in a commit.
        """
        if self._look(before) != "known":
            with _transaction(self._connection):  # Of two that notice it, one waits here, and finds it done.
                look = self._look(before)
                if look == "other":
                    self._connection.execute(_RENEW, (secrets.token_hex(8),))
                if look != "known":
                    self._connection.execute("UPDATE meta SET origin = ?", (str(self._file),))
                    self._write_seen(self._head())
        head = self._head()
        self._seen.saw(head.epoch, head.last)
        self._log = _inode(f"{self._path}-wal")

    def _look(self, before: tuple[str, int]) -> Literal["known", "new", "other"]:
        """Tell whether this is the store that it was; "new": nothing says what it was."""
        told = self._sidecar.read()  # First: what it says is in the database by then.
        newest = _number(self._connection, "SELECT coalesce(max(id), 0) FROM events")
        (origin,) = self._connection.execute("SELECT origin FROM meta").fetchone()
        head, file = self._head(), read_identity(origin)
        if newest > head.last or is_behind(head, before) or (file is not None and file.is_other(self._file)):
            return "other"
        if told is not None and (told.is_put_back or told.epoch != head.epoch or told.last > head.last):
            return "other"
        return "new" if told is None or file is None else "known"

    def begin(self) -> None:
        """Begin a transaction, as the only one who writes."""
        with _told():
            self._check_file()
            self._connection.execute("BEGIN IMMEDIATE")

    def identities(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look up what the index knows."""
        text = "SELECT identity FROM frames WHERE root = ? AND path = ?"
        with _told():
            found = ((key, self._connection.execute(text, key).fetchone()) for key in keys)
            return {key: row[0] for key, row in found if row is not None}

    def lock(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Look it up again: the whole file is locked already."""
        return self.identities(keys)

    def put(self, identities: Mapping[Key, str | None]) -> None:
        """Set what the index knows."""
        with _told():
            gone = [key for key, identity in identities.items() if identity is None]
            here = [(*key, identity) for key, identity in identities.items() if identity is not None]
            self._connection.executemany("DELETE FROM frames WHERE root = ? AND path = ?", gone)
            self._connection.executemany("DELETE FROM headers WHERE root = ? AND path = ?", gone)
            self._insert("INSERT OR REPLACE INTO frames (root, path, identity)", here)

    def put_headers(self, looked: Sequence[Looked]) -> None:
        """Set what is known of headers."""
        with _told():
            for root, path, identity, header in map(astuple, looked):
                key = (root, path, identity)
                self._connection.execute(_KEEP, (header.words, header.hdu, header.why, *key))
                own = (header.object, header.filter, header.exptime, header.taken_us)
                self._connection.execute(_LOOKED, (*own, *key))

    def finish(self, rows: Sequence[Row]) -> int:
        """Append events and commit."""
        epoch, last = "", 0
        with _told():
            if rows:
                text = "UPDATE meta SET last = last + ? RETURNING epoch, last"
                ((epoch, last),) = self._connection.execute(text, (len(rows),)).fetchall()
                if is_behind(Head(epoch, last - len(rows), 0), self._seen.place):
                    raise Undone("the log has lost its end")
                if self._told is None:  # Before anything of this session can be lost: a copy has another `.seen`.
                    self._write_seen(Head(epoch, last - len(rows), 0))
                numbered = [(id, *row) for id, row in enumerate(rows, start=last - len(rows) + 1)]
                self._insert("INSERT INTO events (id, at, type, body)", numbered)
            self._connection.execute("COMMIT")
        self._check_kept()
        if rows:
            self._seen.saw(epoch, last)
        return last

    def fill(self, order: Fill) -> None:
        """Put frames into the index that it does not have."""
        with self._changing():
            rows = [(order.root, path, identity) for path, identity in order.known.items()]
            self._insert("INSERT OR IGNORE INTO frames (root, path, identity)", rows)

    def keep(self, order: Keep) -> None:
        """Set what is known of headers."""
        with self._changing():
            self.put_headers(order.looked)

    @property
    def dialect(self) -> Dialect:
        """Tell how SQLite is asked."""
        return SQLITE

    def select(self, statements: Sequence[Statement], limit_s: float) -> list[list[tuple[Any, ...]]]:
        """Read rows for each statement, as of one moment."""
        until = time.monotonic() + limit_s
        with _told():
            self._check_file()
            self._connection.set_progress_handler(lambda: time.monotonic() > until, _LOOK_AT_CLOCK_EACH)
            try:
                self._connection.execute("BEGIN")
                found = [self._connection.execute(*statement).fetchall() for statement in statements]
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    raise TookTooLong(f"it took longer than {limit_s:g} s") from error
                raise
            finally:
                self._connection.set_progress_handler(None, 0)
        return found

    def enter_root(self, order: EnterRoot) -> bool:
        """Note a root's directory."""
        with self._changing() as connection:
            row = connection.execute("SELECT directory FROM roots WHERE name = ?", (order.root,)).fetchone()
            if row == (order.directory,):
                return True
            connection.execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", (order.root, order.directory))
            return row is not None

    def renew_epoch(self, epoch: str) -> Head:
        """Begin a new epoch if it is still this one."""
        with self._changing() as connection:
            connection.execute(f"{_RENEW} WHERE epoch = ?", (secrets.token_hex(8), epoch))
            head = self._head()
            self._write_seen(head)  # At once: who opens the store must not take this epoch for a copy's.
        self._seen.saw(head.epoch, head.last)
        return head

    def forget(self, id: int) -> int:
        """Delete the events up to this id."""
        with self._changing() as connection:
            return connection.execute("DELETE FROM events WHERE id <= ?", (id,)).rowcount

    def head(self) -> Head:
        """Read the log's state."""
        with _told():
            self._check_file()
            head = self._head()
        self._seen.saw(head.epoch, head.last)
        return head

    def read(self, after: int, limit: int) -> list[Event]:
        """Read events."""
        return readable(self._rows, after, limit, self._seen)

    def page(self, root: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Read a page of a root's index."""
        with _told():
            self._check_file()
            text = "SELECT path, identity FROM frames WHERE root = ? AND path > ? ORDER BY path LIMIT ?"
            return self._connection.execute(text, (root, after, limit)).fetchall()

    def last_before(self, at: str, now: str) -> int:
        """Find the last id that is older than `at` and lies before all that are younger."""
        text = """SELECT coalesce(max(id), 0) FROM events WHERE at < ? AND id < coalesce(
                      (SELECT id FROM events WHERE at >= ? AND at <= ? ORDER BY id LIMIT 1), 9223372036854775807)"""
        with _told():
            return _number(self._connection, text, at, at, now)

    def rest(self) -> None:
        """Write what is durable into `.seen`, if it changed."""
        if self._seen.place != self._told:
            with self._changing():
                self._write_seen(self._head())

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _head(self) -> Head:
        return Head(*self._connection.execute(_HEAD).fetchone())

    def _rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        with _told():
            self._check_file()
            text = "SELECT id, body FROM events WHERE id > ? ORDER BY id LIMIT ?"
            return self._connection.execute(text, (after, limit)).fetchall()

    def _insert(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert many rows by few statements: each lets go of the interpreter's lock, and must get it back."""
        done = 0
        for size in _SIZES:
            while len(rows) - done >= size:
                places = ", ".join([f"({', '.join('?' * len(rows[done]))})"] * size)
                values = [value for row in rows[done : done + size] for value in row]
                self._connection.execute(f"{text} VALUES {places}", values)
                done += size

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with _told():
            self._check_file()
            with _transaction(self._connection):
                yield self._connection
        self._check_kept()

    def _check_file(self) -> None:
        """See that the file is still the one that its name leads to."""
        if _inode(self._path) == self._file.inode:
            return
        self.close()
        if self._log and _inode(f"{self._path}-wal") == self._log:  # It would be taken for the other file's.
            for name in (f"{self._path}-wal", f"{self._path}-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
        raise Undone("the database file was replaced or removed")

    def _check_kept(self) -> None:
        """See that a commit went into the file that is there: one into a file without a name is none."""
        if _inode(self._path) != self._file.inode:
            raise StoreDown("the database file was replaced or removed during a commit")

    def _write_seen(self, head: Head) -> None:
        """Write `.seen`, while nobody else can change the store."""
        self._sidecar.write(head.epoch, head.last)
        self._told = (head.epoch, head.last)


def _prepare(connection: sqlite3.Connection) -> None:
    """Have changes written to a log beside the file: of two who ask for that at once, SQLite does not let one wait."""
    end_s = time.monotonic() + _MAKING_S
    while True:
        try:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", f"journal_size_limit = {64 * 1024**2}"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
        time.sleep(_LOOK_EACH_S)


def _number(connection: sqlite3.Connection, text: str, *values: object) -> int:
    return int(connection.execute(text, values).fetchone()[0])


def _inode(path: Path | str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell what the database has against it as StoreDown; a bug of ours stays what it is."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.DataError):
        raise
    except (sqlite3.DatabaseError, OSError) as error:
        is_none = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB
        raise (WrongStore if is_none else StoreDown)(_words(error)) from error


def _words(error: sqlite3.Error | OSError) -> str:
    return (error.strerror or "input/output error") if isinstance(error, OSError) else str(error)
