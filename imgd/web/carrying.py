"""One run, whoever asked for it: a view's plan is carried out, each step and result is told, a document sums it up."""

import hashlib
import itertools
import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, cast
from urllib.parse import quote, urlencode

import msgspec
import trio

from cgi_worker.wire.channels import channels_of
from cgi_worker.wire.facts import Facts, Source, encode_facts
from cgi_worker.wire.question import Histogram
from cgi_worker.wire.recipe import picture_recipe, picture_size
from cgi_worker.wire.tiles import TILE_PX, TilePlace, ViewportView, level_size
from cgi_worker.wire.view import Format, View, view_pairs
from imgd.core.sessions.messages import Figures, Picture, Result
from imgd.entry import ref_of
from imgd.errors import ImgdError, PlanTooBig, first_of
from imgd.model import Asker
from imgd.running import Glanced, Learned, News, Produced, RunLimits, StepNews
from imgd.web.problems import plain_text
from imgd.web.pyramids import version_of
from imgd.web.seam import Engine

_FORMATS: Final[dict[str, Format]] = {
    "image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp", "image/avif": "avif",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run is for; `have`: etags of tiles that are not wanted again."""

    wanted: View | ViewportView
    results: tuple[Result, ...]
    have: frozenset[str] = frozenset()

    @property
    def view(self) -> View:
        """What is seen, in whichever way."""
        return self.wanted.view if isinstance(self.wanted, ViewportView) else self.wanted


@dataclass(frozen=True, slots=True)
class Means:
    """Who asks, and what the run may take at most; limit_s: from its beginning to its end."""

    engine: Engine
    asker: Asker
    limits: RunLimits
    limit_s: float


class OverTime(ImgdError):
    """The run took longer than it may."""

    status, title = 504, "Took too long"


class Told(Protocol):
    """Who is told of a run while it goes on."""

    def accepted(self, run: str, frame: str, version: str) -> None:
        """There is such a frame, of this version."""

    def known(self) -> None:
        """The frame's facts are known: the plan goes to the engine now."""

    def stepped(self, news: StepNews) -> None:
        """A step is further."""

    def found(self, figures: Figures | None, notes: tuple[str, ...]) -> None:
        """Figures are known; or there is something to note."""

    def encoded(self, picture: Picture) -> None:
        """A picture or a tile is there."""


@dataclass(slots=True)
class _Course:
    """How far a run is: what its document will say.

    after   the last step of the plan before the present one.
    levels  width and height of those that tiles were made of, as they are seen.
    """

    wish: Wish
    told: Told
    source: Source
    document: dict[str, Any]
    after: int = 0
    steps: dict[int, str] = field(default_factory=dict)
    facts: Facts | None = None
    tiles: list[dict[str, Any]] = field(default_factory=list)
    levels: dict[int, tuple[int, int]] = field(default_factory=dict)


async def carry(wish: Wish, means: Means, told: Told) -> dict[str, Any]:
    """Carry a run out; return its result document.

    Raises  ImgdError; OverTime when it took too long.
    Cancelled  what nobody else waits for is stopped.
    """
    failed: ImgdError | None = None
    with trio.move_on_after(means.limit_s):
        try:
            return await _carry(wish, means, told)
        except* ImgdError as errors:  # It may come out of a nursery.
            failed = first_of(errors)
    if failed is not None:
        raise failed
    raise OverTime(f"the run took longer than {means.limit_s:g} s (setting run_limit_s)")


async def _carry(wish: Wish, means: Means, told: Told) -> dict[str, Any]:
    asks_histogram = "histogram" in wish.results
    makes_picture = "picture" in wish.results or "levels" in wish.results
    course: _Course | None = None
    if makes_picture or not asks_histogram:
        wanted = means.engine.carry_out(wish.wanted, means.asker, means.limits, wish.have)
        async with wanted as carried:
            course = _accept(wish, told, carried.source)
            async with aclosing(cast(Any, carried.news())) as heard:
                async for news in heard:
                    _hear(course, news)
                    if course.facts is not None and not makes_picture:
                        break
    if asks_histogram:
        question = Histogram(frame=wish.view.frame, hdu=wish.view.hdu, plane=wish.view.plane)
        async with means.engine.carry_out(question, means.asker, means.limits) as carried:
            course = course or _accept(wish, told, carried.source)
            course.after = max(course.steps, default=0)
            async with aclosing(cast(Any, carried.news())) as heard:
                async for news in heard:
                    _hear(course, news)
    assert course is not None
    return _document(course)


def budget_of(error: ImgdError) -> Literal["", "time", "steps", "bytes"]:
    """Tell which of a run's budgets it was that an error is about."""
    match error:
        case OverTime():
            return "time"
        case PlanTooBig(parameter="steps"):
            return "steps"
        case PlanTooBig(parameter="bytes"):
            return "bytes"
        case _:
            return ""


def run_id(wish: Wish, source: Source) -> str:
    """Name a run: the same for the same view of the same source, wherever it is asked for."""
    window: list[Any] = []
    if isinstance(wish.wanted, ViewportView):
        fit = wish.wanted.fit
        window = ["fit", *fit] if fit else [wish.wanted.level, [float(side) for side in wish.wanted.box]]
    of = [view_pairs(wish.view), window, sorted(set(wish.results)), msgspec.to_builtins(source)]
    return hashlib.sha256(json.dumps(of, separators=(",", ":"), sort_keys=True).encode()).hexdigest()[:32]


def _accept(wish: Wish, told: Told, source: Source) -> _Course:
    run, frame = run_id(wish, source), wish.view.frame
    document = {"run": run, "frame": ref_of(frame.encode("utf-8", "surrogateescape")), "notes": []}
    told.accepted(run, frame, version_of(source, wish.view.rows))
    return _Course(wish, told, source, document)


def _hear(course: _Course, news: News) -> None:
    match news:
        case StepNews(number, step):
            if number == 0 and course.after:
                return  # The frame was parsed for the plan before.
            number += course.after
            course.steps[number] = step
            course.told.stepped(_numbered(news, number))
        case Learned(facts):
            if course.facts is None:
                course.facts = facts
                course.told.known()
                _tell_facts(course, facts)
        case Produced():
            _take(course, news)
        case Glanced(media_type, width_px, height_px, body):
            course.told.encoded(Picture(body, "", _FORMATS[media_type], width_px, height_px, glance=True))


def _numbered(news: StepNews, number: int) -> StepNews:
    if news.number == number:
        return news
    return StepNews(number, news.step, news.state, news.cached, news.joined, news.used_bytes, news.elapsed_ms)


def _tell_facts(course: _Course, facts: Facts) -> None:
    notes = notes_of(facts)
    course.document["notes"] += notes
    if "facts" in course.wish.results:
        _find(course, Figures("facts", msgspec.Raw(encode_facts(facts))), notes)
    elif notes:
        course.told.found(None, notes)


def _take(course: _Course, made: Produced) -> None:
    wish = course.wish
    if made.media_type not in _FORMATS:
        _find(course, Figures("histogram", msgspec.Raw(made.body)), ())
        return
    if "levels" in wish.results and "levels" not in course.document and made.facts not in ("", "{}"):
        notes = coarse_notes(made.facts)
        course.document["notes"] += notes
        _find(course, Figures("levels", msgspec.Raw(made.facts.encode())), notes)
    if "picture" not in wish.results:
        return
    if made.place is None:
        size = _picture_size(course)
        picture = Picture(made.body, made.etag, _FORMATS[made.media_type], *size)
        course.document["picture"] = {
            "href": href_of(wish.view), "etag": made.etag, "media_type": made.media_type, "bytes": len(made.body),
            "width_px": size[0], "height_px": size[1],
        }  # fmt: skip
    else:
        place = made.place
        picture = Picture(
            made.body, made.etag, _FORMATS[made.media_type], *_tile_size(course, place), place.level, place.column,
            place.row,
        )  # fmt: skip
        course.tiles.append(
            {"level": place.level, "x": place.column, "y": place.row, "etag": made.etag, "bytes": len(made.body)}
        )
    course.told.encoded(picture)


def _find(course: _Course, figures: Figures, notes: tuple[str, ...]) -> None:
    course.document[figures.what] = figures.document
    course.told.found(figures, notes)


def _document(course: _Course) -> dict[str, Any]:
    """Sum up; what depends on the moment (times, what was cached) is not in it."""
    course.document["steps"] = [course.steps[number] for number in sorted(course.steps)]
    if isinstance(course.wish.wanted, ViewportView) and "picture" in course.wish.results:
        course.document["tiles"] = sorted(course.tiles, key=lambda tile: (tile["level"], tile["y"], tile["x"]))
    return course.document


def _picture_size(course: _Course) -> tuple[int, int]:
    assert course.facts is not None, "a picture is made after its frame's facts are known"
    return picture_size(picture_recipe(course.wish.view, course.facts, course.source))


def _tile_size(course: _Course, place: TilePlace) -> tuple[int, int]:
    if place.level not in course.levels:
        assert course.facts is not None, "a tile is made after its frame's facts are known"
        across, down = level_size(channels_of(course.wish.view, course.facts)[0], place.level)
        turned = course.wish.view.turn in (90, 270)
        course.levels[place.level] = (down, across) if turned else (across, down)
    across, down = course.levels[place.level]
    return min(TILE_PX, across - TILE_PX * place.column), min(TILE_PX, down - TILE_PX * place.row)


def href_of(view: View) -> str:
    """Tell where the same picture is by HTTP, relative to the daemon's address."""
    return "img?" + urlencode(view_pairs(view), quote_via=quote, safe="/,:", errors="surrogateescape")


def notes_of(facts: Facts) -> tuple[str, ...]:
    """Say what the reader warns of: rows that are missing, and whatever else was odd about the file."""
    cut = []
    for hdu in facts.hdus:
        rows = hdu.height_px * hdu.planes if hdu.reason is None and len(hdu.shape) >= 2 else 0
        if hdu.rows < rows:
            of = f" of HDU {hdu.index}" if len(facts.hdus) > 1 else ""
            cut.append(f"truncated: {hdu.rows} of {rows} rows{of}")
    return tuple(itertools.chain(cut, (plain_text(warning) for warning in facts.warnings)))


def coarse_notes(facts: str) -> tuple[str, ...]:
    """Say of a picture, by the facts of the step that toned it, that it is of some of the rows only."""
    said = msgspec.json.decode(facts)
    if not isinstance(said, dict) or not said.get("coarse"):
        return ()
    return (f"coarse: {said.get('rows_read')} of {said.get('rows_all')} rows were looked at",)
