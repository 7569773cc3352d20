"""Recipes: what is made for a view, how large, under which key; and what is refused."""

import math
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import MOSAIC, Facts, Hdu, Part, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.recipe import FACTOR_MAX, delivered, parse_recipe, picture_recipe
from cgi_worker.wire.steps import BINS, Encode, Parse, Read, Recipe, Reduce, Tone
from cgi_worker.wire.view import Cut, PerChannel, Place, Quantiles, Region, Size, View, Zscale
from tests.wire.made import sizes

S = TypeVar("S")
SOURCE = Source(1, 2, 3, 4)
OTHERS = [Source(9, 2, 3, 4), Source(1, 9, 3, 4), Source(1, 2, 9, 4), Source(1, 2, 3, 9), Source(1, 2, 3, 4, 9)]
MONO = Hdu(0, "", "image", (1000, 3000), "i2", 2880)
BAYER = msgspec.structs.replace(MONO, cfa="RGGB")
CUBE = Hdu(1, "CUBE", "image", (2, 5, 100, 200), "f4", 2880)
PACKED = Hdu(2, "", "compressed", (1000, 3000), "i4")
TABLE = Hdu(3, "", "table", reason="a table has no picture")
FACTS = Facts("fits", (MONO, CUBE, PACKED, TABLE), 0)
BAYER_FACTS = Facts("fits", (BAYER,), 0)
RGB_FACTS = Facts("fits", (Hdu(0, "", "image", (3, 100, 200), "i2", 2880, rgb=True),), 0)
HALF = Hdu(0, "", "image", (100, 50), "i2")
MOSAIC_FACTS = Facts(
    "fits",
    (
        HALF,
        msgspec.structs.replace(HALF, index=1),
        Hdu(
            MOSAIC, "MOSAIC", "mosaic", (100, 100), "f4", rows=100,
            parts=(Part(0, 0, 0, 50, 100, 0, 0), Part(1, 0, 0, 50, 100, 50, 0)),
        ),
    ),
    MOSAIC,
)  # fmt: skip
VIEW = View("a/b")


def changed(**fields: Any) -> View:
    return msgspec.structs.replace(VIEW, **fields)


def recipe_of(facts: Facts = FACTS, source: Source = SOURCE, **fields: Any) -> Recipe:
    return picture_recipe(changed(**fields), facts, source)


def refused(parameter: str, facts: Facts = FACTS, **fields: Any) -> None:
    with pytest.raises(ViewError) as refusal:
        recipe_of(facts, **fields)
    assert refusal.value.parameter == parameter


def step(recipe: Recipe, kind: type[S]) -> S:
    return next(stage.step for stage in recipe.stages if isinstance(stage.step, kind))


def test_parse_makes_facts_and_header() -> None:
    recipe = parse_recipe(SOURCE)
    assert [stage.step for stage in recipe.stages] == [Parse()]
    assert recipe.result == 1
    assert recipe.buffers[0].key != recipe.buffers[1].key


