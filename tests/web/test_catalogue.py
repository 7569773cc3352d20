"""The catalogue's answers: what is told when the store, the roots or too many searches are in the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from imgd.errors import BadRequest, Busy, NoSuchFrame
from imgd.events import catalogue
from imgd.events.catalogue import Asked, Catalogue, RootSeen
from imgd.events.catalogue_query import Found, Named, Query, Row
from imgd.events.sessions import TookTooLong
from imgd.events.store import StoreDown
from imgd.web.catalogue import read_asked
from tests.web.rig import MemoryEngine, get, made

HERE = RootSeen("night", present=True, walked=True)
AWAY = RootSeen("day", present=False, walked=True)
BEGUN = RootSeen("dawn", present=True, walked=False)


class OneStore:
    """A store that finds this, or fails; each search begins when the gate is open."""

    def __init__(self, found: Found | Exception | None = None) -> None:
        self.found = found or Found(0, 0, 0, ())
        self.asked: list[Query] = []
        self.gate = trio.Event()
        self.gate.set()

    async def search(self, query: Query, limit_s: float, begins: Callable[[], None]) -> Found:
        self.asked.append(query)
        await self.gate.wait()
        begins()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def over(nursery: trio.Nursery, store: Any, *roots: RootSeen, down: str = "") -> Catalogue:
    told = Catalogue(store, lambda: roots, lambda: down)
    nursery.start_soon(told.run)
    return told


async def ask_all(told: Catalogue, *asked: Asked) -> list[bytes | Busy]:
    """Ask for all of them in one moment."""
    answers: dict[int, bytes | Busy] = {}

    async def ask(number: int) -> None:
        try:
            answers[number] = await told.page(asked[number])
        except Busy as error:
            answers[number] = error

    async with trio.open_nursery() as nursery:
        for number in range(len(asked)):
            nursery.start_soon(ask, number)
    return [answer for _, answer in sorted(answers.items())]


@pytest.mark.parametrize("count", [1, 400])
async def test_rows_are_told_with_what_lists_show_and_what_was_searched_for(nursery: trio.Nursery, count: int) -> None:
    header = '{"OBJECT":"M 31","AIRMASS":1.5,"SEEING":2}'
    rows = (Row("night", b"m31/\xff.fits", "2880:1790000000000000000", header, ""),) * count
    store = OneStore(Found(count, count, count, rows))
    told = json.loads(await over(nursery, store, HERE, AWAY, BEGUN, down="the disk is full").page(Asked("AIRMASS<2 x")))
    assert told["rows"][-1] == {
        "ref": "night/m31/%FF.fits", "name": "�.fits", "path": "m31/�.fits", "root": "night", "size_bytes": 2880,
        "modified": "2026-09-21T14:13:20.000Z", "hdu": {"OBJECT": "M 31", "AIRMASS": 1.5}, "described": True,
        "why": None,
    }  # fmt: skip
    assert (told["total"], len(told["rows"]), told["down"], told["complete"]) == (
        count,
        count,
        "the disk is full",
        False,
    )
    assert store.asked[0].roots == ("night", "dawn")
    told = json.loads(await over(nursery, store, HERE, BEGUN).page(Asked(root="night", below=b"m31")))
    assert (told["complete"], store.asked[1].roots, store.asked[1].below) == (True, ("night",), b"m31")


@pytest.mark.parametrize(
    ("failure", "words"),
    [(StoreDown("the server is gone"), "the server is gone"), (TookTooLong("5 s"), "took too long")],
)
async def test_a_store_that_does_not_answer_is_said_in_words(
    nursery: trio.Nursery, failure: Exception, words: str
) -> None:
    told = over(nursery, OneStore(failure), HERE)
    with pytest.raises(Busy, match=words):
        await told.page(Asked())
    assert told.statistics() == catalogue.CatalogueStatistics(1, 0, 1, 0)
    first, second = await ask_all(told, Asked(), Asked())
    assert isinstance(first, Busy) and isinstance(second, Busy) and first is not second, "each has one of its own"
    assert (first.text, first.reason, first.retry_after_s) == (second.text, second.reason, second.retry_after_s)
    assert words in first.text
    assert told.statistics() == catalogue.CatalogueStatistics(3, 1, 3, 0)


async def test_no_more_different_searches_wait_than_a_bound_and_none_for_ever(
    nursery: trio.Nursery, autojump_clock: Any
) -> None:
    store = OneStore()
    store.gate = trio.Event()
    told = over(nursery, store, HERE)
    asked = [Asked(offset=number) for number in range(catalogue.WAITING_MAX + 3)]
    began_s = trio.current_time()
    answers = await ask_all(told, *asked, *asked)  # Equal ones take no room, or are refused alike.
    assert trio.current_time() - began_s == catalogue.WAIT_LIMIT_S
    words = [answer.text.partition(";")[0] for answer in answers if isinstance(answer, Busy)]
    assert words.count("too many searches wait already") == 2 * 3
    assert words.count("the search took too long") == 2 * catalogue.WAITING_MAX
    await trio.testing.wait_all_tasks_blocked()
    assert told.statistics() == catalogue.CatalogueStatistics(
        len(answers), catalogue.WAITING_MAX, len(answers), searching=0
    )


async def test_a_crowd_that_asks_for_one_page_gets_the_very_same_of_one_search(nursery: trio.Nursery) -> None:
    rows = (Row("night", b"a.fits", "2880:1790000000000000000", None, ""),)
    store = OneStore(Found(1, 1, 1, rows))
    told = over(nursery, store, HERE)
    answers = await ask_all(told, *[Asked()] * 200)
    assert all(isinstance(answer, bytes) and answer is answers[0] for answer in answers)
    assert len(store.asked) == 1
    assert told.statistics() == catalogue.CatalogueStatistics(200, 199, 0, 0)


async def test_who_shares_a_search_is_told_of_the_roots_and_the_store_as_they_are_for_him(
    nursery: trio.Nursery,
) -> None:
    """One search, two pages: a root that was not looked through is missing in what is told of all, not in another."""
    store = OneStore()
    told = over(nursery, store, HERE, RootSeen("dawn", present=False, walked=False))
    whole, one = (json.loads(answer) for answer in await ask_all(told, Asked(), Asked(root="night")))
    assert (whole["complete"], one["complete"], len(store.asked)) == (False, True, 1)


async def test_whoever_leaves_takes_no_answer_away(nursery: trio.Nursery) -> None:
    store = OneStore()
    store.gate = trio.Event()
    told = over(nursery, store, HERE)

    async def asks_first_and_leaves(leaves: trio.CancelScope) -> None:
        with leaves:
            await told.page(Asked())

    leaves = trio.CancelScope()
    nursery.start_soon(asks_first_and_leaves, leaves)
    await trio.testing.wait_all_tasks_blocked()

    async def leave() -> None:
        await trio.testing.wait_all_tasks_blocked()
        leaves.cancel()
        await trio.testing.wait_all_tasks_blocked()
        store.gate.set()

    nursery.start_soon(leave)
    answers = await ask_all(told, Asked(), Asked())
    assert answers[0] is answers[1] and isinstance(answers[0], bytes)
    assert len(store.asked) == 1


async def test_the_place_of_a_frame_is_told_if_its_root_is_looked_at(nursery: trio.Nursery) -> None:
    store = OneStore(Found(9, 9, 9, (), at=0))
    sought = Named("night", b"a.fits")
    assert json.loads(await over(nursery, store, HERE, AWAY).page(Asked(at=sought)))["at"] == 0
    assert store.asked[-1].at == sought
    for elsewhere in (Named("day", b"a.fits"), Named("\udcff", b"a.fits"), None):
        await over(nursery, store, HERE, AWAY).page(Asked(at=elsewhere))
        assert store.asked[-1].at is None
    assert json.loads(await over(nursery, OneStore(), HERE).page(Asked(at=sought)))["at"] is None


async def test_roots_that_are_not_there_are_named(nursery: trio.Nursery) -> None:
    with pytest.raises(NoSuchFrame, match="elsewhere"):
        await over(nursery, OneStore(), HERE).page(Asked(root="elsewhere"))
    with pytest.raises(Busy, match="day"):
        await over(nursery, OneStore(), HERE, AWAY).page(Asked(root="day"))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("order=biggest", "order"), ("limit=0", "limit"), ("limit=501", "limit"), ("offset=x", "offset"),
        ("offset=99999999999", "offset"), ("dir=a/../b", "dir"), ("dir=/a", "dir"), ("dir=a//b", "dir"), ("x=1", "x"),
        ("limit=1&limit=2", "limit"),
    ],
)  # fmt: skip
def test_parameters_are_read_strictly(query: str, parameter: str) -> None:
    with pytest.raises((BadRequest, NoSuchFrame)) as caught:
        read_asked(query.encode())
    assert caught.value.parameter == parameter


def test_parameters_are_read() -> None:
    assert read_asked(b"") == Asked()
    read = read_asked(
        b"search=m31+FILTER%3DHa&dir=night%2F%FF%20b/&order=-date&offset=1000&limit=500&at=night/%FF.fits"
    )
    assert read == Asked("m31 FILTER=Ha", "night", b"\xff b", "-date", 1000, 500, Named("night", b"\xff.fits"))
    assert read_asked(b"at=night/../a.fits") == read_asked(b"at=%00") == read_asked(b"at=") == Asked()


async def test_without_an_index_it_says_so(tmp_path: Path) -> None:
    with made(tmp_path, MemoryEngine()) as served:
        assert (await get(served.app, "/catalogue")).status == 503
        assert (await get(served.app, "/catalogue?limit=0")).status == 400
