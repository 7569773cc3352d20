"""The planner: from a view, or a question, and its frame's facts to a plan that fits the limits. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.glance import glance_recipe
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.packets import DESCRIPTORS_MAX, PACKET_BYTES_MAX
from cgi_worker.wire.recipe import parse_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tile_lists import check_place, places_of
from cgi_worker.wire.tiles import TilePlace, TileView, ViewportView
from cgi_worker.wire.view import View
from cgi_worker.wire.wanted import Wanted, hdus_of, recipe_of
from imgd.core.segment import capacity_for
from imgd.errors import BadFrame, BadRequest, PlanTooBig


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan may ask for at most."""

    budget_bytes: int
    pixels_max: int


BUFFERS_MAX: Final = DESCRIPTORS_MAX - 2  # Beside them go the source and the sink.
RECIPE_BYTES_MAX: Final = PACKET_BYTES_MAX * 7 // 8  # The rest is for what was said of its buffers.
FACTS_RESULT = 0
HEADER_RESULT = 1


def plan_parse(source: Source, limits: PlanLimits, result: int = FACTS_RESULT) -> Recipe:
    """Plan to find out what a frame holds; the result is its facts, or its header document.

    Raises  PlanTooBig if the budget is smaller than these documents may be.
    """
    recipe = parse_recipe(source, result)
    check_size(recipe, limits.budget_bytes)
    return recipe


def in_passing(recipe: Recipe) -> Recipe:
    """Let nothing that a recipe makes be kept for others when it has been read."""
    buffers = tuple(msgspec.structs.replace(buffer, kept=False) for buffer in recipe.buffers)
    return msgspec.structs.replace(recipe, buffers=buffers)


def plan_answer(wanted: Wanted, facts: Facts, source: Source, limits: PlanLimits) -> Recipe:
    """Plan a picture, a tile, or the answer to a question, of a frame whose facts are known.

    Raises  BadRequest if the frame cannot satisfy it; BadFrame if it can satisfy none; PlanTooBig if it could never
            fit.
    """
    named = hdus_of(wanted, facts)
    for hdu in facts.hdus:
        if hdu.index in named or not named:
            _check_claim(hdu, limits)
    with _as_requests():
        recipe = recipe_of(wanted, facts, source)
    check_size(recipe, limits.budget_bytes)
    return recipe


def plan_viewport(wanted: ViewportView, facts: Facts) -> tuple[TilePlace, ...]:
    """Settle which tiles a viewport shows, the most wanted first.

    Raises  as `plan_answer`.
    """
    with _as_requests():
        return places_of(wanted, facts)


def plan_glance(wanted: ViewportView, look: View, facts: Facts, source: Source, *, limits: PlanLimits) -> Recipe | None:
    """Plan a glance at what a viewport's tiles will show; None where it is of no use.

    look  how the tiles look, every setting settled.

    Raises  as `plan_answer`.
    """
    if not wanted.glance or wanted.fit is None:
        return None
    with _as_requests():
        recipe = glance_recipe(look, wanted.fit, facts, source)
    if recipe is not None:
        check_size(recipe, limits.budget_bytes)
    return None if recipe is None else in_passing(recipe)


def check_tile(wanted: TileView, facts: Facts) -> TilePlace:
    """See that there is such a tile.

    Raises  as `plan_answer`.
    """
    place = TilePlace(wanted.level, wanted.column, wanted.row)
    with _as_requests():
        check_place(wanted.view, place, facts)
    return place


@contextmanager
def _as_requests() -> Iterator[None]:
    """Tell whose fault it is that a frame cannot satisfy a view."""
    try:
        yield
    except ViewError as error:
        if error.parameter == "frame":  # Not what was asked for is wrong, but the file.
            raise BadFrame(error.text, error.parameter) from error
        raise BadRequest(error.text, error.parameter) from error


def _check_claim(hdu: Hdu, limits: PlanLimits) -> None:
    """Refuse an image by what its header claims, whether or not the file holds it."""
    if hdu.kind in ("image", "compressed", "mosaic") and hdu.shape and hdu.height_px * hdu.width_px > limits.pixels_max:
        megapixels = hdu.height_px * hdu.width_px / 1e6
        raise PlanTooBig(
            f"HDU {hdu.index} claims {hdu.width_px} x {hdu.height_px} pixels ({megapixels:.0f} Mpx);"
            f" the limit is {limits.pixels_max / 1e6:.0f} Mpx a plane"
        )


def check_size(recipe: Recipe, budget_bytes: int) -> None:
    """See that a plan fits into the memory there is, and into one packet with its descriptors.

    Raises  PlanTooBig.
    """
    need = sum(capacity_for(buffer.size_bytes) for buffer in recipe.buffers)
    if need > budget_bytes:
        raise PlanTooBig(
            f"needs {need / 2**20:.0f} MiB at once; the budget is {budget_bytes / 2**20:.0f} MiB"
            " (a smaller size or region needs less)"
        )
    if len(recipe.buffers) > BUFFERS_MAX or len(msgspec.json.encode(recipe)) > RECIPE_BYTES_MAX:
        raise PlanTooBig("takes more steps, or more parts of a mosaic, than one todo list holds")