@given(
    shape=st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    size=sizes,
    cfa=st.sampled_from([None, "RGGB"]),
    color=st.sampled_from(["auto", "mono"]),
    packed=st.booleans(),
)
def test_each_buffer_is_written_once_before_it_is_read_and_large_enough(
    shape: tuple[int, int], size: Size, cfa: str | None, color: str, packed: bool
) -> None:
    hdu = Hdu(0, "", "compressed" if packed else "image", shape, "i2", cfa=cfa)
    recipe = recipe_of(Facts("fits", (hdu,), 0), size=size, color=color)
    written: set[int] = set()
    for stage in recipe.stages:
        assert written.issuperset(stage.inputs)
        assert written.isdisjoint(stage.outputs)
        written.update(stage.outputs)
    assert written == set(range(len(recipe.buffers)))
    assert len({buffer.key for buffer in recipe.buffers}) == len(recipe.buffers)
    for buffer in recipe.buffers:
        if buffer.dtype:
            assert buffer.size_bytes == math.prod(buffer.shape) * int(buffer.dtype[1])
    reduce, tone = step(recipe, Reduce), step(recipe, Tone)
    assert 1 <= reduce.factor <= FACTOR_MAX
    if reduce.cfa and reduce.factor > 1:
        assert reduce.factor % 2 == 0
    plane = next(buffer for buffer in recipe.buffers if buffer.dtype == "f4")
    channels, rows, columns = plane.shape
    assert channels == (3 if cfa and color == "auto" else 1)
    assert (rows, columns) == (math.ceil(shape[0] / reduce.factor), math.ceil(shape[1] / reduce.factor))
    # Enough is left after binning for the picture: it is never enlarged, unless it has to be.
    assert rows >= min(tone.height_px, shape[0])
    assert columns >= min(tone.width_px, shape[1])
    if size.exact:
        assert (tone.width_px, tone.height_px) == (size.width_px, size.height_px)
    else:
        assert tone.width_px <= min(size.width_px or shape[1], shape[1])
        assert tone.height_px <= min(size.height_px or shape[0], shape[0])
    histogram = next(buffer for buffer in recipe.buffers if buffer.dtype == "u8")
    assert histogram.shape == (channels, BINS)
    assert not any(isinstance(stage.step, Read) for stage in recipe.stages)
    part = recipe_of(Facts("fits", (hdu,), 0), size=size, color=color, region=Region(0, 0, 1, 1))
    streamed = packed and shape != (1, 1)
    assert any(isinstance(stage.step, Read) for stage in part.stages) == streamed


def test_the_box_is_filled_and_the_aspect_kept() -> None:
    tone = step(recipe_of(), Tone)
    assert (tone.width_px, tone.height_px) == (1200, 400)
    assert step(recipe_of(), Reduce).factor == 2
    assert step(recipe_of(size=Size(None, 100)), Tone).width_px == 300
    assert step(recipe_of(size=Size()), Tone).width_px == 3000
    assert step(recipe_of(size=Size(60_000, 60_000)), Tone).width_px == 3000


def test_an_exact_size_is_met_whatever_the_aspect() -> None:
    for size, factor in (((300, 500), 2), ((750, 250), 4), ((5000, 10), 1), ((6000, 2000), 1)):
        recipe = recipe_of(size=Size(*size, exact=True))
        tone = step(recipe, Tone)
        assert (tone.width_px, tone.height_px, step(recipe, Reduce).factor) == (*size, factor)
    lying = step(recipe_of(size=Size(300, 500, exact=True), turn=90), Tone)
    assert (lying.width_px, lying.height_px) == (500, 300), "told as it is seen"
    fitted, exact = recipe_of(size=Size(600)), recipe_of(size=Size(600, 200, exact=True))
    assert fitted == exact, "the same picture has the same key"
    refused("size", size=Size(17_000, 10, exact=True), format="webp")


def test_maxima_of_an_exact_size_are_never_averaged() -> None:
    recipe = recipe_of(size=Size(1000, 900, exact=True), pool="max")
    assert step(recipe, Reduce).factor == 3, "both sides are enlarged after it, or as long"
    assert (step(recipe, Tone).width_px, step(recipe, Tone).height_px) == (1000, 900)


def test_levels_of_a_part_may_be_those_of_the_plane() -> None:
    part = Region(100, 100, 50, 60)
    own, plane = recipe_of(region=part), recipe_of(region=part, levels_from="plane")
    assert plane.buffers[plane.result].key != own.buffers[own.result].key
    assert plane.buffers[0].key == own.buffers[0].key, "the pixels are the same"
    overview = recipe_of()
    tone = next(stage for stage in plane.stages if isinstance(stage.step, Tone))
    assert plane.buffers[tone.inputs[1]].key == overview.buffers[1].key, "the histogram is that of any picture of all"
    # Nothing else is another picture for it.
    assert recipe_of(levels_from="plane") == overview
    assert recipe_of(region=Region(0, 0, 9000, 9000), levels_from="plane") == overview
    given = {"region": part, "levels": Cut(0, 1)}
    assert recipe_of(**given, levels_from="plane") == recipe_of(**given)
    colour = recipe_of(RGB_FACTS, region=Region(0, 0, 9, 9), levels_from="plane")
    toned = next(stage for stage in colour.stages if isinstance(stage.step, Tone))
    assert [colour.buffers[at].shape[0] for at in toned.inputs] == [1] * 6


