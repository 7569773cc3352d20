"""The planner refuses what cannot be, names what is at fault, and plans what fits to the last byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import MOSAIC, PARTS_MAX, Facts, Hdu, Part, Source
from cgi_worker.wire.steps import Parse, Read, Recipe, Reduce
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import Cut, View, view_from_pairs
from imgd.core.planner import FACTS_RESULT, HEADER_RESULT, PlanLimits, plan_answer, plan_parse
from imgd.core.scheduler import Limits, Scheduler
from imgd.core.segment import capacity_for
from imgd.errors import BadFrame, BadRequest, PlanTooBig
from tests.core.model import World
from tests.core.profile import histories
from tests.core.scenes import A

SOURCE = Source(1, 2, 3, 4)
ROOMY = PlanLimits(1 << 40, 1 << 40)


def facts_of(*shape: int, kind: str = "image", reason: str | None = None, cfa: str | None = None) -> Facts:
    """Describe a frame with one HDU."""
    hdu = Hdu(0, "", kind, shape, "i2", 2880, 0, shape[-2], cfa=cfa, reason=reason)  # type: ignore[arg-type]
    return Facts("fits", (hdu,), 0)


def plan(facts: Facts, limits: PlanLimits = ROOMY, /, **parameters: str) -> Recipe:
    """Plan a picture of a frame."""
    return plan_answer(view_from_pairs([("frame", "a/b"), *parameters.items()]), facts, SOURCE, limits)


def need_bytes(recipe: Recipe) -> int:
    """What all of a plan's buffers take at once."""
    return sum(capacity_for(buffer.size_bytes) for buffer in recipe.buffers)


@pytest.mark.parametrize("result", [FACTS_RESULT, HEADER_RESULT])
def test_the_first_plan_is_parse_alone(result: int) -> None:
    recipe = plan_parse(SOURCE, ROOMY, result)
    assert [type(stage.step) for stage in recipe.stages] == [Parse] and recipe.result == result


def test_an_uncompressed_plane_is_never_read_whole() -> None:
    recipe = plan(facts_of(6388, 9576), size="1200,")
    assert not any(isinstance(stage.step, Read) for stage in recipe.stages)
    assert max(buffer.size_bytes for buffer in recipe.buffers) < 6388 * 9576 * 2 // 4


def test_a_plane_without_random_access_is_read_whole_only_for_a_part_of_it() -> None:
    facts = facts_of(6388, 9576, kind="compressed")
    assert not any(isinstance(stage.step, Read) for stage in plan(facts).stages)
    recipe = plan(facts, region="0,0,500,500")
    assert isinstance(recipe.stages[0].step, Read) and recipe.buffers[0].size_bytes == 6388 * 9576 * 2
    assert isinstance(recipe.stages[1].step, Reduce) and recipe.stages[1].inputs == (0,)


def test_a_plan_as_large_as_the_budget_fits_and_one_byte_less_does_not() -> None:
    facts = facts_of(500, 700)
    budget = need_bytes(plan(facts))
    assert plan(facts, PlanLimits(budget, 1 << 40)) == plan(facts)
    with pytest.raises(PlanTooBig, match="budget") as refusal:
        plan(facts, PlanLimits(budget - 1, 1 << 40))
    assert refusal.value.status == 413


def test_a_parse_larger_than_the_budget_is_refused() -> None:
    budget = need_bytes(plan_parse(SOURCE, ROOMY))
    plan_parse(SOURCE, PlanLimits(budget, 1))
    with pytest.raises(PlanTooBig):
        plan_parse(SOURCE, PlanLimits(budget - 1, 1))


def test_a_header_that_claims_a_huge_plane_is_refused_before_anything_is_planned() -> None:
    limits = PlanLimits(1 << 40, 60_000 * 60_000 - 1)
    with pytest.raises(PlanTooBig, match="60000 x 60000"):
        plan(facts_of(60_000, 60_000), limits, region="0,0,10,10")
    plan(facts_of(60_000, 60_000), PlanLimits(1 << 40, 60_000 * 60_000), region="0,0,10,10")


