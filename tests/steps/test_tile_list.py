"""A list of tiles: each is, byte for byte, what it is alone, and announced when it is final."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cgi_worker import alone, run
from cgi_worker.alone import identity
from cgi_worker.wire.facts import Facts, Source, decode_facts
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.recipe import parse_recipe
from cgi_worker.wire.steps import Recipe, Stage
from cgi_worker.wire.tile_lists import tile_list_recipe
from cgi_worker.wire.tiles import TilePlace, TileView
from cgi_worker.wire.view import Cut, Place, View
from tests.frames import make
from tests.steps.lending import Lending

HEIGHT, WIDTH = 530, 600
PLACES = (
    TilePlace(0, 1, 1), TilePlace(0, 2, 2), TilePlace(4, 0, 0), TilePlace(3, 0, 0), TilePlace(1, 1, 0),
)  # fmt: skip
VIEWS = [
    View("f/x"),
    View("f/x", levels=Cut(900.0, 2000.0), stretch="linear", format="png", turn=90, flip="h"),
    View("f/x", color="mono", map="viridis", bad=0xFF0000, stretch="asinh"),
]
TWICE = [(0, 0, 2), (2, 0, 0), (1, 1, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lists")
    rng = np.random.default_rng(7)
    pixels = rng.integers(800, 2200, (HEIGHT, WIDTH)).astype(np.uint16)
    make.write(made / "plain.fits", make.image_hdu(pixels))
    make.write(made / "bayer.fits", make.image_hdu(pixels, cards=[make.card("BAYERPAT", "RGGB")]))
    make.write(made / "cube.fits", make.image_hdu(np.stack([pixels, pixels[::-1], pixels[:, ::-1]])))
    make.write_gzip(made / "packed.fits.gz", make.image_hdu(pixels))
    make.write_compressed(made / "tiled.fits", pixels, "RICE")
    return made


class Made:
    """A list that was made, with everything before it, and what it said."""

    def __init__(self, path: Path, view: View, places: Sequence[TilePlace], *, drop: Sequence[int] = ()) -> None:
        source_fd = os.open(path, os.O_RDONLY)
        try:
            source = identity(source_fd)
            recipe = tile_list_recipe(view, tuple(places), _facts(source_fd, source), source)
            self.work = _until_last(recipe, source_fd)
            self.work.dropped = set(drop)
            self.room = np.full(recipe.buffers[-1].size_bytes, 0xA7, np.uint8)
            self.work.outputs = [self.room]
            self.made = run.do(recipe.stages[-1], self.work)
            self.stage = recipe.stages[-1]
        finally:
            os.close(source_fd)

    def parts(self) -> list[bytes]:
        """Cut what was made where something was announced."""
        starts = [0, *self.work.announced]
        return [self.room[start:stop].tobytes() for start, stop in itertools.pairwise(starts)]


def _facts(source_fd: int, source: Source) -> Facts:
    lent = [np.zeros(buffer.size_bytes, np.uint8) for buffer in parse_recipe(source).buffers]
    work = Lending(source_fd, outputs=list(lent))
    used = run.do(parse_recipe(source).stages[0], work).used_bytes[0]
    return decode_facts(lent[0][:used].tobytes())


def _until_last(recipe: Recipe, source_fd: int) -> Lending:
    """Do all stages but the last; tell what the last one is lent."""
    lent: list[Any] = [
        np.zeros(buffer.size_bytes, np.uint8).view(buffer.dtype or "u1").reshape(buffer.shape or -1)
        for buffer in recipe.buffers
    ]
    said = [""] * len(lent)

    def lend(stage: Stage) -> Lending:
        inputs, facts = [lent[at] for at in stage.inputs], [said[at] for at in stage.inputs]
        return Lending(source_fd, inputs=inputs, facts=facts, outputs=[lent[at] for at in stage.outputs])

    for stage in recipe.stages[:-1]:
        made = run.do(stage, lend(stage))
        for at in stage.outputs:
            said[at] = made.facts
    return lend(recipe.stages[-1])


def single(path: Path, view: View, place: TilePlace) -> tuple[bytes, Any]:
    source_fd = os.open(path, os.O_RDONLY)
    try:
        octets, _, facts = alone.render(source_fd, TileView(view, place.level, place.column, place.row))
    finally:
        os.close(source_fd)
    return octets, msgspec.json.decode(facts)


def check(path: Path, view: View) -> None:
    made = Made(path, view, PLACES)
    levels, *tiles = made.parts()
    assert tiles == [single(path, view, place)[0] for place in PLACES]
    assert msgspec.json.decode(levels) == single(path, view, PLACES[0])[1]
    assert made.made.facts.encode() == levels
    assert made.work.announced[-1] == made.made.used_bytes[0]
    assert (made.room[made.work.announced[-1] :] == 0xA7).all()


@pytest.mark.parametrize("name", ["plain.fits", "bayer.fits", "cube.fits", "packed.fits.gz", "tiled.fits"])
@pytest.mark.parametrize("view", VIEWS, ids=["auto", "turned", "mapped"])
def test_each_tile_of_a_list_is_what_it_is_alone_and_final_when_it_is_announced(
    folder: Path, name: str, view: View
) -> None:
    check(folder / name, view)


@pytest.mark.parametrize("planes", TWICE)
def test_a_plane_may_be_more_than_one_of_the_colours(folder: Path, planes: tuple[int, int, int]) -> None:
    red, green, blue = (Place(0, plane) for plane in planes)
    check(folder / "cube.fits", View("f/x", rgb=(red, green, blue)))


def test_what_nobody_wants_takes_no_bytes_and_is_announced_as_nothing(folder: Path) -> None:
    view, path = VIEWS[0], folder / "plain.fits"
    whole = Made(path, view, PLACES).parts()
    some = Made(path, view, PLACES, drop=[0, 3, 99]).parts()
    assert len(some) == len(whole) == 1 + len(PLACES)
    assert some == [b"" if at in (1, 4) else part for at, part in enumerate(whole)]
    none = Made(path, view, PLACES, drop=range(len(PLACES)))
    assert none.parts() == [whole[0]] + [b""] * len(PLACES)
    assert none.made.used_bytes == (len(whole[0]),)


def test_a_buffer_that_is_too_small_is_a_failure_that_says_so(folder: Path) -> None:
    made = Made(folder / "plain.fits", VIEWS[0], PLACES)
    for size in (0, 10, made.work.announced[1], made.work.announced[-1] - 1):
        room = np.full(size + 1, 0xA7, np.uint8)
        work = Lending(os.open(folder / "plain.fits", os.O_RDONLY), inputs=made.work.inputs, facts=made.work.facts)
        work.outputs = [room[:size]]
        try:
            with pytest.raises(StepFailed, match=f"more than the {size} bytes") as failure:
                run.do(made.stage, work)
        finally:
            os.close(work.source_fd)
        assert failure.value.code == "too_big"
        assert room[size] == 0xA7
        assert work.announced == [at for at in made.work.announced if at <= size]  # What was announced stays true.
        assert (room[: max(work.announced, default=0)] == made.room[: max(work.announced, default=0)]).all()


def test_a_list_far_beyond_the_coarsest_level_shows_what_the_coarsest_does(folder: Path) -> None:
    view = msgspec.structs.replace(VIEWS[1], turn=0)
    made = Made(folder / "plain.fits", view, [TilePlace(12, 0, 0), TilePlace(31, 0, 0), TilePlace(10, 0, 0)])
    _, far, farthest, one = made.parts()
    assert far == farthest == one == single(folder / "plain.fits", view, TilePlace(20, 0, 0))[0]
