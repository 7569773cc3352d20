"""`/tiles/{frame}/{z}/{x}/{y}.jpg`: the tiles of a picture, for viewers that build addresses themselves.

z is 0 for all of the picture in one tile, and each further one shows twice as much detail, up to `levels` - 1 (the
pixels themselves): as in maps on the web. `/tiles/{frame}/tiles.json` tells what there is, and the present version.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from cgi_worker.wire.recipe import MEDIA_TYPES
from cgi_worker.wire.tiles import TILE_PX, TilePlace, TileView
from cgi_worker.wire.view import RowOrder
from imgd.errors import Busy, NoSuchTile, OtherVersion
from imgd.query import read_pairs
from imgd.web.addresses import address_of, number_of
from imgd.web.gone import SECURITY_HEADERS, merged
from imgd.web.problems import Headers
from imgd.web.pyramids import FORMATS, VERSION, Named, Pairs, Pyramid, Pyramids, named_of, stem_of
from imgd.web.reply import IMMUTABLE, Answers, Reply, asker_of, levels_of, matches, read_whole, send_body_less
from imgd.web.seam import Receive, Scope, Send
from imgd.web.tile_cache import Addresses, Hit

TILES_PATH: Final = b"/tiles/"
DOCUMENT: Final = b"/tiles.json"
OF_BODIES: Final = (b"content-type", b"content-length", b"accept-ranges", b"x-imgd-levels")
TRIES: Final = 3  # A frame may be rewritten just while its tile is being made.


Give = Callable[[Pyramid], Awaitable[None]]


class TilesDocument(msgspec.Struct, frozen=True):
    """What a viewer needs to know.

    levels    z is below it.
    template  address of a tile, with {z}, {x} and {y} to be filled in; it names the version, and stays right for it.
    """

    width: int
    height: int
    tile_size: int
    levels: int
    version: str
    formats: tuple[str, ...]
    template: str


class TileServer:
    """Gives tiles, whatever their addresses look like."""

    def __init__(self, answers: Answers, addresses: Addresses, rows: RowOrder) -> None:
        self.answers = answers
        self.addresses = addresses
        self.rows = rows
        self.pyramids = Pyramids(answers.engine)

    def hit(self, scope: Scope) -> Hit | None:
        """Find an answer that needs nobody: of an address that names a version, and was answered before."""
        return self.addresses.find(address_of(scope), asker_of(scope)) if scope["method"] in ("GET", "HEAD") else None

    async def send_hit(self, hit: Hit, scope: Scope, send: Send) -> None:
        """Answer with it."""
        counts = self.answers.counts
        reply = Reply(scope, send)
        asked_etags = reply.request_header(b"if-none-match")
        if asked_etags and matches(asked_etags, hit.etag):
            counts.not_modified_total += 1
            await send_body_less(send, 304, [header for header in hit.headers if header[0] not in OF_BODIES])
        else:
            await reply.whole(hit.headers, hit.body)
            counts.answers_total += 1
            counts.kept_total += 1

    async def settled(self, reply: Reply, named: Named, etag_tail: str) -> bool:
        """Answer by the address alone, if it names a version and its asker has just that; else False.

        Such an answer is right for ever, whatever became of the frame, and tells nothing to who does not have it.
        """
        asked_etags = reply.request_header(b"if-none-match")
        if not (named.version and asked_etags):
            return False
        etag = etag_of(stem_of(named.look, named.version), etag_tail)
        if not matches(asked_etags.replace("*", ""), etag):
            return False
        reply.kept = IMMUTABLE
        await self.answers.not_modified(reply, etag)
        return True

    async def steadily(self, reply: Reply, named: Named, give: Give) -> None:
        """Give something of a pyramid, of one version of the frame: if it is rewritten meanwhile, of the next one.

        Raises  ImgdError; OtherVersion if the address names another version.
        """
        asker = asker_of(reply.scope)
        for _ in range(TRIES):
            pyramid = self.pyramids.remembered(named) or await self.pyramids.find(named, asker)
            try:
                await give(pyramid)
                return
            except OtherVersion:
                if named.version:
                    raise
        raise Busy("the frame is being rewritten; try again in a moment", 1.0, "rewritten")

    async def give(self, reply: Reply, pyramid: Pyramid, place: TilePlace, etag_tail: str) -> None:
        """Answer with a tile.

        Raises  NoSuchTile; OtherVersion if the frame is not what it was when the pyramid was found.
        """
        pyramid.check(place.level, place.column, place.row)
        etag = etag_of(pyramid.stem, etag_tail)
        if pyramid.named.version:
            reply.kept = IMMUTABLE
        if matches(reply.request_header(b"if-none-match"), etag):
            await self.answers.not_modified(reply, etag)
            return
        media_type = MEDIA_TYPES[pyramid.named.view.format]
        if reply.method == "HEAD":
            if pyramid.named.version:  # It may have been remembered, and the frame be another by now.
                await self.pyramids.find(pyramid.named, asker_of(reply.scope))
            await reply.head_only(etag, media_type)
            return
        view = pyramid.named.view
        wanted = TileView(view, place.level, place.column, place.row)
        async with self.answers.engine.render(wanted, asker_of(reply.scope)) as answer:
            if answer.source != pyramid.source:
                raise OtherVersion("the frame has been rewritten; look at the pyramid's document again", VERSION)
            body = await read_whole(answer)
            tile, levels = answer.etag, levels_of(answer.facts)
        headers: Headers = [
            (b"content-type", media_type.encode()),
            (b"etag", etag.encode()),
            (b"cache-control", reply.kept),
            (b"accept-ranges", b"none"),
            (b"content-length", str(len(body)).encode()),
            *([(b"x-imgd-levels", levels)] if levels else []),
            *reply.more_headers,
        ]
        if pyramid.named.version:
            hit = Hit(etag, merged(headers, SECURITY_HEADERS), body)
            self.addresses.remember(address_of(reply.scope), view.frame, tile, hit)
        await reply.whole(headers, body)
        self.answers.counts.answers_total += 1


class Tiles:
    """Answer `/tiles/...`."""

    def __init__(self, server: TileServer) -> None:
        self._server = server

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a tile, or with the document about all of them."""
        await self._server.answers.answer(scope, send, self._answer)

    async def _answer(self, reply: Reply) -> None:
        rest: bytes = reply.scope["raw_path"][len(TILES_PATH) :]
        pairs = tuple(read_pairs(reply.scope["query_string"]))
        if rest.endswith(DOCUMENT):
            await self._document(reply, rest[: -len(DOCUMENT)], pairs)
            return
        *parts, last = rest.rsplit(b"/", 3)
        row, dot, extension = last.partition(b".")
        if len(parts) != 3 or not dot:
            raise NoSuchTile("a tile is at /tiles/FRAME/Z/X/Y.jpg, and what there is at /tiles/FRAME/tiles.json")
        frame, z, x, y = parts[0], number_of(parts[1]), number_of(parts[2]), number_of(row)
        named = named_of(frame, pairs, extension.decode("ascii", "replace"), self._server.rows)
        tail = f"{z}-{x}-{y}"
        if not await self._server.settled(reply, named, tail):

            async def give(pyramid: Pyramid) -> None:
                await self._server.give(reply, pyramid, TilePlace(pyramid.top - z, x, y), tail)

            await self._server.steadily(reply, named, give)

    async def _document(self, reply: Reply, frame: bytes, pairs: Pairs) -> None:
        extension = extension_of(pairs)
        named = named_of(frame, pairs, extension, self._server.rows)
        pyramid = await self._server.pyramids.find(named, asker_of(reply.scope), lasting=True)
        parts = [part for part in reply.scope["query_string"].split(b"&") if part and not part.startswith(b"v=")]
        query = b"&".join([b"v=" + pyramid.version.encode(), *parts]).decode("ascii")
        ref = quote(unquote_to_bytes(frame), safe="/")
        template = f"{reply.scope.get('root_path', '')}/tiles/{ref}/{{z}}/{{x}}/{{y}}.{extension}?{query}"
        document = TilesDocument(
            pyramid.width_px, pyramid.height_px, TILE_PX, pyramid.top + 1, pyramid.version, tuple(FORMATS), template
        )
        body = msgspec.json.encode(document)
        await give_document(self._server.answers, reply, (b"application/json", body), lasts=bool(named.version))


def extension_of(pairs: Pairs) -> str:
    """Tell which tiles a document leads to: `format` says it, else they are JPEG."""
    form = dict(pairs).get("format", "jpg")
    return "jpg" if form == "jpeg" else form


async def give_document(answers: Answers, reply: Reply, document: tuple[bytes, bytes], *, lasts: bool) -> None:
    """Answer with a document (its media type, and itself).

    lasts  its address names the version.
    """
    media_type, body = document
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    reply.kept = IMMUTABLE if lasts else reply.kept
    if matches(reply.request_header(b"if-none-match"), etag):
        await answers.not_modified(reply, etag)
        return
    headers = [
        (b"content-type", media_type),
        (b"etag", etag.encode()),
        (b"cache-control", reply.kept),
        (b"content-length", str(len(body)).encode()),
        *reply.more_headers,
    ]
    await reply.whole(headers, body)
    answers.counts.answers_total += 1


def etag_of(stem: str, tail: str) -> str:
    """Write the validator of a tile: nothing but its address is needed for it, if that names the version."""
    return f'"{stem}.{tail}"'
