"""Filters: which events a client wants, by a closed table of fields and operators. Pure.

A filter is `[field, operator, value]`; of a list all must match, and none at all match everything. In a command line a
filter is one text: `type=frame.arrived`, `hdu.EXPTIME >= 30`, `path glob night/**/*.fits`, `root in a,b`.
"""

import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, cast, get_args

import msgspec

from imgd.errors import BadRequest
from imgd.events.event import Draft, EphemeralType, FrameType, OtherType, Scalar
from imgd.events.glob import Glob

FILTERS_MAX: Final = 32
TEXT_MAX: Final = 1_000
IN_MAX: Final = 100

Accepts = Callable[[Draft], bool]

_TYPES: Final = frozenset((*get_args(FrameType), *get_args(OtherType), *get_args(EphemeralType)))
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_OPERATORS: Final = {
    "type": ("=", "in"),
    "root": ("=", "in"),
    "path": ("=", "glob"),
    "at": ("<", "<=", ">", ">="),
    "hdu": ("=", "!=", "<", "<=", ">", ">=", "in", "glob"),
}
_HDU: Final = re.compile(r"hdu\.[A-Z0-9_-]{1,8}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_TEXT: Final = re.compile(r"\s*([A-Za-z0-9_.-]+)(?:\s*(!=|<=|>=|=|<|>)\s*|\s+(in|glob)\s+)(.*)", re.DOTALL)


class Filters:
    """Filters that have been read; `accepts` tells whether all of them match. Of the same list they are equal.

    count  how many there are.
    globs  how many of them are patterns: these cost a step for each character.
    """

    __slots__ = ("_rules", "_written", "count", "globs")

    def __init__(self, rules: tuple[Accepts, ...], written: str, globs: int) -> None:
        self._rules = rules
        self._written = written
        self.count = len(rules)
        self.globs = globs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filters) and self._written == other._written

    def __hash__(self) -> int:
        return hash(self._written)

    def accepts(self, draft: Draft) -> bool:
        """Tell whether an event is wanted."""
        for rule in self._rules:  # noqa: SIM110  # Three times as fast as all(...), and run for each event and client.
            if not rule(draft):
                return False
        return True


def read_filters(raw: Any) -> Filters:
    """Read a list of filters as JSON gives it; None is no filters.

    Raises  BadRequest naming the one at fault (`filters[1]`), and what is wrong with it.
    """
    if raw is None:
        raw = []
    if not isinstance(raw, list):
        raise BadRequest("must be a list of [field, operator, value]", "filters")
    if len(raw) > FILTERS_MAX:
        raise BadRequest(f"are more than {FILTERS_MAX}", "filters")
    rules: list[Accepts] = []
    for index, each in enumerate(raw):
        try:
            rules.append(_read_one(each))
        except BadRequest as error:
            raise BadRequest(error.text, f"filters[{index}]") from error
    return Filters(tuple(rules), repr(raw), sum(each[1] == "glob" for each in raw))


def read_filters_json(text: str) -> Filters:
    """Read filters as they stand in an address: a JSON list.

    Raises  BadRequest.
    """
    if not text:
        return read_filters(None)
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadRequest(f"is not JSON: {error}", "filters") from error
    return read_filters(raw)


