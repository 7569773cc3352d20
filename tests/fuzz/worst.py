"""The worst frames thought of by hand: little bytes that claim, or become, very many."""

import functools
from random import Random
from typing import Final

from tests.core.profile import LONG
from tests.frames.make import BLOCK, card, empty_hdu, header, raw_card, structure
from tests.fuzz.mutate import bomb, cards_of, units
from tests.fuzz.seeds import seeds

TILED: Final = ("RICE f4 SUBTRACTIVE_DITHER_1", "GZIP f8 lossless", "HCOMPRESS u2")[: 3 if LONG else 2]
TILES: Final[dict[str, dict[str, int]]] = {
    "one wide tile": {"ZNAXIS1": 2**28, "ZTILE1": 2**28, "ZNAXIS2": 1, "ZTILE2": 1},
    "one large tile": {"ZNAXIS1": 2**14, "ZTILE1": 2**14, "ZNAXIS2": 2**14, "ZTILE2": 2**14},
    "one deep tile": {
        "ZNAXIS": 3, "ZNAXIS1": 64, "ZTILE1": 64, "ZNAXIS2": 64, "ZTILE2": 64, "ZNAXIS3": 2**16, "ZTILE3": 2**16,
    },
    "a tile that is too large": {"ZNAXIS1": 2**20, "ZTILE1": 2**20, "ZNAXIS2": 2**20, "ZTILE2": 2**20},
    "blocks that are too large": {"ZVAL1": 2**40},
}  # fmt: skip
BOMB_BYTES: Final = 40 << 20


@functools.cache
def worst() -> dict[str, bytes]:
    """Give all of them by name."""
    found = {
        f"{name}, {what}": with_numbers(seeds()[name], numbers) for name in TILED for what, numbers in TILES.items()
    }
    for bitpix, axes in ((8, (6_000, 6_000)), (-64, (1_000_000, 2)), (8, (2, 1_000_000)), (16, (3, 3, 2_000_000))):
        head = header([card("SIMPLE", True), *structure(bitpix, axes)])
        found[f"bomb {bitpix} {axes}"] = bomb(BOMB_BYTES, head)
        found[f"claim {bitpix} {axes}"] = head + bytes(BLOCK)
    if LONG:
        found["bomb of a header"] = bomb(5 * BOMB_BYTES, card("SIMPLE", True) + card("BITPIX", 8))
    found["bomb of extensions"] = bomb(BOMB_BYTES, empty_hdu() + _empty_extension() * 3000)
    found["3000 extensions"] = empty_hdu() + _empty_extension() * 3000
    found["999 axes"] = header([card("SIMPLE", True), *structure(8, (1,) * 999)]) + bytes(BLOCK)
    found["20,000 cards"] = header([card("SIMPLE", True), *structure(8, (9, 9)), *[raw_card("HISTORY &")] * 20_000])
    found["20,000 continued"] = header(
        [card("SIMPLE", True), *structure(8, (9, 9)), card("A", "&"), *[raw_card("CONTINUE  'abcdefgh&'")] * 20_000]
    )
    found["one column"] = header([card("SIMPLE", True), *structure(-32, (1, 2**31 - 1))]) + bytes(9 * BLOCK)
    found["one row"] = header([card("SIMPLE", True), *structure(-32, (2**31 - 1, 1))]) + bytes(9 * BLOCK)
    return found


def with_numbers(frame: bytes, numbers: dict[str, int]) -> bytes:
    """Say other numbers in the last header of a frame."""
    unit = units(frame)[-1]
    kept = [line for line in cards_of(frame, unit.start) or [] if line[:8].decode().rstrip() not in numbers]
    return frame[: unit.start] + header([*kept, *(card(*each) for each in numbers.items())]) + frame[unit.data :]


def _empty_extension() -> bytes:
    return header([card("XTENSION", "IMAGE"), *structure(8, ()), card("PCOUNT", 0), card("GCOUNT", 1)])


def make_frame(seed: int, number: int) -> tuple[bytes, str, Random]:
    """Give them in turn; as the crew's own."""
    name, frame = list(worst().items())[number % len(worst())]
    return frame, name, Random(seed)
