"""The catalogue, slow and obvious: looks at each frame, and reads a search in its own way."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any

import msgspec

from imgd.events.catalogue_query import Found, Named, Query, Row
from imgd.events.event import Scalar

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Frame:
    """A frame in the index. hdu: None if its header is not known."""

    root: str
    path: bytes
    size: int
    mtime_ns: int
    hdu: dict[str, Scalar] | None

    @property
    def identity(self) -> str:
        return f"{self.size}:{self.mtime_ns}"

    @property
    def kept(self) -> dict[str, Scalar] | None:
        if self.hdu is None:
            return None
        return {key: _kept(value) for key, value in self.hdu.items()}


def _kept(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return value.replace("\0", " ")
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _small(text: str) -> str:
    return "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in text)


def _written(value: Scalar) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def us(text: str) -> int:
    """Microseconds since 1970 of an ISO time."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


STRETCHES = {
    "2026": (us("2026-01-01"), us("2027-01-01")),
    "2026-11": (us("2026-11-01"), us("2026-12-01")),
    "2026-11-01": (us("2026-11-01"), us("2026-11-02")),
    "2026-11-01T20:15": (us("2026-11-01T20:15"), us("2026-11-01T20:16")),
    "2026-10-31T23:59:59.999": (us("2026-10-31T23:59:59.999"), us("2026-10-31T23:59:59.999") + 1),
    "1998-12-31": (us("1998-12-31"), us("1999-01-01")),
}
MOMENTS = {
    "2026-11-01": us("2026-11-01"),
    "2026-11-01T20:15:00": us("2026-11-01T20:15:00"),
    "2026-10-31T23:59:59.999": us("2026-10-31T23:59:59.999"),
    "31/12/98": us("1998-12-31"),
    "2026": us("2026-01-01"),
    "2026-11-02T00:00:00Z": us("2026-11-02"),
}


def taken_us(frame: Frame) -> int | None:
    date = (frame.hdu or {}).get("DATE-OBS")
    return MOMENTS.get(date) if isinstance(date, str) else None


def date_us(frame: Frame) -> int:
    taken = taken_us(frame)
    return frame.mtime_ns // 1000 if taken is None else taken


def exptime(frame: Frame) -> float | None:
    hdu = frame.hdu or {}
    return next((float(hdu[key]) for key in ("EXPTIME", "EXPOSURE") if isinstance(hdu.get(key), int | float)), None)  # type: ignore[arg-type]


def _compared(left: Any, sign: str, right: Any) -> bool:
    return {
        "=": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right,
        ">=": left >= right,
    }[sign]  # fmt: skip


def matches(frame: Frame, term: str) -> bool:
    """Tell whether a term of a search matches, as it was typed."""
    found = None if term.startswith('"') else re.fullmatch(r"([A-Za-z-]+)(!=|<=|>=|=|<|>)(.*)", term)
    if found is None:
        word = _small(term.replace('"', ""))
        name = frame.root.encode() + b"/" + frame.path
        small = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in name)
        values = [_small(_written(value)) for value in (frame.kept or {}).values()]
        return word.encode() in small or any(word in value for value in values)
    key, sign, text = found[1].upper(), found[2], found[3].replace('"', "")
    if key in ("DATE", "DATE-OBS"):
        at = date_us(frame) if key == "DATE" else taken_us(frame)
        since, until = STRETCHES[text]
        if at is None:
            return False
        return {
            "=": since <= at < until, "!=": not since <= at < until, "<": at < since, "<=": at < until,
            ">": at >= until, ">=": at >= since,
        }[sign]  # fmt: skip
    try:
        number: float | None = float(text)
    except ValueError:
        number = None
    value = exptime(frame) if key == "EXPTIME" and number is not None else (frame.kept or {}).get(key)
    if value is None:
        return False
    if key in ("OBJECT", "FILTER") and sign in ("=", "!="):
        return _compared(_small(_written(value)), sign, _small(text))
    if isinstance(value, bool):
        means = {"t": True, "true": True, "f": False, "false": False}.get(_small(text))
        return sign in ("=", "!=") and (value == means) is (sign == "=")
    if isinstance(value, str):
        return sign in ("=", "!=") and _compared(_small(value), sign, _small(text))
    if number is None:
        return sign == "!="
    return _compared(float(value), sign, number)


def twin(known: list[Frame], query: Query, asked: list[str]) -> Found:
    """Answer a query whose terms are written as in `asked`."""
    scope = [
        each
        for each in known
        if each.root in query.roots and (not query.below or each.path.startswith(query.below + b"/"))
    ]
    found = [each for each in scope if all(matches(each, term) for term in asked)]
    found.sort(key=cmp_to_key(lambda one, other: _order(one, other, query.order)))
    page = found[query.offset : query.offset + query.limit]
    described = sum(each.hdu is not None for each in scope)
    rows = tuple(Row(each.root, each.path, each.identity, None if each.kept is None else "", "") for each in page)
    places = {Named(each.root, each.path): place for place, each in enumerate(found)}
    return Found(len(found), len(scope), described, rows, places.get(query.at) if query.at else None)


def _order(one: Frame, other: Frame, order: str) -> int:
    name = order.removeprefix("-")
    sign = -1 if order.startswith("-") else 1
    names = _which((one.root, one.path), (other.root, other.path))
    newest = _which(other.mtime_ns, one.mtime_ns)
    if name == "name":
        return sign * names
    if name == "newest":
        return newest or names
    if name == "oldest":
        return -newest or -names
    if name == "date":
        return sign * (_which(date_us(one), date_us(other)) or names)
    left, right = _column(one, name), _column(other, name)
    if (left is None) != (right is None):
        return 1 if left is None else -1
    return (sign * _which(left, right) if left is not None else 0) or newest or names


def _column(frame: Frame, name: str) -> Any:
    if name == "exptime":
        return exptime(frame)
    value = (frame.kept or {}).get(name.upper())
    return None if value is None else _small(_written(value)).encode()


def _which(left: Any, right: Any) -> int:
    return (left > right) - (left < right)
