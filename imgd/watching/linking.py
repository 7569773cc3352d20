"""Frames that change with no notice of their own names: links, symbolic and hard, whose file is written elsewhere."""

from typing import Final

import trio

from imgd.watching.place import Sighting
from imgd.watching.presence import Presence

LINKS_S: Final = 2.0


async def follow_links(presence: Presence) -> None:
    """Look every two seconds at what links lead to, until cancelled; what differs is looked into."""
    while True:
        await trio.sleep(LINKS_S)
        before = dict(presence.links)
        if not before:
            continue
        try:
            seen = await presence.look(*before)
        except OSError:
            continue  # No descriptors left, say: the next time, perhaps.
        for path, sighting in zip(before, seen, strict=True):
            if presence.links.get(path) != before[path]:
                continue  # It went, or was looked into, meanwhile.
            if isinstance(sighting, Sighting) and sighting.identity != before[path]:
                presence.links[path] = sighting.identity
                presence.found(sighting)
            elif sighting is None and before[path]:
                presence.gone(path)
                presence.led_nowhere(path)
