"""Lists of tiles: which tiles a window shows, in which order, and what each of a list is made of."""

import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import Facts
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.packets import DESCRIPTORS_MAX
from cgi_worker.wire.recipe import picture_recipe
from cgi_worker.wire.steps import BINS, Halve, Read, Recipe, Reduce, Stage, Tile, Tiles
from cgi_worker.wire.tile_lists import Listing, check_place, places_of, tile_list_recipe
from cgi_worker.wire.tiles import FIT_OVER, LEVEL_MAX, TILE_PX, TilePlace, TileView, ViewportView, tile_at, tile_recipe
from cgi_worker.wire.view import Cut, View
from tests.wire.test_tiles import FACTS, SOURCE, facts_of

CUT = View("a/b", levels=Cut(0, 1))
RGB = facts_of((3, 3001, 5000), rgb=True)
BAYER = facts_of((3000, 5000), cfa="RGGB")
PACKED = facts_of((3001, 5000), kind="compressed")
FRAMES = {"mono": FACTS, "rgb": RGB, "bayer": BAYER, "packed": PACKED}


def shown(level: int, *box: float, coarse: bool = False, facts: Facts = FACTS, **fields: Any) -> list[TilePlace]:
    view = msgspec.structs.replace(View("a/b"), **fields)
    assert len(box) == 4
    return list(places_of(ViewportView(view, level, (box[0], box[1], box[2], box[3]), coarse), facts))