def test_a_region_is_clipped_to_its_plane() -> None:
    recipe = recipe_of(region=Region(2900, 900, 500, 500))
    assert step(recipe, Reduce).region == Region(2900, 900, 100, 100)
    refused("region", region=Region(3000, 0, 1, 1))
    refused("region", region=Region(0, 1000, 1, 1))


def test_the_first_row_is_at_the_bottom_unless_the_frame_says_otherwise() -> None:
    top_down = Facts("fits", (msgspec.structs.replace(MONO, top_down=True),), 0)
    assert step(recipe_of(), Tone).flip_v
    assert not step(recipe_of(flip="v"), Tone).flip_v
    assert not step(recipe_of(top_down), Tone).flip_v
    assert step(recipe_of(top_down, flip="hv"), Tone).flip_v


def test_levels_of_ones_own_have_a_neutral_midtone() -> None:
    assert step(recipe_of(), Tone).mid is None
    assert step(recipe_of(levels=Cut(0, 1)), Tone).mid == 0.5
    assert step(recipe_of(stretch="asinh"), Tone).mid == 0.5
    assert step(recipe_of(levels=Cut(0, 1), mid=0.2), Tone).mid == 0.2
    assert step(recipe_of(levels=Quantiles(0, 1)), Tone).mid is None


def test_what_the_frame_does_not_have_is_refused_by_name() -> None:
    refused("hdu", hdu=4)
    refused("hdu", hdu=3)
    refused("plane", plane=1)
    refused("plane", hdu=1, plane=10)
    recipe_of(hdu=1, plane=9)
    refused("color", color="bayer")
    refused("frame", Facts("fits", (TABLE,), None))
    wide = Facts("fits", (Hdu(0, "", "image", (10, 20_000), "i2"),), 0)
    refused("size", wide, size=Size(), format="webp")
    wider = Facts("fits", (Hdu(0, "", "image", (10, 70_000), "i2"),), 0)
    refused("size", wider, size=Size())


DIFFERENT: list[dict[str, Any]] = [
    {"hdu": 1}, {"hdu": 1, "plane": 1}, {"region": Region(0, 0, 10, 10)}, {"size": Size(100)},
    {"levels": Quantiles(0, 1)}, {"levels": Cut(0, 1)}, {"mid": 0.3}, {"stretch": "log"}, {"invert": True},
    {"flip": "h"}, {"format": "png"}, {"quality": 84}, {"levels": Zscale()}, {"pool": "max"}, {"turn": 90},
    {"turn": 270}, {"map": "viridis"}, {"bad": 0xFF0000}, {"under": 1}, {"over": 1}, {"subsampling": "444"},
    {"stretch": "power"}, {"stretch": "power", "power": 3.0}, {"rgb": (Place(0), Place(0), Place(2))},
]  # fmt: skip


def test_equal_views_have_equal_keys_and_different_pictures_different_ones() -> None:
    def key(recipe: Recipe) -> str:
        return recipe.buffers[recipe.result].key

    keys = {key(recipe_of(**fields)) for fields in [{}, *DIFFERENT]}
    assert len(keys) == len(DIFFERENT) + 1
    assert key(recipe_of()) in keys
    assert key(recipe_of(BAYER_FACTS)) != key(recipe_of(BAYER_FACTS, color="mono"))
    # What has no effect on this frame makes no other picture.
    assert key(recipe_of(link=True, neutral=True, power=7.0, exact=False, rows="up")) == key(recipe_of())
    # Named or chosen by default, the same HDU is the same picture, as is a box of the same effect.
    assert key(recipe_of(hdu=0, size=Size(1200))) == key(recipe_of())
    assert key(recipe_of(frame="another/name")) == key(recipe_of())


