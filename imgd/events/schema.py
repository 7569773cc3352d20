"""The tables of a store, the same in both databases, as numbered steps from nothing to now."""

from typing import Final

Migration = tuple[str, ...]
"""Statements that bring a store from one version to the next, in one transaction."""

# {integer} 64 bits · {octets} bytes as they are · {table} what ends the definition of a table that has other columns
# than a number as its key. {text} compared octet by octet · {number} 64 bits of floating point · {json} an object ·
# {modified} a file's time, by its identity.
MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        # A single row. last: the id given last; whoever appends holds it locked until the commit, so that ids become
        # visible in their order. origin: in which database, or file, this epoch is; "" if that was never noted.
        """CREATE TABLE meta (
            one {integer} PRIMARY KEY CHECK (one = 1),
            epoch TEXT NOT NULL,
            last {integer} NOT NULL,
            origin TEXT NOT NULL
        )""",
        """CREATE TABLE events (
            id {integer} PRIMARY KEY,
            at TEXT NOT NULL,
            type TEXT NOT NULL,
            body {octets} NOT NULL
        )""",
        "CREATE TABLE roots (name TEXT PRIMARY KEY, directory TEXT NOT NULL) {table}",
        """CREATE TABLE frames (
            root TEXT NOT NULL,
            path {octets} NOT NULL,
            identity TEXT NOT NULL,
            PRIMARY KEY (root, path)
        ) {table}""",
        "INSERT INTO meta (one, epoch, last, origin) VALUES (1, '{epoch}', 0, '')",
    ),
    (
        # looked: the identity that the frame had when it was looked into; what was found holds as long as it has it.
        # What rows are ordered by stands here, since these are short; all else, which is long, in a table of its own.
        "ALTER TABLE frames ADD COLUMN looked TEXT",
        "ALTER TABLE frames ADD COLUMN object {text}",
        "ALTER TABLE frames ADD COLUMN filter {text}",
        "ALTER TABLE frames ADD COLUMN exptime {number}",
        "ALTER TABLE frames ADD COLUMN taken {integer}",
        """CREATE TABLE headers (
            root TEXT NOT NULL,
            path {octets} NOT NULL,
            words {text} NOT NULL,
            hdu {json} NOT NULL,
            why TEXT NOT NULL,
            PRIMARY KEY (root, path)
        )""",
        "CREATE INDEX frames_newest ON frames ({modified} DESC, root, path)",
    ),
)


def statements(migration: Migration, **words: str) -> list[str]:
    """Write a migration in a database's own words."""
    return [statement.format(**words) for statement in migration]
