"""A client's feed: of all events after its beginning each subscription gets those that match, ascending, once."""

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from imgd.events.event import Cursor, Draft, Event
from imgd.events.feed import TURN_STEPS, Batch, Feed, Live, Message, Missed, Reset
from imgd.events.filters import Filters, read_filters
from tests.events.listed import made

EPOCH = "00000000000000aa"
OTHER = "00000000000000bb"
ALL = read_filters(None)
ODD = read_filters([["path", "glob", "*[13579].fits"]])


def at(id: int, epoch: str = EPOCH) -> Cursor:
    return Cursor(epoch, id)


def flat(messages: list[Message]) -> list[object]:
    """Messages as short tuples."""
    told: list[object] = []
    for message in messages:
        match message:
            case Batch(items):
                told += [(subs, event.id) for subs, event in items]
            case Live(subs, head):
                told.append(("live", subs, head.id))
            case Missed(subs, first, last):
                told.append(("missed", subs, first, last))
            case Reset(subs, head):
                told.append(("reset", subs, str(head)))
    return told


def run(feed: Feed, events: list[Event], head: Cursor, limit: int = 3) -> list[object]:
    """Read on to the head, page by page."""
    told = flat(feed.settle(head))
    while (after := feed.wants(head)) is not None:
        told += flat(feed.take([each for each in events if each.id > after][:limit], head))
        told += flat(feed.settle(head))
    return told


def test_from_now_on_is_from_the_head_on() -> None:
    feed = Feed(100)
    feed.subscribe(7, ALL, None, at(3))
    assert run(feed, made(1, 2, 3), at(3)) == []
    assert run(feed, made(1, 2, 3, 4, 5), at(5)) == [((7,), 4), ((7,), 5)]


def test_since_is_replayed_then_live_is_told_once() -> None:
    feed = Feed(100)
    feed.subscribe(7, ODD, at(1), at(5))
    assert run(feed, made(*range(1, 6)), at(5)) == [((7,), 3), ((7,), 5), ("live", (7,), 5)]
    assert run(feed, made(*range(1, 8)), at(7)) == [((7,), 7)]


def test_live_is_told_at_its_place_among_newer_events() -> None:
    feed = Feed(100)
    feed.subscribe(7, ALL, at(1), at(2))
    told = flat(feed.take(made(2, 3), at(3)))
    assert told == [((7,), 2), ("live", (7,), 2), ((7,), 3)]


def test_since_the_head_is_live_at_once() -> None:
    feed = Feed(100)
    feed.subscribe(7, ALL, at(5), at(5))
    assert run(feed, [], at(5)) == [("live", (7,), 5)]


def test_one_copy_names_all_that_match_also_during_a_replay() -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, None, at(4))
    feed.subscribe(2, ODD, at(2), at(4))
    feed.subscribe(3, ALL, at(3), at(4))
    assert run(feed, made(*range(1, 8)), at(7), limit=2) == [
        ((2,), 3), ((3,), 4), ("live", (2, 3), 4), ((1, 2, 3), 5), ((1, 3), 6), ((1, 2, 3), 7),
    ]  # fmt: skip


def test_who_was_told_already_is_not_told_again_for_another_ones_past() -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, None, at(2))
    assert run(feed, made(3, 4, 5), at(5)) == [((1,), 3), ((1,), 4), ((1,), 5)]
    feed.subscribe(2, ALL, at(3), at(5))
    assert run(feed, made(3, 4, 5, 6), at(6)) == [((2,), 4), ((2,), 5), ("live", (2,), 5), ((1, 2), 6)]
    feed.unsubscribe(2)
    assert run(feed, made(7), at(7)) == [((1,), 7)]


def test_what_is_no_longer_kept_is_told_first() -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, None, at(8))
    feed.subscribe(2, ALL, at(2), at(8))
    assert run(feed, made(6, 7, 8), at(8)) == [
        ("missed", (2,), 3, 5), ((2,), 6), ((2,), 7), ((2,), 8), ("live", (2,), 8)
    ]  # fmt: skip


def test_when_nothing_is_kept_all_is_missed() -> None:
    feed = Feed(100)
    feed.subscribe(2, ALL, at(2), at(8))
    assert run(feed, [], at(8)) == [("missed", (2,), 3, 8), ("live", (2,), 8)]


@pytest.mark.parametrize("since", [at(9), at(3, OTHER)])
def test_a_cursor_that_is_not_of_this_log_resets(since: Cursor) -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, None, at(8))
    feed.subscribe(2, ALL, since, at(8))
    told = run(feed, made(*range(1, 11)), at(10))
    assert told == [("reset", (2,), f"{EPOCH}:8"), ("live", (2,), 8), ((1, 2), 9), ((1, 2), 10)]


