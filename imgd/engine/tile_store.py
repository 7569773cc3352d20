"""Encoded tiles in memory: a hit costs no worker."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from cgi_worker.wire.facts import Source

OVERHEAD_BYTES: Final = 400  # What a tile takes besides its bytes.


@dataclass(frozen=True, slots=True)
class KeptTile:
    """An encoded tile, and what was said of its levels (JSON)."""

    body: bytes
    facts: str


@dataclass(frozen=True, slots=True)
class RenderedTile:
    """An encoded tile; see `answer.Answer`."""

    etag: str
    media_type: str
    source: Source
    tile: KeptTile

    @property
    def facts(self) -> str:
        """JSON said by the step that made it."""
        return self.tile.facts

    @property
    def size_bytes(self) -> int:
        """Bytes in all."""
        return len(self.tile.body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the bytes, in one."""
        yield self.tile.body


class TileStore:
    """Keep tiles by their etags, the most recently used ones, within a bound of bytes."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._tiles: OrderedDict[str, KeptTile] = OrderedDict()
        self.size_bytes = 0
        self.hits = 0

    def resize(self, size_bytes_max: int) -> None:
        """Keep so much from now on."""
        self._size_bytes_max = size_bytes_max
        self._let_old_go()

    def __len__(self) -> int:
        return len(self._tiles)

    def find(self, etag: str) -> KeptTile | None:
        """Find a tile; it is then the most recently used."""
        tile = self._tiles.get(etag)
        if tile is not None:
            self._tiles.move_to_end(etag)
            self.hits += 1
        return tile

    def keep(self, etag: str, tile: KeptTile) -> None:
        """Keep a tile; older ones go."""
        if (old := self._tiles.pop(etag, None)) is not None:
            self.size_bytes -= _size_of(old)
        self._tiles[etag] = tile
        self.size_bytes += _size_of(tile)
        self._let_old_go()

    def _let_old_go(self) -> None:
        while self.size_bytes > self._size_bytes_max:
            _, oldest = self._tiles.popitem(last=False)
            self.size_bytes -= _size_of(oldest)


def _size_of(tile: KeptTile) -> int:
    return len(tile.body) + OVERHEAD_BYTES
