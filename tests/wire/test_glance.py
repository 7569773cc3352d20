"""Glances: how little is read for one, how large it is, and where there is none."""

from typing import Any

import msgspec
import pytest

from cgi_worker.wire.facts import Facts
from cgi_worker.wire.glance import GLANCE_PX_MIN, GLANCE_READ_PX, glance_recipe
from cgi_worker.wire.recipe import picture_recipe, picture_size
from cgi_worker.wire.steps import Recipe, Reduce
from cgi_worker.wire.view import Size, View
from tests.wire.test_tiles import SOURCE, facts_of

FIT = (1400, 900)


def glance(facts: Facts, fit: tuple[int, int] = FIT, **fields: Any) -> Recipe | None:
    return glance_recipe(msgspec.structs.replace(View("a/b"), **fields), fit, facts, SOURCE)


def reduces(recipe: Recipe | None) -> list[Reduce]:
    assert recipe is not None
    return [stage.step for stage in recipe.stages if isinstance(stage.step, Reduce)]


@pytest.mark.parametrize("shape", [(6388, 9576), (32768, 32768), (4000, 100_000), (90_000, 700)])
@pytest.mark.parametrize("turn", [0, 90])
def test_it_is_half_as_large_as_the_screen_and_few_pixels_are_read_for_it(shape: tuple[int, int], turn: int) -> None:
    recipe = glance(facts_of(shape), turn=turn)
    (reduce,) = reduces(recipe)
    assert recipe is not None
    width, height = picture_size(recipe)
    assert (width == 700 or height == 450) and width <= 700 and height <= 450
    assert 0 < reduce.taken < reduce.factor
    read_px = shape[0] * shape[1] * reduce.taken // reduce.factor
    assert read_px <= max(GLANCE_READ_PX, shape[0] * shape[1] // reduce.factor) + shape[1] * reduce.taken


def test_it_looks_as_the_tiles_do_and_shares_nothing_with_what_is_exact() -> None:
    facts = facts_of((6388, 9576))
    recipe = glance(facts, stretch="log", region="plane", size=Size(50, 50), exact=False, levels_from="plane")
    assert recipe == glance(facts, stretch="log")
    assert recipe is not None
    small = View("a/b", stretch="log", size=Size(FIT[0] // 2, FIT[1] // 2))
    exact = picture_recipe(small, facts, SOURCE)
    assert picture_size(exact) == picture_size(recipe)
    assert not {buffer.key for buffer in exact.buffers} & {buffer.key for buffer in recipe.buffers}


def test_a_bayer_plane_is_read_in_pairs_of_rows() -> None:
    (reduce,) = reduces(glance(facts_of((6388, 9576), cfa="RGGB")))
    assert reduce.taken % 2 == 0 and reduce.factor % 2 == 0


def test_there_is_none_of_small_planes_nor_of_what_is_read_in_order() -> None:
    side = int(GLANCE_PX_MIN**0.5)
    assert glance(facts_of((side, side))) is None
    assert glance(facts_of((side + 1, side + 1))) is not None
    assert glance(facts_of((6388, 9576), kind="compressed")) is None


def test_a_screen_of_one_pixel_is_no_trouble() -> None:
    recipe = glance(facts_of((6388, 9576)), fit=(1, 1))
    assert recipe is not None
    assert picture_size(recipe) == (1, 1)
