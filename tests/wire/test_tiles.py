"""Tiles: every pixel of a level lies in exactly one, whichever way it is turned; and what each is made of."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.steps import BINS, Halve, Read, Recipe, Reduce, Tile
from cgi_worker.wire.tiles import KEPT_LEVEL_MIN, TILE_PX, TileView, tile_from_pairs, tile_recipe
from cgi_worker.wire.view import Cut, Place, Region, View

FRAME = ("frame", "night/m31.fits")
SOURCE = Source(1, 2, 3, 4)


def facts_of(shape: tuple[int, ...], **fields: Any) -> Facts:
    return Facts("fits", (Hdu(0, "", **{"kind": "image", "shape": shape, "stored": "i2", **fields}),), 0)


FACTS = facts_of((3001, 5000))


def recipe_of(level: int, tile: tuple[int, int], facts: Facts = FACTS, **fields: Any) -> Recipe:
    return tile_recipe(TileView(msgspec.structs.replace(View("a/b"), **fields), level, *tile), facts, SOURCE)


def steps(recipe: Recipe, kind: type[Any]) -> list[Any]:
    return [stage.step for stage in recipe.stages if isinstance(stage.step, kind)]


@given(
    st.tuples(st.integers(1, 1500), st.integers(1, 1500)), st.integers(0, 2), st.sampled_from([0, 90, 180, 270]),
    st.sampled_from(["none", "h", "v", "hv"]), st.sampled_from(["up", "down"]),
)  # fmt: skip
def test_tiles_put_together_are_the_turned_and_flipped_level(
    shape: tuple[int, int], level: int, turn: int, flip: str, rows: str
) -> None:
    height, width = -(-shape[0] >> level), -(-shape[1] >> level)
    stored = np.arange(height * width).reshape(height, width)
    seen = stored if rows == "down" else stored[::-1]
    seen = seen[:, ::-1] if "h" in flip else seen
    seen = seen[::-1] if "v" in flip else seen
    seen = np.rot90(seen, -turn // 90)
    facts = facts_of(shape)
    for column, row in itertools.product(range(-(-seen.shape[1] // TILE_PX)), range(-(-seen.shape[0] // TILE_PX))):
        recipe = recipe_of(level, (column, row), facts=facts, turn=turn, flip=flip, rows=rows, levels=Cut(0, 1))
        (tile,) = steps(recipe, Tile)
        w = tile.window
        part = stored[w.y_px : w.y_px + w.height_px, w.x_px : w.x_px + w.width_px]
        part = part[:, ::-1] if tile.tone.flip_h else part
        part = part[::-1] if tile.tone.flip_v else part
        expected = seen[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
        assert np.array_equal(np.rot90(part, -tile.tone.turn // 90), expected)
        assert (tile.tone.height_px, tile.tone.width_px) == (w.height_px, w.width_px)
        region = tile.reduce[0].region
        assert (region.x_px, region.y_px) == (w.x_px << level, w.y_px << level)
        assert (-(-region.height_px >> level), -(-region.width_px >> level)) == (w.height_px, w.width_px)
        assert region.x_px + region.width_px <= shape[1] and region.y_px + region.height_px <= shape[0]


def test_a_tile_that_there_is_not_is_refused_by_name() -> None:
    recipe_of(0, (19, 11))
    for tile, name in (((20, 0), "x"), ((0, 12), "y")):
        with pytest.raises(ViewError, match="20 x 12 tiles") as refusal:
            recipe_of(0, tile)
        assert refusal.value.parameter == name
    with pytest.raises(ViewError):
        recipe_of(20, (1, 0))
    assert steps(recipe_of(20, (0, 0)), Tile)[0].window == Region(0, 0, 1, 1)


def test_low_levels_come_from_the_file_and_high_ones_from_the_level_below() -> None:
    low = recipe_of(KEPT_LEVEL_MIN - 1, (0, 0), levels=Cut(0, 1))
    assert [type(stage.step) for stage in low.stages] == [Tile]
    assert steps(low, Tile)[0].source == "file"
    high = recipe_of(KEPT_LEVEL_MIN + 2, (0, 0), levels=Cut(0, 1))
    assert [type(stage.step) for stage in high.stages] == [Reduce, Halve, Halve, Tile]
    assert [buffer.shape for buffer in high.buffers[:3]] == [(2, 376, 625), (2, 188, 313), (2, 94, 157)]
    assert steps(high, Tile)[0].source == "level"
    assert high.stages[-1].inputs == (2,)
    lower = recipe_of(KEPT_LEVEL_MIN + 1, (0, 0), levels=Cut(0, 1))
    assert lower.buffers[:2] == high.buffers[:2]  # One pyramid for all.
    maxima = recipe_of(KEPT_LEVEL_MIN + 2, (0, 0), levels=Cut(0, 1), pool="max")
    assert [type(stage.step) for stage in maxima.stages] == [Tile]


def test_what_has_no_random_access_is_read_once() -> None:
    packed = facts_of((3001, 5000), kind="compressed")
    recipe = recipe_of(0, (1, 0), facts=packed, levels=Cut(0, 1))
    assert [type(stage.step) for stage in recipe.stages] == [Read, Tile]
    assert recipe.stages[1].inputs == (0,)
    assert steps(recipe, Tile)[0].source == "plane"


def test_levels_are_those_of_the_whole_plane() -> None:
    recipe = recipe_of(0, (2, 1))
    (overview,) = steps(recipe, Reduce)
    assert overview.region == Region(0, 0, 5000, 3001)
    assert all(stage.inputs == (1,) for stage in recipe.stages if isinstance(stage.step, Tile))
    assert recipe.result == len(recipe.buffers) - 1
    three = facts_of((3, 50, 60), rgb=True)
    coloured = recipe_of(0, (0, 0), facts=three)
    assert coloured.stages[-1].inputs == (1, 3, 5)
    assert [reduce.plane for reduce in steps(coloured, Tile)[0].reduce] == [0, 1, 2]


@pytest.mark.parametrize("planes", [(0, 0, 2), (2, 0, 0), (1, 1, 1)])
@pytest.mark.parametrize("level", [0, KEPT_LEVEL_MIN])
def test_a_plane_that_is_chosen_twice_has_its_histogram_twice(planes: tuple[int, int, int], level: int) -> None:
    three = facts_of((3, 50, 60))
    recipe = recipe_of(level, (0, 0), facts=three, rgb=tuple(Place(0, plane) for plane in planes))
    made = {at: stage.step for stage in recipe.stages if isinstance(stage.step, Reduce) for at in stage.outputs}
    inputs = recipe.stages[-1].inputs
    assert tuple(made[at].plane for at in inputs) == planes * (2 if level else 1)
    assert [recipe.buffers[at].shape for at in inputs[-3:]] == [(1, BINS)] * 3


def test_tiles_differ_by_their_keys_and_by_nothing_else() -> None:
    def key(level: int, tile: tuple[int, int], **fields: Any) -> str:
        recipe = recipe_of(level, tile, **fields)
        return recipe.buffers[recipe.result].key

    keys = {key(level, tile) for level in (0, 1) for tile in ((0, 0), (1, 0), (0, 1))}
    changes: list[dict[str, Any]] = [{"levels": Cut(0, 1)}, {"format": "png"}, {"quality": 3}, {"turn": 90}]
    keys |= {key(0, (0, 0), **fields) for fields in changes}
    assert len(keys) == 10
    assert key(0, (0, 0), region=Region(1, 2, 3, 4), exact=False) in keys


def test_a_tile_is_read_from_parameters() -> None:
    tile = tile_from_pairs([FRAME, ("level", "3"), ("x", "1"), ("y", "2"), ("stretch", "log")])
    assert tile == TileView(View(FRAME[1], stretch="log"), 3, 1, 2)
    assert tile.frame == FRAME[1]


@pytest.mark.parametrize(
    ("pairs", "parameter"),
    [
        ([FRAME, ("level", "1"), ("x", "1")], "y"), ([FRAME, ("level", "32"), ("x", "1"), ("y", "1")], "level"),
        ([("level", "1"), ("x", "1"), ("y", "1")], "frame"),
        ([FRAME, ("level", "1"), ("x", "1"), ("y", "1"), ("y", "1")], "y"),
        ([FRAME, ("level", "1"), ("x", "1"), ("y", "1"), ("size", "max")], "size"),
        ([FRAME, ("level", "1"), ("x", "1"), ("y", "1"), ("region", "0,0,1,1")], "region"),
        ([FRAME, ("level", "1"), ("x", "1"), ("y", "1"), ("z", "1")], "z"),
    ],
)  # fmt: skip
def test_each_refusal_names_its_parameter(pairs: list[tuple[str, str]], parameter: str) -> None:
    with pytest.raises(ViewError) as refusal:
        tile_from_pairs(pairs)
    assert refusal.value.parameter == parameter
