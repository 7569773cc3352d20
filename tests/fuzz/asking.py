"""Ask a frame for everything: its header, pictures, a tile, each question. Refusals are answers, too."""

import io
import json
import os
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.facts import FACTS_BYTES_MAX, HEADER_BYTES_MAX
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.question import question_from_pairs
from cgi_worker.wire.tiles import tile_from_pairs
from cgi_worker.wire.view import view_from_pairs
from cgi_worker.wire.wanted import Wanted

BUFFERS_BYTES_MAX: Final = 256 << 20  # Half of what the daemon has, unless it is given more.
ALWAYS: Final = (
    "img?size=200,200", "tile?level=0&x=0&y=0", "pixel?x=1&y=1&box=5", "profile?line=1,1,40,30&width=3",
    "region?shape=circle&numbers=20,15,12", "stats?", "histogram?bins=64", "stars?", "wcs?", "export?format=fits",
)  # fmt: skip
SOMETIMES: Final = (
    "img?size=max&format=png", "img?size=30,&color=auto&levels=zscale&stretch=asinh", "img?size=20,20&pool=max",
    "img?size=max&turn=90&flip=h&color=bayer", "img?color=rgb&neutral=1&size=50,", "img?rgb=0:0,0:2,0:1&link=1",
    "img?region=3,5,20,11&size=max&map=viridis&bad=red", "img?cut=0,1000&mid=0.2&format=webp&size=64,64",
    "img?size=1,1&exact=0&format=avif", "tile?level=3&x=0&y=0&color=mono", "tile?level=5&x=0&y=0&turn=180",
    "tile?level=1&x=0&y=0&levels=0.1,0.9&format=png", "pixel?x=30&y=20", "profile?line=1.5,30,60,2&width=1",
    "region?shape=rect&numbers=10,10,500,500", "region?shape=annulus&numbers=20,15,3,9", "stats?color=auto",
    "stats?region=2,3,10,10", "histogram?bins=7&low=0.1&high=0.9&region=0,0,9,9", "stars?threshold=1&count=5000",
    "stars?region=0,0,30,30", "wcs?at=5.5,7", "wcs?sky=10.5,41.25", "wcs?step=5", "export?format=npy",
    "export?format=png&region=1,1,30,20", "export?format=tiff", "export?region=5,5,10,10",
)  # fmt: skip
FEW: Final = ("img?size=200,200", "pixel?x=1&y=1", "stars?region=0,0,30,30", "stars?", "export?region=0,0,9,9")
_READERS: Final[dict[str, Callable[[list[tuple[str, str]]], Wanted]]] = {
    "img": view_from_pairs, "tile": tile_from_pairs,
}  # fmt: skip

Say = Callable[[str], None]


class Unsound(Exception):
    """An answer that is none."""


def ask_all(frame: bytes, random: Random, say: Say) -> tuple[int, int]:
    """Ask for everything; count the answers and the refusals.

    say  told of each question before it is asked.

    Raises  whatever is not a refusal.
    """
    descriptor = os.memfd_create("frame")
    try:
        os.write(descriptor, frame)
        hdus = ["", "", *_ask_header(descriptor, say)]
        asked = [each + random.choice(("", "&rows=down")) if each.startswith("img") else each for each in ALWAYS]
        for each in random.sample(SOMETIMES, 5):
            plane = random.choice(("", "", "&plane=1", "&plane=2"))
            asked.append(each + ("" if "rgb=" in each else random.choice(hdus) + plane))
        answers = [_ask(descriptor, target, random.choice((1, 1, 2)), say) for target in asked]
        return sum(answers), len(answers) - sum(answers)
    finally:
        os.close(descriptor)


def ask_few(frame: bytes, random: Random, say: Say) -> tuple[int, int]:
    """Ask for what takes most: of frames that take long. As `ask_all`."""
    descriptor = os.memfd_create("frame")
    try:
        os.write(descriptor, frame)
        _ask_header(descriptor, say)
        answers = [_ask(descriptor, target, 1, say) for target in FEW]
        return sum(answers), len(answers) - sum(answers)
    finally:
        os.close(descriptor)


def wanted_of(target: str) -> Wanted:
    """Read what is asked for, as it would stand in an address."""
    name, _, query = target.partition("?")
    pairs = [("frame", "f/x"), *((key, value) for key, _, value in (one.partition("=") for one in query.split("&")))]
    pairs = [(key, value) for key, value in pairs if key]
    return _READERS[name](pairs) if name in _READERS else question_from_pairs(name, pairs)


def _ask_header(descriptor: int, say: Say) -> list[str]:
    say("header")
    try:
        document = alone.header(descriptor, limit_bytes=BUFFERS_BYTES_MAX)
    except StepFailed as error:
        _check_words(error.text)
        return []
    if len(document) > HEADER_BYTES_MAX + FACTS_BYTES_MAX:
        raise Unsound(f"a header of {len(document)} bytes")
    hdus = json.loads(document)["frame"]["hdus"]
    return [f"&hdu={'mosaic' if hdu['index'] < 0 else hdu['index']}" for hdu in hdus[:40]]


def _ask(descriptor: int, target: str, threads: int, say: Say) -> bool:
    say(target)
    try:
        octets, media_type, facts = alone.render(
            descriptor, wanted_of(target), threads, limit_bytes=BUFFERS_BYTES_MAX
        )  # fmt: skip
    except (StepFailed, ViewError) as error:
        _check_words(error.text)
        return False
    _check(octets, media_type)
    msgspec.json.decode(facts)
    return True


def _check(octets: bytes, media_type: str) -> None:
    """See that an answer is what it says."""
    match media_type:
        case "application/json":
            json.loads(octets, parse_constant=_refuse)
        case "application/fits":
            if len(octets) % 2880 or not octets.startswith(b"SIMPLE  ="):
                raise Unsound("an export that is no FITS file")
        case "application/octet-stream":
            if not octets.startswith(b"\x93NUMPY"):
                raise Unsound("an export that is no npy file")
        case _:
            Image.open(io.BytesIO(octets)).load()


def _check_words(text: str) -> None:
    if "/proc/" in text or "/home" in text or "Traceback" in text or not text.strip():
        raise Unsound(f"a refusal that says {text!r}")


def _refuse(name: str) -> Any:
    raise Unsound(f"{name} in an answer")
