"""Pyramids: what an address names besides the tile itself: which frame, how it looks, in which version."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
import trio

from cgi_worker.wire.channels import Channel, channels_of
from cgi_worker.wire.facts import Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.recipe import count_of, tone_of
from cgi_worker.wire.steps import Tone
from cgi_worker.wire.tiles import LEVEL_MAX, NOT_OF_TILES, TILE_PX, whole_view
from cgi_worker.wire.view import Format, RowOrder, View, view_from_pairs, view_pairs
from imgd.engine.answer import Known
from imgd.errors import BadFrame, BadRequest, NoSuchTile, OtherVersion
from imgd.model import Asker
from imgd.query import decode_text
from imgd.web.seam import Engine

DRAWN: Final = 1  # Raised whenever the same frame comes to be drawn otherwise: what browsers keep for ever is then old.
KEPT_MAX: Final = 512  # Looks of frames that are remembered, some kilobytes each.
ADDRESSES_MAX: Final = 256
YOUNG_S: Final = 0.06  # So long a frame that was just written has no identity that lasts.
YOUNG_TRIES: Final = 3
VERSION: Final = "v"
FORMATS: Final[dict[str, Format]] = {"jpg": "jpeg", "png": "png", "webp": "webp"}

Pairs = tuple[tuple[str, str], ...]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Named:
    """What an address says of a pyramid.

    view     with the order of rows settled.
    look     the view without its frame, as text: equal for equal pictures of one frame.
    version  "" if the address names none.
    """

    view: View
    look: str
    version: str


@dataclass(frozen=True, slots=True)
class Pyramid:
    """All levels of a picture of one version of a frame.

    stem      names this version's looks among all others; tiles of equal stems are equal.
    stored    width and height of level 0 as it is stored; `width_px` and `height_px`: as it is seen.
    tone      how level 0 is turned and flipped.
    channels  1 or 3.
    """

    named: Named
    source: Source
    version: str
    stem: str
    stored: tuple[int, int]
    tone: Tone
    channels: int

    @property
    def width_px(self) -> int:
        """Width of level 0, as it is seen."""
        return self.stored[1] if self.tone.turn in (90, 270) else self.stored[0]

    @property
    def height_px(self) -> int:
        """Height of level 0, as it is seen."""
        return self.stored[0] if self.tone.turn in (90, 270) else self.stored[1]

    @property
    def top(self) -> int:
        """The lowest level that fits into one tile."""
        return max(0, (max(self.stored) - 1) // TILE_PX).bit_length()

    def size(self, level: int) -> tuple[int, int]:
        """Tell width and height of a level, as it is seen."""
        return -(-self.width_px >> level), -(-self.height_px >> level)

    def check(self, level: int, column: int, row: int) -> None:
        """Refuse a tile that there is not.

        Raises  NoSuchTile.
        """
        if not 0 <= level <= LEVEL_MAX:
            raise NoSuchTile("there is no such level")
        width, height = self.size(level)
        if column * TILE_PX >= width or row * TILE_PX >= height:
            counts = f"{-(-width // TILE_PX)} x {-(-height // TILE_PX)}"
            raise NoSuchTile(f"this level has {counts} tiles")


class Pyramids:
    """Finds pyramids, and remembers those that were asked for by version."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[str, str, Source], Pyramid] = OrderedDict()
        self._by_version: OrderedDict[tuple[str, str, str], Pyramid] = OrderedDict()

    def remembered(self, named: Named) -> Pyramid | None:
        """Tell the pyramid of the version that is named, if it was found before; the frame may be another by now."""
        return self._by_version.get((named.view.frame, named.look, named.version)) if named.version else None

    async def find(self, named: Named, asker: Asker, *, lasting: bool = False) -> Pyramid:
        """Look at the frame as it is now.

        lasting  the version is going to be told: a frame that was only just written is waited for.

        Raises  ImgdError; OtherVersion if it is not as the address names it.
        """
        known = await self._engine.look(named.view.frame, asker)
        if lasting or named.version:
            for _ in range(YOUNG_TRIES):
                if known.source.salt == 0:
                    break
                await trio.sleep(YOUNG_S)
                known = await self._engine.look(named.view.frame, asker)
        pyramid = self._made(named, known)
        if named.version:
            self._check_version(named, pyramid)
            _keep(self._by_version, (named.view.frame, named.look, named.version), pyramid)
        return pyramid

    def _made(self, named: Named, known: Known) -> Pyramid:
        key = (named.view.frame, named.look, known.source)
        pyramid = self._kept.get(key)
        if pyramid is None:
            pyramid = _pyramid_of(named, known)
            _keep(self._kept, key, pyramid)
        return pyramid if pyramid.named == named else replace(pyramid, named=named)  # Another version may be named.

    def _check_version(self, named: Named, pyramid: Pyramid) -> None:
        if named.version != pyramid.version:
            raise OtherVersion(
                f"the frame is of version {pyramid.version} now; look at the pyramid's document again", VERSION
            )


