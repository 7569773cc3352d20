"""The grammar of parameters: how the text of each kind of value is read, and what is said of one that breaks it."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

FRAME_NAME_BYTES_MAX: Final = 4096  # PATH_MAX: a longer name could not be opened anyway.
COORDINATE_MAX: Final = 2**31 - 1
NAMED_COLOURS: Final = {
    "black": 0x000000, "white": 0xFFFFFF, "grey": 0x808080, "red": 0xFF0000, "green": 0x00FF00, "blue": 0x0000FF,
    "cyan": 0x00FFFF, "magenta": 0xFF00FF, "yellow": 0xFFFF00, "orange": 0xFFA500,
}  # fmt: skip

Read = Callable[[str, str], Any]


class ViewError(ValueError):
    """A view or question that breaks the grammar, or that its frame cannot satisfy; names the parameter at fault."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(f"{parameter}: {text}")
        self.parameter = parameter
        self.text = text


def read_fields(pairs: Iterable[tuple[str, str]], readers: dict[str, tuple[str, Read]]) -> dict[str, Any]:
    """Read decoded query parameters into fields; several parameters may be ways to say one field.

    readers  by parameter: the field it is for, and how its text is read.

    Raises  ViewError for a parameter that is unknown, repeated, malformed or out of range, and if `frame` is missing.
    """
    given: dict[str, Any] = {}
    seen: set[str] = set()
    for name, text in pairs:
        if name not in readers:
            raise ViewError(name[:64], "unknown parameter")
        field, read = readers[name]
        if name in seen:
            raise ViewError(name, "repeated")
        if field in given:
            raise ViewError(name, f"cannot be combined with another {field}")
        seen.add(name)
        given[field] = read(name, text)
    if "frame" not in given:
        raise ViewError("frame", "missing")
    return given


def whole(name: str, text: str, low: int, high: int) -> int:
    """Read a whole number in [low, high]."""
    digits = text.removeprefix("-") if low < 0 else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10) or not low <= int(text) <= high:
        raise ViewError(name, f"must be a whole number from {low} to {high}")
    return int(text)


def real(name: str, text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text) if len(text) <= 40 and "_" not in text and text.isascii() else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ViewError(name, "must be a finite number")
    return value


def reals(name: str, text: str, count: int, what: str) -> tuple[float, ...]:
    """Read so many finite numbers, separated by commas; `what` says which they are."""
    parts = text.split(",")
    if len(parts) != count:
        raise ViewError(name, f"must be {what}")
    return tuple(real(name, part) for part in parts)


def pairs_of(name: str, text: str) -> tuple[tuple[float, float], ...]:
    """Read low,high once, or three times (for red, green and blue)."""
    parts = text.split(",")
    if len(parts) not in (2, 6):
        raise ViewError(name, "must be two numbers: low,high (or six, for red, green and blue)")
    values = [real(name, part) for part in parts]
    found = tuple((values[at], values[at + 1]) for at in range(0, len(values), 2))
    if any(not low < high for low, high in found):
        raise ViewError(name, "low must be below high")
    return found


def frame_name(name: str, text: str) -> str:
    """Read the name of a frame."""
    if not text or "\0" in text or len(text.encode("utf-8", "surrogateescape")) > FRAME_NAME_BYTES_MAX:
        raise ViewError(name, "must be <root name>/<relative path>")
    return text


def flag(name: str, text: str) -> bool:
    """Read a yes or no."""
    if text not in ("0", "1", "false", "true"):
        raise ViewError(name, "must be 0 or 1")
    return text in ("1", "true")


def colour(name: str, text: str) -> int | None:
    """Read a colour, rrggbb or a name; None for "none"."""
    if text == "none":
        return None
    if text in NAMED_COLOURS:
        return NAMED_COLOURS[text]
    if len(text) != 6 or any(digit not in "0123456789abcdefABCDEF" for digit in text):
        raise ViewError(name, "must be rrggbb in hexadecimal, none, or one of " + ", ".join(NAMED_COLOURS))
    return int(text, 16)


def one_of(*allowed: str) -> Read:
    """Read one of some words."""

    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise ViewError(name, "must be one of " + ", ".join(allowed))
        return text

    return read


def in_range(low: int, high: int) -> Read:
    """Read a whole number in [low, high]."""

    def read(name: str, text: str) -> int:
        return whole(name, text, low, high)

    return read


def real_in(low: float, high: float) -> Read:
    """Read a number in [low, high]."""

    def read(name: str, text: str) -> float:
        value = real(name, text)
        if not low <= value <= high:
            raise ViewError(name, f"must lie in {low:g}..{high:g}")
        return value

    return read
