"""The view's grammar: what is written is read back, and each refusal names its parameter."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.facts import MOSAIC
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import (
    AUTO_SIZE,
    PARAMETERS,
    AutoLevels,
    Cut,
    PerChannel,
    Place,
    Quantiles,
    Region,
    Size,
    View,
    Zscale,
    thumbnail_from_pairs,
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
        ("hdu", "mosaic", "hdu", MOSAIC),
        ("rgb", "1:2,3,4:5", "rgb", (Place(1, 2), Place(3), Place(4, 5))),
        ("pool", "max", "pool", "max"),
        ("levels", "zscale", "levels", Zscale()),
        ("levels", "0,1,0.1,1,0.2,1", "levels", PerChannel(Quantiles(0, 1), Quantiles(0.1, 1), Quantiles(0.2, 1))),
        ("cut", "0,1,0,2,0,3", "levels", PerChannel(Cut(0, 1), Cut(0, 2), Cut(0, 3))),
        ("mid", "0.1,0.2,0.3", "mid", (0.1, 0.2, 0.3)),
        ("stretch", "power", "stretch", "power"),
        ("power", "0.05", "power", 0.05),
        ("link", "1", "link", True),
        ("neutral", "true", "neutral", True),
        ("map", "inferno", "map", "inferno"),
        ("bad", "red", "bad", 0xFF0000),
        ("under", "00fF7f", "under", 0x00FF7F),
        ("over", "none", "over", None),
        ("rows", "down", "rows", "down"),
        ("turn", "270", "turn", 270),
        ("exact", "0", "exact", False),
        ("format", "avif", "format", "avif"),
        ("subsampling", "444", "subsampling", "444"),
        ("subsampling", "bitonal", "subsampling", "bitonal"),
        ("size", "300,20!", "size", Size(300, 20, exact=True)),
        ("levels_from", "plane", "levels_from", "plane"),
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
        *[
            ("size", text)
            for text in (
                "",
                ",",
                "0,",
                ",0",
                "65536,",
                "1,2,3",
                "max,",
                "-1,",
                "1.5,",
                "1200",
                "full",
                "1,!",
                "!1,1",
                "1,1!!",
            )
        ],
        *[("levels", text) for text in ("", "0.5", "0.5,0.5", "0.9,0.1", "-0.1,1", "0,1.1", "nan,1", "0,inf", "0,1,2")],
        *[
            ("cut", text)
            for text in ("", "auto", "1", "2,1", "1,1", "nan,1", "-inf,1", "1_0,20", "a,b", "0," + "1" * 41)
        ],
        *[("mid", text) for text in ("", "0", "1", "0.00009", "nan", "inf", "half")],
        *[("stretch", text) for text in ("", "Linear", "pow")],
        *[("hdu", text) for text in ("MOSAIC", "mosaic ")],
        *[("rgb", text) for text in ("", "1,2", "1,2,3,4", "1:,2,3", "1:a,2,3", "-1,0,0", "mosaic,0,0", "1:0:0,1,1")],
        *[("pool", text) for text in ("", "min", "Max")],
        *[("levels", text) for text in ("0,1,0,1", "0,1,0,1,1,0", "0,1,0,1,0,1,0,1", "zScale")],
        *[("mid", text) for text in ("0.5,0.5", "0.5,0.5,0", "0.5,0.5,0.5,0.5")],
        *[("power", text) for text in ("", "0", "0.01", "21", "nan")],
        *[(flag, text) for flag in ("link", "neutral", "exact") for text in ("", "2", "on")],
        *[("map", text) for text in ("Viridis", "gray", "matlab:hot")],
        *[(mark, text) for mark in ("bad", "under", "over") for text in ("", "#ff0000", "fff", "gggggg", "+12345")],
        *[("rows", text) for text in ("", "top")],
        *[("turn", text) for text in ("", "45", "360", "-90", "090")],
        *[("subsampling", text) for text in ("", "411", "4:2:0")],
        *[("invert", text) for text in ("", "2", "yes", "True")],
        *[("color", text) for text in ("", "RGB")],
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
    "rgb": "1,2,3", "pool": "max", "power": "2.5", "link": "1", "neutral": "1", "map": "hot", "bad": "red",
    "under": "0000ff", "over": "none", "rows": "down", "turn": "90", "exact": "0", "subsampling": "420",
    "levels_from": "plane",
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


@pytest.mark.parametrize("other", [("hdu", "1"), ("plane", "1"), ("color", "mono"), ("color", "bayer")])
def test_three_planes_are_named_by_themselves(other: tuple[str, str]) -> None:
    with pytest.raises(ViewError) as refusal:
        read(("rgb", "1,2,3"), other)
    assert refusal.value.parameter == "rgb"


def test_a_thumbnail_is_a_small_view() -> None:
    view = thumbnail_from_pairs([FRAME, ("hdu", "2"), ("side", "64")])
    assert (view.frame, view.hdu, view.size, view.exact) == (FRAME[1], 2, Size(64, 64), False)
    for wrong in ("size", "quality", "side"):
        with pytest.raises(ViewError) as refusal:
            thumbnail_from_pairs([FRAME, (wrong, "5000")])
        assert refusal.value.parameter == wrong


@given(st.lists(st.tuples(st.sampled_from([*PARAMETERS, "u"]), st.text(max_size=12)), max_size=6))
def test_whatever_is_asked_the_answer_is_a_view_or_a_view_error(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(ViewError):  # Nothing else.
        view = view_from_pairs(pairs)
        assert view_from_pairs(view_pairs(view)) == view
