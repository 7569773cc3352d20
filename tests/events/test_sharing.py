"""Equal questions that wait are asked once: who joins, how fresh the answer is, and what is left when somebody goes."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from imgd.events.sharing import Crowded, Sharing

WAITING_MAX = 3


@dataclass
class Looked:
    """One look: it begins and ends when it is let. seen: the truth when it began."""

    may_begin: trio.Event = field(default_factory=trio.Event)
    may_end: trio.Event = field(default_factory=trio.Event)
    seen: int | None = None


class Source:
    """What is asked, and answers by what is true when a look begins; never looks twice for one question at a time."""

    def __init__(self) -> None:
        self.truth = 0
        self.under_way: dict[str, Looked] = {}
        self.looks: Counter[str] = Counter()

    async def find(self, question: str, begins: Callable[[], None]) -> int:
        assert question not in self.under_way
        look = self.under_way[question] = Looked()
        self.looks[question] += 1
        try:
            await look.may_begin.wait()
            begins()
            look.seen = self.truth
            await look.may_end.wait()
            return look.seen
        finally:
            del self.under_way[question]

    async def begin(self, question: str) -> None:
        self.under_way[question].may_begin.set()
        await wait_all_tasks_blocked()

    async def end(self, question: str) -> None:
        self.under_way[question].may_end.set()
        await wait_all_tasks_blocked()


class Askers:
    """Tasks that ask, by number: what each was answered, or why not; and they can be told to leave."""

    def __init__(self, nursery: trio.Nursery, sharing: Sharing[str, int]) -> None:
        self._nursery = nursery
        self._sharing = sharing
        self._scopes: list[trio.CancelScope] = []
        self.answers: dict[int, int | str] = {}

    async def ask(self, question: str) -> int:
        number = len(self._scopes)
        self._scopes.append(trio.CancelScope())
        self._nursery.start_soon(self._ask, number, question)
        await wait_all_tasks_blocked()
        return number

    async def _ask(self, number: int, question: str) -> None:
        with self._scopes[number]:
            try:
                self.answers[number] = await self._sharing.ask(question)
            except Crowded:
                self.answers[number] = "crowded"

    def go(self, number: int) -> None:
        self._scopes[number].cancel()

    async def leave(self, number: int) -> None:
        self.go(number)
        await wait_all_tasks_blocked()


def serving(nursery: trio.Nursery) -> tuple[Source, Sharing[str, int], Askers]:
    source = Source()
    sharing: Sharing[str, int] = Sharing(source.find, WAITING_MAX)
    nursery.start_soon(sharing.serve)
    return source, sharing, Askers(nursery, sharing)


async def test_equal_questions_that_wait_are_one_and_others_are_their_own(nursery: trio.Nursery) -> None:
    source, sharing, askers = serving(nursery)
    for question in ("a", "a", "b", "a"):
        await askers.ask(question)
    assert source.looks == {"a": 1, "b": 1}
    assert (sharing.waiting, sharing.asked, sharing.joined_total) == (2, 2, 2)
    source.truth = 7
    await source.begin("a")
    assert (sharing.waiting, sharing.asked) == (1, 2)
    await source.end("a")
    assert askers.answers == {0: 7, 1: 7, 3: 7}
    assert (sharing.waiting, sharing.asked) == (1, 1)


async def test_a_look_that_has_begun_is_joined_by_nobody_and_the_next_begins_at_its_end(nursery: trio.Nursery) -> None:
    source, sharing, askers = serving(nursery)
    await askers.ask("a")
    await source.begin("a")
    source.truth = 1  # Acknowledged before they ask: they may not be told that it is not so.
    await askers.ask("a")
    await askers.ask("a")
    assert (source.looks["a"], sharing.waiting, sharing.asked) == (1, 1, 1)
    await source.end("a")
    assert askers.answers == {0: 0}
    assert source.looks["a"] == 2
    await source.begin("a")
    await source.end("a")
    assert askers.answers == {0: 0, 1: 1, 2: 1}
    assert (sharing.asked, sharing.joined_total) == (0, 1)


@pytest.mark.parametrize("begun", [False, True])
async def test_the_first_who_asked_may_leave_and_the_others_get_what_was_under_way(
    nursery: trio.Nursery, begun: bool
) -> None:
    source, _, askers = serving(nursery)
    for _ in range(3):
        await askers.ask("a")
    if begun:
        await source.begin("a")
    await askers.leave(0)
    if not begun:
        await source.begin("a")
    await source.end("a")
    assert askers.answers == {1: 0, 2: 0}
    assert source.looks["a"] == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_a_look_that_nobody_waits_for_is_cancelled_and_who_comes_then_gets_another(
    nursery: trio.Nursery, begun: bool
) -> None:
    source, sharing, askers = serving(nursery)
    await askers.ask("a")
    await askers.ask("a")
    if begun:
        await source.begin("a")
    await askers.leave(0)
    await askers.leave(1)
    assert (source.under_way, sharing.asked, sharing.waiting) == ({}, 0, 0)
    await askers.ask("a")
    await source.begin("a")
    await source.end("a")
    assert askers.answers == {2: 0}


async def test_who_comes_in_the_moment_when_the_last_leaves_is_answered(nursery: trio.Nursery) -> None:
    source, sharing, askers = serving(nursery)
    for first in (0, 2):
        await askers.ask("a")
        askers.go(first)  # Its look is not cancelled yet when the next one asks.
        await askers.ask("a")
        await source.begin("a")
        await source.end("a")
        assert askers.answers[first + 1] == 0 and first not in askers.answers
        assert sharing.asked == 0


async def test_those_behind_a_look_may_leave_and_others_come(nursery: trio.Nursery) -> None:
    source, sharing, askers = serving(nursery)
    await askers.ask("a")
    await source.begin("a")
    await askers.ask("a")
    await askers.leave(1)
    assert sharing.waiting == 0
    source.truth = 5
    await askers.ask("a")
    assert (sharing.waiting, source.looks["a"]) == (1, 1)
    await source.end("a")
    await source.begin("a")
    await source.end("a")
    assert askers.answers == {0: 0, 2: 5}


async def test_only_different_questions_that_wait_are_counted(nursery: trio.Nursery) -> None:
    source, sharing, askers = serving(nursery)
    for question in "abc":
        await askers.ask(question)
    await askers.ask("d")
    assert askers.answers == {3: "crowded"}
    await askers.ask("c")
    await source.begin("a")
    await askers.ask("d")
    await askers.ask("a")  # It would wait for the one that has begun, and there is no room for that.
    assert askers.answers == {3: "crowded", 6: "crowded"}
    assert (sharing.waiting, sharing.asked) == (3, 4)


async def test_an_error_that_is_no_answer_is_a_bug_and_ends_all() -> None:
    async def find(question: str, begins: Callable[[], None]) -> int:
        raise ZeroDivisionError

    sharing: Sharing[str, int] = Sharing(find, WAITING_MAX)

    async def ask() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sharing.serve)
            await sharing.ask("a")

    with pytest.raises(BaseExceptionGroup) as caught:
        await ask()
    assert caught.group_contains(ZeroDivisionError)


class Twin:
    """The same, plainly: of each question those whose look is under way, whether it has begun, and those behind it."""

    def __init__(self) -> None:
        self.now: defaultdict[str, list[int]] = defaultdict(list)
        self.behind: defaultdict[str, list[int]] = defaultdict(list)
        self.seen: dict[str, int] = {}
        self.answers: dict[int, int | str] = {}

    @property
    def waiting(self) -> int:
        return sum(bool(self.behind[each] if each in self.seen else self.now[each]) for each in "abcd")

    def ask(self, number: int, question: str) -> None:
        waiting = self.behind[question] if question in self.seen else self.now[question]
        if not waiting and self.waiting >= WAITING_MAX:
            self.answers[number] = "crowded"
        else:
            waiting.append(number)

    def leave(self, number: int) -> None:
        for question in "abcd":
            for those in (self.now[question], self.behind[question]):
                if number in those:
                    those.remove(number)
            if not self.now[question]:
                self._next(question)

    def end(self, question: str) -> None:
        self.answers |= dict.fromkeys(self.now[question], self.seen[question])
        self._next(question)

    def _next(self, question: str) -> None:
        self.now[question] = self.behind.pop(question, [])
        self.seen.pop(question, None)


steps = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from("aaabcd")),
    st.tuples(st.just("leave"), st.integers(0, 12)),
    st.tuples(st.sampled_from(["begin", "end"]), st.sampled_from("aaabcd")),
    st.just(("write", "")),
)


@given(st.lists(steps, max_size=40))
def test_any_history_answers_as_a_plain_twin_does(history: list[tuple[str, Any]]) -> None:
    trio.run(partial(_live, history))


async def _live(history: list[tuple[str, Any]]) -> None:
    twin, true_when_asked = Twin(), dict[int, int]()
    async with trio.open_nursery() as nursery:
        source, sharing, askers = serving(nursery)
        for what, which in history:
            look = source.under_way.get(which)
            match what:
                case "ask":
                    number = await askers.ask(which)
                    true_when_asked[number] = source.truth
                    twin.ask(number, which)
                case "leave" if which in true_when_asked:
                    await askers.leave(which)
                    twin.leave(which)
                case "begin" if look and look.seen is None:
                    await source.begin(which)
                    twin.seen[which] = source.truth
                case "end" if look and look.seen is not None:
                    await source.end(which)
                    twin.end(which)
                case "write":
                    source.truth += 1
            assert askers.answers == twin.answers
            assert set(source.under_way) == {question for question in "abcd" if twin.now[question]}
            assert (sharing.waiting, sharing.asked) == (twin.waiting, len(source.under_way))
        for number, answer in askers.answers.items():
            assert answer == "crowded" or int(answer) >= true_when_asked[number], "an answer that is too old"
        nursery.cancel_scope.cancel()
