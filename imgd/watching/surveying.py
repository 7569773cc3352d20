"""Looking through a root, or through what came and went below it, and comparing with the index."""

import logging
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence, Sized
from functools import partial
from operator import itemgetter
from typing import Final, Self

import trio

from imgd.events.store import Store, StoreDown
from imgd.watching.drafts import root_draft
from imgd.watching.noting import FACTS_MAX, insist
from imgd.watching.place import Sighting
from imgd.watching.presence import UNSETTLED_MAX, Presence
from imgd.watching.telling import telling
from imgd.watching.walking import Slice, Walk

log = logging.getLogger("imgd.watching")

_MARKS_MAX: Final = 1_000
HELD_MAX: Final = 10_000
MARK: Final = b"\0"
"""The index's entry that says that all frames of the root are in it: no file has such a name. A first look through all
that was broken off is so begun again, silently. Behind it, in entries of their own, come devices that the root has
lain on: an empty directory of another one is where it is to be mounted."""
_PAUSE_S: Final = (0.1, 30.0)  # First and longest pause before a survey that failed is made again; doubles.
_ROOM_S: Final = 0.05


class Shelf:
    """An index, read page by page in the order of its paths, as far as it is wanted. An async context manager."""

    def __init__(self, pages: AsyncIterator[Sequence[tuple[bytes, str]]]) -> None:
        self._pages = pages
        self._page: Sequence[tuple[bytes, str]] = ()
        self._next = 0

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Let go of what the store reads with."""
        if isinstance(self._pages, AsyncGenerator):
            await self._pages.aclose()

    async def next(self, upto: bytes | None) -> list[tuple[bytes, str]] | None:
        """Read on, a page at most, up to this path (None: to the end); None when there is no more until there.

        Raises  StoreDown.
        """
        if self._next == len(self._page):
            try:
                self._page, self._next = await anext(self._pages), 0
            except StopAsyncIteration:
                return None
        start, end = self._next, len(self._page)
        if start < end and upto is not None and self._page[-1][0] > upto:
            end = bisect_right(self._page, upto, start, key=itemgetter(0))
        self._next = end
        return list(self._page[start:end]) or None


async def read_marks(store: Store, root: str) -> frozenset[bytes]:
    """Read which marks the index has.

    Raises  StoreDown.
    """
    async with Shelf(store.index(root, _MARKS_MAX)) as shelf:
        return frozenset(path for path, _ in await shelf.next(MARK + b"\xff") or ())


def mark_of(device: int) -> bytes:
    """Make the mark of a device."""
    return MARK + b"%d" % device


async def survey(presence: Presence) -> None:
    """Look through the whole root whenever that is wanted, and every `poll_s`, until cancelled."""
    state = presence.state
    pause_s, longest_s = _PAUSE_S
    routine = False
    while True:
        state.survey_wanted = trio.Event()
        state.scanning, state.scanned = True, 0
        try:
            with telling(state, routine=routine) as step:
                await _survey_whole(presence, step)
            pause_s = _PAUSE_S[0]
        except (StoreDown, OSError) as failure:
            log.warning("root %s could not be looked through, trying again: %s", state.root.name, failure)
            state.want_survey()
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
        finally:
            state.scanning = False
        with trio.move_on_after(state.poll_s or float("inf")) as pause:
            await state.survey_wanted.wait()
        routine = pause.cancelled_caught


async def follow_branches(presence: Presence) -> None:
    """Look through directories that came, and tell of the frames of those that went, until cancelled."""
    while True:
        presence.branched = trio.Event()
        try:
            if presence.left:
                left = tuple(presence.left)
                await insist(partial(_tell_left, presence, left))
                for path in left:
                    presence.left.pop(path, None)
            elif presence.fresh:
                presence.exploring = next(iter(presence.fresh))
                del presence.fresh[presence.exploring]
                await _explore(presence, presence.exploring)
            else:
                await presence.branched.wait()
        except OSError as failure:
            log.warning("a directory of root %s could not be looked through: %s", presence.state.root.name, failure)
            presence.left.clear()
            presence.state.want_survey()
        finally:
            presence.exploring = None


async def _explore(presence: Presence, top: bytes) -> None:
    walk = Walk(presence.place, top, presence.enter)
    while True:
        part = await presence.in_thread(walk.next)
        presence.met(part.frames, part.dangling)
        await presence.drain()
        for sighting in part.frames:
            await _room(presence.settling, UNSETTLED_MAX // 2)
            presence.found(sighting)
        if part.upto is None:
            return


async def _tell_left(presence: Presence, directories: tuple[bytes, ...]) -> None:
    below = tuple(directory + b"/" for directory in directories)
    state = presence.state
    pending = await state.outbox.paths()  # First: it may be that the index gets them while it is read.
    await _tell_gone(presence, {path: "" for path in pending if path.startswith(below)})
    async with Shelf(state.store.index(state.root.name)) as shelf:
        while (rows := await shelf.next(None)) is not None:
            await _tell_gone(presence, {path: last for path, last in rows if path.startswith(below)})


async def _tell_gone(presence: Presence, known: Mapping[bytes, str]) -> None:
    """Tell of files that the index has and that were not met, if they are not there indeed."""
    if not known:
        return
    with presence.noticing() as stirred:
        for path, sighting in zip(known, await presence.look(*known), strict=True):
            await _room(presence.state.outbox, FACTS_MAX // 2)
            if sighting is None and path not in presence.settling and path not in stirred:
                presence.gone(path, known[path])


async def _survey_whole(presence: Presence, step: Callable[[], None]) -> None:
    """Look through the whole root once; `step` is called part by part."""
    state = presence.state
    first = not state.scanned_once
    started_ns = time.time_ns()
    presence.round += 1
    await _tell_gone(presence, dict.fromkeys(await state.outbox.paths(), ""))
    walk = Walk(presence.place, b"", presence.enter)
    async with Shelf(state.store.index(state.root.name)) as shelf:
        while True:
            with presence.noticing():
                part = await presence.in_thread(walk.next)
                presence.met(part.frames, part.dangling)
                await presence.drain()
                state.scanned += len(part.frames)
                step()
                different, new = await _compare(presence, part, shelf)
                if first:
                    new = await _fill(presence, new, started_ns)
            for sighting in (*different, *new):
                await _room(presence.settling, UNSETTLED_MAX // 2)
                presence.found(sighting)
            if part.upto is None:
                break
    if first:
        await _end_first(presence)
    state.frames = state.scanned
    state.scans += 1
    if presence.inotify is not None:
        for watch in presence.tree.drop_before(presence.round):
            presence.inotify.remove(watch)
        state.directories = len(presence.tree)


async def _compare(presence: Presence, part: Slice, shelf: Shelf) -> tuple[list[Sighting], list[Sighting]]:
    """Tell of files that the index has and that were not met; return those that it has otherwise, or not at all."""
    state = presence.state
    met = {sighting.path: sighting for sighting in part.frames}
    different: list[Sighting] = []
    stored = state.stored
    while (rows := await shelf.next(part.upto)) is not None:
        missing: dict[bytes, str] = {}
        for path, identity in rows:
            sighting = met.pop(path, None)
            if sighting is None:
                if not path.startswith(MARK):
                    missing[path] = identity
            elif sighting.identity != identity:
                different.append(sighting)
            elif stored == state.stored:  # Else the index may be another one by now.
                state.recent.learn(path, identity)
        await _tell_gone(presence, missing)
    return different, list(met.values())


async def _fill(presence: Presence, unknown: Sequence[Sighting], started_ns: int) -> list[Sighting]:
    """Put old frames into the index silently; hold those back that may still be written to; return what is new."""
    settle_ns = presence.state.settings.settle_s * 1e9
    now_ns = time.time_ns()
    new: list[Sighting] = []
    old: dict[bytes, str] = {}
    for sighting in unknown:
        if started_ns < sighting.mtime_ns <= now_ns:
            new.append(sighting)
        elif abs(now_ns - sighting.mtime_ns) < settle_ns and len(presence.held) < HELD_MAX:
            if presence.is_quiet(sighting.path):
                presence.held[sighting.path] = sighting.identity
        else:
            old[sighting.path] = sighting.identity
    await _fill_quiet(presence, old)
    return new


async def _fill_quiet(presence: Presence, known: Mapping[bytes, str]) -> None:
    state = presence.state

    def choose() -> Mapping[bytes, str]:
        chosen = {path: identity for path, identity in known.items() if presence.is_quiet(path)}
        for path, identity in chosen.items():
            state.recent.learn(path, identity)
        return chosen

    await state.outbox.fill(choose)


async def _end_first(presence: Presence) -> None:
    """Decide about the young frames, and tell that all frames there were are known."""
    state = presence.state
    if presence.held:
        await trio.sleep(state.settings.settle_s)
        paths = tuple(presence.held)
        with presence.noticing():
            sightings = [sighting for sighting in await presence.look(*paths) if isinstance(sighting, Sighting)]
            await presence.drain()
            still = {s.path: s.identity for s in sightings if presence.held.get(s.path) == s.identity}
            moving = [s for s in sightings if presence.held.get(s.path, s.identity) != s.identity]
            presence.held.clear()
            await _fill_quiet(presence, still)
        for sighting in moving:
            presence.found(sighting)
    await state.outbox.fill(lambda: {MARK: "1"})
    state.scanned_once = True
    state.outbox.tell(root_draft(state.root.name, "root.scanned", time.time_ns(), frames=state.scanned))


async def _room(queue: Sized, below: int) -> None:
    """Wait until there is less to do; who works it off must not be slowed down by telling about it each time."""
    while True:
        if len(queue) < below:
            return
        await trio.sleep(_ROOM_S)
