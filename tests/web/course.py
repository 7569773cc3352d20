"""Plans that an engine held in memory carries out: a fixed course of steps, with places where it waits or fails."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.tiles import TILE_PX, TilePlace, ViewportView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted
from imgd.errors import ImgdError
from imgd.model import Asker
from imgd.running import NO_LIMITS, Learned, News, Produced, RunLimits, StepNews

FRAME = Hdu(0, "", "image", (400, 300), "i2", 2880, 240_000, 400)
CUT = Hdu(0, "", "image", (400, 300), "i2", 2880, 240_000, 210)
TONED = '{"levels":[{"black":1.5,"white":20.0}],"stretch":"mtf","kind":"auto"}'


@dataclass
class Course:
    """How plans go.

    gate       plans wait for it in their second step, if it is there.
    fail       plans fail with this in their second step.
    refuse     there is no such frame.
    tile_bytes, picture_bytes  of what is made.
    """

    facts: Facts = field(default_factory=lambda: Facts("fits", (FRAME,), 0))
    gate: trio.Event | None = None
    fail: ImgdError | None = None
    refuse: ImgdError | None = None
    tile_bytes: int = 100
    picture_bytes: int = 100
    size_bytes: int = 243_000


@dataclass
class Begun:
    """One plan that was asked for; beside: how many others were under way when it came to its second step."""

    wanted: Wanted | ViewportView
    asker: Asker
    limits: RunLimits
    have: frozenset[str]
    cancelled: bool = False
    ended: bool = False
    beside: int = -1


class _Carried:
    def __init__(self, courses: "Courses", begun: Begun) -> None:
        self._courses = courses
        self._course = courses.course
        self._begun = begun
        self._known = courses.known
        self.source = Source(1, 2, courses.course.size_bytes, 3)

    async def news(self) -> AsyncIterator[News]:
        """Tell all of it."""
        course, wanted = self._course, self._begun.wanted
        yield self._step(0, "parse", "end", wanted.frame)
        yield Learned(course.facts)
        await trio.lowlevel.checkpoint()
        match wanted:
            case ViewportView():
                name, products = "tiles", self._tiles(wanted)
            case View():
                name, products = "encode", [self._made(None, course.picture_bytes, repr(wanted), TONED)]
            case _:
                name = "measure"
                products = [Produced(None, '"h"', "application/json", "{}", b'{"counts":[1,2]}')]
        self._begun.beside = self._courses.under_way - 1
        yield StepNews(1, name, "start")
        if course.gate is not None:
            await course.gate.wait()
        if course.fail is not None:
            raise course.fail
        for made in products:
            if made.etag not in self._begun.have:
                yield made
                await trio.lowlevel.checkpoint()
        yield self._step(1, name, "end", repr(wanted))

    def _step(self, number: int, name: str, state: Any, key: str) -> StepNews:
        is_known = f"{name} {key}" in self._known
        self._known.add(f"{name} {key}")
        return StepNews(number, name, state, cached=is_known, used_bytes=10, elapsed_ms=0.0 if is_known else 1.5)

    def _tiles(self, wanted: ViewportView) -> list[Produced]:
        x, y, width, height = wanted.box
        places = [
            TilePlace(wanted.level, column, row)
            for row in range(int(y) // TILE_PX, -(-int(y + height) // TILE_PX))
            for column in range(int(x) // TILE_PX, -(-int(x + width) // TILE_PX))
        ]
        return [self._made(each, self._course.tile_bytes, f"{wanted.view}{each}", TONED) for each in places]

    def _made(self, place: TilePlace | None, size: int, key: str, facts: str) -> Produced:
        return Produced(place, f'"{hash(key) & (2**64 - 1):032x}"', "image/jpeg", facts, b"x" * size)


@dataclass(kw_only=True)
class Courses:
    """What an engine does about plans; counts are as those of `MemoryEngine`."""

    course: Course = field(default_factory=Course)
    begun: list[Begun] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    @property
    def under_way(self) -> int:
        """Plans that have neither ended nor been withdrawn."""
        return sum(not each.ended for each in self.begun)

    @asynccontextmanager
    async def carry_out(
        self, wanted: Wanted | ViewportView, asker: Asker, limits: RunLimits = NO_LIMITS, have: Collection[str] = ()
    ) -> AsyncIterator[_Carried]:
        """Go through the course."""
        begun = Begun(wanted, asker, limits, frozenset(have))
        self.begun.append(begun)
        try:
            await trio.lowlevel.checkpoint()
            if self.course.refuse is not None:
                raise self.course.refuse
            yield _Carried(self, begun)
        except trio.Cancelled:
            begun.cancelled = True
            raise
        finally:
            begun.ended = True
