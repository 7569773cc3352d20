"""One page of a directory's names, in one bounded pass. Blocks; no Trio here."""

import heapq
import os
import re
import stat
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from imgd.access.lookup import open_beneath
from imgd.entry import FRAME_SUFFIX, Entry, Kind, ref_of, rfc3339, shown
from imgd.errors import BadRequest

Order = Literal["name", "newest"]
_AFTER_NEWEST: Final = re.compile(r"(-?[0-9]{1,20}):(.+)", re.DOTALL)


class Listing(msgspec.Struct, frozen=True):
    """A page of a directory.

    after  give it back as `after` to get the next page; None on the last one.
    whole  False: the directory holds more names than one pass reads, and some are missing here.
    """

    dir: str
    entries: tuple[Entry, ...]
    after: str | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a directory is asked for."""

    order: Order
    limit: int
    after: str
    scan_max: int


def list_directory(root_fd: int, root: str, path: bytes, page: Page) -> Listing:
    """Read one page; symbolic links that lead out of the root are left out, as are names that begin with a dot.

    Raises  OSError; BadRequest if `after` was not made by a listing of this order.
    """
    fd = open_beneath(root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
    try:
        found, whole = _scan(fd, page)
        base = root.encode() + b"/" + (path + b"/" if path else b"")
        entries: list[Entry] = []
        last: tuple[int, bytes] | None = None
        for time_ns, name in found[: page.limit]:
            last = (time_ns, name)
            entry = _entry(root_fd, fd, path, name)
            if entry is not None:
                entries.append(msgspec.structs.replace(entry, ref=ref_of(base + name)))
    finally:
        os.close(fd)
    after = None
    if last is not None and len(found) > page.limit:
        after = ref_of(last[1]) if page.order == "name" else f"{last[0]}:{ref_of(last[1])}"
    return Listing(shown(base.rstrip(b"/")), tuple(entries), after, whole)


def is_linked(root_fd: int, path: bytes) -> bool:
    """Tell whether symbolic links lead to a directory: the kernel tells of what comes there under another name.

    Raises  OSError.
    """
    fd = open_beneath(root_fd, path or b".", os.O_PATH | os.O_DIRECTORY)
    try:
        place, start = (os.readlink(b"/proc/self/fd/%d" % each) for each in (fd, root_fd))
    finally:
        os.close(fd)
    return place != (start.rstrip(b"/") + b"/" + path if path else start)


def _scan(fd: int, page: Page) -> tuple[list[tuple[int, bytes]], bool]:
    """Find the page's names and one more, as (time, name) in order; time is 0 when ordered by name."""
    beyond = _beyond(page)
    found: list[tuple[int, bytes]] = []
    whole = True
    with os.scandir(fd) as scan:
        for count, each in enumerate(scan):
            if count >= page.scan_max:
                whole = False
                break
            name = os.fsencode(each.name)
            if name.startswith(b"."):
                continue
            time_ns = 0
            if page.order == "newest":
                try:
                    time_ns = -each.stat(follow_symlinks=False).st_mtime_ns
                except OSError:
                    continue  # It vanished between its name and its facts.
            if beyond is None or (time_ns, name) > beyond:
                found.append((time_ns, name))
    return [(-time_ns, name) for time_ns, name in heapq.nsmallest(page.limit + 1, found)], whole


def _octets(ref: str) -> bytes:
    return unquote_to_bytes(ref.encode("utf-8", "surrogateescape"))


def _beyond(page: Page) -> tuple[int, bytes] | None:
    if not page.after:
        return None
    if page.order == "name":
        return 0, _octets(page.after)
    match = _AFTER_NEWEST.fullmatch(page.after)
    if match is None:
        raise BadRequest("was not made by a listing of this order", "after")
    return -int(match[1]), _octets(match[2])


def _entry(root_fd: int, fd: int, path: bytes, name: bytes) -> Entry | None:
    """Look at one name; None if it is gone, or leads out of the root."""
    try:
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(facts.st_mode):
            target = open_beneath(root_fd, path + b"/" + name if path else name, os.O_PATH)
            try:
                facts = os.fstat(target)
            finally:
                os.close(target)
    except OSError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        kind: Kind = "dir"
    elif stat.S_ISREG(facts.st_mode) and FRAME_SUFFIX.search(name):
        kind = "frame"
    else:
        kind = "other"
    return Entry(shown(name), "", kind, facts.st_size, rfc3339(facts.st_mtime_ns))
