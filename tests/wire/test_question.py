"""Questions: their grammar, their recipes, and what is refused by name."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import MOSAIC, Facts, Hdu, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.inquiry import ANSWER_BYTES_MAX, question_recipe
from cgi_worker.wire.question import (
    QUESTIONS,
    Export,
    Histogram,
    Pixel,
    Profile,
    Question,
    Shape,
    Sky,
    Stars,
    Stats,
    media_type,
    question_from_pairs,
)
from cgi_worker.wire.recipe import picture_recipe
from cgi_worker.wire.steps import Measure, Reduce
from cgi_worker.wire.view import Region, View

M31 = "night/m31.fits"
FRAME = ("frame", M31)
SOURCE = Source(1, 2, 3, 4)
HDU = Hdu(0, "", "image", (1000, 3000), "i2", 2880, has_wcs=True)
FACTS = Facts("fits", (HDU, Hdu(1, "", "image", (20, 5, 30), "f4"), Hdu(2, "", "table", reason="a table")), 0)


def ask(name: str, *pairs: tuple[str, str]) -> Question:
    return question_from_pairs(name, [FRAME, *pairs])


@pytest.mark.parametrize(
    ("name", "pairs", "question"),
    [
        ("pixel", {"x": "1", "y": "2"}, Pixel(frame=M31, x=1, y=2)),
        ("pixel", {"x": "1", "y": "2", "box": "3", "hdu": "mosaic"}, Pixel(frame=M31, hdu=MOSAIC, x=1, y=2, box=3)),
        ("profile", {"line": "1,2,3.5,-4", "width": "5"}, Profile(frame=M31, line=(1, 2, 3.5, -4), width=5)),
        ("region", {"shape": "circle", "numbers": "5,6,2"}, Shape(frame=M31, shape="circle", numbers=(5, 6, 2))),
        ("region", {"shape": "annulus", "numbers": "5,6,0,2"}, Shape(frame=M31, shape="annulus", numbers=(5, 6, 0, 2))),
        ("stats", {"color": "bayer", "plane": "3"}, Stats(frame=M31, plane=3, color="bayer")),
        ("histogram", {"bins": "10", "low": "0.1"}, Histogram(frame=M31, bins=10, low=0.1)),
        ("stars", {"threshold": "3", "count": "9"}, Stars(frame=M31, threshold=3, count=9)),
        ("wcs", {"sky": "10.5,-41"}, Sky(frame=M31, sky=(10.5, -41))),
        ("export", {"format": "npy", "region": "0,0,5,6"}, Export(frame=M31, format="npy", region=Region(0, 0, 5, 6))),
    ],
)  # fmt: skip
def test_each_question_is_read_and_travels(name: str, pairs: dict[str, str], question: Question) -> None:
    read = ask(name, *pairs.items())
    assert read == question
    assert msgspec.json.decode(msgspec.json.encode(read), type=Question) == read  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "pairs", "parameter"),
    [
        ("pixel", {}, "x"), ("pixel", {"x": "1"}, "y"), ("pixel", {"x": "0", "y": "1"}, "x"),
        ("pixel", {"x": "1", "y": "1", "box": "2"}, "box"), ("pixel", {"x": "1", "y": "1", "box": "65"}, "box"),
        ("profile", {}, "line"), ("profile", {"line": "1,2,3"}, "line"), ("profile", {"line": "1,2,3,nan"}, "line"),
        ("profile", {"line": "1,1,1,1e6"}, "line"), ("profile", {"line": "1,1,1,1e300"}, "line"),
        ("profile", {"line": "1,1,2,2", "width": "0"}, "width"),
        ("profile", {"line": "1,1,2,2", "width": "999"}, "width"),
        ("region", {"shape": "star", "numbers": "1,1,1"}, "shape"), ("region", {"shape": "circle"}, "numbers"),
        ("region", {"shape": "circle", "numbers": "1,1"}, "numbers"),
        ("region", {"shape": "circle", "numbers": "1,1,0"}, "numbers"),
        ("region", {"shape": "rect", "numbers": "1,1,5"}, "numbers"),
        ("region", {"shape": "rect", "numbers": "1,1,5,-5"}, "numbers"),
        ("region", {"shape": "annulus", "numbers": "1,1,5,4"}, "numbers"),
        ("region", {"shape": "annulus", "numbers": "1,1,-1,4"}, "numbers"),
        ("stats", {"region": "1,2,3"}, "region"), ("stats", {"x": "1"}, "x"), ("stats", {"color": "blue"}, "color"),
        ("histogram", {"bins": "0"}, "bins"), ("histogram", {"bins": "5000"}, "bins"),
        ("histogram", {"low": "0.5", "high": "0.5"}, "low"), ("histogram", {"high": "1.5"}, "high"),
        ("stars", {"threshold": "0"}, "threshold"),
        ("stars", {"count": "0"}, "count"),
        ("stars", {"count": "5001"}, "count"),
        ("wcs", {"at": "1,2", "sky": "1,2"}, "sky"),
        ("wcs", {"at": "1,2", "step": "5"}, "step"),
        ("wcs", {"at": "1"}, "at"),
        ("export", {"format": "gif"}, "format"), ("export", {"region": "0,0,0,1"}, "region"),
    ],
)  # fmt: skip
def test_each_refusal_names_its_parameter(name: str, pairs: dict[str, str], parameter: str) -> None:
    with pytest.raises(ViewError) as refusal:
        ask(name, *pairs.items())
    assert refusal.value.parameter == parameter


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_needs_a_frame_and_knows_its_parameters(name: str) -> None:
    for pairs, parameter in (([], "frame"), ([FRAME, FRAME], "frame"), ([FRAME, ("size", "5")], "size")):
        with pytest.raises(ViewError) as refusal:
            question_from_pairs(name, pairs)
        assert refusal.value.parameter == parameter


_NAMES = sorted({parameter for _, readers, _ in QUESTIONS.values() for parameter in (*readers, "hdu", "plane")})


@given(st.sampled_from(sorted(QUESTIONS)), st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=12), max_size=5))
def test_whatever_is_asked_the_answer_is_a_question_or_a_view_error(name: str, pairs: dict[str, str]) -> None:
    with contextlib.suppress(ViewError):  # Nothing else.
        ask(name, *pairs.items())


@pytest.mark.parametrize(
    ("question", "parameter"),
    [
        (Pixel(frame="", x=3001, y=1), "x"),
        (Pixel(frame="", x=1, y=1001), "y"),
        (Pixel(frame="", hdu=9, x=1, y=1), "hdu"),
        (Pixel(frame="", hdu=2, x=1, y=1), "hdu"), (Stats(frame="", plane=1), "plane"), (Sky(frame="", hdu=1), "hdu"),
        (Stars(frame="", region=Region(3000, 0, 1, 1)), "region"),
        (Stats(frame="", region=Region(0, 1000, 1, 1)), "region"),
        (Stats(frame="", color="bayer"), "color"),
    ],
)  # fmt: skip
def test_what_the_frame_cannot_answer_is_refused_by_name(question: Question, parameter: str) -> None:
    with pytest.raises(ViewError) as refusal:
        question_recipe(question, FACTS, SOURCE)
    assert refusal.value.parameter == parameter


def test_what_would_take_too_much_is_refused() -> None:
    huge = Facts("fits", (Hdu(0, "", "image", (32_768, 32_768), "i2"),), 0)
    for question, parameter in (
        (Export(frame=""), "region"),
        (Shape(frame="", shape="circle", numbers=(1, 1, 9000)), "numbers"),
        (Shape(frame="", shape="rect", numbers=(1, 1, 9000, 9000)), "numbers"),
    ):
        with pytest.raises(ViewError) as refusal:
            question_recipe(question, huge, SOURCE)
        assert refusal.value.parameter == parameter
    question_recipe(Export(frame="", region=Region(0, 0, 5000, 5000)), huge, SOURCE)
    question_recipe(Shape(frame="", shape="rect", numbers=(1, 1, 1e9, 5)), huge, SOURCE)


def test_histograms_are_those_of_the_picture() -> None:
    region = Region(10, 20, 300, 200)
    for question in (Stats(frame="", region=region), Histogram(frame="", region=region)):
        recipe = question_recipe(question, FACTS, SOURCE)
        picture = picture_recipe(View("", region=region, color="mono"), FACTS, SOURCE)
        assert recipe.buffers[:2] == picture.buffers[:2]
        measure = recipe.stages[-1]
        assert isinstance(measure.step, Measure) and measure.inputs == (1,)
        assert recipe.buffers[recipe.result].size_bytes == ANSWER_BYTES_MAX
    three = Facts("fits", (Hdu(0, "", "image", (3, 50, 60), "i2", rgb=True),), 0)
    assert len(question_recipe(Stats(frame="", color="auto"), three, SOURCE).stages[-1].inputs) == 3


def test_keys_tell_answers_apart_and_nothing_else() -> None:
    def key(question: Question, source: Source = SOURCE) -> str:
        recipe = question_recipe(question, FACTS, source)
        return recipe.buffers[recipe.result].key

    different: list[dict[str, Any]] = [{"x": 2}, {"y": 2}, {"box": 3}, {"hdu": 1, "plane": 19}]
    keys = {key(Pixel(**{"frame": "a", "x": 1, "y": 1, **fields})) for fields in [{}, *different]}
    assert len(keys) == 5
    assert key(Pixel(frame="b", hdu=0, x=1, y=1)) in keys
    assert key(Pixel(frame="a", x=1, y=1), Source(1, 2, 3, 5)) not in keys
    assert key(Export(frame="a")) == key(Export(frame="a", region=Region(0, 0, 9999, 9999)))


def test_an_export_has_room_for_its_pixels() -> None:
    recipe = question_recipe(Export(frame="a", format="png"), FACTS, SOURCE)
    assert recipe.buffers[recipe.result].size_bytes > 2 * 1000 * 3000 * 2
    assert not any(isinstance(stage.step, Reduce) for stage in recipe.stages)
    assert media_type(Export(frame="a", format="png")) == "image/png"
    assert media_type(Pixel(frame="a", x=1, y=1)) == "application/json"
