"""The grammar of IIIF Image API 3.0: what a region, a size, a rotation say of a picture. No I/O.

Source  https://iiif.io/api/image/3.0/, sections 4.1 to 4.7.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from cgi_worker.wire.tiles import LEVEL_MAX, TILE_PX, TilePlace
from imgd.errors import BadRequest, NotOffered

QUALITIES: Final = {"default": "", "color": "", "gray": "400", "bitonal": "bitonal"}
_NUMBER: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{0,10})?|\.[0-9]{1,10}")
_WHOLE: Final = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture as it is seen, in its pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    side_px: int
    area_px: int

    def hold(self, width: int, height: int) -> bool:
        """Tell whether a picture may have this size."""
        return max(width, height) <= self.side_px and width * height <= self.area_px

    def scale_max(self, box: Box) -> Fraction:
        """Tell by how much a part of the picture may be enlarged: the most is what fits."""
        side = Fraction(self.side_px, max(box.width, box.height))
        area = Fraction(math.isqrt((self.area_px << 40) // (box.width * box.height)), 1 << 20)
        return min(side, area)


@dataclass(frozen=True, slots=True)
class Sized:
    """How large a picture is wanted.

    loose  "w" or "h" if that side only follows from the other, and may be rounded either way; else "".
    """

    width: int
    height: int
    loose: str = ""


@dataclass(frozen=True, slots=True)
class Turned:
    """A picture mirrored left to right, perhaps, and then turned clockwise."""

    mirrored: bool
    degrees: int


def read_region(text: str, width: int, height: int) -> Box:
    """Read a region of a picture of this size; what lies beside it is cut off.

    Raises  BadRequest.
    """
    if text == "full":
        return Box(0, 0, width, height)
    if text == "square":
        side = min(width, height)
        return Box((width - side) // 2, (height - side) // 2, side, side)
    parts = text.removeprefix("pct:").split(",")
    if len(parts) != 4:
        raise BadRequest("must be full, square, x,y,w,h or pct:x,y,w,h", "region")
    if text.startswith("pct:"):
        x, y, w, h = (_number(part, "region") / 100 for part in parts)
        left, top = round(x * width), round(y * height)
        wide, high = (max(1, round(of * side)) if of else 0 for of, side in ((w, width), (h, height)))
    else:
        left, top, wide, high = (_whole(part, "region") for part in parts)
    wide, high = min(wide, width - left), min(high, height - top)
    if wide <= 0 or high <= 0:
        raise BadRequest(f"holds no pixel of the picture, which has {width} x {height}", "region")
    return Box(left, top, wide, high)


def read_size(text: str, box: Box, limits: Limits) -> Sized:
    """Read the size of a region's picture, before it is turned.

    Without "^" nothing is enlarged: not to fill a box ("!w,h") either, although it could be taken to mean that the
    region is to be left as it is then. So iiif-validator tests it.

    Raises  BadRequest.
    """
    plain = text.removeprefix("^")
    larger = plain != text
    most = limits.scale_max(box)
    if plain == "max":
        return _scaled(box, most if larger else min(most, Fraction(1)), math.floor)
    if plain.startswith("pct:"):
        scale = _number(plain[4:], "size") / 100
        sized = Sized(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
        if not scale:
            raise BadRequest("must be more than nothing", "size")
    elif plain.startswith("!"):
        width, height = _two(plain[1:])
        scale = min(Fraction(width, box.width), Fraction(height, box.height))
        if scale > 1 and not larger:
            raise BadRequest("would enlarge the picture; begin it with ^ for that", "size")
        return _scaled(box, min(scale, most), round if scale < most else math.floor)
    else:
        sized = _sides(plain, box)
    if not larger and (sized.width > box.width or sized.height > box.height):
        raise BadRequest("would enlarge the picture; begin it with ^ for that", "size")
    if not limits.hold(sized.width, sized.height):
        raise BadRequest(f"is above {limits.side_px} pixels a side, or {limits.area_px} in all", "size")
    return sized


def _scaled(box: Box, scale: Fraction, rounded: Callable[[Fraction], int]) -> Sized:
    return Sized(max(1, rounded(box.width * scale)), max(1, rounded(box.height * scale)))


def _sides(text: str, box: Box) -> Sized:
    parts = text.split(",")
    if len(parts) != 2 or parts == ["", ""]:
        raise BadRequest("must be max, w, or ,h or w,h or !w,h or pct:n, or one of these after ^", "size")
    width, height = (_side(part) if part else 0 for part in parts)
    if not height:
        return Sized(width, max(1, round(Fraction(box.height * width, box.width))), "h")
    if not width:
        return Sized(max(1, round(Fraction(box.width * height, box.height))), height, "w")
    return Sized(width, height)


def read_rotation(text: str) -> Turned:
    """Read how a picture is turned.

    Raises  BadRequest; NotOffered for anything between right angles.
    """
    degrees = _number(text.removeprefix("!"), "rotation")
    if degrees > 360:
        raise BadRequest("must be from 0 to 360 degrees", "rotation")
    if degrees % 90:
        raise NotOffered("only right angles are offered", "rotation")
    return Turned(text.startswith("!"), int(degrees) % 360)


def tile_of(box: Box, sized: Sized, width: int, height: int) -> TilePlace | None:
    """Find the tile that a part of a picture of this size, so large, is; None if it is none."""
    for level in range(LEVEL_MAX + 1):
        span = TILE_PX << level
        if box.left % span or box.top % span:
            return None
        if box.width != min(span, width - box.left) or box.height != min(span, height - box.top):
            continue
        across, down = -(-box.width >> level), -(-box.height >> level)
        off = abs(sized.width - across), abs(sized.height - down)
        if off == (0, 0) or off == (int(sized.loose == "w"), int(sized.loose == "h")):
            return TilePlace(level, box.left // span, box.top // span)
    return None


def _two(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2:
        raise BadRequest("must be !w,h", "size")
    return _side(parts[0]), _side(parts[1])


def _side(text: str) -> int:
    side = _whole(text, "size")
    if not side:
        raise BadRequest("must be more than nothing", "size")
    return side


def _whole(text: str, parameter: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise BadRequest("must be told in whole numbers", parameter)
    return int(text)


def _number(text: str, parameter: str) -> Fraction:
    if not _NUMBER.fullmatch(text):
        raise BadRequest("must be told in decimal numbers", parameter)
    return Fraction(text)
