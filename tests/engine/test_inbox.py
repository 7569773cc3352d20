"""The inbox: order, its bound, and putting from where waiting is not possible."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from imgd.engine.inbox import Inbox


async def test_what_was_put_first_is_taken_first() -> None:
    inbox: Inbox[int] = Inbox(3)
    for item in (1, 2, 3):
        inbox.put(item)
    assert len(inbox) == 3
    assert [await inbox.take() for _ in range(3)] == [1, 2, 3]


async def test_one_over_the_bound_is_a_bug_and_nothing_is_lost_by_it() -> None:
    inbox: Inbox[int] = Inbox(2)
    inbox.put(1)
    inbox.put(2)
    with pytest.raises(AssertionError, match="over its bound"):
        inbox.put(3)
    assert [await inbox.take() for _ in range(2)] == [1, 2]


async def test_who_waits_is_woken_and_a_cancelled_taker_takes_nothing() -> None:
    inbox: Inbox[int] = Inbox(2)
    taken: list[int] = []

    async def take() -> None:
        taken.append(await inbox.take())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await inbox.take()
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert not taken
        inbox.put(7)
    assert taken == [7]
    assert len(inbox) == 0


async def test_putting_gets_through_while_being_cancelled() -> None:
    inbox: Inbox[str] = Inbox(2)
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            inbox.put("the last word")
    assert await inbox.take() == "the last word"