def filter_from_text(text: str) -> list[Any]:
    """Read one filter as it stands in a command line; its values are checked when the list is read.

    A value of `hdu.NAME` that looks like a number, or is true or false, is one; in double quotes it is text. Those of
    `in` are separated by commas.

    Raises  BadRequest.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise BadRequest(f"{text!r:.80} is not FIELD OPERATOR VALUE, such as type=frame.arrived", "filter")
    field, sign, word, value = match.groups()
    read = _scalar_from_text if field.startswith("hdu.") and word != "glob" else str
    return [field, sign or word, [read(part) for part in value.split(",")] if word == "in" else read(value)]


def _scalar_from_text(text: str) -> Any:
    if re.fullmatch(r'true|false|-?\d+(\.\d+)?([eE][+-]?\d+)?|".*"', text, re.ASCII):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            if not text.startswith('"') and math.isinf(float(text)):
                raise BadRequest(f"{text:.80} is no number that can be compared: it is too large", "filter") from None
            return text
    return text


def _read_one(raw: Any) -> Accepts:
    if not (isinstance(raw, list) and len(raw) == 3 and isinstance(raw[0], str) and isinstance(raw[1], str)):
        raise BadRequest("must be [field, operator, value]")
    field, sign, value = cast(tuple[str, str, Any], raw)
    kind = "hdu" if _HDU.fullmatch(field) else field
    if kind not in _OPERATORS or field == "hdu":
        raise BadRequest(f"there is no field {field!r:.80}: type, root, path, at, or hdu. and a FITS keyword")
    if sign not in _OPERATORS[kind]:
        raise BadRequest(f"{field} has no operator {sign!r:.80}, but {' '.join(_OPERATORS[kind])}")
    match kind:
        case "type":
            return _type_rule(_texts(field, sign, value))
        case "root":
            roots = _texts(field, sign, value)
            return lambda draft: draft.root in roots
        case "path":
            return _path_rule(sign, _text(field, value))
        case "at":
            return _at_rule(_ORDERS[sign], value)
        case _:
            return _hdu_rule(field.removeprefix("hdu."), sign, value)


def _type_rule(types: frozenset[str]) -> Accepts:
    if unknown := types - _TYPES:
        raise BadRequest(f"there is no type {min(unknown)!r:.80}: {', '.join(sorted(_TYPES))}")
    return lambda draft: draft.type in types


def _path_rule(sign: str, text: str) -> Accepts:
    if sign == "=":
        return lambda draft: draft.path == text
    pattern = Glob(text, path=True)
    return lambda draft: pattern.matches(draft.path)


def _at_rule(compare: Callable[[Any, Any], bool], value: Any) -> Accepts:
    moment = _moment(value) if isinstance(value, str) and _MOMENT.fullmatch(value) else None
    if moment is None:
        raise BadRequest("at is compared with a time such as 2026-01-31T23:59:59.5Z (RFC 3339)")
    return lambda draft: (at := _moment(draft.at)) is not None and compare(at, moment)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # Such as the 31st of February.


def _hdu_rule(name: str, sign: str, value: Any) -> Accepts:
    """Compare a keyword's value. One that is absent, or of another kind (text, number, truth), matches nothing but !=,
    and an absent one not even that."""
    match sign:
        case "glob":
            pattern = Glob(_text(f"hdu.{name}", value), path=False)
            return lambda draft: isinstance(found := draft.hdu.get(name), str) and pattern.matches(found)
        case "in":
            wanted = frozenset(_kind_and_value(name, each) for each in _list(f"hdu.{name}", value))
            return lambda draft: (name in draft.hdu) and _pair(draft.hdu[name]) in wanted
        case "=":
            one = _kind_and_value(name, value)
            return lambda draft: (name in draft.hdu) and _pair(draft.hdu[name]) == one
        case "!=":
            one = _kind_and_value(name, value)
            return lambda draft: draft.hdu.get(name) is not None and _pair(draft.hdu[name]) != one
    kind, limit = _kind_and_value(name, value)
    if kind == "truth":
        raise BadRequest(f"hdu.{name} {sign} compares numbers or texts")
    compare = _ORDERS[sign]

    def rule(draft: Draft) -> bool:
        found_kind, found = _pair(draft.hdu.get(name))
        return found_kind == kind and compare(found, limit)

    return rule


def _pair(value: Scalar) -> tuple[str, Scalar]:
    """Tell a value with its kind, so that 1, "1" and true differ."""
    if isinstance(value, bool):
        return "truth", value
    if isinstance(value, str):
        return "text", value
    return ("none" if value is None else "number"), value


def _kind_and_value(name: str, value: Any) -> tuple[str, Scalar]:
    if not isinstance(value, str | int | float | bool):
        raise BadRequest(f"hdu.{name} is compared with a text, a number, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"hdu.{name} is compared with a finite number")
    if isinstance(value, str):
        _text(f"hdu.{name}", value)
    return _pair(value)


def _texts(field: str, sign: str, value: Any) -> frozenset[str]:
    if sign == "=":
        return frozenset((_text(field, value),))
    return frozenset(_text(field, each) for each in _list(field, value))


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{field} is compared with text")
    if len(value) > TEXT_MAX:
        raise BadRequest(f"the value is longer than {TEXT_MAX} characters")
    return value


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= IN_MAX:
        raise BadRequest(f"{field} in: takes a list of 1 to {IN_MAX} values")
    return value
