"""The log as one daemon has it: one reader of the store's tail, the newest events in memory, and who waits for more."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from imgd.config import Settings
from imgd.errors import Busy
from imgd.events.event import Cursor, Draft
from imgd.events.feed import Feed, Message, Sees, Underway, sees_all
from imgd.events.progress import Latest
from imgd.events.ring import Ring
from imgd.events.store import Head, Retention, Store, StoreDown

log = logging.getLogger("imgd.events")

POLL_S: Final = 1.0  # A nudge may be lost.
AGAIN_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # Pauses while the store is down.
PAGE: Final = 250  # Events read at once.
PRUNE_S: Final = 60.0
HEAD_MAX_S: Final = 20.0  # Clients hear of the head at least that often.
WAKE_COST_S: Final = 1e-4  # What it takes to tell one client something.
WAKE_PAUSE_MAX_S: Final = 0.1
PROGRESS_PAUSE_S: Final = 0.25  # However many roots are scanned, clients are woken for it no more often.
PROGRESS_SHARE: Final = 0.1  # Of the time may go into telling progress, where there are many clients.
SETTLE_LIMIT_S: Final = 5.0
RETRY_AFTER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Figures of now, and totals since the start; `store` are the store's own."""

    head: int
    in_memory: int
    feeds: int
    down: int
    nudges_total: int
    reads_total: int
    resets_total: int
    pruned_total: int
    store: Any


