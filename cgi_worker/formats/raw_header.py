"""Raw header: the cards of one HDU as they lie in the file, 80 bytes each."""

from typing import Final

from cgi_worker.formats.cards import CARD, Value, read_card
from cgi_worker.formats.octets import Octets
from cgi_worker.formats.sniff import open_octets
from cgi_worker.formats.values import HeaderError, Values, data_bytes
from cgi_worker.wire.failure import StepFailed

BLOCK: Final = 2880
RAW_BYTES_MAX: Final = 8 << 20  # Header bytes of one file, as many as `parse` accepts.
_SIZING: Final = (b"BITPIX", b"NAXIS", b"PCOUNT", b"GCOUNT", b"GROUPS")


def raw_cards(source_fd: int, index: int) -> list[bytes]:
    """Read the cards of HDU `index`, without END and what comes after it.

    Raises  StepFailed("changed") if there is no such HDU: it was there when the file was parsed.
    Cost    the headers up to it; of a gzip file, everything before it is inflated.
    """
    octets = open_octets(source_fd)
    at, left = 0, RAW_BYTES_MAX
    try:
        for _ in range(index):
            cards, end = _cards(octets, at, left)
            left -= end - at
            at = end + -(-data_bytes(_sizing(cards)) // BLOCK) * BLOCK
        return _cards(octets, at, left)[0]
    except HeaderError as error:
        raise StepFailed("changed", f"the headers are not what they were: {error}") from error


def _cards(octets: Octets, at: int, limit_bytes: int) -> tuple[list[bytes], int]:
    """Read one header; tell where its data start."""
    cards: list[bytes] = []
    while len(cards) * CARD < limit_bytes:
        block = octets.read(at, BLOCK)
        at += BLOCK
        for start in range(0, len(block) - CARD + 1, CARD):
            line = block[start : start + CARD]
            if line.startswith(b"END") and not line[3:].strip(b" \0"):
                return cards, at
            cards.append(line)
        if len(block) < BLOCK:
            break
    raise HeaderError("one has no END")


def _sizing(cards: list[bytes]) -> Values:
    """Read the cards that tell how long the data unit is."""
    values: dict[str, Value] = {}
    for line in cards:
        if line.startswith(_SIZING):
            card = read_card(line.decode("latin-1"))
            if card is not None:
                values.setdefault(card.keyword, card.value)
    return values
