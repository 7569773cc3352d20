"""The catalogue's answers: what is told when the store, the roots or too many searches are in the way."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

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
    """A store that finds this, or fails."""

    def __init__(self, found: Found | Exception | None = None) -> None:
        self.found = found or Found(0, 0, 0, ())
        self.asked: list[Query] = []
        self.gate = trio.Event()
        self.gate.set()

    async def search(self, query: Query, limit_s: float) -> Found:
        self.asked.append(query)
        await self.gate.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def over(store: Any, *roots: RootSeen, down: str = "") -> Catalogue:
    return Catalogue(store, lambda: roots, lambda: down)


@pytest.mark.parametrize("count", [1, 400])
async def test_rows_are_told_with_what_lists_show_and_what_was_searched_for(count: int) -> None:
    header = '{"OBJECT":"M 31","AIRMASS":1.5,"SEEING":2}'
    rows = (Row("night", b"m31/\xff.fits", "2880:1790000000000000000", header, ""),) * count
    store = OneStore(Found(count, count, count, rows))
    told = json.loads(await over(store, HERE, AWAY, BEGUN, down="the disk is full").page(Asked("AIRMASS<2 x")))
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
    told = json.loads(await over(store, HERE, BEGUN).page(Asked(root="night", below=b"m31")))
    assert (told["complete"], store.asked[1].roots, store.asked[1].below) == (True, ("night",), b"m31")


@pytest.mark.parametrize(
    ("failure", "words"),
    [(StoreDown("the server is gone"), "the server is gone"), (TookTooLong("5 s"), "took too long")],
)
async def test_a_store_that_does_not_answer_is_said_in_words(failure: Exception, words: str) -> None:
    told = over(OneStore(failure), HERE)
    with pytest.raises(Busy, match=words):
        await told.page(Asked())
    assert told.statistics() == catalogue.CatalogueStatistics(1, 1, 0)


async def test_no_more_searches_wait_than_a_few_and_none_for_ever(autojump_clock: Any) -> None:
    store = OneStore()
    store.gate = trio.Event()
    told, refused = over(store, HERE), 0

    async def ask() -> None:
        nonlocal refused
        try:
            await told.page(Asked())
        except Busy:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(catalogue.WAITING_MAX + 3):
            nursery.start_soon(ask)
        await trio.sleep(1)
        assert (refused, told.statistics().searching) == (3, catalogue.WAITING_MAX)
    assert (refused, told.statistics().searching) == (catalogue.WAITING_MAX + 3, 0)


async def test_the_place_of_a_frame_is_told_if_its_root_is_looked_at() -> None:
    store = OneStore(Found(9, 9, 9, (), at=0))
    sought = Named("night", b"a.fits")
    assert json.loads(await over(store, HERE, AWAY).page(Asked(at=sought)))["at"] == 0
    assert store.asked[-1].at == sought
    for elsewhere in (Named("day", b"a.fits"), Named("\udcff", b"a.fits"), None):
        await over(store, HERE, AWAY).page(Asked(at=elsewhere))
        assert store.asked[-1].at is None
    assert json.loads(await over(OneStore(), HERE).page(Asked(at=sought)))["at"] is None


async def test_roots_that_are_not_there_are_named() -> None:
    with pytest.raises(NoSuchFrame, match="elsewhere"):
        await over(OneStore(), HERE).page(Asked(root="elsewhere"))
    with pytest.raises(Busy, match="day"):
        await over(OneStore(), HERE, AWAY).page(Asked(root="day"))


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
