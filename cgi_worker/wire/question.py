"""Questions: what somebody wants to know of a frame that is no picture, and the grammar in which it is asked.

All coordinates, asked and answered, are FITS pixels: the centre of the first pixel stored is 1, 1.
"""

import math
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from cgi_worker.wire.grammar import (
    COORDINATE_MAX,
    Read,
    ViewError,
    frame_name,
    in_range,
    one_of,
    read_fields,
    real_in,
    reals,
)
from cgi_worker.wire.view import Colour, Region, read_hdu, read_region

BOX_PX_MAX: Final = 63
PROFILE_PX_MAX: Final = 16_384  # Points of one profile.
PROFILE_WIDTH_PX_MAX: Final = 255
SHAPE_PX_MAX: Final = 1 << 26  # Pixels of the box around a shape.
BINS_MAX: Final = 4096
STARS_MAX: Final = 5000
GRID_NODES_MAX: Final = 10_000
EXPORT_PX_MAX: Final = 1 << 26
FAR: Final = 1e9

ShapeKind = Literal["rect", "circle", "annulus"]
ExportFormat = Literal["fits", "png", "tiff", "npy"]


class _Question(msgspec.Struct, frozen=True, tag_field="ask", forbid_unknown_fields=True, kw_only=True):
    """hdu as in a view; coordinates in FITS pixels, but for `region`, which is as in a view."""

    frame: str
    hdu: int | None = None
    plane: int = 0


class Pixel(_Question, frozen=True, tag="pixel"):
    """The values of box x box pixels around one."""

    x: int
    y: int
    box: int = 1


class Profile(_Question, frozen=True, tag="profile"):
    """Values along a line, each the mean of `width` pixels across it; one point a pixel of length."""

    line: tuple[float, float, float, float]
    width: int = 1


class Shape(_Question, frozen=True, tag="region"):
    """Statistics of the pixels whose centres lie in a shape.

    numbers  rect: x, y of the centre, width, height; circle: x, y, radius; annulus: x, y, inner and outer radius.
    """

    shape: ShapeKind
    numbers: tuple[float, ...]


class Stats(_Question, frozen=True, tag="stats"):
    """Statistics of a whole plane, or of a rectangle of it, from its histogram."""

    region: Region | None = None
    color: Colour = "mono"


class Histogram(_Question, frozen=True, tag="histogram"):
    """The histogram of a whole plane, or of a rectangle of it, in some number of equal bins between two quantiles."""

    region: Region | None = None
    color: Colour = "mono"
    bins: int = 256
    low: float = 0.0
    high: float = 1.0


class Stars(_Question, frozen=True, tag="stars"):
    """Stars: the brightest `count` sources that are `threshold` sigmas above the background."""

    region: Region | None = None
    threshold: float = 5.0
    count: int = 500


class Sky(_Question, frozen=True, tag="wcs"):
    """World coordinates by the header: of a pixel, of a sky position, or of a grid of pixels `step` apart.

    at    x, y; or None.
    sky   right ascension and declination (or the axes' own coordinates), degrees; or None.
    step  None: as wide as interpolation between the nodes stays within 0.1 px.
    """

    at: tuple[float, float] | None = None
    sky: tuple[float, float] | None = None
    step: float | None = None


class Export(_Question, frozen=True, tag="export"):
    """Pixels to take away: a cutout as FITS with its header, as 16-bit PNG or TIFF, or as npy."""

    region: Region | None = None
    format: ExportFormat = "fits"


Question = Pixel | Profile | Shape | Stats | Histogram | Stars | Sky | Export
EXPORT_MEDIA_TYPES: Final[dict[ExportFormat, str]] = {
    "fits": "application/fits", "png": "image/png", "tiff": "image/tiff", "npy": "application/octet-stream",
}  # fmt: skip
_SHAPE_NUMBERS: Final = {
    "rect": (4, "x,y,width,height"),
    "circle": (3, "x,y,radius"),
    "annulus": (4, "x,y,inner,outer"),
}


def question_from_pairs(name: str, pairs: Iterable[tuple[str, str]]) -> Question:
    """Read the question called `name` (one of QUESTIONS) from decoded query parameters.

    Raises  ViewError for a parameter that is unknown, repeated, missing, malformed or out of range.
    """
    kind, readers, needed = QUESTIONS[name]
    given = read_fields(pairs, {**_COMMON, **readers})
    for field in needed:
        if field not in given:
            raise ViewError(field, "missing")
    question: Question = kind(**given)
    _check(question)
    return question


