"""Whether events can be kept: the database, its file system, and the room that is left on it."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from imgd.config import Settings
from imgd.doctor.bounded import TookTooLong, within
from imgd.doctor.finding import Finding, bad, ok, size_words, warn
from imgd.doctor.rooms import NETWORK, kind_of
from imgd.doctor.unit import Unit
from imgd.events.own_database import own_database
from imgd.events.schema import MIGRATIONS
from imgd.events.sqlite import APPLICATION_ID

MIB: Final = 1024**2
LIMIT_S: Final = 10.0
ROOM_BAD_BYTES: Final = 64 * MIB
ROOM_WARN_BYTES: Final = 1024 * MIB
EVENT_BYTES: Final = 900  # Measured, see docs/sizing.md: an event with its frame in the index.


def check_store(settings: Settings, unit: Unit | None = None) -> list[Finding]:
    """Look at the database that these settings name.

    unit  by which the daemon is started, if there is one.
    """
    name = settings.database
    environ = unit.environment if unit else os.environ
    try:
        if name.startswith("postgres"):
            return within(LIMIT_S, lambda: _check_postgres(name))
        path = Path(name.removeprefix("sqlite:")) if name else own_database(settings.roots, environ)
        return within(LIMIT_S, lambda: check_sqlite(path, settings, unit))
    except TookTooLong:
        return [bad("database", "does not answer", "look at its file system or server; pictures go on without events")]


def check_sqlite(path: Path, settings: Settings, unit: Unit | None = None) -> list[Finding]:
    """Judge a database file, or the place where it will be made."""
    folder = path.parent
    if not folder.is_dir():
        above = next(each for each in folder.parents if each.exists())
        if unit and unit.makes(folder):
            return [ok("database", f"{path}: systemd makes its folder at the start"), *_room_left(above, settings)]
        if path == own_database(settings.roots, os.environ) and os.access(above, os.W_OK | os.X_OK):
            return [ok("database", f"{path} will be made at the first start"), *_room_left(above, settings)]
        change = f"install -d -m 700 -o USER {folder}, or StateDirectory=imgd in the unit"
        return [bad("database", f"{folder} is not there", change)]
    if not os.access(folder, os.W_OK | os.X_OK):
        change = f"chown USER {folder}  (it keeps files beside the database)"
        return [bad("database", f"user {os.geteuid()} may not write into {folder}", change)]
    findings = _room_left(folder, settings)
    kind = kind_of(folder.resolve())
    if kind in NETWORK:
        change = 'database = "sqlite:/a/local/disk/imgd.sqlite", or PostgreSQL'
        findings.append(bad("database", f"{path} lies on {kind}: SQLite loses data on a network file system", change))
    if not path.exists():
        return [*findings, ok("database", f"{path} will be made at the first start")]
    if not os.access(path, os.R_OK | os.W_OK):
        return [*findings, bad("database", f"user {os.geteuid()} may not write {path}", f"chown USER {path}*")]
    return [*findings, *_file(path)]


def _file(path: Path) -> list[Finding]:
    try:
        size_bytes = path.stat().st_size
        if not size_bytes:
            return [ok("database", f"{path} is empty: it was being made")]
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)
        try:
            ours, version = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
            check = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]) if size_bytes < 512 * MIB else "ok"
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        change = f"sqlite3 {path} .recover | sqlite3 new.sqlite, or put a copy back; without it events begin anew"
        return [bad("database", f"{path} cannot be read: {error}", change)]
    if ours != APPLICATION_ID:
        return [
            bad("database", f"{path} is a database of another program", 'name another file: database = "sqlite:..."')
        ]
    if version > len(MIGRATIONS):
        return [
            bad("database", f"{path} is of a newer imgd (version {version})", "install that one, or name another file")
        ]
    if check != "ok":
        return [bad("database", f"{path} is damaged: {check}", f"sqlite3 {path} .recover | sqlite3 new.sqlite")]
    found = f"{path}, {size_words(size_bytes)}, journal {journal}"
    if journal != "wal":
        change = f"sqlite3 {path} 'PRAGMA journal_mode=wal'  (the daemon does it at its start)"
        return [warn("database", f"{found}: readers and the writer wait for each other", change)]
    return [ok("database", found)]


def _room_left(folder: Path, settings: Settings) -> list[Finding]:
    facts = os.statvfs(folder)
    left = facts.f_bavail * facts.f_frsize
    most = settings.events_max * EVENT_BYTES
    found = f"{size_words(left)} left on the file system of {folder}; events_max would take {size_words(most)}"
    if facts.f_files and not facts.f_favail:
        return [bad("room for events", f"no inode is left on the file system of {folder}", "remove files there")]
    if left < ROOM_BAD_BYTES:
        return [bad("room for events", found, 'free some, or name another place: database = "sqlite:..."')]
    if left < min(most, ROOM_WARN_BYTES):
        return [warn("room for events", found, f"free some, or events_max = {max(1, int(left / 2 / EVENT_BYTES))}")]
    return [ok("room for events", found)]


def _check_postgres(address: str) -> list[Finding]:
    import psycopg  # noqa: PLC0415  # Slow to load, and most have no such database.

    try:
        with psycopg.connect(address, connect_timeout=5, autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), pg_is_in_recovery(),"
                " has_schema_privilege('public', 'CREATE'),"
                " current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity)"
            ).fetchone()
    except psycopg.Error as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        change = "psql with the same address; pg_hba.conf, listen_addresses; pictures go on without events meanwhile"
        return [bad("database", f"PostgreSQL: {first}", change)]
    assert row is not None
    version, is_copy, may_make, most, used = row
    if is_copy:
        return [
            bad("database", "PostgreSQL: this server is a read-only copy", "name the primary in the setting database")
        ]
    if not may_make:
        change = "GRANT CREATE ON SCHEMA public TO the user of the setting database"
        return [warn("database", f"PostgreSQL {version}: no right to make tables, if they are not there yet", change)]
    if used > most * 0.9:
        return [warn("database", f"{used} of {most} connections are in use", "max_connections in postgresql.conf")]
    return [ok("database", f"PostgreSQL {version} answers")]
