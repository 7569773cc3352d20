"""Progress: to who listens just then, the latest of each subject, beside the events and without a trace in the log."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from imgd.config import Settings
from imgd.events import log as log_module
from imgd.events import orders
from imgd.events.event import Cursor, Draft, Scalar
from imgd.events.feed import Feed, Underway
from imgd.events.filters import read_filters
from imgd.events.log import Log, open_log
from imgd.events.progress import SUBJECTS_MAX, Latest
from tests.events.listed import ListStore, drafted, made

EPOCH = "00000000000000aa"
ALL = read_filters(None)
NIGHT = read_filters([["root", "=", "night"]])
FRAMES = read_filters([["type", "=", "frame.arrived"]])


def scanning(root: str = "night", **detail: Scalar) -> Draft:
    return Draft(at="2026-01-31T20:15:00.250Z", type="root.scanning", root=root, detail=detail)


def flat(told: Sequence[Underway]) -> list[tuple[tuple[int, ...], str, Scalar]]:
    return [(each.subs, each.progress.draft.root, each.progress.draft.detail["scanned"]) for each in told]


def following(*accepts: object) -> Feed:
    feed = Feed(100)
    for number, each in enumerate(accepts, 1):
        feed.subscribe(number, each, None, Cursor(EPOCH, 3))  # type: ignore[arg-type]
    return feed


def test_the_latest_of_each_subject_takes_the_place_of_what_was_before() -> None:
    feed, latest = following(ALL), Latest()
    latest.put(scanning("night", scanned=0))
    assert flat(feed.hear(latest)) == [((1,), "night", 0)]
    for count in (100, 200, 300):
        latest.put(scanning("night", scanned=count))
        latest.put(scanning("day", scanned=2 * count))
    latest.put(scanning("night", scanned=310, done=True))
    assert flat(feed.hear(latest)) == [((1,), "day", 600), ((1,), "night", 310)]
    assert feed.hear(latest) == []


def test_it_is_for_who_accepts_it_in_one_copy() -> None:
    feed, latest = following(ALL, NIGHT, FRAMES, read_filters([["type", "=", "root.scanning"]])), Latest()
    latest.put(scanning("day", scanned=1))
    latest.put(scanning("night", scanned=2))
    assert flat(feed.hear(latest)) == [((1, 4), "day", 1), ((1, 2, 4), "night", 2)]
    feed.unsubscribe(1)
    latest.put(scanning("day", scanned=3))
    assert flat(feed.hear(latest)) == [((4,), "day", 3)]


def test_who_may_not_see_a_root_hears_nothing_of_it() -> None:
    feed, latest = Feed(100, sees=lambda draft: draft.root != "secret"), Latest()
    feed.subscribe(1, ALL, None, Cursor(EPOCH, 3))
    latest.put(scanning("secret", scanned=1))
    latest.put(scanning("night", scanned=2))
    assert flat(feed.hear(latest)) == [((1,), "night", 2)]


def test_a_new_subscription_is_told_what_is_still_going_on_and_nobody_else_again() -> None:
    feed, latest = following(ALL), Latest()
    latest.put(scanning("day", scanned=1, done=True))
    latest.put(scanning("dusk", scanned=2, done=False))
    latest.put(scanning("night", scanned=3))
    assert flat(feed.hear(latest)) == [((1,), "night", 3)]
    feed.subscribe(2, ALL, None, Cursor(EPOCH, 3))
    assert flat(feed.hear(latest)) == [((2,), "night", 3)]
    latest.put(scanning("night", scanned=4, done=True))
    feed.subscribe(3, ALL, None, Cursor(EPOCH, 3))
    assert flat(feed.hear(latest)) == [((1, 2), "night", 4)]
    assert feed.hear(latest) == []


def test_it_moves_no_cursor_and_changes_no_order() -> None:
    feed, latest, head = following(ALL), Latest(), Cursor(EPOCH, 5)
    latest.put(scanning(scanned=1))
    before = (feed.cursor(head), feed.version, feed.wants(head))
    feed.hear(latest)
    assert (feed.cursor(head), feed.version, feed.wants(head)) == before
    (batch,) = feed.take(made(4, 5), head)
    assert [event.id for _, event in batch.items] == [4, 5]  # type: ignore[union-attr]


def test_subjects_are_bounded_and_those_that_are_over_go_first() -> None:
    latest = Latest()
    latest.put(scanning("going on", scanned=1))
    for number in range(2 * SUBJECTS_MAX):
        latest.put(scanning(f"{number}", scanned=number, done=True))
    assert len(latest) == SUBJECTS_MAX
    assert latest.after(0)[0].draft.root == "going on"
    for number in range(SUBJECTS_MAX):
        latest.put(scanning(f"new {number}", scanned=number))
    assert len(latest) == SUBJECTS_MAX
    assert latest.after(0)[0].draft.root == "new 0"


def test_what_is_stored_is_no_progress_and_progress_is_not_stored() -> None:
    with pytest.raises(ValueError, match="no type of progress"):
        Latest().put(drafted())
    with pytest.raises(ValueError, match=r"no event of type .root\.scanning."):
        orders.publish([scanning(scanned=1)])


@asynccontextmanager
async def open_listed() -> AsyncIterator[tuple[Log, ListStore]]:
    store = ListStore()
    async with open_log(store, Settings()) as log:
        await trio.testing.wait_all_tasks_blocked()
        yield log, store


async def test_telling_wakes_who_listens_and_leaves_the_store_alone(autojump_clock: object) -> None:
    async with open_listed() as (log, store):
        feed = log.feed()
        feed.subscribe(1, ALL, None, await log.settle(None))
        reads, began = len(store.reads), trio.current_time()
        woken = trio.Event()
        with log.waking(woken.set):
            log.tell(scanning(scanned=7))
            await woken.wait()
        assert trio.current_time() == began
        assert flat(log.progress(feed)) == [((1,), "night", 7)]
        assert await log.advance(feed) == []
        assert (store.events, len(store.reads), log.head.id) == ([], reads, 0)


async def test_however_often_it_is_told_clients_are_woken_seldom(autojump_clock: object) -> None:
    async with open_listed() as (log, _):
        wakes: list[float] = []
        with log.waking(lambda: wakes.append(trio.current_time())):
            for count in range(100):
                log.tell(scanning(f"{count % 10}", scanned=count))
                await trio.sleep(0.02)
            await trio.sleep(log_module.PROGRESS_PAUSE_S + 0.01)
        assert 8 <= len(wakes) <= 12  # In two seconds, and what else wakes.
