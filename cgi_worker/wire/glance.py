"""Glances: a small coarse picture of all of a plane, for who sees nothing of it yet."""

from typing import Final

import msgspec

from cgi_worker.wire.channels import channels_of
from cgi_worker.wire.facts import Facts, Source
from cgi_worker.wire.recipe import picture_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.tiles import whole_view
from cgi_worker.wire.view import Size, View

GLANCE_PX_MIN: Final = 8_000_000  # The exact picture of fewer pixels is there as soon.
GLANCE_READ_PX: Final = 4_000_000  # So many are read for one, if that is a row of each block; some milliseconds.
PARTS: Final = 2  # A glance has so many times fewer pixels a side than the screen.


def glance_recipe(view: View, fit: tuple[int, int], facts: Facts, source: Source) -> Recipe | None:
    """Settle how a glance at what tiles of a view show is made; None where it would not be there sooner than they.

    fit  the width and height in pixels that all of the picture is to fit into, as it is seen.

    Raises  ViewError when the frame cannot satisfy the view.
    """
    view = whole_view(view)
    channel = channels_of(view, facts)[0]
    if channel.streamed or channel.hdu.width_px * channel.hdu.height_px < GLANCE_PX_MIN:
        return None
    small = msgspec.structs.replace(view, size=Size(max(1, fit[0] // PARTS), max(1, fit[1] // PARTS)))
    return picture_recipe(small, facts, source, read_px=GLANCE_READ_PX)
