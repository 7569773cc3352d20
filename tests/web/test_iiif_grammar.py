"""What IIIF's regions, sizes and rotations say: examples of the specification, and rules that hold for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgi_worker.wire.tiles import TILE_PX, TilePlace
from imgd.errors import BadRequest, ImgdError, NotOffered
from imgd.web.iiif_grammar import Box, Limits, Sized, Turned, read_region, read_rotation, read_size, tile_of

ROOM = Limits(10_000, 10_000_000)
TIGHT = Limits(200, 20_000)
PICTURE = Box(0, 0, 300, 200)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("full", Box(0, 0, 300, 200)),
        ("square", Box(50, 0, 200, 200)),
        ("125,15,120,140", Box(125, 15, 120, 140)),
        ("125,15,200,200", Box(125, 15, 175, 185)),
        ("pct:41.6,7.5,40,70", Box(125, 15, 120, 140)),
        ("pct:41.6,7.5,66.6,100", Box(125, 15, 175, 185)),
        ("pct:0,0,.001,.001", Box(0, 0, 1, 1)),
        ("299,199,1,1", Box(299, 199, 1, 1)),
    ],
)
def test_regions(text: str, box: Box) -> None:
    assert read_region(text, 300, 200) == box


@pytest.mark.parametrize(
    "text",
    ["", "Full", "1,2,3", "1,2,3,4,5", "-1,0,1,1", "0,0,0,1", "0,0,1,0", "300,0,1,1", "0,200,1,1", "1.5,0,1,1",
     "a,b,c,d", "pct:100,0,1,1", "pct:0,0,0,1", "pct:1,2,3", "pct:-1,0,5,5", "pct:nan,0,1,1", "pct:1e1,0,1,1",
     "٣,0,1,1", "0,0," + "9" * 30 + ",1"],
)  # fmt: skip
def test_no_regions(text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_region(text, 300, 200)
    assert refusal.value.parameter == "region"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("max", (300, 200)),
        ("^max", (3872, 2581)),
        ("150,", (150, 100)),
        (",150", (225, 150)),
        ("225,100", (225, 100)),
        ("300,200", (300, 200)),
        ("!225,100", (150, 100)),
        ("!300,900", (300, 200)),
        ("pct:50", (150, 100)),
        ("pct:.1", (1, 1)),
        ("pct:100", (300, 200)),
        ("^360,", (360, 240)),
        ("^,240", (360, 240)),
        ("^360,360", (360, 360)),
        ("^!360,360", (360, 240)),
        ("^pct:120", (360, 240)),
        ("^150,", (150, 100)),
    ],
)
def test_sizes(text: str, size: tuple[int, int]) -> None:
    sized = read_size(text, PICTURE, ROOM)
    assert (sized.width, sized.height) == size


@pytest.mark.parametrize(
    "text",
    ["", "full", "Max", "^", "!", "^^max", "!^10,10", "0,", ",0", "0,10", ",", "10", "1.5,", "-1,", "10,10,10", "pct:0",
     "pct:", "pct:-5", "pct:101", "301,", ",201", "301,10", "10,201", "!301,201", "!10,", "!0,10", "^10001,1",
     "^4000,4000", "^pct:100000", "9" * 30 + ","],
)  # fmt: skip
def test_no_sizes(text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_size(text, PICTURE, ROOM)
    assert refusal.value.parameter == "size"


def test_more_than_the_limits_is_never_made() -> None:
    assert read_size("max", PICTURE, TIGHT) == Sized(173, 115)
    assert read_size("^max", Box(0, 0, 10, 1), TIGHT) == Sized(200, 20)
    assert read_size("!250,250", PICTURE, TIGHT) == Sized(173, 115)
    for text in ("201,", "200,101", "pct:99"):
        with pytest.raises(BadRequest):
            read_size(text, PICTURE, TIGHT)


SIDES = st.integers(1, 5000)


@given(
    st.builds(Box, st.just(0), st.just(0), SIDES, SIDES), st.tuples(SIDES, SIDES),
    st.sampled_from(["max", "{},", ",{}", "{},{}", "!{},{}", "pct:{}"]), st.booleans(),
    st.sampled_from([ROOM, TIGHT]),
)  # fmt: skip
def test_any_size_is_within_its_bounds_or_refused(
    box: Box, numbers: tuple[int, int], form: str, larger: bool, limits: Limits
) -> None:
    (width, height), (one, other) = (box.width, box.height), numbers
    text = ("^" if larger else "") + form.format(one, other)
    try:
        sized = read_size(text, box, limits)
    except BadRequest:
        assert form != "max", "that is always possible"
        return
    assert 1 <= sized.width <= limits.side_px and 1 <= sized.height <= limits.side_px
    assert sized.width * sized.height <= limits.area_px
    if not larger:
        assert sized.width <= width and sized.height <= height
    match form:
        case "{},":
            assert sized.width == one
        case ",{}":
            assert sized.height == one
        case "{},{}":
            assert (sized.width, sized.height) == (one, other)
        case "!{},{}":
            assert sized.width <= one and sized.height <= other
    if form != "{},{}":
        assert math.isclose(sized.width / width, sized.height / height, rel_tol=1.01 / min(sized.width, sized.height))


@pytest.mark.parametrize(
    ("text", "turned"),
    [("0", Turned(False, 0)), ("90", Turned(False, 90)), ("!270", Turned(True, 270)), ("360", Turned(False, 0)),
     ("180.0", Turned(False, 180))],
)  # fmt: skip
def test_rotations(text: str, turned: Turned) -> None:
    assert read_rotation(text) == turned


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", BadRequest), ("-90", BadRequest), ("361", BadRequest), ("!!0", BadRequest), ("0!", BadRequest),
     ("1e1", BadRequest), ("45", NotOffered), ("!22.5", NotOffered)],
)  # fmt: skip
def test_no_rotations(text: str, kind: type[ImgdError]) -> None:
    with pytest.raises(kind) as refusal:
        read_rotation(text)
    assert refusal.value.parameter == "rotation"


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 5), st.sampled_from(["{},{}", "{},"]))
def test_what_a_viewer_asks_for_by_tiles_and_scale_factors_is_a_tile(
    width: int, height: int, level: int, form: str
) -> None:
    """As section 5.4 and viewers compute it."""
    span = TILE_PX << level
    for column in range(-(-width // span)):
        for row in range(-(-height // span)):
            left, top = column * span, row * span
            part = f"{left},{top},{min(span, width - left)},{min(span, height - top)}"
            box = read_region(part, width, height)
            size = (-(-box.width >> level), -(-box.height >> level))
            if form == "{}," and box.width % (1 << level):
                continue  # The height that follows is that of the rounded width.
            place = tile_of(box, read_size(form.format(*size), box, ROOM), width, height)
            assert place is not None
            # A picture within one tile is the same at several levels of a side of one pixel.
            assert place == TilePlace(level, column, row) or place.level < level


@pytest.mark.parametrize(
    ("box", "sized"),
    [
        (Box(0, 0, 256, 256), Sized(255, 256)),
        (Box(0, 0, 256, 256), Sized(128, 256)),
        (Box(1, 0, 256, 256), Sized(256, 256)),
        (Box(0, 0, 512, 256), Sized(256, 128)),
        (Box(512, 512, 488, 255), Sized(244, 128)),
        (Box(0, 0, 1000, 1000), Sized(500, 500)),
    ],
)
def test_what_is_no_tile(box: Box, sized: Sized) -> None:
    assert tile_of(box, sized, 1000, 1000) is None
