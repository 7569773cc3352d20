"""`/iiif/3/{identifier}/...`: the IIIF Image API 3.0, level 2.

An identifier is a frame, percent-encoded with its slashes, and perhaps the parameters of a view after semicolons:
`night%2Fm31.fits;stretch=log;cut=900,2000`. What a region that is one of our tiles shows is that tile.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

import msgspec

from cgi_worker.wire.tiles import TILE_PX, as_stored
from cgi_worker.wire.view import FORMAT_SIDE_PX_MAX, Flip, Size, Turn, View
from imgd.errors import BadRequest, NoSuchFrame
from imgd.query import read_pairs
from imgd.web.addresses import IIIF_PATH, base_url
from imgd.web.gone import with_headers
from imgd.web.iiif_grammar import (
    QUALITIES,
    Box,
    Limits,
    Sized,
    Turned,
    read_region,
    read_rotation,
    read_size,
    tile_of,
)
from imgd.web.problems import Headers
from imgd.web.pyramids import FORMATS, Named, Pairs, Pyramid, named_of
from imgd.web.query import read_known
from imgd.web.reply import IMMUTABLE, Reply, asker_of
from imgd.web.seam import Receive, Scope, Send
from imgd.web.tiles import TileServer, give_document

CONTEXT: Final = "http://iiif.io/api/image/3/context.json"
PROFILE: Final = "http://iiif.io/api/image/3/level2.json"
LINKED_DATA: Final = f'application/ld+json;profile="{CONTEXT}"'.encode()
SIDE_PX_MAX: Final = min(FORMAT_SIDE_PX_MAX[form] for form in FORMATS.values())
BYTES_A_SAMPLE: Final = 25  # Of a picture's plan: its plane at up to twice its size, itself, and its encoded bytes.
OPEN_TO_ALL: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Link, ETag"),
    (b"cross-origin-resource-policy", b"cross-origin"),  # Viewers elsewhere show the pictures as they are.
]
_MIRRORED: Final[dict[Flip, Flip]] = {"none": "h", "h": "none", "v": "hv", "hv": "v"}
_NOT_IN_A_PATH: Final = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@%]")


class Info(msgspec.Struct, frozen=True, rename="camel"):
    """The document about a picture."""

    context: str = msgspec.field(name="@context")
    id: str
    width: int
    height: int
    max_width: int
    max_height: int
    max_area: int
    sizes: tuple[dict[str, int], ...]
    tiles: tuple[dict[str, Any], ...]
    type: str = "ImageService3"
    protocol: str = "http://iiif.io/api/image"
    profile: str = "level2"
    extra_formats: tuple[str, ...] = ("webp",)
    extra_qualities: tuple[str, ...] = ("color", "gray", "bitonal")
    extra_features: tuple[str, ...] = ("canonicalLinkHeader", "mirroring", "profileLinkHeader", "sizeUpscaling")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A picture as its address asks for it. `base` is the address of the picture's service."""

    base: str
    region: str
    size: str
    turned: Turned
    quality: str
    extension: str


