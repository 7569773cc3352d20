"""Wanted: all that can be asked of a frame, and how each kind is answered."""

from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.inquiry import question_recipe
from cgi_worker.wire.question import Question, media_type
from cgi_worker.wire.recipe import MEDIA_TYPES, picture_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tiles import TileView, tile_recipe
from cgi_worker.wire.view import View

Wanted = View | TileView | Question


def recipe_of(wanted: Wanted, facts: Facts, source: Source) -> Recipe:
    """Settle which steps answer it.

    Raises  ViewError when the frame cannot.
    """
    match wanted:
        case View():
            return picture_recipe(wanted, facts, source)
        case TileView():
            return tile_recipe(wanted, facts, source)
        case _:
            return question_recipe(wanted, facts, source)


def media_type_of(wanted: Wanted) -> str:
    """Tell what kind of bytes the answer is."""
    match wanted:
        case View(format=kind) | TileView(view=View(format=kind)):
            return MEDIA_TYPES[kind]
        case _:
            return media_type(wanted)


def hdus_of(wanted: Wanted, facts: Facts) -> frozenset[int]:
    """Tell the indices of the HDUs that it is about, as far as they are named or chosen by default."""
    asked = wanted.view if isinstance(wanted, TileView) else wanted
    if isinstance(asked, View) and asked.rgb is not None:
        return frozenset(place.hdu for place in asked.rgb)
    index = facts.default_hdu if asked.hdu is None else asked.hdu
    return frozenset() if index is None else frozenset((index,))