def test_another_log_resets_all_and_goes_on_from_its_head() -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, None, at(8))
    feed.subscribe(2, ALL, at(2), at(8))
    assert run(feed, [], at(3, OTHER)) == [("reset", (1, 2), f"{OTHER}:3"), ("live", (2,), 3)]
    assert run(feed, made(4), at(4, OTHER)) == [((1, 2), 4)]
    assert str(feed.cursor(at(4, OTHER))) == f"{OTHER}:4"


def test_who_is_too_far_behind_misses() -> None:
    feed = Feed(lag_max=3)
    feed.subscribe(1, ALL, None, at(0))
    assert run(feed, made(*range(1, 9)), at(8)) == [("missed", (1,), 1, 5), ((1,), 6), ((1,), 7), ((1,), 8)]


def test_who_asked_for_the_past_is_not_late() -> None:
    feed = Feed(lag_max=3)
    feed.subscribe(1, ALL, at(0), at(8))
    assert [one for one in run(feed, made(*range(1, 9)), at(8)) if one[0] == "missed"] == []  # type: ignore[index]


def test_an_ended_subscription_is_not_named_any_more() -> None:
    feed = Feed(100)
    feed.subscribe(1, ALL, at(9), at(8))
    feed.subscribe(2, ALL, at(0), at(8))
    feed.subscribe(3, ALL, None, at(8))
    feed.unsubscribe(1)
    feed.unsubscribe(2)
    assert run(feed, made(*range(1, 10)), at(9)) == [((3,), 9)]
    feed.unsubscribe(3)
    assert run(feed, made(10), at(10)) == []
    assert str(feed.cursor(at(10))) == f"{EPOCH}:10"


def test_what_the_client_may_not_see_is_not_told() -> None:
    feed = Feed(100, sees=lambda draft: draft.path != "2.fits")
    feed.subscribe(1, ALL, at(0), at(3))
    assert run(feed, made(1, 2, 3), at(3)) == [((1,), 1), ((1,), 3), ("live", (1,), 3)]


def test_a_batch_is_bounded_and_the_rest_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgd.events.feed.BATCH_BYTES", 200)
    feed = Feed(100)
    feed.subscribe(1, ALL, at(0), at(9))
    first = feed.take(made(*range(1, 10)), at(9))
    assert 1 <= len(flat(first)) < 9
    assert run(feed, made(*range(1, 10)), at(9))[-2:] == [((1,), 9), ("live", (1,), 9)]


FILTERS = {"all": ALL, "odd": ODD, "none": read_filters([["path", "=", ""]])}


def test_subscriptions_with_equal_filters_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    accepts = Filters.accepts

    def counted(self: Filters, draft: Draft) -> bool:
        asked.append(draft.path)
        return accepts(self, draft)

    monkeypatch.setattr(Filters, "accepts", counted)
    feed = Feed(100)
    for number in (4, 2, 9):
        feed.subscribe(number, read_filters([["path", "glob", "*[13].fits"]]), None, at(0))
    feed.subscribe(3, read_filters([["path", "glob", "*[35].fits"]]), None, at(0))
    assert feed.rules == 2
    assert (feed.rules_with(ODD), feed.rules_with(read_filters([["path", "glob", "*[35].fits"]]))) == (3, 2)
    assert run(feed, made(1, 2, 3), at(3)) == [((2, 4, 9), 1), ((2, 3, 4, 9), 3)]
    assert len(asked) == 2 * 3
    feed.unsubscribe(3)
    assert feed.rules == 1


def test_a_turn_is_bounded_by_what_filtering_takes() -> None:
    feed = Feed(1000)
    for number in range(8):
        feed.subscribe(
            number, read_filters([["path", "glob", f"*{n}*{number}.fits"] for n in range(32)]), at(0), at(900)
        )
    events = made(*range(1, 901))
    assert feed.take(events, at(900)) == []
    taken = feed.at
    assert 1 <= taken * 256 * len("1.fits") <= 1.2 * TURN_STEPS
    assert 1 <= feed.page_max <= taken
    begun = feed.version
    assert run(feed, events, at(900), limit=feed.page_max)[-1] == ("live", tuple(range(8)), 900)
    assert feed.version == begun


def test_one_filter_takes_whole_pages() -> None:
    feed = Feed(1000)
    feed.subscribe(1, ODD, at(0), at(900))
    assert feed.page_max > 250
    feed.take(made(*range(1, 251)), at(900))
    assert feed.at == 250


@dataclass
class Expected:
    """A subscription as a slow model has it: what it is still to get, event by event."""

    filters: Filters
    since: int
    got: list[int] = field(default_factory=list)
    missed: set[int] = field(default_factory=set)
    live: int = 0


