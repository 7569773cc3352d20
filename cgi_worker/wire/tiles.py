"""Tiles: squares of a picture at one level of its pyramid, as a viewer that pans and zooms asks for them.

Level n has one pixel for each 2**n x 2**n source pixels; tile 0, 0 is at the upper left of the picture as it is seen.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec

from cgi_worker.wire.channels import Channel, channels_of
from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.grammar import Read as ReadText
from cgi_worker.wire.grammar import ViewError, in_range
from cgi_worker.wire.recipe import Making, count_of, histograms_of, is_colour, key, read, reduced, samples_of, tone_of
from cgi_worker.wire.steps import Buffer, Encode, Halve, Recipe, Reduce, Tile, Tone
from cgi_worker.wire.view import AUTO_SIZE, Region, View, view_from_pairs

TILE_PX: Final = 256
LEVEL_MAX: Final = 31
KEPT_LEVEL_MIN: Final = 3  # Below it a tile is made from the source faster than a level could be kept.
FIT_OVER: Final = math.sqrt(2)  # A fitted picture's level is at most so much larger than it is seen, a side.
NOT_OF_TILES: Final = ("region", "size", "exact", "levels_from")


class TileView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tile of a view; the view's region and size are not looked at."""

    view: View
    level: int
    column: int
    row: int

    @property
    def frame(self) -> str:
        """The frame's name."""
        return self.view.frame


class TilePlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which tile of a pyramid."""

    level: int
    column: int
    row: int


class ViewportView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tiles of a view that a window shows; the view's region and size are not looked at.

    box     x, y, width, height in pixels of this level, of the picture as it is seen; what lies beside it is left out.
    fit     in their place: all of the picture, at the level that is nearest to its size in this width and height.
    coarse  True: nothing is shown yet, so that a tile of all of it comes first.
    glance  True: while that takes long, a coarse picture of all of it may come before; only with `fit`.
    """

    view: View
    level: int = 0
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    coarse: bool = False
    fit: tuple[int, int] | None = None
    glance: bool = False

    @property
    def frame(self) -> str:
        """The frame's name."""
        return self.view.frame


def tile_from_pairs(pairs: Iterable[tuple[str, str]]) -> TileView:
    """Read a tile from decoded query parameters: those of a view, and `level`, `x`, `y`.

    Raises  ViewError as `view_from_pairs`.
    """
    given = list(pairs)
    place: dict[str, int] = {}
    for name, text in given:
        if name in NOT_OF_TILES:
            raise ViewError(name, "does not go with tiles")
        if name in _PLACE and name in place:
            raise ViewError(name, "repeated")
        if name in _PLACE:
            place[name] = _PLACE[name](name, text)
    for name in _PLACE:
        if name not in place:
            raise ViewError(name, "missing")
    view = view_from_pairs((name, text) for name, text in given if name not in _PLACE)
    return TileView(view, place["level"], place["x"], place["y"])


def tile_recipe(wanted: TileView, facts: Facts, source: Source) -> Recipe:
    """Settle how one tile is made; many of one picture are made by a list.

    Raises  ViewError for a tile that there is not, and whatever else the frame cannot satisfy.
    """
    view, level = whole_view(wanted.view), wanted.level
    channels = channels_of(view, facts)
    making = Making(source)
    tone = tone_of(view, channels, level_size(channels[0], level))
    histograms = levels_inputs(making, view, facts, (level,)) if tone.counted else ()
    whole, planes = whole_level(making, view, channels, level, counted=tone.counted)
    step = tile_at(whole, level, (wanted.column, wanted.row))
    return making.recipe(making.add(step, (*planes, *histograms), _buffer(step, channels, source)))


def whole_view(view: View) -> View:
    """Take away from a view what tiles do not look at: equal ones have equal tiles."""
    return msgspec.structs.replace(view, region=None, size=AUTO_SIZE, exact=True, levels_from="region")


def levels_inputs(making: Making, view: View, facts: Facts, levels: Collection[int]) -> tuple[int, ...]:
    """Add what the levels of tiles are found from: histograms of each channel, then samples if wanted; return indices.

    Where one of the levels is of the kept pyramid, that is made and counted in one pass over the source.
    """
    channels = channels_of(view, facts)
    if any(_is_kept(view, level) for level in levels):
        histograms = tuple(_lowest(making, channel, counted=True)[1][0] for channel in channels)
    else:
        histograms = histograms_of(making, view, facts)
    sampled = tone_of(view, channels, level_size(channels[0], 0)).sampled
    return (*histograms, *(samples_of(making, channels, None) if sampled else ()))


def whole_level(
    making: Making, view: View, channels: tuple[Channel, ...], level: int, *, counted: bool
) -> tuple[Tile, tuple[int, ...]]:
    """Describe a tile as large as a level, whose parts are the tiles, and add what makes the planes it is cut from.

    counted  the histograms are wanted as well, see `levels_inputs`.

    Returns  the tile, and the indices of those planes; none if the tiles are cut out of the file.
    """
    across, down = level_size(channels[0], level)
    tone = tone_of(view, channels, (across, down))
    kind, planes = _sources(making, view, channels, level, counted=counted)
    reduces = tuple(
        Reduce(each.hdu, each.plane, _all_of(each), 1 << level, each.cfa, view.pool, parts=each.parts)
        for each in channels
    )
    encode = Encode(view.format, view.quality, view.subsampling)
    return Tile(reduces, Region(0, 0, across, down), kind, tone, encode), planes