class Iiif:
    """Answer `/iiif/...`."""

    def __init__(self, server: TileServer, budget_bytes: int) -> None:
        self._server = server
        self.budget_bytes = budget_bytes

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a picture, or with what there is to know of it; scripts of any origin may read it."""
        send = with_headers(OPEN_TO_ALL, send)
        if scope["method"] == "OPTIONS":
            headers = [(b"access-control-allow-methods", b"GET, HEAD"), (b"access-control-allow-headers", b"*")]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._server.answers.answer(scope, send, self._answer)

    async def _answer(self, reply: Reply) -> None:
        raw_path: bytes = reply.scope["raw_path"]
        read_known(reply.scope["query_string"], ())
        identifier, *parts = raw_path[len(IIIF_PATH) :].split(b"/")
        if not raw_path.startswith(IIIF_PATH) or not identifier:
            raise NoSuchFrame("pictures are at /iiif/3/IDENTIFIER/..., slashes of the identifier encoded")
        if _NOT_IN_A_PATH.search(identifier):
            raise BadRequest("is not percent-encoded as it must be", "identifier")
        base = base_url(reply.scope) + (IIIF_PATH + identifier).decode("ascii")
        match parts:
            case []:
                await self._redirect(reply, base + "/info.json")
            case [b"info.json"]:
                await self._info(reply, identifier, base)
            case [region, size, rotation, last]:
                quality, _, extension = last.decode("latin-1").rpartition(".")
                if quality not in QUALITIES:
                    raise BadRequest("must be one of " + ", ".join(QUALITIES), "quality")
                turned = read_rotation(_text(rotation))
                asked = _Asked(base, _text(region), _text(size), turned, quality, extension)
                await self._picture(reply, self._named(identifier, extension, QUALITIES[quality]), asked)
            case _:
                raise NoSuchFrame("there is nothing here: the slashes of an identifier must be encoded")

    def _named(self, identifier: bytes, extension: str, subsampling: str = "") -> Named:
        frame, *parts = identifier.split(b";")
        if any(b"&" in part for part in parts):
            raise BadRequest("is not percent-encoded as it must be", "identifier")
        pairs: Pairs = tuple(read_pairs(b"&".join(parts).replace(b"+", b"%2B")))  # A plus is one, in a path.
        if subsampling:
            pairs = (*((name, text) for name, text in pairs if name != "subsampling"), ("subsampling", subsampling))
        return named_of(frame, pairs, extension, self._server.rows)

    async def _redirect(self, reply: Reply, to: str) -> None:
        headers = [(b"location", to.encode("ascii")), (b"cache-control", b"no-cache"), (b"content-length", b"0")]
        await reply.send({"type": "http.response.start", "status": 303, "headers": headers})
        await reply.send({"type": "http.response.body", "body": b""})

    async def _info(self, reply: Reply, identifier: bytes, base: str) -> None:
        named = self._named(identifier, "jpg")
        pyramid = await self._server.pyramids.find(named, asker_of(reply.scope))
        limits = self._limits(pyramid)
        sizes = [pyramid.size(level) for level in range(pyramid.top, -1, -1)]
        info = Info(
            CONTEXT, base, pyramid.width_px, pyramid.height_px, limits.side_px, limits.side_px, limits.area_px,
            tuple({"width": width, "height": height} for width, height in sizes if limits.hold(width, height)),
            ({"width": TILE_PX, "height": TILE_PX, "scaleFactors": [1 << level for level in range(pyramid.top + 1)]},),
        )  # fmt: skip
        linked = b"application/ld+json" in reply.request_header(b"accept").encode("latin-1")
        reply.more_headers = [(b"vary", b"Accept"), (b"link", f'<{PROFILE}>;rel="profile"'.encode())]
        media_type = LINKED_DATA if linked else b"application/json"
        document = (media_type, msgspec.json.encode(info))
        await give_document(self._server.answers, reply, document, lasts=bool(named.version))

    async def _picture(self, reply: Reply, named: Named, asked: _Asked) -> None:
        async def give(pyramid: Pyramid) -> None:
            limits = self._limits(pyramid)
            box = read_region(asked.region, pyramid.width_px, pyramid.height_px)
            sized = read_size(asked.size, box, limits)
            whole = box == Box(0, 0, pyramid.width_px, pyramid.height_px)
            usual = read_size("max", box, limits) == Sized(sized.width, sized.height)
            canonical = _canonical(asked, None if whole else box, None if usual else sized, box)
            reply.more_headers = [*_links(canonical), *OPEN_TO_ALL]
            place = tile_of(box, sized, pyramid.width_px, pyramid.height_px)
            if place is not None and asked.turned == Turned(False, 0):
                await self._server.give(reply, pyramid, place, f"l{place.level}-{place.column}-{place.row}")
            else:
                await self._other(reply, pyramid, view_of(pyramid, box, sized, asked.turned))

        await self._server.steadily(reply, named, give)

    async def _other(self, reply: Reply, pyramid: Pyramid, view: View) -> None:
        """Answer with what is no tile."""
        asker = asker_of(reply.scope)
        if pyramid.named.version:  # It may have been remembered.
            pyramid = await self._server.pyramids.find(pyramid.named, asker)
            reply.kept = IMMUTABLE
        reply.source = pyramid.source
        await self._server.answers.give(reply, view, asker)

    def _limits(self, pyramid: Pyramid) -> Limits:
        return Limits(SIDE_PX_MAX, self.budget_bytes // (BYTES_A_SAMPLE * pyramid.channels))


def view_of(pyramid: Pyramid, box: Box, sized: Sized, turned: Turned) -> View:
    """Say as a view what a part of a picture, so large, mirrored and turned, is.

    A picture that is turned already and then mirrored is one that is mirrored and then turned the other way.
    """
    view = pyramid.named.view
    part = as_stored(pyramid.tone, pyramid.stored, (box.left, box.top, box.left + box.width, box.top + box.height))
    is_whole = (part.width_px, part.height_px) == pyramid.stored
    lying = turned.degrees in (90, 270)
    turn = cast(Turn, (turned.degrees + (-view.turn if turned.mirrored else view.turn)) % 360)
    return msgspec.structs.replace(
        view, region=None if is_whole else part, levels_from="plane", turn=turn,
        size=Size(*((sized.height, sized.width) if lying else (sized.width, sized.height)), exact=True),
        flip=_MIRRORED[view.flip] if turned.mirrored else view.flip,
    )  # fmt: skip


def _canonical(asked: _Asked, part: Box | None, sized: Sized | None, box: Box) -> str:
    """Write the one address that a picture has among all that lead to it (section 4.7)."""
    region = f"{part.left},{part.top},{part.width},{part.height}" if part else "full"
    size = "max"
    if sized:
        larger = "^" if sized.width > box.width or sized.height > box.height else ""
        size = f"{larger}{sized.width},{sized.height}"
    rotation = f"{'!' if asked.turned.mirrored else ''}{asked.turned.degrees}"
    return f"{asked.base}/{region}/{size}/{rotation}/{asked.quality}.{asked.extension}"


def _links(canonical: str) -> Headers:
    return [(b"link", f'<{canonical}>;rel="canonical", <{PROFILE}>;rel="profile"'.encode())]


def _text(part: bytes) -> str:
    return unquote_to_bytes(part).decode("latin-1")
