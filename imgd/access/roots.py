"""Roots: from the name of a frame to an open source, without ever opening its contents."""

import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import trio

from cgi_worker.wire.facts import Source
from imgd.access.listing import Listing, Order, Page, list_directory
from imgd.access.lookup import failure_of, is_local, no_such, open_at_once, open_beneath, parts_of, refuse_special
from imgd.config import Settings
from imgd.entry import Entry, ref_of
from imgd.errors import Busy, ConfigError
from imgd.model import OpenSource
from imgd.setting_kinds import Root

RACE_NS: Final = 50_000_000  # Far above the step of a file system's clock (4 to 10 ms).
_RETRY_AFTER_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _OpenRoot:
    root: Root
    fd: int
    local: bool
    threads: trio.CapacityLimiter


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
    """The directory trees that are served. Use it as a context manager: it holds one descriptor for each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._roots: dict[str, _OpenRoot] = {}
        self._salts = itertools.count(1)
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Open the roots.

        Raises  ConfigError for a root that cannot be opened, or a kernel without openat2 (Linux 5.6).
        """
        with ExitStack() as opened:
            for root in self._settings.roots:
                try:
                    fd = os.open(root.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                    opened.callback(os.close, fd)
                    os.close(open_beneath(fd, b".", os.O_PATH))
                except OSError as error:
                    raise ConfigError(f"roots: cannot open {root.directory}: {error.strerror}") from error
                self._roots[root.name] = _OpenRoot(
                    root, fd, is_local(fd), trio.CapacityLimiter(self._settings.lookups_max)
                )
            self._closing = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the roots."""
        self._roots.clear()
        self._closing.close()

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
            at_once = open_at_once(root.fd, path or b".", os.O_PATH) if root.local else -1
            if at_once >= 0:  # No thread for what takes no time.
                source = self._identify(at_once, found)
                await trio.lowlevel.checkpoint()
            else:
                source = await self._in_thread(root, partial(self._find, root.fd, path or b".", found), frame)
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
        return await self._in_thread(root, partial(list_directory, root.fd, name, path, page), directory)

    def _list_roots(self) -> Listing:
        entries = tuple(Entry(name, ref_of(name.encode()), "dir", 0, None) for name in sorted(self._roots))
        return Listing("", entries, None, True)

    async def _in_thread(self, root: _OpenRoot, work: Callable[[], T], name: str) -> T:
        try:
            with trio.fail_after(self._settings.lookup_limit_s):
                return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=root.threads)
        except trio.TooSlowError:
            raise Busy(f"the file system of root {root.root.name!r} does not answer", _RETRY_AFTER_S) from None
        except OSError as error:
            raise failure_of(error, name) from error

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
