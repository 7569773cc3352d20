"""What is searched for in the catalogue: a closed grammar of few terms. Pure.

A search is words and terms with spaces between, all of which must match: `m31 FILTER=Ha EXPTIME>=60 date>=2026-11-01`.
What has spaces itself stands in double quotes: `OBJECT="M 31"`; a word in quotes may hold signs of comparison. A letter
of A..Z is the same as its small one, everywhere.
"""

import math
import re
from calendar import isleap, monthrange
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

import msgspec

from imgd.errors import BadRequest

SEARCH_MAX: Final = 200
TERMS_MAX: Final = 8
PARAMETER: Final = "search"

Sign = Literal["=", "!=", "<", "<=", ">", ">="]

_PART: Final = re.compile(r'(?:[^\s"]|"[^"]*")+')
_TERM: Final = re.compile(r"([^\s=<>!\"]+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_KEYWORD: Final = re.compile(r"[A-Z0-9_-]{1,8}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_MOMENT: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,12}))?)?)?)?)?Z?"
)
_OLD_DATE: Final = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{2})")  # Before 1999: DD/MM/YY.
_CAPITALS: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_US: Final = 86_400_000_000


class Word(msgspec.Struct, frozen=True):
    """Occurs in the name (`root/path`), or in one of the header's values. text: in small letters."""

    text: str


class Compare(msgspec.Struct, frozen=True):
    """A keyword's value compares with this. A frame without the keyword does not match, whatever the sign is.

    text    in small letters: of `=` and `!=`, with a value that is text.
    number  None if the text is none.
    """

    key: str
    sign: Sign
    text: str
    number: float | None


class Taken(msgspec.Struct, frozen=True):
    """When the frame was taken, in microseconds since 1970, compares with a stretch of time, its end excluded.

    or_modified  of a frame whose header does not say it, the file's time counts.
    """

    sign: Sign
    since_us: int
    until_us: int
    or_modified: bool


Term = Word | Compare | Taken


def read_search(text: str) -> tuple[Term, ...]:
    """Read a search; an empty one has no terms.

    Raises  BadRequest naming `search`, and what is wrong with it.
    """
    if len(text) > SEARCH_MAX:
        raise _wrong(f"has more than {SEARCH_MAX} characters")
    if any(not each.isprintable() for each in text.replace("\t", " ")):
        raise _wrong("has characters that cannot be shown")
    if text.count('"') % 2:
        raise _wrong("has a quotation mark that is not closed")
    parts = [part for part in _PART.findall(text) if part.strip('"').strip()]
    if len(parts) > TERMS_MAX:
        raise _wrong(f"has more than {TERMS_MAX} terms")
    return tuple(_read_term(part) for part in parts)


def small(text: str) -> str:
    """Write letters of A..Z small; others are left, as both databases leave them."""
    return text.translate(_CAPITALS)


def moment_us(text: str) -> int | None:
    """Read a time as headers have it (DATE-OBS), UTC, in microseconds since 1970; None if it is none."""
    old = _OLD_DATE.fullmatch(text.strip())
    found = _stretch(f"19{old[3]}-{old[2]}-{old[1]}" if old else text.strip())
    return None if found is None else found[0]


def _wrong(words: str) -> BadRequest:
    return BadRequest(words, PARAMETER)


def _read_term(part: str) -> Term:
    found = None if part.startswith('"') else _TERM.fullmatch(part)
    if found is None:
        return Word(small(part.replace('"', "")))
    key, sign, text = found[1].upper(), cast(Sign, found[2]), found[3].replace('"', "")
    if _KEYWORD.fullmatch(key) is None:
        raise _wrong(f"{found[1]!r:.40} is no keyword: these have at most 8 letters, digits, - and _")
    if not text.strip():
        raise _wrong(f"{key}{sign} is followed by no value")
    if key in ("DATE", "DATE-OBS"):
        stretch = _stretch(text)
        if stretch is None:
            raise _wrong(f"{key.lower()}{sign} needs a date such as 2026-11-01, or 2026-11-01T20:15, not {text!r:.40}")
        return Taken(sign, *stretch, or_modified=key == "DATE")
    number = float(text) if _NUMBER.fullmatch(text) else None
    if number is not None and not math.isfinite(number):
        raise _wrong(f"{key}{sign} needs a smaller number than {text!r:.40}")
    if number is None and sign not in ("=", "!="):
        raise _wrong(f"{key}{sign} needs a number, not {text!r:.40}")
    return Compare(key, sign, small(text), number)


def _stretch(text: str) -> tuple[int, int] | None:
    """Tell beginning and end of a year, month, day, minute, second or part of one, in microseconds since 1970."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    part_us = int((found[7] or "0")[:6].ljust(6, "0"))
    try:
        begin = datetime(
            year or 0, month or 1, day or 1, hour or 0, minute or 0, min(second or 0, 59), part_us, tzinfo=UTC
        )
    except ValueError:
        return None
    since_us = (begin - _EPOCH) // _MICROSECOND
    if month is None:
        return since_us, since_us + (366 if isleap(begin.year) else 365) * _DAY_US
    if day is None:
        return since_us, since_us + monthrange(begin.year, begin.month)[1] * _DAY_US
    if hour is None:
        return since_us, since_us + _DAY_US
    if second is None:
        return since_us, since_us + 60_000_000
    return since_us, since_us + (1 if found[7] else 1_000_000)