class Histories(RuleBasedStateMachine):
    """Publish, subscribe, unsubscribe, forget and read in any order; the client's slowness is when it reads.

    What the store has is seen by the daemon a little later: a page may hold events that are newer than its head.
    """

    subs = Bundle("subs")
    lag_max = 12

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Event] = []  # All that ever were, of this epoch.
        self.kept_from = 1
        self.head = at(0)
        self.feed = Feed(self.lag_max, sees=lambda draft: int(draft.path.removesuffix(".fits")) % 5 != 0)
        self.expected: dict[int, Expected] = {}
        self.sent: list[tuple[tuple[int, ...], int]] = []
        self.number = 0
        self.armed_at = 0

    @initialize(count=st.integers(0, 6))
    def begin(self, count: int) -> None:
        self.publish(count)

    @rule(count=st.integers(1, 8))
    def publish(self, count: int) -> None:
        self.store(count)
        self.see()

    @rule(count=st.integers(1, 8))
    def store(self, count: int) -> None:
        last = self.log[-1].id if self.log else self.head.id
        self.log += made(*range(last + 1, last + count + 1))

    @rule()
    def see(self) -> None:
        """The daemon has looked at the store."""
        if self.log:
            self.head = Cursor(self.head.epoch, self.log[-1].id)

    @rule(back=st.one_of(st.none(), st.integers(-2, 15)), name=st.sampled_from(sorted(FILTERS)), target=subs)
    def subscribe(self, back: int | None, name: str) -> object:
        if len(self.expected) >= 4:
            return multiple()
        self.number += 1
        self.armed_at = self.head.id
        since = None if back is None else Cursor(self.head.epoch, max(0, self.head.id - back))
        self.feed.subscribe(self.number, FILTERS[name], since, self.head)
        start = self.head.id if since is None else min(since.id, self.head.id)
        self.expected[self.number] = Expected(FILTERS[name], start, live=-1 if since is None else 0)
        return self.number

    @rule(sub=consumes(subs))
    def unsubscribe(self, sub: int) -> None:
        self.feed.unsubscribe(sub)
        self._check(sub, upto=None)
        del self.expected[sub]

    @rule(upto=st.integers(0, 6))
    def forget(self, upto: int) -> None:
        self.kept_from = max(self.kept_from, self.head.id - upto)

    @rule()
    def begin_another_log(self) -> None:
        for sub in self.expected:
            self._check(sub, upto=None)
        self.head = Cursor(f"{int(self.head.epoch, 16) + 1:016x}", 3)
        self.log, self.kept_from, self.sent, self.armed_at = made(1, 2, 3), 1, [], 3
        told = flat(self.feed.settle(self.head))
        resets = [one[1] for one in told if one[0] == "reset"]  # type: ignore[index]
        assert {sub for subs in resets for sub in subs} == set(self.expected)
        for each in self.expected.values():
            each.since, each.got, each.missed, each.live = 3, [], set(), -1

    @rule(limit=st.integers(1, 7))
    def read(self, limit: int) -> None:
        """Read one page; then it is told what comes of it."""
        messages = self.feed.settle(self.head)
        after = self.feed.wants(self.head)
        if not messages and after is not None:
            kept = [each for each in self.log if each.id >= self.kept_from]
            messages = self.feed.take([each for each in kept if each.id > after][:limit], self.head)
        for message in messages:
            self._note(message)

    @rule()
    def read_all(self) -> None:
        while self.feed.wants(self.head) is not None:
            self.read(5)
        self.read(5)
        for sub, expected in self.expected.items():
            self._check(sub, upto=self.head.id)
            assert expected.live != 0, "who asked for the past is told when it is over"

    def _note(self, message: Message) -> None:
        match message:
            case Batch(items):
                for subs, event in items:
                    assert subs, "an event for nobody"
                    self.sent.append((subs, event.id))
                    for sub in subs:
                        self.expected[sub].got.append(event.id)
            case Live(subs):
                for sub in subs:
                    assert self.expected[sub].live == 0, "told once, to who asked for the past"
                    self.expected[sub].live = 1
            case Missed(subs, first, last):
                for sub in subs:
                    assert not self.expected[sub].missed & set(range(first, last + 1)), "missed twice"
                    self.expected[sub].missed |= set(range(first, last + 1))
            case Reset(_, head):
                assert head.epoch == self.head.epoch

    def _check(self, sub: int, upto: int | None) -> None:
        """All that matches, ascending, once; what is missing was told as missed."""
        each = self.expected[sub]
        reached = (each.got[-1] if each.got else each.since) if upto is None else upto
        wanted = [
            event.id
            for event in self.log
            if each.since < event.id <= reached
            and event.id % 5
            and each.filters.accepts(event.draft)
            and event.id not in each.missed
        ]
        assert each.got == wanted
        assert all(each.since < number for number in each.missed)

    @invariant()
    def new_events_come_in_one_copy(self) -> None:
        """What came after the last subscription began is told once, naming all that it is for."""
        new = [number for _, number in self.sent if number > self.armed_at]
        assert new == sorted(set(new))


TestHistories = Histories.TestCase