def tile_at(whole: Tile, level: int, tile: tuple[int, int]) -> Tile:
    """Cut the tile at (column, row) out of a whole level.

    Raises  ViewError if there is none.
    """
    window = _window(whole.tone, (whole.window.width_px, whole.window.height_px), tile, level)
    tone = msgspec.structs.replace(whole.tone, width_px=window.width_px, height_px=window.height_px)
    reduces = tuple(msgspec.structs.replace(each, region=_part(each.region, window, level)) for each in whole.reduce)
    return Tile(reduces, window, whole.source, tone, whole.encode)


def tile_bytes(width_px: int, height_px: int, colour: bool) -> int:
    """Tell how many bytes an encoded tile may take: noise at quality 100 stays below 2 bytes a sample."""
    return 2 * width_px * height_px * (3 if colour else 1) + 16_384


def level_size(channel: Channel, level: int) -> tuple[int, int]:
    """Tell the width and height of a level in its pixels."""
    return -(-channel.hdu.width_px >> level), -(-channel.hdu.height_px >> level)


def _is_kept(view: View, level: int) -> bool:
    """Tell whether tiles of this level are cut from the kept pyramid."""
    return level >= KEPT_LEVEL_MIN and view.pool == "mean"


def _sources(
    making: Making, view: View, channels: tuple[Channel, ...], level: int, *, counted: bool
) -> tuple[Any, tuple[int, ...]]:
    """Add what makes the planes that tiles of this level are cut from."""
    if _is_kept(view, level):
        return "level", tuple(_level(making, channel, level, counted=counted) for channel in channels)
    if channels[0].streamed:
        return "plane", tuple(read(making, channel) for channel in channels)
    return "file", ()


def _lowest(making: Making, channel: Channel, *, counted: bool) -> tuple[int, list[int]]:
    """Add the step that makes the lowest kept level from the source, and its histogram if it is wanted."""
    step = Reduce(
        channel.hdu,
        channel.plane,
        _all_of(channel),
        1 << KEPT_LEVEL_MIN,
        channel.cfa,
        parts=channel.parts,
        counted=True,
    )
    return reduced(making, channel, step, counted=counted)


def _level(making: Making, channel: Channel, level: int, *, counted: bool) -> int:
    """Add the steps that make one level: the lowest kept one from the source, each other from the one before."""
    plane, _ = _lowest(making, channel, counted=counted)
    lowest = making.buffers[plane].key  # Each level is named by it: names within names would double with each.
    for higher in range(KEPT_LEVEL_MIN + 1, level + 1):
        count, rows, columns = making.buffers[plane].shape
        if rows == columns == 1:
            break  # Half of one pixel is that pixel.
        shape = (count, -(-rows // 2), -(-columns // 2))
        where = {"of": lowest, "level": higher}
        buffer = Buffer(key("level", making.source, where), 4 * math.prod(shape), "f4", shape)
        plane = making.add(Halve(), (plane,), buffer)
    return plane


def _window(tone: Tone, size: tuple[int, int], tile: tuple[int, int], level: int) -> Region:
    """Find a tile's place in its level, as it lies in the source: rows and columns that are flipped or turned."""
    across, down = size
    seen = (down, across) if tone.turn in (90, 270) else (across, down)
    left, top = tile[0] * TILE_PX, tile[1] * TILE_PX
    if left >= seen[0] or top >= seen[1]:
        counts = f"{-(-seen[0] // TILE_PX)} x {-(-seen[1] // TILE_PX)}"
        raise ViewError("y" if left < seen[0] else "x", f"level {level} has {counts} tiles")
    return as_stored(tone, size, (left, top, min(left + TILE_PX, seen[0]), min(top + TILE_PX, seen[1])))


def as_stored(tone: Tone, size: tuple[int, int], box: tuple[int, int, int, int]) -> Region:
    """Find where a part of a picture as it is seen lies in the source: undo the turn (clockwise), then the flips.

    size  of the whole picture, width and height, as it is stored.
    box   left, top, right, bottom, as it is seen; the last two are just outside of it.
    """
    across, down = size
    left, top, right, bottom = box
    if tone.turn == 90:
        left, right, top, bottom = top, bottom, down - right, down - left
    elif tone.turn == 180:
        left, right, top, bottom = across - right, across - left, down - bottom, down - top
    elif tone.turn == 270:
        left, right, top, bottom = across - bottom, across - top, left, right
    if tone.flip_h:
        left, right = across - right, across - left
    if tone.flip_v:
        top, bottom = down - bottom, down - top
    return Region(left, top, right - left, bottom - top)


def _all_of(channel: Channel) -> Region:
    return Region(0, 0, channel.hdu.width_px, channel.hdu.height_px)


def _part(whole: Region, window: Region, level: int) -> Region:
    """Tell which part of the source a window of a level is made of."""
    left, top = window.x_px << level, window.y_px << level
    right = min((window.x_px + window.width_px) << level, whole.width_px)
    bottom = min((window.y_px + window.height_px) << level, whole.height_px)
    return Region(left, top, right - left, bottom - top)


def _buffer(step: Tile, channels: tuple[Channel, ...], source: Source) -> Buffer:
    size_bytes = tile_bytes(step.window.width_px, step.window.height_px, is_colour(step.tone, count_of(channels)))
    of = [[each.hdu.index, each.plane, msgspec.to_builtins(each.region), each.cfa, each.pool] for each in step.reduce]
    how = {
        "of": of,
        "factor": step.reduce[0].factor,
        "tone": msgspec.to_builtins(step.tone),
        "encode": msgspec.to_builtins(step.encode),
    }
    return Buffer(key("tile", source, how), size_bytes)


_PLACE: Final[dict[str, ReadText]] = {
    "level": in_range(0, LEVEL_MAX), "x": in_range(0, 1 << 24), "y": in_range(0, 1 << 24),
}  # fmt: skip
