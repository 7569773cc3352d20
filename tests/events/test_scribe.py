"""The writing thread by itself, over a database that does as it is told."""

import threading
from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from imgd.events.orders import Fill, Forget, Order, Publish, Row
from imgd.events.patience import Patience
from imgd.events.scribe import Scribe, writing
from imgd.events.sessions import Seen, Session, Undone
from imgd.events.store import StoreDown
from tests.events.stores import AT


def order(name: str) -> Publish:
    return Publish((Row(AT, "daemon.started", name.encode()),))


class ToldSession:
    """Appends into a list; goes through a gate, and then does what it was told about certain rows."""

    def __init__(self, database: "ToldDatabase") -> None:
        self.database = database

    def begin(self) -> None:
        assert self.database.gate.wait(10)
        if self.database.begins:
            raise self.database.begins.pop(0)

    def put(self, _: object) -> None: ...

    def finish(self, rows: Sequence[Row]) -> int:
        for row in rows:
            if error := self.database.faults.get(row.body):
                raise error
        self.database.commits.append([row.body for row in rows])
        return sum(map(len, self.database.commits))

    def forget(self, id: int) -> int:
        assert self.database.gate.wait(10)
        self.database.commits.append([b"forget"])
        return id

    def fill(self, order: Fill) -> None:
        self.database.commits.append([b"fill"])

    def rest(self) -> None: ...

    def close(self) -> None:
        self.database.closed += 1


class ToldDatabase:
    def __init__(self) -> None:
        self.seen = Seen()
        self.gate = threading.Event()
        self.gate.set()
        self.faults: dict[bytes, BaseException] = {}
        self.begins: list[StoreDown] = []
        self.opens: list[StoreDown] = []
        self.opened = self.closed = 0
        self.commits: list[list[bytes]] = []

    def open(self) -> Session:
        self.opened += 1
        if self.opens:
            raise self.opens.pop(0)
        return ToldSession(self)  # type: ignore[return-value]

    async def listen(self, nudge: Callable[[], None], ready: Callable[[], None]) -> None:
        raise NotImplementedError


async def until_taken(scribe: Scribe) -> None:
    """Wait until the thread has what was asked."""
    await wait_all_tasks_blocked()
    while scribe.statistics().waiting:
        await trio.sleep(0.001)  # The thread says nothing when it takes.


async def ask_all(scribe: Scribe, gate: threading.Event, orders: Sequence[Order]) -> dict[int, object]:
    """Ask for the first; when the thread has it, for all others, in this order. Tell what each was answered."""
    answers: dict[int, object] = {}

    async def ask(place: int) -> None:
        try:
            answers[place] = await scribe.ask(orders[place])
        except (StoreDown, ValueError) as error:
            answers[place] = error

    async with trio.open_nursery() as nursery:
        for place in range(len(orders)):
            nursery.start_soon(ask, place)
            await (wait_all_tasks_blocked() if place else until_taken(scribe))
        gate.set()
    return answers


async def test_what_waits_goes_into_one_commit_and_other_orders_keep_their_place() -> None:
    database = ToldDatabase()
    database.gate.clear()
    async with writing(Patience(database), 100) as scribe:
        names = ["a", "b", "c", "", "d", "e"]
        answers = await ask_all(scribe, database.gate, [order(name) if name else Forget(7) for name in names])
    assert database.commits == [[b"a"], [b"b", b"c"], [b"forget"], [b"d", b"e"]]
    assert [answers[place] for place in (0, 1, 2, 3)] == [[1], [2], [3], 7]


async def test_one_that_cannot_be_carried_out_harms_nobody_else() -> None:
    database = ToldDatabase()
    database.gate.clear()
    database.faults[b"bad"] = ValueError("bad itself")
    async with writing(Patience(database), 100) as scribe:
        answers = await ask_all(scribe, database.gate, [order(name) for name in ("first", "a", "bad", "b")])
        assert scribe.statistics().failures_total == 0
    assert database.commits == [[b"first"], [b"a"], [b"b"]]
    assert isinstance(answers[2], ValueError)
    assert (answers[1], answers[3]) == ([2], [3])