def media_type(question: Question) -> str:
    """Tell what kind of answer a question gets."""
    return EXPORT_MEDIA_TYPES[question.format] if isinstance(question, Export) else "application/json"


def _check(question: Question) -> None:
    match question:
        case Shape(shape=shape, numbers=numbers):
            count, what = _SHAPE_NUMBERS[shape]
            if len(numbers) != count:
                raise ViewError("numbers", f"of a {shape} are {what}")
            if any(size <= 0 for size in numbers[2:]) and not (shape == "annulus" and numbers[2] == 0 < numbers[3]):
                raise ViewError("numbers", "sizes must be above 0")
            if shape == "annulus" and not numbers[2] < numbers[3]:
                raise ViewError("numbers", "the inner radius must be below the outer one")
        case Profile(line=(x1, y1, x2, y2)):
            if math.hypot(x2 - x1, y2 - y1) > PROFILE_PX_MAX:
                raise ViewError("line", f"a profile has at most {PROFILE_PX_MAX} points")
        case Sky(at=at, sky=sky, step=step) if sum(one is not None for one in (at, sky, step)) > 1:
            raise ViewError("sky" if sky else "step", "only one of at, sky and step can be asked")
        case Histogram(low=low, high=high) if not low < high:
            raise ViewError("low", "must be below high")
        case Pixel(box=box) if box % 2 == 0:
            raise ViewError("box", "must be odd")


def _line(name: str, text: str) -> tuple[float, ...]:
    return _near(name, reals(name, text, 4, "x1,y1,x2,y2"))


def _point(name: str, text: str) -> tuple[float, ...]:
    return _near(name, reals(name, text, 2, "two numbers"))


def _near(name: str, values: tuple[float, ...]) -> tuple[float, ...]:
    if any(abs(value) > FAR for value in values):
        raise ViewError(name, "is too far away")
    return values


def _shape_numbers(name: str, text: str) -> tuple[float, ...]:
    return _near(name, reals(name, text, 4 if text.count(",") == 3 else 3, "three or four numbers"))


_COMMON: Final[dict[str, tuple[str, Read]]] = {
    "frame": ("frame", frame_name),
    "hdu": ("hdu", read_hdu),
    "plane": ("plane", in_range(0, COORDINATE_MAX)),
}
_COLOR: Final = one_of("mono", "auto", "bayer", "rgb")
_Asked = tuple[Any, dict[str, tuple[str, Read]], tuple[str, ...]]
QUESTIONS: Final[dict[str, _Asked]] = {
    "pixel": (
        Pixel,
        {
            "x": ("x", in_range(1, COORDINATE_MAX)),
            "y": ("y", in_range(1, COORDINATE_MAX)),
            "box": ("box", in_range(1, BOX_PX_MAX)),
        },
        ("x", "y"),
    ),
    "profile": (
        Profile,
        {"line": ("line", _line), "width": ("width", in_range(1, PROFILE_WIDTH_PX_MAX))},
        ("line",),
    ),
    "region": (
        Shape,
        {"shape": ("shape", one_of("rect", "circle", "annulus")), "numbers": ("numbers", _shape_numbers)},
        ("shape", "numbers"),
    ),
    "stats": (Stats, {"region": ("region", read_region), "color": ("color", _COLOR)}, ()),
    "histogram": (
        Histogram,
        {
            "region": ("region", read_region),
            "color": ("color", _COLOR),
            "bins": ("bins", in_range(1, BINS_MAX)),
            "low": ("low", real_in(0, 1)),
            "high": ("high", real_in(0, 1)),
        },
        (),
    ),
    "stars": (
        Stars,
        {
            "region": ("region", read_region),
            "threshold": ("threshold", real_in(1, 1000)),
            "count": ("count", in_range(1, STARS_MAX)),
        },
        (),
    ),
    "wcs": (
        Sky,
        {"at": ("at", _point), "sky": ("sky", _point), "step": ("step", real_in(1, FAR))},
        (),
    ),
    "export": (
        Export,
        {"region": ("region", read_region), "format": ("format", one_of("fits", "png", "tiff", "npy"))},
        (),
    ),
}
