"""The view's grammar: what is written is read back, and each refusal names its parameter."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.view import (
    AUTO_SIZE,
    PARAMETERS,
    AutoLevels,
    Cut,
    Quantiles,
    Region,
    Size,
    View,
    ViewError,
    view_from_pairs,
    view_pairs,
)
from tests.wire.made import views

FRAME = ("frame", "night/m31.fits")


def read(*pairs: tuple[str, str]) -> View:
    return view_from_pairs([FRAME, *pairs])


@given(views)
def test_a_view_written_and_read_is_the_same_view(view: View) -> None:
    again = view_from_pairs(view_pairs(view))
    assert again == view
    assert hash(again) == hash(view)


def test_a_frame_alone_has_defaults() -> None:
    view = read()
    assert view == View("night/m31.fits")
    assert (view.hdu, view.plane, view.region, view.size, view.levels, view.mid) == (
        None, 0, None, AUTO_SIZE, AutoLevels(), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("hdu", "0", "hdu", 0),
        ("hdu", "99999", "hdu", 99_999),
        ("plane", "3", "plane", 3),
        ("region", "0,1,2,3", "region", Region(0, 1, 2, 3)),
        ("size", "1200,", "size", Size(1200, None)),
        ("size", ",800", "size", Size(None, 800)),
        ("size", "1200,800", "size", Size(1200, 800)),
        ("size", "max", "size", Size()),
        ("size", "auto", "size", AUTO_SIZE),
        ("levels", "auto", "levels", AutoLevels()),
        ("levels", "0.05,0.999", "levels", Quantiles(0.05, 0.999)),
        ("levels", "0,1", "levels", Quantiles(0, 1)),
        ("cut", "-5,1e3", "levels", Cut(-5, 1000)),
        ("mid", "0.25", "mid", 0.25),
        ("mid", "auto", "mid", None),
        ("stretch", "asinh", "stretch", "asinh"),
        ("invert", "1", "invert", True),
        ("invert", "false", "invert", False),
        ("color", "bayer", "color", "bayer"),
        ("flip", "hv", "flip", "hv"),
        ("format", "webp", "format", "webp"),
        ("quality", "100", "quality", 100),
    ],
)
def test_each_parameter_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read((name, text)), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("hdu", text) for text in ("", "-1", "+1", "1.0", "100000", "a", " 1", "1 ", "0x1", "1_0", "٣", "1" * 11)],
        *[("plane", text) for text in ("-1", "2147483648", "all")],
        *[
            ("region", text)
            for text in ("", "1,2,3", "1,2,3,4,5", "-1,0,1,1", "0,0,0,1", "0,0,1,0", "0,0,1,2147483648")
        ],
        *[("size", text) for text in ("", ",", "0,", ",0", "65536,", "1,2,3", "max,", "-1,", "1.5,", "1200", "full")],
        *[("levels", text) for text in ("", "0.5", "0.5,0.5", "0.9,0.1", "-0.1,1", "0,1.1", "nan,1", "0,inf", "0,1,2")],
        *[
            ("cut", text)
            for text in ("", "auto", "1", "2,1", "1,1", "nan,1", "-inf,1", "1_0,20", "a,b", "0," + "1" * 41)
        ],
        *[("mid", text) for text in ("", "0", "1", "0.00009", "nan", "inf", "half")],
        *[("stretch", text) for text in ("", "Linear", "power")],
        *[("invert", text) for text in ("", "2", "yes", "True")],
        *[("color", text) for text in ("", "rgb")],
        *[("flip", text) for text in ("", "vh", "both")],
        *[("format", text) for text in ("", "jpg", "gif", "JPEG")],
        *[("quality", text) for text in ("", "0", "101", "-5", "best")],
    ],
)
def test_each_refusal_names_its_parameter(name: str, text: str) -> None:
    with pytest.raises(ViewError) as refusal:
        read((name, text))
    assert refusal.value.parameter == name
    assert refusal.value.text


@pytest.mark.parametrize("text", ["", "a\0b", "x" * 4097, "é" * 2049])
def test_a_frame_is_a_name_that_could_be_opened(text: str) -> None:
    with pytest.raises(ViewError) as refusal:
        view_from_pairs([("frame", text)])
    assert refusal.value.parameter == "frame"


def test_a_view_without_a_frame_is_refused() -> None:
    with pytest.raises(ViewError) as refusal:
        view_from_pairs([("size", "max")])
    assert refusal.value.parameter == "frame"


VALUES = {
    "frame": "a/b", "hdu": "1", "plane": "1", "region": "0,0,1,1", "size": "max", "levels": "0,1", "cut": "0,1",
    "mid": "0.5", "stretch": "log", "invert": "1", "color": "mono", "flip": "h", "format": "png", "quality": "9",
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_parameter_comes_twice(name: str) -> None:
    pairs = [(name, VALUES[name])] * 2
    with pytest.raises(ViewError) as refusal:
        view_from_pairs(pairs if name == "frame" else [FRAME, *pairs])
    assert refusal.value.parameter == name


@pytest.mark.parametrize("names", [("levels", "cut"), ("cut", "levels")])
def test_levels_and_cut_exclude_each_other(names: tuple[str, str]) -> None:
    with pytest.raises(ViewError) as refusal:
        read(*[(name, VALUES[name]) for name in names])
    assert refusal.value.parameter == names[1]


@pytest.mark.parametrize("name", ["", "Size", "size ", "callback", "x" * 500])
def test_an_unknown_parameter_is_refused_and_named_in_short(name: str) -> None:
    with pytest.raises(ViewError) as refusal:
        read((name, "1"))
    assert refusal.value.parameter == name[:64]


@pytest.mark.parametrize("size", ["16384,", ",16384"])
def test_a_webp_is_not_asked_to_be_wider_than_it_can(size: str) -> None:
    with pytest.raises(ViewError) as refusal:
        read(("format", "webp"), ("size", size))
    assert refusal.value.parameter == "size"
    read(("format", "webp"), ("size", "16383,16383"))


@given(st.lists(st.tuples(st.sampled_from([*PARAMETERS, "u"]), st.text(max_size=12)), max_size=6))
def test_whatever_is_asked_the_answer_is_a_view_or_a_view_error(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ViewError):  # Nothing else.
        view = view_from_pairs(pairs)
        assert view_from_pairs(view_pairs(view)) == view
