"""Small recipes with the shape of the real ones, whose keys can be read."""

from typing import Final

from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.recipe import delivered
from cgi_worker.wire.steps import Buffer, Encode, Parse, Read, Recipe, Reduce, Stage, Step, Tone
from cgi_worker.wire.view import AutoLevels, Region
from imgd.core.segment import CAPACITY_BYTES_MIN, capacity_for

UNIT: Final = CAPACITY_BYTES_MIN
_HDU: Final = Hdu(0, "", "image", (64, 64), "i2", 2880, 8192, 64)
READ: Final = Read(_HDU, 0)
REDUCE: Final = Reduce(_HDU, 0, Region(0, 0, 64, 64), 1)
TONE: Final = Tone(64, 64, AutoLevels(), None, "mtf", False, False, False)
ENCODE: Final = Encode("jpeg", 85)


def parse(source: int, result: int = 0) -> Recipe:
    """Two buffers out of one stage."""
    buffers = (Buffer(f"facts{source}", UNIT), Buffer(f"header{source}", UNIT + 1))
    return Recipe((Stage(Parse(), (), (0, 1)),), buffers, result)


def picture(source: int, factor: int = 1, tone: int = 0, quality: int = 0, compressed: bool = False) -> Recipe:
    """Reduce, tone, encode; sources differ in size, and the histogram of one source is that of every factor."""
    size = UNIT * (1 + source % 3)
    buffers = [Buffer(f"read{source}", 3 * size)] if compressed else []
    stages = [Stage(READ, (), (0,))] if compressed else []
    at = len(buffers)
    plane = f"plane{source}/{factor}"
    buffers += [
        Buffer(plane, 2 * size // factor),
        Buffer(f"histogram{source}", UNIT),
        Buffer(f"tone{tone} of {plane}", size // factor + 5),
        Buffer(f"encode{quality} of tone{tone} of {plane}", 2 * size // factor),
    ]
    stages += [
        Stage(REDUCE, tuple(range(at)), (at, at + 1)),
        Stage(TONE, (at, at + 1), (at + 2,)),
        Stage(ENCODE, (at + 2,), (at + 3,)),
    ]
    return Recipe(tuple(stages), tuple(buffers), at + 3)


def single(key: str, size_bytes: int = UNIT, step: Step = ENCODE) -> Recipe:
    """One stage that makes one buffer of its own."""
    return Recipe((Stage(step, (), (0,)),), (Buffer(key, size_bytes),), 0)


def handed_over(recipe: Recipe) -> Recipe:
    """The same, handed to a CGI's standard output."""
    return delivered(recipe, "Status: 200 OK\r\n\r\n")


def whole_bytes(recipe: Recipe) -> int:
    """What a recipe takes of the budget at most."""
    return sum(capacity_for(buffer.size_bytes) for buffer in recipe.buffers)