class Log:
    """Append to the log, follow it. `open_log` makes one that lives."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.take(settings)
        self.head_s = min(settings.ping_s / 2, HEAD_MAX_S)  # How often a client is told where it is.
        self._ring = Ring(settings.ring_max)
        self._nudged = trio.Event()
        self._latest = Latest()
        self._progressed = trio.Event()
        self._reading = trio.Lock()
        self._waiting: dict[object, Callable[[], None]] = {}
        self._nudges = self._reads = self._resets = self._pruned = 0
        self.head = Cursor("", 0)
        self._not_read = "the store has not answered yet"

    def take(self, settings: Settings) -> None:
        """Take up other settings: how much is kept, and how far new feeds may be behind."""
        self._lag_max = settings.lag_max
        self._keep = Retention(settings.events_age_s, settings.events_max)

    @property
    def down(self) -> str:
        """Tell why the store gives nothing, or took nothing the last time (a full disk); "" if it does both.

        What is live goes on when it comes back.
        """
        return self._not_read or self._store.refusal

    async def publish(self, drafts: Sequence[Draft]) -> Sequence[int]:
        """Append events; return their ids once they are durable.

        Raises  StoreDown.
        """
        ids = await self._store.publish(drafts)
        self.nudge()
        return ids

    def tell(self, draft: Draft) -> None:
        """Tell how far something has come to who listens now: it is not stored, and takes the place of what was told
        before of the same type and root. The last one has `done` in its detail.

        Raises  ValueError for a type whose events are stored.
        """
        self._latest.put(draft)
        self._progressed.set()

    def progress(self, feed: Feed) -> list[Underway]:
        """Tell the progress that the feed's client has not heard of: the latest of each subject."""
        return feed.hear(self._latest)

    def nudge(self) -> None:
        """Have the store looked at now, not only at the next poll."""
        self._nudges += 1
        self._nudged.set()

    def feed(self, sees: Sees = sees_all) -> Feed:
        """Make a client's feed, without subscriptions; `sees` tells which events the client may be told of."""
        return Feed(self._lag_max, sees)

    @contextlib.contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have `wake` called, while inside, whenever the head has moved or the log has become another one.

        And now and then without a reason, so that nobody needs a timer to say that all is well.
        """
        key = object()
        self._waiting[key] = wake
        try:
            yield
        finally:
            del self._waiting[key]

    async def settle(self, since: Cursor | None) -> Cursor:
        """Tell the head, having looked at the store itself if this cursor is not one that is known: another daemon
        may have given it.

        Raises  Busy if the store does not answer.
        """
        known = self.head.epoch and (since is None or (since.epoch == self.head.epoch and since.id <= self.head.id))
        if not known:
            try:
                with trio.fail_after(SETTLE_LIMIT_S):
                    await self.catch_up()
            except (StoreDown, trio.TooSlowError) as error:
                raise Busy("the store of events does not answer", RETRY_AFTER_S, "store") from error
        return self.head

    async def advance(self, feed: Feed, limit: int = PAGE) -> list[Message] | None:
        """Read on for a feed; tell what its client is to be told next, which may be nothing.

        None: its subscriptions have changed meanwhile, or the log has; nothing was taken.

        Raises  StoreDown; the feed is then where it was.
        """
        messages = feed.settle(self.head)
        head, version = self.head, feed.version
        after = feed.wants(head)
        if messages or after is None:
            return messages
        count = min(limit, PAGE, feed.page_max)
        page = self._ring.after(after, count)
        if page is None:
            self._reads += 1
            page = await self._store.read(after, count)
            if feed.version != version or self.head.epoch != head.epoch:
                return None
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        return feed.take(page, head)

    async def catch_up(self) -> None:
        """Read the store's tail.

        Raises  StoreDown; what was read by then is kept.
        """
        async with self._reading:
            head = await self._store.head()
            if head.epoch == self.head.epoch and head.last < self.head.id:
                log.error("the store has lost its tail: %d, and %d was seen", head.last, self.head.id)
                head = await self._store.lost_tail(head.epoch)
            if head.epoch != self.head.epoch:
                self._begin(head)
            while self.head.id < head.last:
                page = await self._store.read(self.head.id, PAGE)
                if not page:
                    self._ring.skip(head.last)
                self._ring.extend(page)
                self.head = Cursor(head.epoch, self._ring.last)
                self._wake()
            self._not_read = ""

    def _begin(self, head: Head) -> None:
        """Follow another log, from its head on."""
        if self.head.epoch:
            self._resets += 1
            log.warning("the log of events is another one now: %s, after %s", head.epoch, self.head.epoch)
        self._ring.skip(head.last)
        self.head = Cursor(head.epoch, head.last)
        self._wake()

    def _wake(self) -> None:
        for wake in tuple(self._waiting.values()):
            wake()

    async def follow_tail(self) -> None:
        """Keep up with the store, until cancelled.

        The first event after a pause is told at once. Those of a burst are told together, so that a client costs one
        message for several events: after each look there is a pause in which all who wait could be told something.
        """
        failures = 0
        while True:
            self._nudged = trio.Event()
            pause_s = POLL_S
            before = self.head
            try:
                await self.catch_up()
                failures = 0
                if self.head != before:
                    await trio.sleep(min(len(self._waiting) * WAKE_COST_S, WAKE_PAUSE_MAX_S))
            except StoreDown as error:
                if not failures:
                    log.error("the store of events is down: %s", error)
                self._not_read = _words(error)
                pause_s = AGAIN_S[min(failures, len(AGAIN_S) - 1)]
                failures += 1
            with trio.move_on_after(pause_s):
                await self._nudged.wait()

    async def wake_for_progress(self) -> None:
        """Wake who listens when progress was told, with a pause after each time, until cancelled."""
        while True:
            await self._progressed.wait()
            self._progressed = trio.Event()
            self._wake()
            await trio.sleep(max(PROGRESS_PAUSE_S, len(self._waiting) * WAKE_COST_S / PROGRESS_SHARE))

    async def forget_old(self) -> None:
        """Prune the store from time to time, until cancelled."""
        while True:
            await trio.sleep(PRUNE_S)
            try:
                self._pruned += await self._store.prune(self._keep)
            except StoreDown as error:
                log.warning("old events could not be forgotten: %s", error)

    async def remind(self) -> None:
        """Wake everybody twice as often as the head is told, a tenth of them at a time, until cancelled."""
        turn = 0
        while True:
            await trio.sleep(self.head_s / 20)
            turn += 1
            for number, wake in enumerate(tuple(self._waiting.values())):
                if number % 10 == turn % 10:
                    wake()

    def statistics(self) -> LogStatistics:
        """Count."""
        return LogStatistics(
            self.head.id, len(self._ring), len(self._waiting), int(bool(self.down)), self._nudges, self._reads,
            self._resets, self._pruned, self._store.statistics(),
        )  # fmt: skip


def _words(error: StoreDown) -> str:
    return str(error) or "the store of events does not answer"


@contextlib.asynccontextmanager
async def open_log(store: Store, settings: Settings) -> AsyncIterator[Log]:
    """Follow a store's tail for the duration of the `async with`; a store that is down is waited for inside of it."""
    opened = Log(store, settings)
    with contextlib.suppress(StoreDown), trio.move_on_after(SETTLE_LIMIT_S):
        await opened.catch_up()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.nudges, opened.nudge, opened.nudge)  # Also when it listens: what was before that.
        nursery.start_soon(opened.follow_tail)
        nursery.start_soon(opened.wake_for_progress)
        nursery.start_soon(opened.forget_old)
        nursery.start_soon(opened.remind)
        yield opened
        nursery.cancel_scope.cancel()
