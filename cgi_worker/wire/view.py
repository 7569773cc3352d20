"""The view: what one viewer wants to see, and the grammar in which it is asked for."""

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from cgi_worker.wire.facts import MOSAIC
from cgi_worker.wire.grammar import (
    COORDINATE_MAX,
    Read,
    ViewError,
    colour,
    flag,
    frame_name,
    in_range,
    one_of,
    pairs_of,
    read_fields,
    real,
    real_in,
    whole,
)
from cgi_worker.wire.maps import COLOUR_MAPS

SIDE_PX_MAX: Final = 65_500  # As libjpeg has it; no format is given more.
FORMAT_SIDE_PX_MAX: Final = {"jpeg": SIDE_PX_MAX, "png": SIDE_PX_MAX, "webp": 16_383, "avif": 65_500}
AUTO_SIDE_PX: Final = 1200  # A viewer that names no size gets what fits this box.
THUMBNAIL_SIDE_PX: Final = 256
THUMBNAIL_SIDE_PX_MAX: Final = 1024
THUMBNAIL_QUALITY: Final = 75
HDU_INDEX_MAX: Final = 99_999

Stretch = Literal["linear", "sqrt", "log", "asinh", "power", "mtf"]
Colour = Literal["auto", "mono", "bayer", "rgb"]
Flip = Literal["none", "h", "v", "hv"]
Turn = Literal[0, 90, 180, 270]
RowOrder = Literal["auto", "up", "down"]
Pool = Literal["mean", "max"]
Format = Literal["jpeg", "png", "webp", "avif"]
LevelsFrom = Literal["region", "plane"]
Subsampling = Literal["auto", "444", "422", "420", "400", "bitonal"]


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle of source pixels, counted from 0 at the first pixel stored."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The box that the picture must fit, aspect kept and never enlarged; None leaves that side free.

    exact  True: the picture is as large as the box, whatever that does to its aspect, and enlarged if it must be.
    """

    width_px: int | None = None
    height_px: int | None = None
    exact: bool = False


AUTO_SIZE: Final = Size(AUTO_SIDE_PX, AUTO_SIDE_PX)


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One plane of one HDU, as a channel of a colour picture."""

    hdu: int
    plane: int = 0


class AutoLevels(msgspec.Struct, frozen=True, tag="auto", tag_field="kind", forbid_unknown_fields=True):
    """Black, white and midtone from the histogram, so that no real frame is black or white."""


class Zscale(msgspec.Struct, frozen=True, tag="zscale", tag_field="kind", forbid_unknown_fields=True):
    """Black and white by a line through the sorted values of a sample, as IRAF finds them."""


class Quantiles(msgspec.Struct, frozen=True, tag="quantiles", tag_field="kind", forbid_unknown_fields=True):
    """Black and white at two quantiles, 0..1, of the good pixels."""

    low: float
    high: float


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="kind", forbid_unknown_fields=True):
    """Black and white in data units, after BSCALE and BZERO."""

    low: float
    high: float


class PerChannel(msgspec.Struct, frozen=True, tag="channels", tag_field="kind", forbid_unknown_fields=True):
    """Levels of its own for each of red, green and blue."""

    red: Quantiles | Cut
    green: Quantiles | Cut
    blue: Quantiles | Cut


