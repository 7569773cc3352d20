"""Query strings, read strictly: what is malformed is refused, what is repeated is seen, and no byte is lost."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from imgd.errors import BadRequest

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NOT_PLAIN: Final = re.compile(rb"[^\x21-\x7e]")


def read_pairs(query: bytes) -> list[tuple[str, str]]:
    """Decode `name=value&...` into pairs, in order, repetitions kept; "+" is a space, as in forms.

    Raises  BadRequest for a bad percent escape, raw bytes beyond ASCII, or a part without "=".
    """
    pairs: list[tuple[str, str]] = []
    for part in query.split(b"&") if query else ():
        name, equals, value = part.partition(b"=")
        shown = decode_text(name) if not _BAD_ESCAPE.search(name) else name.decode("ascii", "replace")
        if not equals:
            raise BadRequest("must be given as name=value", shown[:64])
        if not is_encoded(part):
            raise BadRequest("is not percent-encoded as it must be", shown[:64])
        pairs.append((shown, decode_text(value.replace(b"+", b" "))))
    return pairs


def is_encoded(text: bytes) -> bool:
    """Tell whether a text is percent-encoded as it must be."""
    return not (_BAD_ESCAPE.search(text) or _NOT_PLAIN.search(text))


def decode_text(encoded: bytes) -> str:
    """Decode percent escapes; bytes that are not UTF-8 survive as lone surrogates, as os.fsdecode has them."""
    return unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")
