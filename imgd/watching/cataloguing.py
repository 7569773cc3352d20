"""Looking into frames whose header is not known, one after another, when nobody else wants anything.

What a first look through a root found is in the index by its name alone. The rest is found out here, the newest frames
first: without events, without hurry, and again only when a frame has changed. Where it was after a restart is what the
index says: what has not been looked into.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from imgd.errors import Busy, Gone, ImgdError, NoSuchFrame, NotYours
from imgd.events.headers import Header, Looked, Unlooked, header_of
from imgd.events.store import Store, StoreDown
from imgd.model import Asker, Urgency
from imgd.watching.drafts import Describe
from imgd.watching.noting import insist
from imgd.watching.root import RootWatch

log = logging.getLogger("imgd.watching")

ASKER: Final = Asker(owner="catalogue", session="catalogue", urgency=Urgency.BATCH)
PAGE: Final = 1_000
TOGETHER_MAX: Final = 100  # Frames kept by one commit,
TOGETHER_S: Final = 1.0  # or what was found in so long.
LOOK_EACH_S: Final = 1.0
REST_EACH_S: Final = 0.05
TRIES_MAX: Final = 5
BUSY_S: Final = (0.1, 10.0)  # Bounds of the pause that a busy engine asks for.
DOWN_S: Final = 5.0
AGAIN_S: Final = 60.0  # Before frames that could not be looked into now are tried again.
SHUT_MAX: Final = 10_000

Frame = tuple[str, bytes, str]


@dataclass(frozen=True, slots=True)
class CataloguingStatistics:
    """Figures since the start. failed: frames that could not be read. shut: that could not be opened."""

    looked_total: int
    failed_total: int
    shut: int


class Cataloguing:
    """Looks into frames in the background.

    at_rest  tells whether nobody waits for anything; nothing is begun while somebody does.
    pause_s  time between two frames; 0: none is looked into.
    """

    def __init__(
        self,
        store: Store,
        watches: Iterable[RootWatch],
        describe: Describe,
        at_rest: Callable[[], bool],
        *,
        pause_s: float,
    ) -> None:
        self._store = store
        self._watches = watches
        self._describe = describe
        self._at_rest = at_rest
        self._pause_s = pause_s
        self._pause_set = trio.Event()
        self._found: list[Looked] = []
        self._keep_at = 0.0
        self._shut: dict[Frame, None] = {}
        self._looked = self._failed = 0

    def statistics(self) -> CataloguingStatistics:
        """Tell figures."""
        return CataloguingStatistics(self._looked, self._failed, len(self._shut))

    def take(self, pause_s: float) -> None:
        """Make such pauses from now on."""
        self._pause_s = pause_s
        self._pause_set.set()
        self._pause_set = trio.Event()

    async def run(self) -> None:
        """Look into frames whenever there may be some, until cancelled."""
        done: object = None
        again_at = 0.0
        while True:
            while not self._pause_s:
                await self._pause_set.wait()
            now = self._signs()
            if now != done or trio.current_time() >= again_at:
                try:
                    whole = await self._look_into_all()
                except StoreDown as down:
                    log.warning("frames could not be looked into: %s", down)
                    await trio.sleep(DOWN_S)
                    continue
                done, again_at = now, float("inf") if whole else trio.current_time() + AGAIN_S
            await trio.sleep(LOOK_EACH_S)

    def _signs(self) -> tuple[object, ...]:
        """Tell what changes when there may be frames that were not looked into."""
        each = [watch.statistics() for watch in self._watches]
        return tuple((one.present, one.frames, one.scanned, one.scans_total, one.events_total) for one in each)

    async def _look_into_all(self) -> bool:
        """Look into all frames there are to look into; False if some are left for later.

        Raises  StoreDown.
        """
        after, whole = None, True
        while True:
            roots = [watch.seen.name for watch in self._watches if watch.seen.present]
            page = await self._store.unlooked(roots, after, PAGE)
            for frame in page:
                if _name(frame) not in self._shut:
                    whole &= await self._look_into(frame)
            await self._keep()
            if len(page) < PAGE:
                return whole
            after = page[-1]

    async def _look_into(self, frame: Unlooked) -> bool:
        """Look into one frame, as soon as nobody else wants anything; False: later."""
        for _ in range(TRIES_MAX):
            await trio.sleep(self._pause_s)
            await self._rest()
            try:
                header = await self._header(frame)
            except (NoSuchFrame, NotYours):
                self._shut[_name(frame)] = None  # Its identity is no other when it may be opened again.
                if len(self._shut) > SHUT_MAX:
                    self._shut.pop(next(iter(self._shut)))
                return True
            except (Busy, Gone) as busy:
                low, high = BUSY_S
                await trio.sleep(min(max(getattr(busy, "retry_after_s", low), low), high))
                continue
            self._looked += 1
            self._failed += bool(header.why)
            if not self._found:
                self._keep_at = time.monotonic() + TOGETHER_S
            self._found.append(Looked(frame.root, frame.path, frame.identity, header))
            if len(self._found) >= TOGETHER_MAX or time.monotonic() >= self._keep_at:
                await self._keep()
            return True
        return False

    async def _rest(self) -> None:
        """Wait until nobody wants anything; nobody is to be slowed down by telling us."""
        while True:
            if self._at_rest():
                return
            await trio.sleep(REST_EACH_S)

    async def _header(self, frame: Unlooked) -> Header:
        """Find out what a frame's header says.

        Raises  NoSuchFrame, NotYours; Busy, Gone: try again.
        """
        if frame.identity.startswith("0:"):
            return header_of({})
        try:
            described = await self._describe(f"{frame.root}/{frame.path.decode('utf-8', 'surrogateescape')}")
        except (NoSuchFrame, NotYours, Busy, Gone):
            raise
        except ImgdError as error:
            return header_of({}, error.text or "it could not be read")
        return header_of(described.hdu, described.why)

    async def _keep(self) -> None:
        found, self._found = self._found, []
        if found:
            await insist(partial(self._store.keep, found))


def _name(frame: Unlooked) -> Frame:
    return frame.root, frame.path, frame.identity