Levels = AutoLevels | Zscale | Quantiles | Cut | PerChannel
Mid = float | tuple[float, float, float]


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one viewer wants to see of one frame.

    hdu      None: the mosaic if the frame's HDUs make one, else the first that holds an image.
    rgb      three planes as red, green and blue, in place of hdu and plane.
    mid      None: from the histogram with auto levels and mtf, else 0.5.
    levels_from  which pixels levels are found from, if they are not given: those of the region, or all of the plane.
    link     one black and one white for all channels of a colour picture.
    neutral  each channel's background is first brought to the same value; the channels are then linked.
    map      name of a colour map for pictures of one channel, "" for grey.
    bad, under, over  colours, 0xRRGGBB, of pixels without a measurement, below black, above white; None: bad ones
             are black, the others as the stretch has them.
    rows     which way up the rows are stored, if the frame does not say; "auto": as the service is set up.
    turn     degrees clockwise, after the flip.
    exact    False: a coarse picture from some of the rows will do, if that is much sooner.
    subsampling  of colour; "400" leaves it out of any format, "bitonal" leaves nothing but black and white.
    """

    frame: str
    hdu: int | None = None
    plane: int = 0
    rgb: tuple[Place, Place, Place] | None = None
    region: Region | None = None
    size: Size = AUTO_SIZE
    pool: Pool = "mean"
    levels: Levels = AutoLevels()
    levels_from: LevelsFrom = "region"
    mid: Mid | None = None
    stretch: Stretch = "mtf"
    power: float = 2.0
    link: bool = False
    neutral: bool = False
    invert: bool = False
    map: str = ""
    bad: int | None = None
    under: int | None = None
    over: int | None = None
    color: Colour = "auto"
    rows: RowOrder = "auto"
    flip: Flip = "none"
    turn: Turn = 0
    exact: bool = True
    format: Format = "jpeg"
    quality: int = 85
    subsampling: Subsampling = "auto"


def view_from_pairs(pairs: Iterable[tuple[str, str]]) -> View:
    """Read a view from decoded query parameters.

    Raises  ViewError for a parameter that is unknown, repeated, missing, malformed or out of range, and for two that
            exclude each other.
    """
    view = View(**read_fields(pairs, _READERS))
    limit = FORMAT_SIDE_PX_MAX[view.format]
    if max(view.size.width_px or 0, view.size.height_px or 0) > limit:
        raise ViewError("size", f"{view.format} holds at most {limit} pixels a side")
    if view.rgb is not None and (view.hdu is not None or view.plane or view.color not in ("auto", "rgb")):
        raise ViewError("rgb", "names the planes by itself: hdu, plane and color do not go with it")
    return view


def thumbnail_from_pairs(pairs: Iterable[tuple[str, str]]) -> View:
    """Read what a thumbnail is wanted of: a frame, perhaps its HDU and plane, perhaps the side of its box.

    Raises  as `view_from_pairs`.
    """
    given = read_fields(pairs, {name: _READERS[name] for name in ("frame", "hdu", "plane")} | _THUMBNAIL)
    side = given.pop("side", THUMBNAIL_SIDE_PX)
    return View(**given, size=Size(side, side), exact=False, quality=THUMBNAIL_QUALITY)


def view_pairs(view: View) -> list[tuple[str, str]]:
    """Write a view as the query parameters that `view_from_pairs` reads back to an equal view, defaults left out."""
    pairs = [("frame", view.frame)]
    for name, (field, _) in _READERS.items():
        value = getattr(view, field)
        if field in _WRITERS and value != _DEFAULTS[field]:
            written = _WRITERS[field](value)
            if written[0] == name:
                pairs.append(written)
    return pairs


def read_hdu(name: str, text: str) -> int:
    """Read the index of an HDU, or "mosaic"."""
    return MOSAIC if text == "mosaic" else whole(name, text, 0, HDU_INDEX_MAX)


def _read_rgb(name: str, text: str) -> tuple[Place, ...]:
    parts = text.split(",")
    if len(parts) != 3:
        raise ViewError(name, "must be hdu:plane,hdu:plane,hdu:plane (a plane of 0 can be left out)")
    found = []
    for part in parts:
        hdu, colon, plane = part.partition(":")
        found.append(Place(whole(name, hdu, 0, HDU_INDEX_MAX), whole(name, plane, 0, COORDINATE_MAX) if colon else 0))
    return tuple(found)


def read_region(name: str, text: str) -> Region:
    """Read x,y,w,h."""
    parts = text.split(",")
    if len(parts) != 4:
        raise ViewError(name, "must be x,y,w,h in source pixels")
    x, y = (whole(name, part, 0, COORDINATE_MAX) for part in parts[:2])
    width, height = (whole(name, part, 1, COORDINATE_MAX) for part in parts[2:])
    return Region(x, y, width, height)


def _read_size(name: str, text: str) -> Size:
    if text == "auto":
        return AUTO_SIZE
    if text == "max":
        return Size()
    exact = text.endswith("!")
    parts = text.removesuffix("!").split(",")
    if len(parts) != 2 or parts == ["", ""] or (exact and "" in parts):
        raise ViewError(name, "must be w, or ,h or w,h or w,h! or max or auto")
    width, height = (whole(name, part, 1, SIDE_PX_MAX) if part else None for part in parts)
    return Size(width, height, exact)


def _read_levels(name: str, text: str) -> Levels:
    if text == "auto":
        return AutoLevels()
    if text == "zscale":
        return Zscale()
    found = [Quantiles(low, high) for low, high in pairs_of(name, text)]
    if any(each.low < 0 or each.high > 1 for each in found):
        raise ViewError(name, "quantiles lie in 0..1; use cut= for data units")
    return found[0] if len(found) == 1 else PerChannel(*found)


def _read_cut(name: str, text: str) -> Levels:
    found = [Cut(low, high) for low, high in pairs_of(name, text)]
    return found[0] if len(found) == 1 else PerChannel(*found)


def _read_mid(name: str, text: str) -> Mid | None:
    if text == "auto":
        return None
    parts = text.split(",")
    values = [real(name, part) for part in parts]
    if len(values) not in (1, 3) or any(not 0.0001 <= value <= 0.9999 for value in values):
        raise ViewError(name, "must lie in 0.0001..0.9999 (one number, or three), or be auto")
    return values[0] if len(values) == 1 else (values[0], values[1], values[2])


def _read_turn(name: str, text: str) -> int:
    one_of("0", "90", "180", "270")(name, text)
    return int(text)


def _levels_pair(levels: Levels) -> tuple[str, str]:
    match levels:
        case AutoLevels():
            return "levels", "auto"
        case Zscale():
            return "levels", "zscale"
        case Quantiles(low, high):
            return "levels", f"{low!r},{high!r}"
        case Cut(low, high):
            return "cut", f"{low!r},{high!r}"
        case PerChannel(red, green, blue):
            name = "cut" if isinstance(red, Cut) else "levels"
            return name, ",".join(f"{each.low!r},{each.high!r}" for each in (red, green, blue))


def _size_text(size: Size) -> str:
    if size == AUTO_SIZE:
        return "auto"
    if size == Size():
        return "max"
    return f"{size.width_px or ''},{size.height_px or ''}{'!' if size.exact else ''}"


def _region_text(region: Region) -> str:
    return f"{region.x_px},{region.y_px},{region.width_px},{region.height_px}"


def _rgb_text(rgb: tuple[Place, ...]) -> str:
    return ",".join(f"{place.hdu}:{place.plane}" for place in rgb)


def _mid_text(mid: Mid) -> str:
    return repr(mid) if isinstance(mid, float) else ",".join(repr(value) for value in mid)


def _plain(field: str) -> Any:
    return lambda value: (field, str(int(value)) if isinstance(value, bool) else str(value))


def _colour_of(field: str) -> Any:
    return lambda value: (field, f"{value:06x}")


_READERS: Final[dict[str, tuple[str, Read]]] = {
    "frame": ("frame", frame_name),
    "hdu": ("hdu", read_hdu),
    "plane": ("plane", in_range(0, COORDINATE_MAX)),
    "rgb": ("rgb", _read_rgb),
    "region": ("region", read_region),
    "size": ("size", _read_size),
    "pool": ("pool", one_of("mean", "max")),
    "levels": ("levels", _read_levels),
    "cut": ("levels", _read_cut),
    "levels_from": ("levels_from", one_of("region", "plane")),
    "mid": ("mid", _read_mid),
    "stretch": ("stretch", one_of("linear", "sqrt", "log", "asinh", "power", "mtf")),
    "power": ("power", real_in(0.05, 20)),
    "link": ("link", flag),
    "neutral": ("neutral", flag),
    "invert": ("invert", flag),
    "map": ("map", one_of("", *COLOUR_MAPS)),
    "bad": ("bad", colour),
    "under": ("under", colour),
    "over": ("over", colour),
    "color": ("color", one_of("auto", "mono", "bayer", "rgb")),
    "rows": ("rows", one_of("auto", "up", "down")),
    "flip": ("flip", one_of("none", "h", "v", "hv")),
    "turn": ("turn", _read_turn),
    "exact": ("exact", flag),
    "format": ("format", one_of("jpeg", "png", "webp", "avif")),
    "quality": ("quality", in_range(1, 100)),
    "subsampling": ("subsampling", one_of("auto", "444", "422", "420", "400", "bitonal")),
}
PARAMETERS: Final = tuple(_READERS)
_THUMBNAIL: Final[dict[str, tuple[str, Read]]] = {"side": ("side", in_range(16, THUMBNAIL_SIDE_PX_MAX))}
_WRITERS: Final[dict[str, Any]] = {
    **{field: _plain(field) for field in (
        "plane", "pool", "levels_from", "stretch", "power", "link", "neutral", "invert", "map", "color", "rows", "flip",
        "turn", "exact", "format", "quality", "subsampling",
    )},
    **{field: _colour_of(field) for field in ("bad", "under", "over")},
    "hdu": lambda hdu: ("hdu", "mosaic" if hdu == MOSAIC else str(hdu)),
    "rgb": lambda rgb: ("rgb", _rgb_text(rgb)),
    "region": lambda region: ("region", _region_text(region)),
    "size": lambda size: ("size", _size_text(size)),
    "levels": _levels_pair,
    "mid": lambda mid: ("mid", _mid_text(mid)),
}  # fmt: skip
_DEFAULTS: Final = msgspec.structs.asdict(View(""))
