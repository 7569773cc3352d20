"""The planner: from a view, or a question, and its frame's facts to a plan that fits the limits. Pure."""

from dataclasses import dataclass

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.recipe import parse_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.wanted import Wanted, hdus_of, recipe_of
from imgd.core.pool import capacity_for
from imgd.errors import BadFrame, BadRequest, PlanTooBig


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan may ask for at most."""

    budget_bytes: int
    pixels_max: int


FACTS_RESULT = 0
HEADER_RESULT = 1


def plan_parse(source: Source, limits: PlanLimits, result: int = FACTS_RESULT) -> Recipe:
    """Plan to find out what a frame holds; the result is its facts, or its header document.

    Raises  PlanTooBig if the budget is smaller than these documents may be.
    """
    recipe = parse_recipe(source, result)
    _check_size(recipe, limits)
    return recipe


def plan_answer(wanted: Wanted, facts: Facts, source: Source, limits: PlanLimits) -> Recipe:
    """Plan a picture, a tile, or the answer to a question, of a frame whose facts are known.

    Raises  BadRequest if the frame cannot satisfy it; BadFrame if it can satisfy none; PlanTooBig if it could never
            fit.
    """
    named = hdus_of(wanted, facts)
    for hdu in facts.hdus:
        if hdu.index in named or not named:
            _check_claim(hdu, limits)
    try:
        recipe = recipe_of(wanted, facts, source)
    except ViewError as error:
        if error.parameter == "frame":  # Not what was asked for is wrong, but the file.
            raise BadFrame(error.text, error.parameter) from error
        raise BadRequest(error.text, error.parameter) from error
    _check_size(recipe, limits)
    return recipe


def _check_claim(hdu: Hdu, limits: PlanLimits) -> None:
    """Refuse an image by what its header claims, whether or not the file holds it."""
    if hdu.kind in ("image", "compressed", "mosaic") and hdu.shape and hdu.height_px * hdu.width_px > limits.pixels_max:
        megapixels = hdu.height_px * hdu.width_px / 1e6
        raise PlanTooBig(
            f"HDU {hdu.index} claims {hdu.width_px} x {hdu.height_px} pixels ({megapixels:.0f} Mpx);"
            f" the limit is {limits.pixels_max / 1e6:.0f} Mpx a plane"
        )


def _check_size(recipe: Recipe, limits: PlanLimits) -> None:
    need = sum(capacity_for(buffer.size_bytes) for buffer in recipe.buffers)
    if need > limits.budget_bytes:
        raise PlanTooBig(
            f"needs {need / 2**20:.0f} MiB at once; the budget is {limits.budget_bytes / 2**20:.0f} MiB"
            " (a smaller size or region needs less)"
        )
