"""Colours: the colour maps as tables, from the library that keeps them."""

import functools

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.greys import GREYS
from cgi_worker.wire.maps import COLOUR_MAPS


def load_maps() -> None:
    """Load all maps, for workers to be forked afterwards: they may not be able to read the files."""
    for name in COLOUR_MAPS:
        colours_of(name)


@functools.cache
def colours_of(name: str) -> NDArray[np.uint8]:
    """Give a map's colours, (256, 3) uint8, by grey; "" gives the greys themselves."""
    if name:
        from cmap import Colormap  # noqa: PLC0415 - takes a tenth of a second, and few pictures need it.

        table = np.floor(Colormap(COLOUR_MAPS[name]).lut(GREYS)[:, :3] * 255 + 0.5).astype(np.uint8)
    else:
        table = np.repeat(np.arange(GREYS, dtype=np.uint8)[:, None], 3, axis=1)
    table.flags.writeable = False
    return table


def sample_of(colour: int) -> tuple[int, int, int]:
    """Split 0xRRGGBB."""
    return colour >> 16 & 0xFF, colour >> 8 & 0xFF, colour & 0xFF
