"""The catalogue of frames in both stores: what a search finds, in which order, page by page."""

import contextlib
from pathlib import Path
from typing import Any, get_args

import hypothesis
import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from imgd.errors import BadRequest
from imgd.events import schema
from imgd.events.catalogue_query import Named, Order, Query
from imgd.events.event import Draft
from imgd.events.headers import Looked, header_of
from imgd.events.opening import open_store
from imgd.events.postgres import PostgresDatabase
from imgd.events.search import Compare, Taken, Word, read_search
from imgd.events.sessions import Database, TookTooLong
from imgd.events.sqlite import SqliteDatabase
from imgd.events.store import Change, Store
from tests.events.catalogue_twin import Frame, twin, us
from tests.events.stores import AT, Place, change, draft, everything, index_of

LIMIT_S = 30.0
MANY = 50_000
EVENING_NS = 1_790_000_000 * 10**9

names = st.sampled_from(
    [b"a.fits", b"B.fits", b"m31/a.fits", b"m31/B_Ha.fits", b"m31x/c.fits", b"m31/sub/d.fits", b"\xff\xfe.fits",
     "Ü 1.fits".encode(), b"a'b%_\\?.fits", b"{0}.fits", b"\x01.fits", b"z\n.fits"]
)  # fmt: skip
texts = st.sampled_from(["M 31", "m 31", "NGC 7000", "Ha", "OIII", "it's 100%_\\", "ü", "60", "", "T", "a\0b"])
dates = st.sampled_from(
    ["2026-11-01", "2026-11-01T20:15:00", "2026-10-31T23:59:59.999", "31/12/98", "2026", "gone", "2026-11-02T00:00:00Z"]
)
numbers = st.one_of(st.integers(-5, 100), st.sampled_from([0.5, 60.0, -1e300, 1e16, 2**70]))
headers = st.fixed_dictionaries(
    {},
    optional={
        "OBJECT": texts, "FILTER": texts, "EXPTIME": numbers, "EXPOSURE": numbers, "DATE-OBS": dates,
        "GAIN": st.one_of(numbers, texts), "CCD-TEMP": numbers, "COOLED": st.booleans(),
    },
)  # fmt: skip
frames = st.builds(
    Frame,
    root=st.sampled_from(["night", "day", "old"]),
    path=names,
    size=st.integers(0, 10**6),
    mtime_ns=st.one_of(st.integers(EVENING_NS, EVENING_NS + 3), st.integers(0, 2 * EVENING_NS)),
    hdu=st.one_of(st.none(), headers),
)
terms = st.one_of(
    st.sampled_from(["m31", "M31/", "fits", "ha", '"m 31"', "ü", "100%_\\", "?", "60", "night", '"a=b"', "{0}", "t"]),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["OBJECT", "filter", "EXPTIME", "EXPOSURE", "GAIN", "CCD-TEMP"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(["0.5", "60", "60.0", "-1e300", "7"]),
    ),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["OBJECT", "FILTER", "GAIN", "EXPTIME", "COOLED", "NONE"]),
        st.sampled_from(["=", "!="]),
        st.sampled_from(["ha", '"M 31"', "T", "false", "60", "'", "%"]),
    ),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["date", "DATE-OBS"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(["2026", "2026-11", "2026-11-01", "2026-11-01T20:15", "2026-10-31T23:59:59.999", "1998-12-31"]),
    ),
)
queries = st.builds(
    lambda below, order, offset, limit: Query(
        ("night",) if below else ("day", "night"), below, (), order, offset, limit
    ),
    st.sampled_from([b"", b"m31", b"m31/sub", b"none"]),
    st.sampled_from(get_args(Order)),
    st.integers(0, 4),
    st.integers(1, 6),
)
named = st.builds(Named, st.sampled_from(["day", "night"]), names)


