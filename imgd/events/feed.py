"""A client's feed: one cursor into the log, and its subscriptions. Pure: who drives it reads the events.

There is one cursor for all subscriptions, so that an event which several of them want is told once and names them all.
A subscription that begins in the past takes the cursor back; the others wait, and get nothing twice, until it has
come to where they are.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from imgd.events.event import Cursor, Draft, Event
from imgd.events.filters import Filters
from imgd.events.progress import Latest, Progress

BATCH_BYTES: Final = 256 * 1024  # A batch of more ends there: what is asked meanwhile waits behind one batch.
TURN_STEPS: Final = 20_000  # Steps of filters before others have their turn: a few milliseconds.
RULE_STEPS: Final = 4  # What one filter takes; a pattern takes one for each character as well.
PATH_USUAL: Final = 60


class Batch(msgspec.Struct, frozen=True):
    """Events, ascending, each with the subscriptions that it is for."""

    items: Sequence[tuple[tuple[int, ...], Event]]


class Live(msgspec.Struct, frozen=True):
    """These have been told all that was in the log when they began; what follows is new."""

    subs: tuple[int, ...]
    head: Cursor


class Missed(msgspec.Struct, frozen=True):
    """Events that these will not get, whether they match or not: no longer kept, or the client was too slow."""

    subs: tuple[int, ...]
    first: int
    last: int


class Reset(msgspec.Struct, frozen=True):
    """What these were told, or asked for, is not of this log: they go on from its head."""

    subs: tuple[int, ...]
    head: Cursor


class Underway(msgspec.Struct, frozen=True):
    """How far something has come, and the subscriptions that it is for: told beside the events, it moves no cursor."""

    subs: tuple[int, ...]
    progress: Progress


Message = Batch | Live | Missed | Reset
Sees = Callable[[Draft], bool]


def sees_all(_: Draft) -> bool:
    """See every event."""
    return True


class _Subscription:
    """One subscription: events up to `after` are not for it; `live_at`: where it is live, None when that was told.

    heard  progress up to this number is known to it; -1: it has just begun.
    """

    __slots__ = ("after", "filters", "heard", "id", "live_at")

    def __init__(self, id: int, filters: Filters, after: int, live_at: int | None) -> None:
        self.id = id
        self.filters = filters
        self.after = after
        self.live_at = live_at
        self.heard = -1


class Feed:
    """What one client follows.

    Invariant: of all events after its beginning each subscription is told those that it accepts and the client may
    see, ascending, once; or that it missed them; or that the log is another one.

    at       everything up to here has been told.
    version  changes with the subscriptions: what was read for an older one is not to be taken.
    rules    filters of all subscriptions; those with equal lists are asked once, and count once.
    """

    __slots__ = (
        "_epoch", "_globs", "_groups", "_heard", "_lag_max", "_notices", "_sees", "_subscriptions", "at", "rules",
        "version",
    )  # fmt: skip

    def __init__(self, lag_max: int, sees: Sees = sees_all) -> None:
        self._lag_max = lag_max
        self._sees = sees
        self._subscriptions: dict[int, _Subscription] = {}
        self._groups: list[tuple[Filters, list[_Subscription]]] = []
        self._notices: list[Message] = []
        self._epoch = ""
        self._globs = self.rules = 0
        self._heard = 0
        self.at = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, id: int) -> bool:
        return id in self._subscriptions

    def cursor(self, head: Cursor) -> Cursor:
        """Tell where this client is: nothing up to here is still to come."""
        return Cursor(self._epoch, self.at) if self._subscriptions else head

    @property
    def resets(self) -> bool:
        """Tell whether a Reset is still to be told."""
        return any(isinstance(notice, Reset) for notice in self._notices)

    @property
    def page_max(self) -> int:
        """Tell how many events it will take in one turn, of the usual kind: to read more is in vain."""
        return max(1, TURN_STEPS // max(1, self._steps(PATH_USUAL)))

    def rules_with(self, filters: Filters) -> int:
        """Tell what `rules` would be with one more subscription that has these."""
        return self.rules + (0 if any(filters == known for known, _ in self._groups) else filters.count)

    def subscribe(self, id: int, filters: Filters, since: Cursor | None, head: Cursor) -> None:
        """Begin a subscription after `since`, or at the head; its id is not in use.

        head  of the log as it is: a cursor above it, or of another epoch, is not of this log.
        """
        assert id not in self._subscriptions
        self._notices = self.settle(head)
        after, live_at = head.id, None
        if since is not None:
            live_at = head.id
            if since.epoch == head.epoch and since.id <= head.id:
                after = since.id
            else:
                self._notices.append(Reset((id,), head))
        for each in self._subscriptions.values():
            each.after = max(each.after, self.at)
        self.at = min(after, self.at) if self._subscriptions else after
        self._subscriptions[id] = _Subscription(id, filters, after, live_at)
        self._heard = -1
        self._group()

    def unsubscribe(self, id: int) -> None:
        """End a subscription: no message names it any more."""
        del self._subscriptions[id]
        self._notices = [left for notice in self._notices if (left := _without(notice, id)) is not None]
        if self._subscriptions:
            self.at = min(max(each.after, self.at) for each in self._subscriptions.values())
        self._group()

    def settle(self, head: Cursor) -> list[Message]:
        """Tell what needs no reading: that the log is another one, that the client is too far behind, who is live."""
        messages, self._notices = self._notices, []
        if not self._subscriptions:
            self._epoch, self.at = head.epoch, head.id
            return messages
        if self._epoch != head.epoch or head.id < self.at:
            self._epoch, self.at = head.epoch, head.id
            for each in self._subscriptions.values():
                each.after = head.id
                each.live_at = None if each.live_at is None else head.id
            messages.append(Reset(tuple(self._subscriptions), head))
        elif head.id - self.at > self._lag_max and not self._replays():
            messages += self._miss(head.id - self._lag_max)
        return messages + self._live()

    def wants(self, head: Cursor) -> int | None:
        """Tell after which id is to be read; None if nothing is."""
        return self.at if self._subscriptions and self.at < head.id else None

    def take(self, page: Sequence[Event], head: Cursor) -> list[Message]:
        """Take the events after `at`, as many of them as make a batch or a turn, and move on.

        page  what was read, ascending. Where ids are missing the log has forgotten them. What is newer than the head is
              left for later: the store has it before the log has looked.
        head  as it was before the reading.
        """
        messages: list[Message] = []
        items: list[tuple[tuple[int, ...], Event]] = []
        size_bytes = steps = 0
        if page and page[-1].id > head.id:
            page = [event for event in page if event.id <= head.id]
        if not page:
            messages += self._miss(head.id)
        for event in page:
            told: list[Message] = self._miss(event.id - 1) if event.id > self.at + 1 else []
            told += self._live()
            if told:
                if items:
                    messages.append(Batch(items))
                    items = []
                messages += told
            subs = self._subs_of(event)
            self.at = event.id
            if subs:
                items.append((subs, event))
                size_bytes += len(event.body) + 64
            steps += self._steps(len(event.draft.path))
            if size_bytes > BATCH_BYTES or steps > TURN_STEPS:
                break
        if items:
            messages.append(Batch(items))
        return messages + self._live()

    def hear(self, latest: Latest) -> list[Underway]:
        """Tell the progress that is new to the client, oldest first; a new subscription, what is still going on."""
        if self._heard == latest.last:
            return []
        told: list[Underway] = []
        subscriptions = self._subscriptions.values()
        for progress in latest.after(min((each.heard for each in subscriptions), default=latest.last)):
            draft = progress.draft
            if self._sees(draft):
                new = [each for each in subscriptions if _is_new(progress, each.heard) and each.filters.accepts(draft)]
                told += [Underway(tuple(each.id for each in new), progress)] if new else []
        self._heard = latest.last
        for each in subscriptions:
            each.heard = latest.last
        return told

    def _subs_of(self, event: Event) -> tuple[int, ...]:
        number, draft = event.id, event.draft
        if not self._sees(draft):
            return ()
        subs: list[int] = []
        for filters, group in self._groups:
            new = [each.id for each in group if each.after < number]
            if new and filters.accepts(draft):
                subs += new
        return tuple(subs if len(self._groups) == 1 else sorted(subs))

    def _steps(self, path_chars: int) -> int:
        """Estimate what it takes to filter an event, if every filter is asked."""
        return self.rules * RULE_STEPS + self._globs * path_chars

    def _group(self) -> None:
        """Put subscriptions with equal filters together, after a change of them."""
        groups: dict[Filters, list[_Subscription]] = {}
        for each in self._subscriptions.values():
            groups.setdefault(each.filters, []).append(each)
        self._groups = list(groups.items())
        self.rules = sum(filters.count for filters in groups)
        self._globs = sum(filters.globs for filters in groups)
        self.version += 1

    def _replays(self) -> bool:
        """Tell whether a subscription is still on its way through the past: it asked for it, and is not late."""
        return any(each.live_at is not None for each in self._subscriptions.values())

    def _live(self) -> list[Message]:
        subs = [each for each in self._subscriptions.values() if each.live_at is not None and each.live_at <= self.at]
        for each in subs:
            each.live_at = None
        return [Live(tuple(each.id for each in subs), Cursor(self._epoch, self.at))] if subs else []

    def _miss(self, last: int) -> list[Message]:
        """Go on after `last`; tell each subscription what it misses by that."""
        firsts: dict[int, list[int]] = {}
        for each in self._subscriptions.values():
            first = max(each.after, self.at) + 1
            if first <= last:
                firsts.setdefault(first, []).append(each.id)
        self.at = max(self.at, last)
        return [Missed(tuple(subs), first, last) for first, subs in sorted(firsts.items())]


def _is_new(progress: Progress, heard: int) -> bool:
    return not progress.over if heard < 0 else progress.number > heard


def _without(notice: Message, id: int) -> Message | None:
    assert not isinstance(notice, Batch)
    subs = tuple(each for each in notice.subs if each != id)
    return msgspec.structs.replace(notice, subs=subs) if subs else None
