"""Looks: what the tiles of one picture have in common, and how each of them is named."""

import hashlib
from dataclasses import dataclass

from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.tiles import TilePlace, whole_view
from cgi_worker.wire.view import View


@dataclass(frozen=True)
class Look:
    """A frame as somebody looks at it: what its tiles have in common. `digest` names it, and no other."""

    view: View
    facts: Facts
    source: Source
    digest: bytes

    def etag(self, place: TilePlace) -> str:
        """Derive a tile's strong validator."""
        name = b"%b %d %d %d" % (self.digest, place.level, place.column, place.row)
        return f'"{hashlib.sha256(name).hexdigest()[:32]}"'


def look_of(view: View, facts: Facts, source: Source) -> Look:
    """Take a view for what its tiles are of."""
    view = whole_view(view)
    named = repr((view, source)).encode()  # No JSON: a frame's name need not be UTF-8.
    return Look(view, facts, source, hashlib.sha256(named).hexdigest().encode())