async def put(store: Store, known: list[Frame]) -> None:
    """Have frames in the index: those without a header as a first look through a root leaves them."""
    for frame in known:
        if frame.hdu is None:
            await store.fill(frame.root, {frame.path: frame.identity})
        else:
            draft = Draft(at=AT, type="frame.arrived", root=frame.root, path="", hdu=frame.hdu)
            await store.note([Change(frame.root, frame.path, frame.identity, draft)])


async def clear(store: Store, known: list[Frame]) -> None:
    gone = Draft(at=AT, type="frame.gone")
    await store.note([Change(each.root, each.path, None, gone) for each in known])


@pytest.mark.parametrize("rounds", [8])
async def test_any_search_finds_what_a_slow_look_at_each_frame_finds(place: Place, rounds: int) -> None:
    async with open_store(place.address) as store:
        token = trio.lowlevel.current_trio_token()

        @given(
            known=st.lists(frames, max_size=12, unique_by=lambda each: (each.root, each.path)),
            asked=st.lists(terms, max_size=3),
            query=queries,
            sought=st.one_of(st.none(), st.integers(0, 11), named),
        )
        @hypothesis.settings(max_examples=hypothesis.settings.default.max_examples * rounds // 4)
        def search(known: list[Frame], asked: list[str], query: Query, sought: Named | int | None) -> None:
            if isinstance(sought, int):
                sought = Named(known[sought].root, known[sought].path) if sought < len(known) else None
            query = replace(query, terms=read_search(" ".join(asked)), at=sought)

            async def compare() -> None:
                await put(store, known)
                try:
                    assert bare(await store.search(query, LIMIT_S)) == twin(known, query, asked)
                finally:
                    await clear(store, known)

            trio.from_thread.run(compare, trio_token=token)

        await trio.to_thread.run_sync(search)


@pytest.mark.parametrize(
    ("term", "found"),
    [("COOLED=T", 1), ("cooled=true", 1), ("COOLED=F", 0), ("COOLED!=T", 0), ("COOLED!=f", 1), ("COOLED=60", 0),
     ("COOLED!=60", 1), ("COOLED>60", 0), ("COOLED<=60", 0)],
)  # fmt: skip
async def test_a_card_of_true_or_false_is_compared_as_such(place: Place, term: str, found: int) -> None:
    known = [Frame("night", b"a.fits", 1, EVENING_NS, {"COOLED": True}), Frame("night", b"b.fits", 1, EVENING_NS, {})]
    async with open_store(place.address) as store:
        await put(store, known)
        query = Query(("night",), b"", read_search(term), get_args(Order)[0], 0, 6)
        answer = bare(await store.search(query, LIMIT_S))
        assert answer == twin(known, query, [term]) and len(answer.rows) == found


def bare(found: Any) -> Any:
    """Leave the headers' own text out: databases write JSON in their own ways."""
    return replace(found, rows=tuple(replace(row, hdu=row.hdu and "") for row in found.rows))


def frames_of(count: int, root: str = "night") -> list[Frame]:
    """Frames of which several have the same time, and the same object."""
    return [
        Frame(root, b"%04d.fits" % number, number, EVENING_NS + number % 7, {"OBJECT": f"M {number % 3}"})
        for number in range(count)
    ]


@pytest.mark.parametrize("search", ["", 'OBJECT="M 1"'])
@pytest.mark.parametrize("order", get_args(Order))
async def test_pages_have_neither_gaps_nor_doubles_and_rows_keep_their_order(
    place: Place, order: Order, search: str
) -> None:
    known = frames_of(40)
    async with open_store(place.address) as store:
        await put(store, known)
        query = Query(("night",), terms=read_search(search), order=order, limit=7)
        told: list[bytes] = []
        while page := await store.search(replace(query, offset=len(told)), LIMIT_S):
            told += [row.path for row in page.rows]
            assert page.total == (13 if search else 40)
            if not page.rows:
                break
        whole = [row.path for row in (await store.search(replace(query, limit=500), LIMIT_S)).rows]
        assert told == whole
        assert len(set(told)) == page.total
        for before, path in enumerate(told):
            assert (await store.search(replace(query, at=Named("night", path), offset=99), LIMIT_S)).at == before
        assert (await store.search(replace(query, at=Named("night", b"\0")), LIMIT_S)).at is None


async def test_a_store_of_the_first_version_keeps_all_it_has_and_its_frames_are_to_be_looked_into(place: Place) -> None:
    first = schema.MIGRATIONS[:1]
    old: Database
    if place.is_sqlite:
        old = SqliteDatabase(Path(place.address.removeprefix("sqlite:")), first)
    else:
        old = PostgresDatabase(place.address, first)
    (await trio.to_thread.run_sync(old.open)).close()
    blob = "CAST('a.fits' AS BLOB)" if place.is_sqlite else "convert_to('a.fits', 'UTF8')"
    mark = "X'00'" if place.is_sqlite else r"'\x00'"
    place.run(f"INSERT INTO frames (root, path, identity) VALUES ('night', {blob}, '7:1790000000000000000')")
    place.run(f"INSERT INTO frames (root, path, identity) VALUES ('night', {mark}, '1')")
    place.run("INSERT INTO roots VALUES ('night', '/data/night')")
    async with open_store(place.address) as store:
        assert await index_of(store) == {b"a.fits": "7:1790000000000000000", b"\0": "1"}
        assert await store.enter_root("night", "/data/night")
        found = await store.search(Query(("night",)), LIMIT_S)
        assert (found.total, found.frames, found.described) == (1, 1, 0)
        assert [row.path for row in (await store.search(Query(("night",), terms=(Word("a.fi"),)), LIMIT_S)).rows] == [
            b"a.fits"
        ]
        (unlooked,) = await store.unlooked(["night"], None, 10)
        assert (unlooked.path, unlooked.mtime_ns) == (b"a.fits", 1790000000000000000)
        assert await store.note([change("a.fits", "7:1790000000000000000"), change("b.fits", "1:1")]) == [None, 1]
        assert (await store.search(Query(("night",)), LIMIT_S)).described == 1


async def test_a_header_is_kept_for_what_the_frame_was_then_and_outlives_the_process(place: Place) -> None:
    def looked(name: bytes, identity: str, **hdu: Any) -> Looked:
        return Looked("night", name, identity, header_of(hdu))

    query = Query(("night",), order="name")
    async with open_store(place.address) as store:
        await store.fill("night", {b"a": "1:1", b"b": "2:2", b"c": "3:3"})
        await store.keep([looked(b"c", "3:3", OBJECT="C\0"), looked(b"b", "2:1", OBJECT="B"), looked(b"gone", "1:1")])
        await store.keep([Looked("night", b"a", "1:1", header_of({}, "no frame"))])
        await store.keep([])
    async with open_store(place.address) as store:
        rows = (await store.search(query, LIMIT_S)).rows
        assert [(row.path, row.why) for row in rows] == [(b"a", "no frame"), (b"b", ""), (b"c", "")]
        assert [row.hdu and msgspec.json.decode(row.hdu) for row in rows] == [{}, None, {"OBJECT": "C "}]
        (unlooked,) = await store.unlooked(["night", "day"], None, 10)
        assert unlooked.path == b"b"
        assert await store.unlooked(["night"], unlooked, 10) == []
        # A frame that changes is another one: by an event that says what it holds, or is to be looked into again.
        assert await store.note([change("c", "4:4")]) == [1]
        assert await store.note([Change("night", b"a", None, Draft(at=AT, type="frame.gone"))]) == [2]
        await store.fill("night", {b"a": "1:1"})
        rows = (await store.search(query, LIMIT_S)).rows
        assert [row.hdu and msgspec.json.decode(row.hdu) for row in rows] == [None, None, {"EXPTIME": 0.5}]
        assert len(await everything(store)) == 2, "a look makes no event"


async def test_what_is_noted_at_once_tells_the_last_of_it(place: Place) -> None:
    def seen(identity: str | None, seconds: float) -> Change:
        return Change("night", b"a", identity, replace(draft("a"), hdu={"EXPTIME": seconds}))

    async with open_store(place.address) as store:
        await store.note([seen("1:1", 1.0), seen("1:2", 2.0), seen(None, 3.0), seen("1:1", 4.0)])
        (row,) = (await store.search(Query(("night",)), LIMIT_S)).rows
        assert row.hdu is not None and msgspec.json.decode(row.hdu) == {"EXPTIME": 4.0}
        await store.note([seen("1:5", 5.0), seen(None, 6.0)])
        assert (await store.search(Query(("night",)), LIMIT_S)).frames == 0


async def test_a_search_finds_all_that_is_there_when_it_says_that_it_begins(place: Place) -> None:
    """Who asked before that may share what it finds: nothing that was acknowledged till then is missing."""
    async with open_store(place.address) as store:

        def begins() -> None:
            trio.from_thread.run(store.note, [change("a.fits", "7:1")])

        found = await store.search(Query(("night",)), LIMIT_S, begins)
        assert [row.path for row in found.rows] == [b"a.fits"]


async def test_a_search_is_broken_off_at_its_limit_and_the_store_goes_on(place: Place) -> None:
    async with open_store(place.address) as store:
        await put(store, frames_of(1))
        name = "CAST(n AS TEXT)" if place.is_sqlite else "convert_to(n::text, 'UTF8')"
        octets = f"CAST({name} AS BLOB)" if place.is_sqlite else name
        place.run(f"""INSERT INTO frames (root, path, identity) WITH RECURSIVE numbers(n) AS (
            SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY})
            SELECT 'night', {octets}, '1:1' FROM numbers""")
        words = Query(("night",), terms=read_search("a b c d e GAIN>=1 OFFSET>=2 M"))
        with pytest.raises(TookTooLong):
            await store.search(words, 0.001)
        assert (await store.search(Query(("night",), order="name"), LIMIT_S)).rows[0].path == b"0000.fits"
        assert (await store.search(Query(()), LIMIT_S)).total == 0


SECOND = Taken("<", us("2026-11-01T20:15:59"), us("2026-11-01T20:16:00"), or_modified=True)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("  m31\tHa ", (Word("m31"), Word("ha"))),
        ('"M 31" "a=b" x"y z', None),
        ('"M 31" "a=b" x"y z" ""', (Word("m 31"), Word("a=b"), Word("xy z"))),
        ("filter=Ha", (Compare("FILTER", "=", "ha", None),)),
        ('OBJECT!="M 31"', (Compare("OBJECT", "!=", "m 31", None),)),
        ("CCD-TEMP<=-1.5e1", (Compare("CCD-TEMP", "<=", "-1.5e1", -15.0),)),
        ("Date>=2026-11-01", (Taken(">=", us("2026-11-01"), us("2026-11-02"), or_modified=True),)),
        ("DATE-OBS=2024-02", (Taken("=", us("2024-02-01"), us("2024-03-01"), or_modified=False),)),
        ("date<2024", (Taken("<", us("2024-01-01"), us("2025-01-01"), or_modified=True),)),
        ('date=9999-12', (Taken("=", us("9999-12-01"), us("9999-12-31") + 86_400_000_000, or_modified=True),)),
        ("date<2026-11-01T20:15:59", (SECOND,)),
        ("EXPTIME>=long", None), ("EXPTIME>=", None), ("EXPTIME>=1e999", None), ("EXPTIME>=nan", None),
        ("date>=yesterday", None), ("date=2026-02-30", None), ("FOCUSPOSITION=1", None), ("b=\0", None),
        ("\udcff", None), ("a b c d e f g h i", None), ("x" * 201, None), ("=3", (Word("=3"),)),
    ],
)  # fmt: skip
def test_searches_are_read_strictly(text: str, terms: tuple[Any, ...] | None) -> None:
    if terms is None:
        with pytest.raises(BadRequest) as caught:
            read_search(text)
        assert caught.value.parameter == "search"
    else:
        assert read_search(text) == terms


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        assert len(read_search(text)) <= 8
