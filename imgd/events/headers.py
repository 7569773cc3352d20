"""What the index keeps of a frame's header, so that frames can be searched for and put in order. Values only."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from imgd.events.event import Draft, Scalar
from imgd.events.search import moment_us, small

TEXT_MAX: Final = 200
_INTEGER_MAX: Final = 2**63


class Header(msgspec.Struct, frozen=True):
    """What is kept of a header. Whatever is None is not said by it, or not as what it should be.

    object, filter  in small letters.
    exptime         EXPTIME, else EXPOSURE.
    taken_us        DATE-OBS, in microseconds since 1970.
    words           all values in small letters, one a line.
    hdu             JSON: keywords and values.
    why             in words, if the frame could not be read; "" if it could.
    """

    object: str | None
    filter: str | None
    exptime: float | None
    taken_us: int | None
    words: str
    hdu: str
    why: str = ""


class Looked(msgspec.Struct, frozen=True):
    """A frame that was looked into, as long as its identity is still this."""

    root: str
    path: bytes
    identity: str
    header: Header


class Unlooked(msgspec.Struct, frozen=True):
    """A frame whose header is not known as it is now."""

    root: str
    path: bytes
    identity: str
    mtime_ns: int


def header_of(hdu: Mapping[str, Scalar], why: str = "") -> Header:
    """Choose what is kept; values that no JSON holds are left out."""
    kept = {keyword: plain for keyword, value in hdu.items() if (plain := _plain(value)) is not None}
    date = kept.get("DATE-OBS")
    return Header(
        object=_text(kept.get("OBJECT")),
        filter=_text(kept.get("FILTER")),
        exptime=_first(_number(kept.get("EXPTIME")), _number(kept.get("EXPOSURE"))),
        taken_us=moment_us(date) if isinstance(date, str) else None,
        words="\n".join(small(_written(value)) for value in kept.values()),
        hdu=msgspec.json.encode(kept).decode(),
        why=_encodable(why[:TEXT_MAX]),
    )


def header_of_draft(draft: Draft) -> Header:
    """Choose what is kept of what an event says."""
    why = draft.detail.get("why")
    return header_of(draft.hdu, why if isinstance(why, str) else "")


def _plain(value: Scalar) -> Scalar:
    match value:
        case str():
            return _encodable(value)
        case float() if not math.isfinite(value):
            return None
        case int() if abs(value) >= _INTEGER_MAX:
            return float(value) if abs(value) < 1 << 1000 else None
    return value


def _encodable(text: str) -> str:
    """Make a text one that both databases take."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")


def _number(value: Scalar) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _first(*numbers: float | None) -> float | None:
    return next((number for number in numbers if number is not None), None)


def _written(value: Scalar) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _text(value: Scalar) -> str | None:
    return None if value is None else small(_written(value))