async def test_who_leaves_before_the_thread_takes_the_order_has_asked_for_nothing() -> None:
    database = ToldDatabase()
    database.gate.clear()
    async with writing(Patience(database), 100) as scribe, trio.open_nursery() as nursery:
        nursery.start_soon(scribe.ask, order("taken"))
        await until_taken(scribe)
        nursery.start_soon(scribe.ask, order("stays"))
        async with trio.open_nursery() as leaving:
            leaving.start_soon(scribe.ask, order("leaves"))
            await wait_all_tasks_blocked()
            assert scribe.statistics().waiting == 2
            leaving.cancel_scope.cancel()
        assert scribe.statistics().waiting == 1
        database.gate.set()
    assert database.commits == [[b"taken"], [b"stays"]]


async def test_who_leaves_when_it_is_being_written_gets_the_answer() -> None:
    database = ToldDatabase()
    database.gate.clear()
    answers: list[object] = []

    async def ask(scribe: Scribe) -> None:
        answers.append(await scribe.ask(order("taken")))

    async with writing(Patience(database), 100) as scribe, trio.open_nursery() as nursery:
        nursery.start_soon(ask, scribe)
        await until_taken(scribe)
        nursery.cancel_scope.cancel()
        database.gate.set()
    assert answers == [[1]]


async def test_who_leaves_while_something_long_is_done_is_free_at_once() -> None:
    database = ToldDatabase()
    database.gate.clear()
    async with writing(Patience(database), 100) as scribe:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scribe.ask, Forget(7))
            await until_taken(scribe)
            nursery.cancel_scope.cancel()
        assert not database.commits
        database.gate.set()
        assert await scribe.ask(order("next")) == [2]
    assert database.commits == [[b"forget"], [b"next"]]


async def test_who_finds_the_queue_full_waits_for_room() -> None:
    database = ToldDatabase()
    database.gate.clear()
    async with writing(Patience(database), 3) as scribe, trio.open_nursery() as nursery:
        nursery.start_soon(scribe.ask, order("0"))
        await until_taken(scribe)
        for number in range(1, 12):
            nursery.start_soon(scribe.ask, order(f"{number}"))
        await wait_all_tasks_blocked()
        assert scribe.statistics().waiting == 3
        database.gate.set()
    assert sorted(name for names in database.commits for name in names) == sorted(b"%d" % n for n in range(12))
    assert max(map(len, database.commits)) <= 3


async def test_a_connection_that_was_lost_before_the_commit_is_made_again_once() -> None:
    database = ToldDatabase()
    async with writing(Patience(database), 100) as scribe:
        database.begins = [Undone("lost")]
        assert await scribe.ask(order("a")) == [1]
        database.begins = [Undone("lost"), Undone("lost again")]
        with pytest.raises(StoreDown, match="lost again"):
            await scribe.ask(order("b"))
        assert await scribe.ask(order("c")) == [2]
        assert scribe.statistics().failures_total == 1
    assert database.commits == [[b"a"], [b"c"]]
    assert database.opened == database.closed == 4


async def test_what_may_have_been_done_is_not_tried_again() -> None:
    database = ToldDatabase()
    database.faults[b"lost"] = StoreDown("no answer to the commit")
    async with writing(Patience(database), 100) as scribe:
        with pytest.raises(StoreDown, match="no answer"):
            await scribe.ask(order("lost"))
        assert (scribe.statistics().down, database.opened, database.closed) == (1, 1, 1)
        assert await scribe.ask(order("a")) == [1]
        assert scribe.statistics().down == 0


async def test_a_database_that_is_down_is_left_alone_for_a_while_and_the_reason_is_told_meanwhile() -> None:
    database = ToldDatabase()
    database.opens = [StoreDown("it is out")]
    async with writing(Patience(database), 100) as scribe:
        for _ in range(3):
            with pytest.raises(StoreDown, match="it is out"):
                await scribe.ask(order("a"))
        assert database.opened == 1
        with trio.fail_after(10):
            while not database.commits:
                await trio.sleep(0.01)  # It counts by the clock.
                with pytest.MonkeyPatch.context(), trio.CancelScope():
                    answers = await ask_all(scribe, database.gate, [order("b")])
        assert answers == {0: [1]}


async def test_everything_that_was_asked_before_the_end_is_answered() -> None:
    database = ToldDatabase()
    answers: list[object] = []

    async def ask(scribe: Scribe, number: int) -> None:
        answers.extend(await scribe.ask(order(f"{number}")))

    async with trio.open_nursery() as nursery, writing(Patience(database), 100) as scribe:
        for number in range(50):
            nursery.start_soon(ask, scribe, number)
        await wait_all_tasks_blocked()
    assert sorted(answers) == list(range(1, 51))  # type: ignore[type-var]
    assert database.closed == 1
