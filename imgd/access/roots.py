"""Roots: from the name of a frame to an open source, without ever opening its contents."""

import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import trio

from cgi_worker.wire.facts import Source
from imgd.access.listing import Listing, Order, Page, is_linked, list_directory
from imgd.access.lookup import (
    failure_of,
    is_local,
    no_such,
    open_at_once,
    open_beneath,
    open_directory_at_once,
    parts_of,
    place_of,
    refuse_special,
)
from imgd.config import Settings
from imgd.entry import Entry, ref_of
from imgd.errors import Busy, ConfigError, ImgdError, NotNow
from imgd.model import OpenSource
from imgd.setting_kinds import Root
from imgd.threads import in_thread

log = logging.getLogger("imgd.roots")

RACE_NS: Final = 50_000_000  # Far above the step of a file system's clock (4 to 10 ms).
_RETRY_AFTER_S: Final = 5.0
_OF_US: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

T = TypeVar("T")


class _RootAway(Exception):
    """The root's directory is not there."""


@dataclass(slots=True)
class _KnownRoot:
    """A root, and which directory it was when it was last seen.

    No descriptor of it is kept: that would keep its file system from being unmounted, and outlive a mount.

    local  it lies on a file system that never waits for another machine.
    news   it has come to be another directory than it was, and nobody was told yet.
    """

    root: Root
    threads: trio.CapacityLimiter
    place: tuple[int, int] | None = None
    local: bool = False
    news: bool = False

    @contextmanager
    def entered(self) -> Iterator[int]:
        """Open it as a place to start from. May block.

        Raises  _RootAway.
        """
        try:
            fd = os.open(self.root.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _OF_US:
                raise
            raise _RootAway from error
        try:
            if (place := place_of(fd)) != self.place:
                self.local = is_local(fd)
                self.place, self.news = place, True
            yield fd
        finally:
            os.close(fd)

    def open_at_once(self, path: bytes) -> int:
        """Find a file below it without blocking; -1 if that cannot be."""
        fd = open_directory_at_once(os.fsencode(self.root.directory)) if self.local else -1
        if fd < 0:
            return -1
        try:
            return open_at_once(fd, path, os.O_PATH) if place_of(fd) == self.place else -1
        finally:
            os.close(fd)


class _Found:
    """A descriptor on its way from a thread to the task that asked; whoever comes last closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self.fd = -1

    def put(self, fd: int) -> None:
        """Hand the descriptor over (from the thread)."""
        with self._lock:
            if self._left:
                os.close(fd)
            else:
                self.fd = fd

    def leave(self) -> None:
        """Want it no longer (from the task)."""
        with self._lock:
            self._left = True
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1


class Roots:
    """The directory trees that are served. They may go, and come later: each look begins at what is there then."""

    def __init__(self, settings: Settings) -> None:
        """Look at the roots.

        Raises  NotNow if none can be opened, ConfigError on a kernel without openat2 (Linux 5.6).
        """
        self._settings = settings
        self._roots: dict[str, _KnownRoot] = {}
        self.changed = trio.Event()
        self._about_to_come: dict[Root, _KnownRoot] = {}
        self._salts = itertools.count(1)
        self._on_news: Callable[[], None] = lambda: None
        missing: list[str] = []
        for root in settings.roots:
            known = _KnownRoot(root, trio.CapacityLimiter(settings.lookups_max))
            try:
                with known.entered() as fd:
                    _look_in(fd)
            except _RootAway as error:
                missing.append(f"roots: cannot open {root.directory}: {_strerror(error)}")
            except OSError as error:
                kind = ConfigError if error.errno == errno.ENOSYS else NotNow
                raise kind(f"roots: cannot open {root.directory}: {error.strerror}") from error
            known.news = False
            self._roots[root.name] = known
        if missing and len(missing) == len(settings.roots):
            raise NotNow(missing[0])
        for words in missing:
            log.warning("%s; it is served when it is there", words)

    @property
    def listing_max(self) -> int:
        """Most names in one page of a listing."""
        return self._settings.listing_max

    def serves(self, directory: str) -> bool:
        """Tell whether a directory, or a frame, is below a root that is served."""
        return directory.partition("/")[0] in self._roots

    async def look_at(self, roots: Iterable[Root]) -> None:
        """Look at roots that are about to be served, so that their first reader does not come upon news.

        One that is away, or hangs, is served when it is there.
        """
        for root in roots:
            known = self._about_to_come[root] = _KnownRoot(root, trio.CapacityLimiter(1))
            try:
                await self._in_thread(known, partial(_look_first, root=known), root.name)
            except ImgdError as error:
                log.warning("root %s: %s; it is served when it is there", root.name, error.text)

    def take(self, settings: Settings) -> None:
        """Serve these roots, with these limits, from now on. What is open stays open; who waits for a root that is
        served no longer gets what it waits for."""
        self._settings = settings
        roots: dict[str, _KnownRoot] = {}
        for root in settings.roots:
            known = self._roots.get(root.name)
            if known is None or known.root != root:
                known = self._about_to_come.get(root) or _KnownRoot(root, trio.CapacityLimiter(1))
            known.threads.total_tokens = settings.lookups_max
            roots[root.name] = known
        self._about_to_come.clear()
        self._roots = roots
        self.changed.set()
        self.changed = trio.Event()

    def tell_news(self, on_news: Callable[[], None]) -> None:
        """Have somebody told when a root has come to be another directory: appeared, mounted, moved into its place."""
        self._on_news = on_news

    @asynccontextmanager
    async def open(self, frame: str) -> AsyncIterator[OpenSource]:
        """Find a frame by its name, `<root name>/<relative path>`; its descriptor is open inside the `with`.

        Raises  NoSuchFrame, NotYours; BadFrame for what is no file; Busy when the file system fails or hangs.
        Cancelled at once, even while the file system hangs.
        """
        name, path = parts_of(frame)
        root = self._roots.get(name)
        if root is None:
            raise no_such(frame)
        found = _Found()
        try:
            at_once = root.open_at_once(path or b".")
            if at_once >= 0:  # No thread for what takes no time.
                source = self._identify(at_once, found)
                await trio.lowlevel.checkpoint()
            else:
                source = await self._in_thread(root, partial(self._find, path=path or b".", found=found), frame)
            yield OpenSource(found.fd, source)
        finally:
            found.leave()

    async def list(self, directory: str, order: Order, limit: int, after: str) -> Listing:
        """List a page of a directory; of the roots themselves for "".

        Raises  as `open`; BadRequest for an `after` that no listing made.
        """
        if not directory:
            return self._list_roots()
        name, path = parts_of(directory.rstrip("/"))
        root = self._roots.get(name)
        if root is None:
            raise no_such(directory)
        page = Page(order, min(limit, self._settings.listing_max), after, self._settings.scan_max)
        return await self._in_thread(root, partial(list_directory, root=name, path=path, page=page), directory)

    async def is_linked(self, directory: str) -> bool:
        """Tell whether symbolic links lead to a directory below its root: events name what comes there otherwise.

        Raises  as `open`.
        """
        name, path = parts_of(directory.rstrip("/"))
        root = self._roots.get(name)
        if root is None:
            raise no_such(directory)
        return await self._in_thread(root, partial(is_linked, path=path), directory)

    def _list_roots(self) -> Listing:
        entries = tuple(Entry(name, ref_of(name.encode()), "dir", 0, None) for name in sorted(self._roots))
        return Listing("", entries, None, True)

    async def _in_thread(self, root: _KnownRoot, work: Callable[[int], T], name: str) -> T:
        """Do what may block, from the root's directory on."""

        def enter() -> T:
            with root.entered() as fd:
                return work(fd)

        try:
            with trio.fail_after(self._settings.lookup_limit_s):
                return await in_thread(enter, limiter=root.threads)
        except trio.TooSlowError:
            raise Busy(
                f"the file system of root {root.root.name!r} does not answer", _RETRY_AFTER_S, "storage"
            ) from None
        except _RootAway:
            raise Busy(f"the directory of root {root.root.name!r} is not there", _RETRY_AFTER_S, "root_away") from None
        except OSError as error:
            raise failure_of(error, name) from error
        finally:
            if root.news:
                root.news = False
                self._on_news()

    def _find(self, root_fd: int, path: bytes, found: _Found) -> Source:
        return self._identify(open_beneath(root_fd, path, os.O_PATH), found)

    def _identify(self, fd: int, found: _Found) -> Source:
        facts = os.fstat(fd)
        found.put(fd)  # From here on the descriptor may be closed at any moment.
        refuse_special(facts.st_mode)
        # A second change within one step of the clock would leave the same mtime: such a result is never found again.
        racing = abs(time.time_ns() - facts.st_mtime_ns) < RACE_NS
        salt = next(self._salts) if racing else 0
        return Source(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, salt)


def _look_in(root_fd: int) -> None:
    os.close(open_beneath(root_fd, b".", os.O_PATH))


def _look_first(root_fd: int, root: _KnownRoot) -> None:
    """Look into a root that nobody was told of yet: that it is there is no news."""
    root.news = False
    _look_in(root_fd)


def _strerror(away: _RootAway) -> str:
    cause = away.__cause__
    return str(cause.strerror) if isinstance(cause, OSError) else "it is not there"