@pytest.mark.parametrize(
    ("parameters", "at_fault"),
    [
        ({"hdu": "1"}, "hdu"),
        ({"plane": "1"}, "plane"),
        ({"region": "10,0,5,5"}, "region"),
        ({"color": "bayer"}, "color"),
    ],
)
def test_what_the_frame_does_not_have_is_the_clients_fault(parameters: dict[str, str], at_fault: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        plan(facts_of(10, 10), ROOMY, **parameters)
    assert refusal.value.parameter == at_fault and refusal.value.status == 400


def test_a_claim_is_refused_even_if_the_file_does_not_hold_it() -> None:
    with pytest.raises(PlanTooBig):
        plan(facts_of(60_000, 60_000, reason="it is truncated"), PlanLimits(1 << 40, 1 << 31))


def test_a_frame_without_a_picture_says_why() -> None:
    frame = Facts("fits", (Hdu(0, "", "table", reason="it is a table"),), None)
    with pytest.raises(BadFrame, match="it is a table") as refusal:
        plan(frame)
    assert refusal.value.status == 422


SHAPES = st.tuples(st.integers(1, 400), st.integers(1, 400))


@histories(examples_long=1000, examples_short=50)
@given(
    shape=SHAPES,
    kind=st.sampled_from(["image", "compressed"]),
    cfa=st.sampled_from([None, "RGGB"]),
    size=st.sampled_from(["max", "auto", "64,64", "300,"]),
    changed=st.sampled_from([{"mid": "0.3"}, {"quality": "7"}, {"stretch": "log"}, {"size": "31,"}, {"invert": "1"}]),
)
def test_any_plan_runs_in_a_budget_of_its_own_size(
    shape: tuple[int, int], kind: str, cfa: str | None, size: str, changed: dict[str, str]
) -> None:
    facts = facts_of(*shape, kind=kind, cfa=cfa)
    first, second = plan(facts, size=size), plan(facts, ROOMY, **({"size": size} | changed))
    world = World(max(need_bytes(first), need_bytes(second)), Limits())
    for recipe in (first, second, first):
        world.submit(recipe, A)
    world.run_dry()
    world.leave_all()
    world.check_empty()


def test_a_source_that_changed_shares_nothing() -> None:
    view = view_from_pairs([("frame", "a/b")])
    old = plan_answer(view, facts_of(10, 10), SOURCE, ROOMY)
    for changed in (
        Source(1, 2, 3, 5),
        Source(1, 2, 4, 4),
        Source(1, 9, 3, 4),
        Source(9, 2, 3, 4),
        Source(1, 2, 3, 4, 1),
    ):
        new = plan_answer(view, facts_of(10, 10), changed, ROOMY)
        assert {buffer.key for buffer in old.buffers}.isdisjoint(buffer.key for buffer in new.buffers)


def test_the_scheduler_and_the_planner_count_alike() -> None:
    facts = facts_of(500, 700)
    budget = need_bytes(plan(facts))
    assert Scheduler(budget, Limits()).pool.available_bytes == budget
    assert World(budget, Limits()).submit(plan(facts, PlanLimits(budget, 1 << 40)), A) == 1


def test_what_takes_more_than_one_todo_list_holds_is_refused() -> None:
    """A packet carries so many descriptors and bytes, and no more: the worker would never get it."""
    hdu = Hdu(0, "", "image", (3, 1, 1 << 28), "i2", 2880, 0, 3, rgb=True)
    tiles = TileView(View("a/b", levels=Cut(0, 1)), 28, 0, 0)
    with pytest.raises(PlanTooBig, match="todo list"):
        plan_answer(tiles, Facts("fits", (hdu,), 0), SOURCE, ROOMY)
    plan_answer(TileView(tiles.view, 12, 0, 0), Facts("fits", (hdu,), 0), SOURCE, ROOMY)
    for count, fits in ((2, True), (PARTS_MAX, False)):
        name = "m" * 2000
        parts = tuple(Hdu(index, name, "image", (8, 8), "i2", 2880, 0, 8) for index in range(count))
        laid = tuple(Part(index, 0, 0, 8, 8, 8 * index, 0) for index in range(count))
        mosaic = Hdu(MOSAIC, "", "mosaic", (8, 8 * count), "f4", parts=laid)
        facts, view = Facts("fits", (*parts, mosaic), 0), View("a/b", hdu=MOSAIC)
        if fits:
            plan_answer(view, facts, SOURCE, ROOMY)
        else:
            with pytest.raises(PlanTooBig, match="mosaic"):
                plan_answer(view, facts, SOURCE, ROOMY)
