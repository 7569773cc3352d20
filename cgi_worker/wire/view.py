"""The view: what one viewer wants to see, and the grammar in which it is asked for."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

FRAME_NAME_BYTES_MAX: Final = 4096  # PATH_MAX: a longer name could not be opened anyway.
SIDE_PX_MAX: Final = 65_500  # As libjpeg has it; no format is given more.
WEBP_SIDE_PX_MAX: Final = 16_383  # WebP has 14 bits for each side.
AUTO_SIDE_PX: Final = 1200  # A viewer that names no size gets what fits this box.
COORDINATE_MAX: Final = 2**31 - 1

Stretch = Literal["linear", "sqrt", "log", "asinh", "mtf"]
Colour = Literal["auto", "mono", "bayer"]
Flip = Literal["none", "h", "v", "hv"]
Format = Literal["jpeg", "png", "webp"]


class ViewError(ValueError):
    """A view that breaks the grammar, or that its frame cannot satisfy; names the parameter at fault."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(f"{parameter}: {text}")
        self.parameter = parameter
        self.text = text


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle of source pixels, counted from 0 at the first pixel stored."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The box that the picture must fit, aspect kept and never enlarged; None leaves that side free."""

    width_px: int | None = None
    height_px: int | None = None


AUTO_SIZE: Final = Size(AUTO_SIDE_PX, AUTO_SIDE_PX)


class AutoLevels(msgspec.Struct, frozen=True, tag="auto", tag_field="kind", forbid_unknown_fields=True):
    """Black, white and midtone from the histogram, so that no real frame is black or white."""


class Quantiles(msgspec.Struct, frozen=True, tag="quantiles", tag_field="kind", forbid_unknown_fields=True):
    """Black and white at two quantiles, 0..1, of the good pixels."""

    low: float
    high: float


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="kind", forbid_unknown_fields=True):
    """Black and white in data units, after BSCALE and BZERO."""

    low: float
    high: float


