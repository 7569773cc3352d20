"""The values that parameters take, as JSON schemas: a description that tells them can be tried out, and tested."""

from typing import Any, Final, get_args

from cgi_worker.wire.grammar import COORDINATE_MAX, NAMED_COLOURS
from cgi_worker.wire.maps import COLOUR_MAPS
from cgi_worker.wire.tiles import LEVEL_MAX
from cgi_worker.wire.view import Colour, Flip, Format, LevelsFrom, Pool, RowOrder, Stretch, Subsampling, Turn

Schema = dict[str, Any]

_WHOLE: Final = "[0-9]{1,6}"
_ABOVE_0: Final = "[1-9][0-9]{0,3}"
_NUMBER: Final = r"-?[0-9]{1,6}(\.[0-9]{1,4})?"
_SHARE: Final = r"(0(\.[0-9]{1,6})?|1)"
_MIDDLE: Final = r"0\.[0-9]{0,3}[1-9]"


def words(*allowed: str) -> Schema:
    """One of some words."""
    return {"type": "string", "enum": [*allowed]}


def whole(low: int, high: int = COORDINATE_MAX) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low: float, high: float) -> Schema:
    """A number."""
    return {"type": "number", "minimum": low, "maximum": high}


def text(pattern: str) -> Schema:
    """A text that is written like this."""
    return {"type": "string", "pattern": f"^({pattern})$"}


def _list_of(one: str, *counts: int) -> str:
    return "|".join(",".join([one] * count) for count in counts)


YES_OR_NO: Final = words("0", "1")
COLOUR: Final = text("|".join(("[0-9a-fA-F]{6}", "none", *NAMED_COLOURS)))
REGION: Final = text(f"{_WHOLE},{_WHOLE},{_ABOVE_0},{_ABOVE_0}")
NUMBERS: Final = {count: text(_list_of(_NUMBER, count)) for count in (2, 4)}
SHAPE_NUMBERS: Final = text(_list_of(_NUMBER, 3, 4))
CURSOR: Final = text("[0-9a-f]{16}:[0-9]{1,15}")
COLOUR_KIND: Final = words(*get_args(Colour))
VERSION: Final = text("[0-9A-Za-z]{1,64}")
LEVEL: Final = whole(0, LEVEL_MAX)
IIIF_REGION: Final = text(f"full|square|{_WHOLE},{_WHOLE},{_ABOVE_0},{_ABOVE_0}|pct:{_list_of(_SHARE, 4)}")
IIIF_SIZE: Final = text(rf"\^?(max|{_ABOVE_0},|,{_ABOVE_0}|!?{_ABOVE_0},{_ABOVE_0}|pct:[1-9][0-9]?)")
IIIF_ROTATION: Final = text("!?(0|90|180|270)")
PART: Final[Schema] = {
    "description": "What is shown in tiles, in place of a picture: a level and a box of it, or all of it, fitted.",
    "type": "object",
    "properties": {
        "level": LEVEL,
        "box": {"type": "array", "items": number(-(2**31), 2**31), "minItems": 4, "maxItems": 4},
        "fit": {"type": "array", "items": whole(1), "minItems": 2, "maxItems": 2},
        "dpr": number(0.1, 16),
    },
    "additionalProperties": False,
}
PICTURE_VALUES: Final[dict[str, Schema]] = {
    "hdu": text("[0-9]{1,5}|mosaic"),
    "plane": whole(0),
    "rgb": text(_list_of("[0-9]{1,3}:[0-9]{1,3}", 3)),
    "region": REGION,
    "size": text(f"auto|max|{_ABOVE_0},|,{_ABOVE_0}|{_ABOVE_0},{_ABOVE_0}!?"),
    "pool": words(*get_args(Pool)),
    "levels": text(f"auto|zscale|{_list_of(_SHARE, 2, 6)}"),
    "cut": text(_list_of(_NUMBER, 2, 6)),
    "levels_from": words(*get_args(LevelsFrom)),
    "mid": text(f"auto|{_list_of(_MIDDLE, 1, 3)}"),
    "stretch": words(*get_args(Stretch)),
    "power": number(0.05, 20),
    "link": YES_OR_NO,
    "neutral": YES_OR_NO,
    "invert": YES_OR_NO,
    "map": words(*COLOUR_MAPS),
    "bad": COLOUR,
    "under": COLOUR,
    "over": COLOUR,
    "color": COLOUR_KIND,
    "rows": words(*get_args(RowOrder)),
    "flip": words(*get_args(Flip)),
    "turn": {"type": "integer", "enum": [*get_args(Turn)]},
    "exact": YES_OR_NO,
    "format": words(*get_args(Format)),
    "quality": whole(1, 100),
    "subsampling": words(*get_args(Subsampling)),
}
