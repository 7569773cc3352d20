"""`/dzi/...`: the same tiles as a Deep Zoom image, for viewers that know that format.

`/dzi/{frame}.dzi` is its document, `/dzi/{frame}_files/{level}/{x}_{y}.jpg` are the tiles. Level 0 is one pixel, and
each further one shows twice as much detail. The query says the same for both; viewers hand it on.
"""

from typing import Final

from cgi_worker.wire.tiles import TILE_PX, TilePlace
from imgd.errors import NoSuchTile
from imgd.query import read_pairs
from imgd.web.addresses import number_of
from imgd.web.pyramids import Pairs, Pyramid, named_of
from imgd.web.reply import Reply, asker_of
from imgd.web.seam import Receive, Scope, Send
from imgd.web.tiles import TileServer, extension_of, give_document

DZI_PATH: Final = b"/dzi/"
DOCUMENT: Final = b".dzi"
FILES: Final = b"_files"


class DeepZoom:
    """Answer `/dzi/...`."""

    def __init__(self, server: TileServer) -> None:
        self._server = server

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a tile, or with the document about all of them."""
        await self._server.answers.answer(scope, send, self._answer)

    async def _answer(self, reply: Reply) -> None:
        rest: bytes = reply.scope["raw_path"][len(DZI_PATH) :]
        pairs = tuple(read_pairs(reply.scope["query_string"]))
        if rest.endswith(DOCUMENT):
            await self._document(reply, rest[: -len(DOCUMENT)], pairs)
            return
        folder, *parts = rest.rsplit(b"/", 2)
        name, dot, extension = parts[-1].partition(b".") if parts else (b"", b"", b"")
        column, underscore, row = name.partition(b"_")
        if len(parts) != 2 or not folder.endswith(FILES) or not (dot and underscore):
            raise NoSuchTile("a Deep Zoom image is at /dzi/FRAME.dzi, its tiles at /dzi/FRAME_files/LEVEL/X_Y.jpg")
        zoom, x, y = number_of(parts[0]), number_of(column), number_of(row)
        frame = folder[: -len(FILES)]
        named = named_of(frame, pairs, extension.decode("ascii", "replace"), self._server.rows)
        tail = f"d{zoom}-{x}-{y}"
        if not await self._server.settled(reply, named, tail):

            async def give(pyramid: Pyramid) -> None:
                await self._server.give(reply, pyramid, TilePlace(zoom_max(pyramid) - zoom, x, y), tail)

            await self._server.steadily(reply, named, give)

    async def _document(self, reply: Reply, frame: bytes, pairs: Pairs) -> None:
        extension = extension_of(pairs)
        named = named_of(frame, pairs, extension, self._server.rows)
        pyramid = await self._server.pyramids.find(named, asker_of(reply.scope), lasting=bool(named.version))
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="{extension}" Overlap="0"'
            f' TileSize="{TILE_PX}"><Size Width="{pyramid.width_px}" Height="{pyramid.height_px}"/></Image>\n'
        ).encode()
        await give_document(self._server.answers, reply, (b"application/xml", body), lasts=bool(named.version))


def zoom_max(pyramid: Pyramid) -> int:
    """Tell the Deep Zoom level of the pixels themselves: all of the picture is one pixel at its level 0."""
    return (max(pyramid.stored) - 1).bit_length()