@pytest.mark.parametrize("other", OTHERS)
def test_another_source_has_no_key_in_common(other: Source) -> None:
    for one, two in ((recipe_of(), recipe_of(source=other)), (parse_recipe(SOURCE), parse_recipe(other))):
        assert {b.key for b in one.buffers}.isdisjoint(b.key for b in two.buffers)


def test_other_levels_share_the_plane_and_the_histogram() -> None:
    one, two = recipe_of(), recipe_of(levels=Quantiles(0, 1), format="png")
    assert [b.key for b in one.buffers[:2]] == [b.key for b in two.buffers[:2]]
    assert {b.key for b in one.buffers[2:]}.isdisjoint(b.key for b in two.buffers[2:])
    zoomed = recipe_of(size=Size(100))
    assert zoomed.buffers[0].key != one.buffers[0].key
    assert zoomed.buffers[1].key == one.buffers[1].key


def test_levels_that_are_given_need_no_histogram() -> None:
    for fields in ({"levels": Cut(0, 1)}, {"levels": Cut(0, 1), "mid": 0.2, "stretch": "log"}):
        recipe = recipe_of(**fields)
        assert not step(recipe, Tone).counted
        assert [len(stage.outputs) for stage in recipe.stages] == [1, 1, 1]
    assert step(recipe_of(levels=Cut(0, 1), mid=None, stretch="mtf"), Tone).mid == 0.5
    assert step(recipe_of(RGB_FACTS, levels=Cut(0, 1), neutral=True), Tone).counted


def test_three_planes_are_a_colour_picture_when_they_are_meant_as_one() -> None:
    recipe = recipe_of(RGB_FACTS)
    reduces = [stage for stage in recipe.stages if isinstance(stage.step, Reduce)]
    assert [stage.step.plane for stage in reduces if isinstance(stage.step, Reduce)] == [0, 1, 2]
    tone = next(stage for stage in recipe.stages if isinstance(stage.step, Tone))
    assert tone.inputs == (*(stage.outputs[0] for stage in reduces), *(stage.outputs[1] for stage in reduces))
    assert recipe.buffers[tone.outputs[0]].shape[-1] == 3
    mono = recipe_of(RGB_FACTS, color="mono", plane=1)
    assert mono.buffers[0] == recipe.buffers[reduces[1].outputs[0]]  # One plane serves both.
    assert len(recipe_of(RGB_FACTS, plane=2).stages) == 3
    assert step(recipe_of(RGB_FACTS, link=True), Tone).link
    assert not step(recipe_of(link=True), Tone).link
    refused("color", color="rgb")
    refused("map", RGB_FACTS, map="hot")
    refused("levels", levels=PerChannel(Cut(0, 1), Cut(0, 1), Cut(0, 1)))
    refused("mid", mid=(0.1, 0.2, 0.3))


def test_chosen_planes_are_a_colour_picture_if_they_have_one_size() -> None:
    recipe = recipe_of(rgb=(Place(1, 9), Place(1, 0), Place(1, 3)))
    assert [stage.step.plane for stage in recipe.stages if isinstance(stage.step, Reduce)] == [9, 0, 3]
    refused("rgb", rgb=(Place(0), Place(1), Place(2)))
    refused("hdu", rgb=(Place(0), Place(9), Place(2)))
    refused("plane", rgb=(Place(0), Place(0, 1), Place(2)))