Levels = AutoLevels | Quantiles | Cut


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one viewer wants to see of one frame."""

    frame: str
    hdu: int | None = None  # None: the first HDU that holds an image.
    plane: int = 0
    region: Region | None = None
    size: Size = AUTO_SIZE
    levels: Levels = AutoLevels()
    mid: float | None = None  # None: from the histogram with auto levels and mtf, else 0.5.
    stretch: Stretch = "mtf"
    invert: bool = False
    color: Colour = "auto"
    flip: Flip = "none"
    format: Format = "jpeg"
    quality: int = 85


def view_from_pairs(pairs: Iterable[tuple[str, str]]) -> View:
    """Read a view from decoded query parameters.

    Raises  ViewError for a parameter that is unknown, repeated, missing, malformed or out of range.
    """
    given: dict[str, Any] = {}
    for name, text in pairs:
        if name not in _READERS:
            raise ViewError(name[:64], "unknown parameter")
        field, read = _READERS[name]
        if name in given or field in given:
            other = "repeated" if name in given or field == name else f"cannot be combined with another {field}"
            raise ViewError(name, other)
        given[field] = read(name, text)
    if "frame" not in given:
        raise ViewError("frame", "missing")
    view = View(**given)
    if view.format == "webp" and max(view.size.width_px or 0, view.size.height_px or 0) > WEBP_SIDE_PX_MAX:
        raise ViewError("size", f"WebP holds at most {WEBP_SIDE_PX_MAX} pixels a side")
    return view


def view_pairs(view: View) -> list[tuple[str, str]]:
    """Write a view as the query parameters that `view_from_pairs` reads back to an equal view."""
    pairs = [("frame", view.frame)]
    if view.hdu is not None:
        pairs.append(("hdu", str(view.hdu)))
    pairs.append(("plane", str(view.plane)))
    if view.region is not None:
        r = view.region
        pairs.append(("region", f"{r.x_px},{r.y_px},{r.width_px},{r.height_px}"))
    pairs.append(("size", _size_text(view.size)))
    match view.levels:
        case AutoLevels():
            pairs.append(("levels", "auto"))
        case Quantiles(low, high):
            pairs.append(("levels", f"{low!r},{high!r}"))
        case Cut(low, high):
            pairs.append(("cut", f"{low!r},{high!r}"))
    pairs.append(("mid", "auto" if view.mid is None else repr(view.mid)))
    pairs += [("stretch", view.stretch), ("invert", str(int(view.invert))), ("color", view.color)]
    pairs += [("flip", view.flip), ("format", view.format), ("quality", str(view.quality))]
    return pairs


def _size_text(size: Size) -> str:
    if size == AUTO_SIZE:
        return "auto"
    if size.width_px is None and size.height_px is None:
        return "max"
    return f"{size.width_px or ''},{size.height_px or ''}"


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ViewError(name, f"must be a whole number from {low} to {high}")
    value = int(text)
    if not low <= value <= high:
        raise ViewError(name, f"must be a whole number from {low} to {high}")
    return value


def _real(name: str, text: str) -> float:
    try:
        value = float(text) if len(text) <= 40 and "_" not in text and text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ViewError(name, "must be a finite number")
    return value


def _pair(name: str, text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2:
        raise ViewError(name, "must be two numbers: low,high")
    low, high = _real(name, parts[0]), _real(name, parts[1])
    if not low < high:
        raise ViewError(name, "low must be below high")
    return low, high


def _read_frame(name: str, text: str) -> str:
    if not text or "\0" in text or len(text.encode("utf-8", "surrogateescape")) > FRAME_NAME_BYTES_MAX:
        raise ViewError(name, "must be <root name>/<relative path>")
    return text


def _read_region(name: str, text: str) -> Region:
    parts = text.split(",")
    if len(parts) != 4:
        raise ViewError(name, "must be x,y,w,h in source pixels")
    x, y = (_whole(name, part, 0, COORDINATE_MAX) for part in parts[:2])
    width, height = (_whole(name, part, 1, COORDINATE_MAX) for part in parts[2:])
    return Region(x, y, width, height)


def _read_size(name: str, text: str) -> Size:
    if text == "auto":
        return AUTO_SIZE
    if text == "max":
        return Size()
    parts = text.split(",")
    if len(parts) != 2 or parts == ["", ""]:
        raise ViewError(name, "must be w, or ,h or w,h or max or auto")
    width, height = (_whole(name, part, 1, SIDE_PX_MAX) if part else None for part in parts)
    return Size(width, height)


def _read_levels(name: str, text: str) -> Levels:
    if text == "auto":
        return AutoLevels()
    low, high = _pair(name, text)
    if low < 0 or high > 1:
        raise ViewError(name, "quantiles lie in 0..1; use cut= for data units")
    return Quantiles(low, high)


def _read_cut(name: str, text: str) -> Levels:
    return Cut(*_pair(name, text))


def _read_mid(name: str, text: str) -> float | None:
    if text == "auto":
        return None
    value = _real(name, text)
    if not 0.0001 <= value <= 0.9999:
        raise ViewError(name, "must lie in 0.0001..0.9999, or be auto")
    return value


def _read_invert(name: str, text: str) -> bool:
    if text not in ("0", "1", "false", "true"):
        raise ViewError(name, "must be 0 or 1")
    return text in ("1", "true")


def _one_of(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise ViewError(name, "must be one of " + ", ".join(allowed))
        return text

    return read


def _in_range(low: int, high: int) -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        return _whole(name, text, low, high)

    return read


_READERS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "frame": ("frame", _read_frame),
    "hdu": ("hdu", _in_range(0, 99_999)),
    "plane": ("plane", _in_range(0, COORDINATE_MAX)),
    "region": ("region", _read_region),
    "size": ("size", _read_size),
    "levels": ("levels", _read_levels),
    "cut": ("levels", _read_cut),
    "mid": ("mid", _read_mid),
    "stretch": ("stretch", _one_of("linear", "sqrt", "log", "asinh", "mtf")),
    "invert": ("invert", _read_invert),
    "color": ("color", _one_of("auto", "mono", "bayer")),
    "flip": ("flip", _one_of("none", "h", "v", "hv")),
    "format": ("format", _one_of("jpeg", "png", "webp")),
    "quality": ("quality", _in_range(1, 100)),
}
PARAMETERS: Final = tuple(_READERS)
