"""What one stretch of time in which a root is there works with, and what inotify's notices mean for it."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio

from imgd.entry import FRAME_SUFFIX
from imgd.threads import NoThread, in_thread
from imgd.watching import notices
from imgd.watching.drafts import Fact
from imgd.watching.inotify import Inotify, WatchesExhausted
from imgd.watching.notices import Notice
from imgd.watching.place import PATH_BYTES_MAX, Place, RootVanished, Sighting
from imgd.watching.settling import Settling
from imgd.watching.state import RootState
from imgd.watching.tree import Tree, is_below

log = logging.getLogger("imgd.watching")

CONFIRM_S: Final = 5.0  # A file system that answers no sooner is not waited for: what was seen of it is told.
THREAD_RETRY_S: Final = 1.0
UNSETTLED_MAX: Final = 20_000
BRANCHES_MAX: Final = 1_000
LINKS_MAX: Final = 10_000  # The latest met; others are found changed by a look through the whole root only.

T = TypeVar("T")


@dataclass(slots=True)
class Presence:
    """A root while its directory is there, the same one all the time.

    inotify   None: the root is polled.
    fresh     directories that came and are still to be looked through; `exploring` is the one that is.
    left      directories that went, the frames below them still to be told of.
    held      young files of a first look through all: not told about unless something happens to them soon.
    stirred   for each who looks now: files that something happened to since then.
    links     what is to be looked at now and then, with the identity it had, "" of what led nowhere.
    too_long  a path was met that nobody could open; said once.
    over      the root is not there any longer, or has to be polled from now on.
    """

    state: RootState
    place: Place
    inotify: Inotify | None
    settling: Settling
    threads: trio.CapacityLimiter
    tree: Tree = field(default_factory=Tree)
    round: int = 0
    fresh: dict[bytes, None] = field(default_factory=dict)
    left: dict[bytes, None] = field(default_factory=dict)
    exploring: bytes | None = None
    held: dict[bytes, str] = field(default_factory=dict)
    stirred: list[set[bytes]] = field(default_factory=list)
    links: dict[bytes, str] = field(default_factory=dict)
    too_long: bool = False
    over: trio.Event = field(default_factory=trio.Event)
    doubted: trio.Event = field(default_factory=trio.Event)
    unsettled: trio.Event = field(default_factory=trio.Event)
    branched: trio.Event = field(default_factory=trio.Event)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do what may block for long.

        Raises  OSError. Does not come back when the root turns out to have gone: this presence is over.
        Cancelled at once; the thread is left behind.
        """
        with suppress(RootVanished):
            try:
                return await self._when_there_is_a_thread(work)
            except WatchesExhausted:
                self.state.exhausted = True
        self.over.set()
        await trio.sleep_forever()
        raise AssertionError("sleeping for ever came to an end")

    async def _when_there_is_a_thread(self, work: Callable[[], T]) -> T:
        while True:
            try:
                return await in_thread(work, limiter=self.threads)
            except NoThread as error:
                log.warning("root %s: %s; looked at later", self.state.root.name, error.strerror)
            await trio.sleep(THREAD_RETRY_S)

    async def look(self, *paths: bytes) -> list[Sighting | OSError | None]:
        """Look at files, in a thread."""
        return await self.in_thread(lambda: self.place.look(paths))

    def enter(self, directory_fd: int, path: bytes) -> None:
        """Begin to watch a directory (from a thread).

        Raises  WatchesExhausted; OSError.
        """
        if self.inotify is not None:
            before = self.tree.put(self.inotify.add(directory_fd), path, self.round)
            if before is not None:
                self.inotify.remove(before)
            self.state.directories = len(self.tree)

    def found(self, sighting: Sighting) -> None:
        """A look through the root met a file that the index does not know as it is."""
        if self.inotify is None:
            self.settling.seen(sighting.path, sighting.identity, trio.current_time())
        elif sighting.path not in self.settling:
            self.settling.finished(sighting.path, trio.current_time())
        self._wake()

    def met(self, sightings: Iterable[Sighting], dangling: Iterable[bytes] = ()) -> None:
        """Remember those that are links."""
        for sighting in sightings:
            if sighting.linked:
                self._link(sighting.path, sighting.identity)
        for path in dangling:
            self._link(path, "")

    def led_nowhere(self, path: bytes) -> None:
        """A name that was told of is no file: a link to one, perhaps, that is still to come."""
        self._link(path, "")

    @contextmanager
    def noticing(self) -> Iterator[set[bytes]]:
        """Collect files that something happens to meanwhile: what was seen of them is not true any more."""
        stirred: set[bytes] = set()
        self.stirred.append(stirred)
        try:
            yield stirred
        finally:
            self.stirred[:] = [each for each in self.stirred if each is not stirred]

    def tell(self, fact: Fact) -> None:
        """A file has settled."""
        self._stir(fact.path)
        self.state.outbox.put(fact)

    def gone(self, path: bytes, last: str = "") -> None:
        """A file is not there any longer."""
        self._stir(path)
        self.links.pop(path, None)
        self.settling.gone(path)
        self.state.outbox.put(Fact(path, None, self.state.recent.get(path) or last, time.time_ns()))

    async def confirm(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Look whether facts about to be stored still hold: this process may have been stopped since they were found.

        Returns those that do, or that could not be looked at; the others are looked into again.
        """
        paths = [fact.path for fact in facts]
        seen: list[Sighting | OSError | None] = []
        with trio.move_on_after(CONFIRM_S), suppress(RootVanished, OSError):
            seen = await in_thread(self.place.look, paths, limiter=self.threads)
        if not seen:
            return facts
        held: list[Fact] = []
        for fact, sighting in zip(facts, seen, strict=True):
            if isinstance(sighting, OSError) or fact.identity == (sighting and sighting.identity):
                held.append(fact)
            elif sighting is None:
                self.gone(fact.path)
            else:
                self.found(sighting)
        return held

    def is_quiet(self, path: bytes) -> bool:
        """Tell whether nothing is known to happen to a file: a first look through all may put it into the index."""
        if path in self.settling or path in self.state.outbox or any(path in stirred for stirred in self.stirred):
            return False
        branches = tuple(branch + b"/" for branch in (*self.fresh, self.exploring) if branch is not None)
        return not path.startswith(branches)

    async def drain(self) -> None:
        """Read all that has happened until now."""
        if self.inotify is not None:
            while batch := self.inotify.read():
                self.apply(batch)
                await trio.lowlevel.checkpoint()

    def apply(self, batch: Iterable[Notice]) -> None:
        """Draw the conclusions from what has happened."""
        for notice in batch:
            if notice.mask & notices.OVERFLOW:
                self.state.overflows += 1
                self.state.want_survey()
                continue
            directory = self.tree.path_of(notice.watch)
            if directory is None:
                continue  # What happened there is seen by the walk that follows its coming back.
            if notice.mask & notices.IGNORED:
                self.tree.drop(notice.watch)
            elif notice.mask & (notices.DELETE_SELF | notices.MOVE_SELF | notices.UNMOUNT):
                self._directory_itself(directory, notice.mask)
            elif notice.name and not notice.name.startswith(b"."):
                path = directory + b"/" + notice.name if directory else notice.name
                if notice.mask & notices.IS_DIRECTORY:
                    self._directory(path, notice.mask)
                elif FRAME_SUFFIX.search(notice.name):
                    self._file(path, notice.mask)
        self.state.directories = len(self.tree)
        self._wake()

    def _link(self, path: bytes, identity: str) -> None:
        if self.inotify is not None:  # Else all are looked at again and again.
            if len(self.links) >= LINKS_MAX and path not in self.links:
                del self.links[next(iter(self.links))]
            self.links[path] = identity

    def _wake(self) -> None:
        self.state.unsettled = len(self.settling)
        self.unsettled.set()

    def _stir(self, path: bytes) -> None:
        self.held.pop(path, None)
        for stirred in self.stirred:
            stirred.add(path)

    def _directory_itself(self, directory: bytes, mask: int) -> None:
        if not directory:
            self.doubted.set()
        elif mask & notices.UNMOUNT:
            self.state.want_survey()

    def _directory(self, path: bytes, mask: int) -> None:
        if mask & (notices.CREATE | notices.MOVED_TO):
            self._branch(self.fresh, path)
        elif mask & notices.MOVED_FROM and self.inotify is not None:
            for watch in self.tree.drop_below(path):
                self.inotify.remove(watch)
            self.settling.gone_below(path)
            for link in [link for link in self.links if is_below(link, path)]:
                del self.links[link]
            self._branch(self.left, path)

    def _branch(self, branches: dict[bytes, None], path: bytes) -> None:
        if len(branches) < BRANCHES_MAX:
            branches[path] = None
            self.branched.set()
        else:
            self.state.want_survey()

    def _file(self, path: bytes, mask: int) -> None:
        if len(path) > PATH_BYTES_MAX:
            if not self.too_long:
                log.warning("root %s: files with paths of more than %d bytes are not seen, such as that beginning %r",
                            self.state.root.name, PATH_BYTES_MAX, path[:80])  # fmt: skip
            self.too_long = True
            return
        if mask & (notices.DELETE | notices.MOVED_FROM):
            self.gone(path)
            return
        self._stir(path)
        if len(self.settling) >= UNSETTLED_MAX and path not in self.settling:
            self.state.want_survey()
        elif mask & (notices.ATTRIB | notices.CLOSE_WRITE | notices.MOVED_TO):
            self.settling.finished(path, trio.current_time())
        elif mask & notices.CREATE:
            self.settling.created(path, trio.current_time())
        elif mask & notices.MODIFY:
            self.settling.touched(path, trio.current_time())