@pytest.mark.parametrize("planes", [(0, 0, 2), (0, 2, 0), (2, 0, 0), (1, 1, 1)])
@pytest.mark.parametrize("part", [{}, {"region": Region(1, 2, 30, 40), "levels_from": "plane"}])
def test_a_plane_that_is_chosen_twice_is_made_once_and_read_twice(
    planes: tuple[int, int, int], part: dict[str, Any]
) -> None:
    recipe = recipe_of(rgb=tuple(Place(1, plane) for plane in planes), **part)
    made = {at: stage.step for stage in recipe.stages if isinstance(stage.step, Reduce) for at in stage.outputs}
    assert len({msgspec.json.encode(step) for step in made.values()}) == len(set(planes)) * (2 if part else 1)
    (tone,) = (stage for stage in recipe.stages if isinstance(stage.step, Tone))
    assert tuple(made[at].plane for at in tone.inputs) == planes * 2
    counted = [recipe.buffers[at] for at in tone.inputs[3:]]
    assert {buffer.shape for buffer in counted} == {(1, BINS)}
    assert all(made[at].region == Region(0, 0, 200, 100) for at in tone.inputs[3:])


def test_maxima_are_a_block_a_pixel() -> None:
    recipe = recipe_of(pool="max", size=Size(1000, 1000))
    assert (step(recipe, Reduce).factor, step(recipe, Tone).width_px) == (3, 1000)
    recipe = recipe_of(pool="max", size=Size(900))
    assert (step(recipe, Reduce).factor, step(recipe, Tone).width_px, step(recipe, Tone).height_px) == (4, 750, 250)
    assert recipe.buffers[0].shape == (1, 250, 750)
    assert step(recipe_of(BAYER_FACTS, pool="max", size=Size(1000)), Reduce).factor == 4
    assert step(recipe_of(pool="max", size=Size(9000)), Reduce).factor == 1
    refused("size", Facts("fits", (Hdu(0, "", "image", (1, 2**30), "u1"),), 0), pool="max")


def test_a_turned_picture_fits_the_box_as_it_is_seen() -> None:
    recipe = recipe_of(turn=90, size=Size(200, 900))
    assert (step(recipe, Tone).width_px, step(recipe, Tone).height_px) == (600, 200)
    assert recipe.buffers[-2].shape == (600, 200)
    assert recipe_of(turn=180, size=Size(200, 900)).buffers[-2].shape == (67, 200)


def test_colours_make_a_grey_picture_a_coloured_one() -> None:
    for fields in ({"map": "hot"}, {"bad": 0xFF0000}, {"under": 0x0000FF}, {"over": 0x010000}):
        assert recipe_of(**fields).buffers[-2].shape == (400, 1200, 3)
    assert recipe_of(bad=0x808080, over=0).buffers[-2].shape == (400, 1200)


def test_some_rows_of_a_huge_plane_will_do_for_who_says_so() -> None:
    huge = Facts("fits", (Hdu(0, "", "image", (32_768, 32_768), "i2"),), 0)
    taken = step(recipe_of(huge, exact=False), Reduce)
    assert (taken.factor, taken.taken) == (27, 1)
    assert step(recipe_of(huge), Reduce).taken == 0
    assert step(recipe_of(exact=False), Reduce).taken == 0
    assert step(recipe_of(huge, exact=False, size=Size()), Reduce).taken == 0
    assert {b.key for b in recipe_of(huge).buffers}.isdisjoint(b.key for b in recipe_of(huge, exact=False).buffers)
    bayer = Facts("fits", (msgspec.structs.replace(huge.hdus[0], cfa="RGGB"),), 0)
    assert step(recipe_of(bayer, exact=False), Reduce).taken == 2


def test_a_mosaic_is_made_of_its_parts() -> None:
    recipe = recipe_of(MOSAIC_FACTS)
    assert step(recipe, Reduce).parts == MOSAIC_FACTS.hdus[:2]
    assert step(recipe_of(MOSAIC_FACTS, hdu=1), Reduce).parts == ()
    refused("hdu", hdu=MOSAIC)
    refused("hdu", msgspec.structs.replace(MOSAIC_FACTS, hdus=MOSAIC_FACTS.hdus[1:]))


def test_delivery_reads_the_result_and_writes_nothing() -> None:
    recipe = delivered(recipe_of(), "Status: 200 OK\r\n\r\n")
    assert recipe.stages[-1].inputs == (recipe.result,)
    assert recipe.stages[-1].outputs == ()
    assert isinstance(recipe.stages[-2].step, Encode)
