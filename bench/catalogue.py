"""The catalogue: how soon a page of very many frames is there, in order, far down, and searched for."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import trio

from bench.table import Measure, median
from imgd.events.catalogue_query import Query
from imgd.events.headers import Looked, header_of
from imgd.events.opening import open_store
from imgd.events.search import read_search
from imgd.events.store import Store
from tests.events.postgres import private_postgres

FRAMES: Final = 50_000
TOGETHER: Final = 5_000
REPEATS: Final = 15
LIMIT_S: Final = 60.0
ROOT: Final = "night"
QUERIES: Final[dict[str, tuple[Query, float | None]]] = {
    "newest page": (Query((ROOT,)), 100),
    "page far down": (Query((ROOT,), offset=FRAMES * 4 // 5), 200),
    "page by object": (Query((ROOT,), order="object"), 300),
    "a word": (Query((ROOT,), terms=read_search("7000")), 500),
    "a word that is nowhere": (Query((ROOT,), terms=read_search("nowhere")), 500),
    "three terms": (Query((ROOT,), terms=read_search("FILTER=Ha EXPTIME>=60 date>=2026-06")), 200),
    "a keyword without a column": (Query((ROOT,), terms=read_search("CCD-TEMP<-5")), 1000),
}  # fmt: skip


async def measure_catalogue(folder: Path) -> list[Measure]:
    """Measure both stores."""
    measures = await _measure("SQLite", f"sqlite:{folder}/catalogue.sqlite", lambda: None)
    with private_postgres() as server:
        where = server.new_database()
        # As the server does by itself within a minute.
        return measures + await _measure("PostgreSQL", where, lambda: server.execute(where, "ANALYZE"))


async def _measure(name: str, where: str, settle: Callable[[], object]) -> list[Measure]:
    measures: list[Measure] = []
    async with open_store(where) as store:
        await _fill(store)
        settle()
        for what, (query, bound_ms) in QUERIES.items():
            took: list[float] = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                found = await store.search(query, LIMIT_S)
                took.append((time.perf_counter() - began) * 1e3)
            how = f"{len(found.rows)} rows of {found.total}, out of {FRAMES} frames; worst {max(took):.0f}"
            measures.append(Measure(f"catalogue, {name}: {what}", "ms", median(took), bound_ms, how, tuple(took)))
    return measures


async def _fill(store: Store) -> None:
    """Have very many frames in the index, all looked into."""
    looked = list(_frames())
    await store.fill(ROOT, {each.path: each.identity for each in looked})
    for start in range(0, FRAMES, TOGETHER):
        await store.keep(looked[start : start + TOGETHER])
        await trio.lowlevel.checkpoint()


def _frames() -> Iterator[Looked]:
    chance = random.Random(1)
    for number in range(FRAMES):
        at = 1_790_000_000 + number * 60
        hdu: dict[str, Any] = {
            "OBJECT": chance.choice(["M 31", "M 33", "NGC 7000", "IC 1396", "Sh2-101"]),
            "FILTER": chance.choice(["Ha", "OIII", "SII", "L", "R", "G", "B"]),
            "EXPTIME": chance.choice([30.0, 60.0, 120.0, 300.0]),
            "DATE-OBS": f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T20:15:00.123",
            "CCD-TEMP": chance.choice([-10.0, -5.0, 0.0]),
        }
        hdu |= {f"KEY{place}": chance.choice([1.5, "some text here", 12345, True]) for place in range(40)}
        path = b"2026/%03d/light_%06d.fits" % (number // 200, number)
        yield Looked(ROOT, path, f"33554432:{at}000000000", header_of(hdu))
