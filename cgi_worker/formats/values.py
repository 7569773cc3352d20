"""What header cards must say for a data unit to be understood; each value read one way."""

import math
from collections.abc import Mapping
from typing import Final

from cgi_worker.formats.cards import Value

Values = Mapping[str, Value]
DATA_BYTES_MAX: Final = 2**62  # More could not be addressed by offset.


class HeaderError(Exception):
    """A header that does not tell how long its HDU is, or how it is to be read; the text says why."""


def whole(values: Values, keyword: str, default: int | None = None) -> int:
    """Read a whole number.

    Raises  HeaderError if it is none, or is missing and has no default.
    """
    value = values.get(keyword, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if keyword not in values:
        raise HeaderError(f"{keyword} is missing")
    raise HeaderError(f"{keyword} is {short(value)}, not a whole number")


def number(values: Values, keyword: str, default: float) -> float:
    """Read a number; the default if it is none."""
    value = values.get(keyword, default)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)  # 2**63, the BZERO of unsigned 64-bit pixels, is kept as text.
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def words(values: Values, keyword: str, default: str = "") -> str:
    """Read text, without the spaces around it; the default if it is none."""
    value = values.get(keyword, default)
    return value.strip() if isinstance(value, str) else default


def short(value: Value) -> str:
    """Write a value as a message can bear it."""
    return "undefined" if value is None else repr(value)[:40]


def axes(values: Values, prefix: str = "") -> tuple[int, ...]:
    """Read NAXIS and NAXISn (or ZNAXIS...), first axis first.

    Raises  HeaderError if they are missing, or cannot be.
    """
    count = whole(values, f"{prefix}NAXIS")
    if not 0 <= count <= 999:
        raise HeaderError(f"{prefix}NAXIS is {count}; the standard allows 0 to 999")
    lengths = tuple(whole(values, f"{prefix}NAXIS{n}") for n in range(1, count + 1))
    for n, length in enumerate(lengths, 1):
        if length < 0:
            raise HeaderError(f"{prefix}NAXIS{n} is {length}; an axis cannot be shorter than 0")
    return lengths


def grouped(values: Values, sides: tuple[int, ...]) -> bool:
    """Tell whether the data are random groups."""
    return len(sides) > 1 and sides[0] == 0 and values.get("GROUPS") is True


def data_bytes(values: Values) -> int:
    """Compute the size of the data unit without its padding.

    Raises  HeaderError if the cards are missing, or claim what cannot be.
    Source  FITS Standard 4.0, equation 2 (and 4 for random groups).
    """
    bitpix, sides = whole(values, "BITPIX"), axes(values)
    parameters, groups = whole(values, "PCOUNT", 0), whole(values, "GCOUNT", 1)
    if parameters < 0 or groups < 0:
        raise HeaderError(f"PCOUNT is {parameters} and GCOUNT is {groups}; neither can be negative")
    if not sides:
        return 0
    pixels = math.prod(sides[1:]) if grouped(values, sides) else math.prod(sides)
    size = abs(bitpix) * groups * (parameters + pixels) // 8
    if size > DATA_BYTES_MAX:
        raise HeaderError(f"it claims {size} bytes of data; no file can be that long")
    return size
