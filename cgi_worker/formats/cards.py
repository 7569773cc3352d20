"""FITS header cards: 80 bytes to keyword, value, comment and unit. What breaks the rules survives as text."""

import re
from typing import Final

import msgspec

CARD: Final = 80
_LONG_MAX: Final = 32_768  # Characters of a joined long string; more CONTINUE cards stay cards of their own.
_WHOLE_MAX: Final = 2**53  # Beyond it a browser's numbers lose digits, so it stays text.

Value = bool | int | float | str | None


class Card(msgspec.Struct, frozen=True):
    """One header card; long strings joined from their CONTINUE cards.

    value  None where the card leaves it undefined; text for numbers that JSON or a browser could not hold.
    unit   the "[unit]" at the start of the comment, which keeps it; "" without one.
    """

    keyword: str
    value: Value
    comment: str = ""
    unit: str = ""


def read_card(line: str) -> Card | None:
    """Read one card of 80 characters; None for a blank one."""
    if line[8:10] == "= ":
        return _with_value(line[:8].rstrip(), line[10:])
    if line.startswith("HIERARCH ") and "=" in line:
        keyword, _, rest = line[9:].partition("=")
        return _with_value(keyword.strip(), rest)
    if not line.strip():
        return None
    return Card(line[:8].rstrip(), _printable(line[8:].rstrip()))


def continued(card: Card, line: str) -> Card | None:
    """Join a CONTINUE card to the long string before it; None if there is nothing to be continued."""
    if not (line.startswith("CONTINUE  ") and isinstance(card.value, str) and card.value.endswith("&")):
        return None
    more = _with_value("CONTINUE", line[8:])
    if not isinstance(more.value, str) or len(card.value) + len(card.comment) > _LONG_MAX:
        return None
    comment = f"{card.comment} {more.comment}".strip()
    return Card(card.keyword, card.value[:-1] + more.value, comment, card.unit or more.unit)


def _with_value(keyword: str, field: str) -> Card:
    match = _FIELD.match(field)
    if match is None:  # An open quotation mark: nothing after it can be told apart.
        return Card(keyword, _printable(field.strip()))
    quoted, bare, comment = match.groups()
    comment = _printable(comment.strip()) if comment else ""
    unit = _UNIT.match(comment)
    value = _read_bare(bare.strip()) if quoted is None else _printable(quoted.replace("''", "'").rstrip())
    return Card(keyword, value, comment, unit.group(1).strip() if unit else "")


def _read_bare(text: str) -> Value:
    if text in ("T", "F"):
        return text == "T"
    if not text:
        return None
    if _WHOLE.match(text):
        whole = int(text)
        return whole if abs(whole) <= _WHOLE_MAX else text
    if _REAL.match(text):
        real = float(text.replace("D", "E").replace("d", "e"))
        return real if abs(real) <= 1.7e308 else text
    return _printable(text)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


_FIELD: Final = re.compile(r" *(?:'((?:[^']|'')*)'|([^'/][^/]*|)) *(?:/(.*))?$", re.DOTALL)
_UNIT: Final = re.compile(r"\[([^\]]*)\]")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+\Z")
_REAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[EDed][+-]?[0-9]+)?\Z")
