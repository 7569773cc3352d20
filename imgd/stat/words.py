"""Figures as short words, in as many columns as there are."""

import unicodedata
from collections.abc import Iterable, Sequence

_UNITS = ("B", "K", "M", "G", "T")


def size_text(size_bytes: float) -> str:
    """Write a size in at most five characters; K is 1024 bytes."""
    for unit in _UNITS:
        if size_bytes < 999.5 or unit == _UNITS[-1]:
            break
        size_bytes /= 1024
    return f"{size_bytes:.0f}{unit}" if size_bytes >= 9.95 or unit == "B" else f"{size_bytes:.1f}{unit}"


def rate_text(per_s: float | None) -> str:
    """Write a rate; "-" while it is not known."""
    if per_s is None:
        return "-"
    return f"{per_s:.0f}" if per_s >= 9.95 or per_s == 0 else f"{per_s:.1f}"


def share_text(part: float, whole: float) -> str:
    """Write a share in per cent; "-" of nothing."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def age_text(seconds: float) -> str:
    """Write how long something has been so."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    if seconds < 36_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} d"


def plain(text: str) -> str:
    """Keep names from giving orders to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns_of(text: str) -> int:
    """Count the columns that a text takes."""
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """Cut a text to a number of columns, and say with a `~` that it was cut."""
    if columns_of(text) <= width:
        return text
    kept, room = [], max(width - 1, 0)
    for char in text:
        room -= _columns(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "~"[:width]


def padded(text: str, width: int) -> str:
    """Cut or fill a text to exactly a number of columns."""
    text = fitted(text, width)
    return text + " " * (width - columns_of(text))


def flowed(label: str, items: Iterable[str], width: int) -> list[str]:
    """Write items after a label, on as many lines as they take."""
    indent = 9 if width >= 60 else 2
    lines = [padded(label, indent - 1) + " "] if width >= 60 else [label + " "]
    *others, last = items
    for item in [*(f"{other}," for other in others), last]:
        if columns_of(lines[-1]) + columns_of(item) > width and columns_of(lines[-1]) > indent:
            lines.append(" " * indent)
        lines[-1] += item + " "
    return [fitted(line.rstrip(), width) for line in lines]


def bar(parts: Sequence[tuple[str, float]], whole: float, width: int) -> str:
    """Draw parts of a whole, each by its own sign; a part that is there at all is seen."""
    signs = ""
    for sign, part in parts:
        share = part / whole * width if whole > 0 else 0.0
        signs += sign * max(round(share), int(part > 0))
    return signs[:width].ljust(width)