def _keep(kept: OrderedDict[Key, Pyramid], key: Key, pyramid: Pyramid) -> None:
    kept[key] = pyramid
    kept.move_to_end(key)
    if len(kept) > KEPT_MAX:
        kept.popitem(last=False)


def _pyramid_of(named: Named, known: Known) -> Pyramid:
    try:
        channels: tuple[Channel, ...] = channels_of(named.view, known.facts)
        hdu = channels[0].hdu
        tone = tone_of(named.view, channels, (hdu.width_px, hdu.height_px))
    except ViewError as error:
        raise (BadFrame if error.parameter == "frame" else BadRequest)(error.text, error.parameter) from error
    version = version_of(known.source, named.view.rows)
    stem = stem_of(named.look, version)
    return Pyramid(named, known.source, version, stem, (hdu.width_px, hdu.height_px), tone, count_of(channels))


def version_of(source: Source, rows: RowOrder) -> str:
    """Name a frame as it is: the same text as long as it is not rewritten, and drawn in the same way."""
    return hashlib.sha256(msgspec.json.encode((DRAWN, rows, source))).hexdigest()[:16]


def stem_of(look: str, version: str) -> str:
    """Name the looks of one version among all others."""
    return hashlib.sha256(f"{version} {look}".encode("utf-8", "surrogateescape")).hexdigest()[:24]


@lru_cache(maxsize=ADDRESSES_MAX)
def named_of(frame: bytes, pairs: Pairs, extension: str, rows: RowOrder) -> Named:
    """Read what an address names.

    frame      as it stands in the address.
    pairs      further parameters, decoded: a view's, but for what is told by the tile; and the version.
    extension  of the picture's file name.

    Raises  BadRequest.
    """
    form = FORMATS.get(extension)
    if form is None:
        raise BadRequest("must be one of " + ", ".join(FORMATS), "format")
    versions = [text for name, text in pairs if name == VERSION]
    if len(versions) > 1:
        raise BadRequest("repeated", VERSION)
    if versions and not (0 < len(versions[0]) <= 64 and versions[0].isascii() and versions[0].isalnum()):
        raise BadRequest("is no version", VERSION)
    for name, text in pairs:
        if name in NOT_OF_TILES:
            raise BadRequest("does not go with tiles", name)
        if name == "format" and FORMATS.get(text, text) != form:
            raise BadRequest(f"is {extension} by the name already", name)
    rest = [(name, text) for name, text in pairs if name not in (VERSION, "format")]
    try:
        view = view_from_pairs([("frame", decode_text(frame)), *rest, ("format", form)])
    except ViewError as error:
        raise BadRequest(error.text, error.parameter) from error
    view = msgspec.structs.replace(whole_view(view), rows=rows if view.rows == "auto" else view.rows)
    look = repr(view_pairs(msgspec.structs.replace(view, frame="-")))
    return Named(view, look, versions[0] if versions else "")
