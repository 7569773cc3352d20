"""A name in a directory, as listings and events give it. Values only."""

import re
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

import msgspec

Kind = Literal["dir", "frame", "other"]
FRAME_SUFFIX: Final = re.compile(rb"\.(fits?|fts)(\.gz)?$|\.fz$", re.IGNORECASE)


class Entry(msgspec.Struct, frozen=True):
    """A name in a directory.

    name      for people: bytes that are not UTF-8 are shown as U+FFFD.
    ref       for addresses: the whole name from the root on, percent-encoded; put it after `frame=` or `dir=` as it is.
    kind      "frame" is a guess from the name's end; only opening it tells.
    modified  RFC 3339, UTC; None for a root.
    """

    name: str
    ref: str
    kind: Kind
    size_bytes: int
    modified: str | None


def ref_of(name: bytes) -> str:
    """Percent-encode a name, slashes left."""
    return quote(name, safe="/")


def shown(name: bytes) -> str:
    """Make a name fit to be shown."""
    return name.decode("utf-8", "replace")


def rfc3339(time_ns: int) -> str:
    """Write a time; one that no calendar holds is written as the nearest that it does."""
    seconds = min(max(time_ns // 10**9, 0), 253_402_300_799)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=time_ns % 10**9 // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def facts_of(identity: str) -> tuple[int, str | None]:
    """Tell size and time of a file by what an index keeps of it, `size:mtime_ns`; (0, None) for anything else."""
    size, _, mtime_ns = identity.partition(":")
    if not (size.isascii() and size.isdigit() and mtime_ns.lstrip("-").isdigit()):
        return 0, None
    return int(size), rfc3339(int(mtime_ns))
