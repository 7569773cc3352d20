"""Which tile is the answer at an address that names a version: found without asking anybody but the store of tiles."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from imgd.model import Asker
from imgd.web.problems import Headers

ADDRESSES_MAX: Final = 4_096  # About 2 kB each.
ADDRESSES_MIN: Final = 40  # Tiles that fill a screen.
TILE_BYTES: Final = 16_384  # Few tiles take less: more addresses than there can be tiles are of no use.
ADDRESS_BYTES_MAX: Final = 1_024  # A longer one is not remembered.

MaySee = Callable[[str, Asker], bool]
FindTile = Callable[[str], bytes | None]


def everybody(frame: str, asker: Asker) -> bool:
    """Let everybody see every frame: nobody is asked for a ticket yet."""
    return True


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that is whole: its head and its body."""

    etag: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class AddressStatistics:
    """What is remembered, and what it was good for."""

    addresses: int
    hits_total: int


@dataclass(frozen=True, slots=True)
class _Known:
    tile: str
    frame: str
    etag: str
    headers: Headers


class Addresses:
    """Remembers answers' heads; their bodies are the engine's, in its one bounded store.

    Each address names the version of its frame: what is found is never out of date.
    Whoever asks is looked at each time.
    """

    def __init__(self, find_tile: FindTile, may_see: MaySee = everybody, *, tiles_bytes: int) -> None:
        """Make it.

        tiles_bytes  of tiles that are kept at most.
        """
        self._find_tile = find_tile
        self._may_see = may_see
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._hits_total = 0
        self.resize(tiles_bytes)

    def resize(self, tiles_bytes: int) -> None:
        """Remember as many as are good for so many bytes of tiles."""
        self._most = min(ADDRESSES_MAX, max(ADDRESSES_MIN, tiles_bytes // TILE_BYTES))
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def statistics(self) -> AddressStatistics:
        """Sum up."""
        return AddressStatistics(len(self._known), self._hits_total)

    def find(self, address: bytes, asker: Asker) -> Hit | None:
        """Find the answer at an address, if its tile is still kept and this asker may see the frame."""
        known = self._known.get(address)
        if known is None or not self._may_see(known.frame, asker):
            return None
        body = self._find_tile(known.tile)
        if body is None:
            del self._known[address]
            return None
        self._known.move_to_end(address)
        self._hits_total += 1
        return Hit(known.etag, known.headers, body)

    def remember(self, address: bytes, frame: str, tile: str, hit: Hit) -> None:
        """Give this answer at an address that names a version, for as long as the tile (its etag) is kept."""
        if len(address) <= ADDRESS_BYTES_MAX:
            self._known[address] = _Known(tile, frame, hit.etag, hit.headers)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
