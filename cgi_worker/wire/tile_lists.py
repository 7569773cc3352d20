"""Lists of tiles: what a viewport shows, in the order in which it is wanted, as one step of one todo list."""

import math
from typing import Final, NamedTuple

from cgi_worker.wire.channels import Channel, channels_of
from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.packets import STEP_FACTS_BYTES_MAX
from cgi_worker.wire.recipe import Making, count_of, is_colour, key, tone_of
from cgi_worker.wire.steps import Buffer, Recipe, TilePart, Tiles
from cgi_worker.wire.tiles import (
    LEVEL_MAX,
    TILE_PX,
    TilePlace,
    ViewportView,
    level_size,
    levels_inputs,
    tile_at,
    tile_bytes,
    whole_level,
    whole_view,
)
from cgi_worker.wire.view import View


class Listing(NamedTuple):
    """Which list it is.

    number  unlike that of any other: what it makes is not shared by key.
    beside  levels of lists that are made at the same time: all have their pixels counted by the same pass.
    """

    number: int = 0
    beside: frozenset[int] = frozenset()


ALONE: Final = Listing()
LIST_MAX: Final = 48  # Tiles of one todo list: what it may write is reserved at once.


def places_of(wanted: ViewportView, facts: Facts) -> tuple[TilePlace, ...]:
    """List the tiles that a window touches, those nearest to its centre first; before them, if nothing is shown yet,
    the one that holds all of the picture.

    Raises  ViewError for a level that there is not, a window without extent, and whatever the frame cannot satisfy.
    """
    if not 0 <= wanted.level <= LEVEL_MAX:
        raise ViewError("level", f"must be from 0 to {LEVEL_MAX}")
    x, y, width, height = wanted.box
    if not (all(map(math.isfinite, (x, y, x + width, y + height))) and width > 0 and height > 0):
        raise ViewError("box", "must be x,y,width,height in pixels of the level, with a width and a height")
    channel = channels_of(whole_view(wanted.view), facts)[0]
    if wanted.fit is not None:
        wanted = _fitted(wanted, channel, wanted.fit)
        x, y, width, height = wanted.box
    across, down = _counts(wanted.view, level_size(channel, wanted.level))
    columns = range(max(0, math.floor(x / TILE_PX)), min(across, math.ceil((x + width) / TILE_PX)))
    rows = range(max(0, math.floor(y / TILE_PX)), min(down, math.ceil((y + height) / TILE_PX)))
    centre = (x + width / 2) / TILE_PX - 0.5, (y + height / 2) / TILE_PX - 0.5
    found = [TilePlace(wanted.level, column, row) for row in rows for column in columns]
    found.sort(key=lambda tile: (math.dist((tile.column, tile.row), centre), tile.row, tile.column))
    coarse = next(level for level in range(LEVEL_MAX + 1) if max(level_size(channel, level)) <= TILE_PX)
    first = [TilePlace(coarse, 0, 0)] if wanted.coarse and coarse > wanted.level else []
    return (*first, *found)


def check_place(view: View, place: TilePlace, facts: Facts) -> None:
    """See that there is such a tile.

    Raises  ViewError if not, and if the frame cannot satisfy the view.
    """
    across, down = _counts(view, level_size(channels_of(whole_view(view), facts)[0], place.level))
    if place.column >= across or place.row >= down:
        name = "y" if place.column < across else "x"
        raise ViewError(name, f"level {place.level} has {across} x {down} tiles")


def tile_list_recipe(
    view: View,
    places: tuple[TilePlace, ...],
    facts: Facts,
    source: Source,
    *,
    listing: Listing = ALONE,
) -> Recipe:
    """Settle how some tiles are made, in this order as far as those of one level stand together.

    Raises  ViewError for a tile that there is not, and whatever else the frame cannot satisfy.
    """
    assert 1 <= len(places) <= LIST_MAX
    view = whole_view(view)
    channels = channels_of(view, facts)
    making = Making(source)
    tone = tone_of(view, channels, level_size(channels[0], places[0].level))
    colour = is_colour(tone, count_of(channels))
    levels = tuple(dict.fromkeys(place.level for place in places))
    histograms = levels_inputs(making, view, facts, (*levels, *listing.beside)) if tone.counted else ()
    inputs, parts, size_bytes = list(histograms), [], STEP_FACTS_BYTES_MAX
    for level in levels:
        whole, planes = whole_level(making, view, channels, level, counted=tone.counted)
        tiles = tuple((place.column, place.row) for place in places if place.level == level)
        parts.append(TilePart(level, tiles, whole, tuple(range(len(inputs), len(inputs) + len(planes)))))
        inputs += planes
        for tile in tiles:
            window = tile_at(whole, level, tile).window
            size_bytes += tile_bytes(window.width_px, window.height_px, colour)
    step = Tiles(tuple(parts), tuple(range(len(histograms))))
    # Bytes that lie one after the other are told as they grow: no two jobs share them, or one would hear half of it.
    name = key("tiles", source, {"list": listing.number})
    return making.recipe(making.add(step, tuple(inputs), Buffer(name, size_bytes, kept=False)))


def _counts(view: View, size: tuple[int, int]) -> tuple[int, int]:
    """Count the columns and rows of tiles of a level, as it is seen."""
    across, down = (-(-side // TILE_PX) for side in size)
    return (down, across) if view.turn in (90, 270) else (across, down)


def _fitted(wanted: ViewportView, channel: Channel, fit: tuple[int, int]) -> ViewportView:
    """Find the level that is nearest to the size at which all of the picture fits, and take all of it."""
    across, down = channel.hdu.width_px, channel.hdu.height_px
    if wanted.view.turn in (90, 270):
        across, down = down, across
    times = max(across / fit[0], down / fit[1])
    level = min(max(0, math.floor(math.log2(times) + 0.5)), LEVEL_MAX)
    box = (0.0, 0.0, float(max(1, -(-across >> level))), float(max(1, -(-down >> level))))
    return ViewportView(wanted.view, level, box, wanted.coarse)