def slow_places(size: tuple[int, ...], box: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """Ask each pixel of the window in which tile it is, those at the edge as wide as all; then sort by the distance."""
    size = tuple(-(-side // TILE_PX) * TILE_PX for side in size)
    x, y, width, height = box
    columns = {at // TILE_PX for at in range(x, x + width) if 0 <= at < size[0]}
    rows = {at // TILE_PX for at in range(y, y + height) if 0 <= at < size[1]}

    def far(tile: tuple[int, int]) -> float:
        return math.hypot(
            (tile[0] + 0.5) * TILE_PX - (x + width / 2), (tile[1] + 0.5) * TILE_PX - (y + height / 2)
        )  # fmt: skip

    return sorted(((column, row) for column in columns for row in rows), key=far)


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.integers(0, 3), st.sampled_from([0, 90, 180, 270]),
    st.tuples(st.integers(-600, 3200), st.integers(-600, 3200), st.integers(1, 1500), st.integers(1, 1500)),
)  # fmt: skip
def test_a_window_shows_the_tiles_that_it_touches_nearest_to_its_centre_first(
    shape: tuple[int, int], level: int, turn: int, box: tuple[int, int, int, int]
) -> None:
    across, down = -(-shape[1] >> level), -(-shape[0] >> level)
    size = (down, across) if turn in (90, 270) else (across, down)
    found = [(place.column, place.row) for place in shown(level, *box, facts=facts_of(shape), turn=turn)]
    expected = slow_places(size, box)
    assert sorted(found) == sorted(expected)
    x, y, width, height = box
    middle = (x + width / 2, y + height / 2)
    far = [math.dist(((column + 0.5) * TILE_PX, (row + 0.5) * TILE_PX), middle) for column, row in found]
    assert all(near <= after + 1e-6 for near, after in itertools.pairwise(far))


@given(
    st.tuples(st.integers(1, 9000), st.integers(1, 9000)), st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.sampled_from([0, 90]),
)  # fmt: skip
def test_a_fit_shows_all_of_the_level_that_is_nearest_to_its_size(
    shape: tuple[int, int], fit: tuple[int, int], turn: int
) -> None:
    facts = facts_of(shape)
    found = list(places_of(ViewportView(View("a/b", turn=turn), fit=fit), facts))
    down, across = shape if turn == 0 else (shape[1], shape[0])
    seen = min(fit[0] / across, fit[1] / down)  # Pixels of the screen for one of the picture.
    level = found[0].level
    assert level == 0 or FIT_OVER * (1 + 1e-9) >= seen * 2**level >= (1 - 1e-9) / FIT_OVER
    assert level > 0 or seen * FIT_OVER >= 1 - 1e-9
    everything = (0, 0, 1 << 20, 1 << 20)
    assert set(found) == set(shown(level, *everything, facts=facts, turn=turn))


def test_a_fit_comes_coarse_first_as_well() -> None:
    found = places_of(ViewportView(View("a/b"), coarse=True, fit=(1400, 900)), facts_of((6388, 9576)))
    assert found[0] == TilePlace(6, 0, 0) and {place.level for place in found[1:]} == {3} and len(found) == 21


def test_tiles_as_near_as_others_come_row_by_row() -> None:
    assert shown(0, 0, 0, 512, 512) == [TilePlace(0, 0, 0), TilePlace(0, 1, 0), TilePlace(0, 0, 1), TilePlace(0, 1, 1)]


def test_a_window_beside_the_picture_shows_nothing_and_one_of_parts_of_pixels_what_it_touches() -> None:
    assert shown(0, 5000 + 200, 0, 100, 100) == []
    assert shown(0, -10, -10, 5, 5) == []
    assert shown(0, 255.5, 0, 1, 0.25) == [TilePlace(0, 0, 0), TilePlace(0, 1, 0)]
    assert shown(0, 1e300, 0, 1e300, 1) == []
    assert len(shown(0, -1e300, -1e300, 2e300, 2e300)) == 20 * 12


def test_the_coarse_one_comes_first_where_it_is_coarser() -> None:
    assert shown(0, 0, 0, 10, 10, coarse=True) == [TilePlace(5, 0, 0), TilePlace(0, 0, 0)]
    assert shown(4, 0, 0, 10, 10, coarse=True)[0] == TilePlace(5, 0, 0)
    assert shown(5, 0, 0, 10, 10, coarse=True) == [TilePlace(5, 0, 0)]
    assert shown(9, 0, 0, 10, 10, coarse=True) == [TilePlace(9, 0, 0)]
    assert shown(0, 9999, 9999, 10, 10, coarse=True) == [TilePlace(5, 0, 0)]
    assert shown(0, 0, 0, 10, 10, coarse=True, facts=facts_of((256, 256))) == [TilePlace(0, 0, 0)]
    assert shown(0, 0, 0, 9, 9, coarse=True, facts=facts_of((256, 257)))[0] == TilePlace(1, 0, 0)


@pytest.mark.parametrize(
    ("level", "box", "name"),
    [
        (-1, (0, 0, 1, 1), "level"), (LEVEL_MAX + 1, (0, 0, 1, 1), "level"), (0, (0, 0, 0, 1), "box"),
        (0, (0, 0, 1, -1), "box"), (0, (math.nan, 0, 1, 1), "box"), (0, (0, math.inf, 1, 1), "box"),
        (0, (1e308, 0, 1e308, 1), "box"), (0, (0, 0, 1, math.inf), "box"),
    ],
)  # fmt: skip
def test_a_window_that_is_none_is_refused_by_name(
    level: int, box: tuple[float, float, float, float], name: str
) -> None:
    with pytest.raises(ViewError) as refusal:
        shown(level, *box)
    assert refusal.value.parameter == name


def test_what_the_frame_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ViewError) as refusal:
        shown(0, 0, 0, 1, 1, plane=7)
    assert refusal.value.parameter == "plane"


def test_a_place_is_checked_as_the_picture_is_seen() -> None:
    check_place(View("a/b"), TilePlace(0, 19, 11), FACTS)
    check_place(View("a/b", turn=90), TilePlace(0, 11, 19), FACTS)
    check_place(View("a/b"), TilePlace(LEVEL_MAX, 0, 0), FACTS)
    refused = [
        (View("a/b"), TilePlace(0, 20, 11), "x", "20 x 12"), (View("a/b"), TilePlace(0, 19, 12), "y", "20 x 12"),
        (View("a/b", turn=270), TilePlace(0, 19, 11), "x", "12 x 20"), (View("a/b"), TilePlace(5, 1, 0), "x", "1 x 1"),
        (View("a/b", plane=3), TilePlace(0, 0, 0), "plane", "plane"),
    ]  # fmt: skip
    for view, place, name, words in refused:
        with pytest.raises(ViewError, match=words) as refusal:
            check_place(view, place, FACTS)
        assert refusal.value.parameter == name


def listed(places: list[TilePlace], facts: Facts = FACTS, view: View = CUT) -> tuple[Recipe, Tiles]:
    recipe = tile_list_recipe(view, tuple(places), facts, SOURCE)
    step = recipe.stages[-1].step
    assert isinstance(step, Tiles)
    assert recipe.stages[-1].outputs == (recipe.result,) == (len(recipe.buffers) - 1,)
    return recipe, step


@pytest.mark.parametrize("kind", list(FRAMES))
@pytest.mark.parametrize("view", [CUT, View("a/b"), View("a/b", turn=90, flip="h", pool="max")])
@given(
    places=st.lists(
        st.builds(TilePlace, st.integers(0, 6), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=9
    )
)
def test_each_tile_of_a_list_is_made_as_it_is_alone(kind: str, view: View, places: list[TilePlace]) -> None:
    facts = FRAMES[kind]
    places = [place for place in dict.fromkeys(places) if place.level < 4 or place.column == place.row == 0]
    if not places:
        return
    recipe, step = listed(places, facts, view)
    keys = [buffer.key for buffer in recipe.buffers]
    assert len(set(keys)) == len(keys)  # What several levels need is made once.
    inputs = recipe.stages[-1].inputs
    for index, stage in enumerate(recipe.stages):
        before = {at for earlier in recipe.stages[:index] for at in earlier.outputs}
        assert before.issuperset(stage.inputs)
    found = [TilePlace(part.level, *place) for part in step.parts for place in part.places]
    assert set(found) == set(places)
    levels = list(dict.fromkeys(place.level for place in places))
    assert found == sorted(places, key=lambda place: levels.index(place.level))  # In order, level by level.
    assert step.count == len(places)
    for part in step.parts:
        for place in part.places:
            single = tile_recipe(TileView(view, part.level, *place), facts, SOURCE)
            alone = single.stages[-1]
            assert tile_at(part.whole, part.level, place) == alone.step
            mine = [recipe.buffers[inputs[at]] for at in (*part.planes, *step.histograms)]
            assert mine == [single.buffers[at] for at in alone.inputs]
            planes = {at for at in alone.inputs if single.buffers[at].shape[-1:] != (BINS,)}
            made = {stage.step for stage in single.stages[:-1] if needed(single, stage, planes)}
            assert made <= {stage.step for stage in recipe.stages}


def needed(recipe: Recipe, stage: Stage, planes: set[int]) -> bool:
    """Tell whether a stage is one of those that make these planes; pixels may be counted on the way to any of them."""
    wanted = set(planes)
    for each in reversed(recipe.stages):
        if wanted.intersection(each.outputs):
            wanted.update(each.inputs)
    return bool(wanted.intersection(stage.outputs))


def test_a_pyramid_is_counted_in_the_pass_that_makes_it() -> None:
    auto = View("a/b")
    recipe, step = listed([TilePlace(6, 0, 0), TilePlace(4, 0, 0), TilePlace(0, 1, 1)], view=auto)
    (reduce,) = [stage for stage in recipe.stages if isinstance(stage.step, Reduce)]
    plane, histogram = (recipe.buffers[at] for at in reduce.outputs)
    assert histogram.shape == (1, BINS)
    assert [recipe.buffers[recipe.stages[-1].inputs[at]] for at in step.histograms] == [histogram]
    overview = picture_recipe(auto, FACTS, SOURCE)
    assert histogram in overview.buffers  # The picture of all of it shares it.
    assert plane not in overview.buffers


def test_a_list_has_room_for_all_its_tiles_and_a_name_of_its_own() -> None:
    places = [TilePlace(0, 0, 0), TilePlace(0, 19, 11), TilePlace(5, 0, 0)]
    recipe, _ = listed(places)
    alone = [
        tile_recipe(TileView(CUT, place.level, place.column, place.row), FACTS, SOURCE).buffers[-1].size_bytes
        for place in places
    ]
    assert recipe.buffers[-1].size_bytes > sum(alone)
    assert not recipe.buffers[-1].kept
    again = tile_list_recipe(CUT, tuple(places), FACTS, SOURCE, listing=Listing(2))
    assert again.buffers[-1].key != recipe.buffers[-1].key


def test_planes_and_histograms_are_those_of_their_level_and_channel() -> None:
    recipe, step = listed([TilePlace(4, 0, 0), TilePlace(0, 0, 0), TilePlace(3, 0, 0)], RGB, View("a/b"))
    inputs = recipe.stages[-1].inputs
    shapes = [[recipe.buffers[inputs[at]].shape for at in part.planes] for part in step.parts]
    assert shapes == [[(2, 188, 313)] * 3, [], [(2, 376, 625)] * 3]
    assert [recipe.buffers[inputs[at]].shape for at in step.histograms] == [(1, 65536)] * 3
    assert len(set(inputs)) == len(inputs) == 9
    _, bayer = listed([TilePlace(3, 0, 0)], BAYER, View("a/b"))
    assert len(bayer.parts[0].planes) == len(bayer.histograms) == 1
    packed, streamed = listed([TilePlace(0, 0, 0), TilePlace(1, 0, 0)], PACKED)
    assert [type(stage.step) for stage in packed.stages] == [Read, Tiles]
    assert [part.planes for part in streamed.parts] == [(0,), (1,)]
    assert packed.stages[-1].inputs == (0, 0)


def test_a_level_far_beyond_the_coarsest_takes_no_more_than_the_coarsest() -> None:
    """The pyramid ends with one pixel; and names of levels do not hold the names of all levels below."""
    recipe, step = listed([TilePlace(LEVEL_MAX, 0, 0)], RGB)
    assert step.parts[0].whole.window.width_px == 1
    assert sum(isinstance(stage.step, Halve) for stage in recipe.stages) == 3 * 10
    assert sum(isinstance(stage.step, Reduce) for stage in recipe.stages) == 3
    assert len(recipe.buffers) + 2 <= DESCRIPTORS_MAX
    assert max(len(buffer.key) for buffer in recipe.buffers) < 1000
    for level in range(LEVEL_MAX + 1):
        assert isinstance(tile_recipe(TileView(CUT, level, 0, 0), FACTS, SOURCE).stages[-1].step, Tile)
