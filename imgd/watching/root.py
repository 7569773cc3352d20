"""One watched root: there, away, there again; what it tells is the business of the modules around."""

import logging
import time
from functools import partial
from typing import Final

import trio

from imgd.events.catalogue import RootSeen
from imgd.events.store import Store
from imgd.setting_kinds import Root
from imgd.threads import NoThread, in_thread
from imgd.watching.drafts import Describe, root_draft
from imgd.watching.inotify import Inotify, WatchesExhausted
from imgd.watching.linking import follow_links
from imgd.watching.looking import settle
from imgd.watching.noting import insist
from imgd.watching.place import Place
from imgd.watching.presence import Presence
from imgd.watching.settling import Settling
from imgd.watching.state import RootState, Tell, WatchSettings, WatchStatistics, tell_nobody
from imgd.watching.surveying import MARK, follow_branches, mark_of, read_marks, survey

log = logging.getLogger("imgd.watching")

_THREADS_BESIDES: Final = 4  # Two walks, the look for the root's directory, and one that hangs.


class RootWatch:
    """Sees what happens below one root, and has it noted in the store; how far a look has come it only tells."""

    def __init__(
        self, root: Root, store: Store, describe: Describe, settings: WatchSettings, *, tell: Tell = tell_nobody
    ) -> None:
        self._state = RootState(root, store, describe, settings, tell)
        self._marks: frozenset[bytes] = frozenset()
        self._threads = trio.CapacityLimiter(settings.describes_max + _THREADS_BESIDES)

    @property
    def seen(self) -> RootSeen:
        """Tell what the catalogue needs to know of the root."""
        state = self._state
        return RootSeen(state.root.name, state.present, state.away or state.scans > 0)

    def statistics(self) -> WatchStatistics:
        """Tell figures."""
        state = self._state
        return WatchStatistics(
            root=state.root.name,
            present=int(state.present),
            polling=int(state.poll_s > 0),
            directories=state.directories,
            frames=state.frames,
            scanning=int(state.scanning),
            scanned=state.scanned,
            scans_total=state.scans,
            unsettled=state.unsettled,
            unnoted=len(state.outbox),
            overflows_total=state.overflows,
            describes_total=state.describes,
            events_total=state.events,
        )

    async def run(self) -> None:
        """Watch until cancelled. A store that is down, or a root that is away, is waited for."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._state.outbox.run)
            await insist(self._enter)
            place: Place | None = None
            while True:
                place = await self._until_there(place)
                self._state.present = True
                await self._mark_device(place)
                try:
                    await self._be_present(place)
                finally:
                    self._state.present = False
                    self._state.directories = self._state.unsettled = 0

    async def _enter(self) -> None:
        state = self._state
        if await state.store.enter_root(state.root.name, str(state.root.directory)):
            self._marks = await read_marks(state.store, state.root.name)
        state.scanned_once = MARK in self._marks

    async def _until_there(self, before: Place | None) -> Place:
        """Wait for the root's directory, and tell that it went, or came back."""
        state = self._state
        away = False
        while True:
            try:
                place = await in_thread(_find, state.root, self._marks, limiter=self._threads)
            except NoThread:
                await trio.sleep(state.settings.presence_s)
                continue
            if not away and (place is None or before not in (None, place)):
                away = True
                log.warning("root %s: its directory is not there", state.root.name)
                state.outbox.tell(root_draft(state.root.name, "root.vanished", time.time_ns()))
            state.away = place is None
            if place is not None:
                if away:
                    state.outbox.tell(root_draft(state.root.name, "root.appeared", time.time_ns()))
                return place
            await trio.sleep(state.settings.presence_s)

    async def _mark_device(self, place: Place) -> None:
        """Remember a device that the root lies on."""
        mark = mark_of(place.device)
        try:
            is_new = mark not in self._marks and not await in_thread(place.is_empty)
        except NoThread:
            return  # It is remembered when it is seen the next time.
        if is_new:
            await insist(partial(self._state.outbox.fill, lambda: {mark: "1"}))
            self._marks |= {mark}

    async def _be_present(self, place: Place) -> None:
        """Watch for as long as this directory is the root's."""
        state = self._state
        try:
            if state.poll_s:
                await _watch(Presence(state, place, None, Settling(state.settings.settle_s), self._threads))
            else:
                with Inotify() as inotify:
                    await _watch(Presence(state, place, inotify, Settling(state.settings.settle_s), self._threads))
        except WatchesExhausted:
            state.exhausted = True
        if state.exhausted and not state.settings.poll_s:
            log.warning(
                "root %s: the kernel has no watches left (fs.inotify), it is polled from now on", state.root.name
            )


async def _watch(presence: Presence) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle, presence)
        nursery.start_soon(survey, presence)
        nursery.start_soon(_look_for_it, presence)
        if presence.inotify is not None:
            nursery.start_soon(_read, presence, presence.inotify)
            nursery.start_soon(follow_branches, presence)
            nursery.start_soon(follow_links, presence)
        presence.state.outbox.confirm = presence.confirm
        try:
            await presence.over.wait()
        finally:
            presence.state.outbox.confirm = None
        nursery.cancel_scope.cancel()


async def _read(presence: Presence, inotify: Inotify) -> None:
    while True:
        await inotify.wait()
        await presence.drain()


async def _look_for_it(presence: Presence) -> None:
    """Look whether the root's directory is still there, now and then, and when there is a reason."""
    while True:
        with trio.move_on_after(presence.state.settings.presence_s):
            await presence.doubted.wait()
        presence.doubted = trio.Event()
        if not await presence.in_thread(presence.place.is_there):
            presence.over.set()


def _find(root: Root, marks: frozenset[bytes]) -> Place | None:
    """Find the root's directory; an empty one of a device it never lay on is where something is to be mounted."""
    place = Place.find(root.directory)
    if place is None:
        return None
    is_known = mark_of(place.device) in marks or not marks - {MARK}
    return place if is_known or not place.is_empty() else None
