"""Channels: which planes of which HDUs a view is made of."""

from typing import NamedTuple

from cgi_worker.wire.facts import Facts, Hdu
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import Place, Region, View


class Channel(NamedTuple):
    """One plane that a picture is made of: three of them for red, green and blue, or one; a Bayer plane counts as one.

    cfa       its Bayer pattern, if it is to be shown in colour.
    parts     the HDUs that it is put together from, if it is a mosaic.
    """

    hdu: Hdu
    plane: int
    cfa: str | None = None
    parts: tuple[Hdu, ...] = ()

    @property
    def streamed(self) -> bool:
        """Tell whether its rows can only be had from the first one on."""
        return self.hdu.kind == "compressed" and self.hdu.tiling is None


def channels_of(view: View, facts: Facts) -> tuple[Channel, ...]:
    """Find the planes that a view is of.

    Raises  ViewError naming the parameter that the frame cannot satisfy.
    """
    if view.rgb is not None:
        return _three(view.rgb, facts)
    hdu = choose_hdu(view.hdu, facts)
    if view.color == "rgb" and not (len(hdu.shape) >= 3 and hdu.planes == 3):
        raise ViewError("color", f"HDU {hdu.index} has {hdu.planes} plane(s), not the three of a colour picture")
    if hdu.planes == 3 and (view.color == "rgb" or (view.color == "auto" and hdu.rgb and view.plane == 0)):
        return tuple(channel_of(hdu, plane, facts) for plane in range(3))
    return (channel_of(hdu, view.plane, facts, _choose_cfa(view, hdu)),)


def channel_of(hdu: Hdu, plane: int, facts: Facts, cfa: str | None = None) -> Channel:
    """Take one plane of an HDU.

    Raises  ViewError if it has no such plane, or if it is a mosaic whose parts are not all listed.
    """
    if plane >= hdu.planes:
        raise ViewError("plane", f"HDU {hdu.index} has {hdu.planes} plane(s), counted from 0")
    by_index = {each.index: each for each in facts.hdus}
    parts = tuple(by_index[part.hdu] for part in hdu.parts if part.hdu in by_index)
    if len(parts) != len(hdu.parts):
        raise ViewError("hdu", "this mosaic is made of HDUs that are not listed")
    return Channel(hdu, plane, cfa, parts)


def choose_hdu(index: int | None, facts: Facts) -> Hdu:
    """Find the HDU of this index, or the default one.

    Raises  ViewError naming what is wrong with it.
    """
    index = facts.default_hdu if index is None else index
    if index is None:
        reasons = "; ".join(f"HDU {hdu.index}: {hdu.reason}" for hdu in facts.hdus[:8])
        raise ViewError("frame", f"holds no image ({reasons})")
    for hdu in facts.hdus:
        if hdu.index == index:
            if hdu.reason is not None:
                raise ViewError("hdu", f"HDU {index}: {hdu.reason}")
            return hdu
    if index < 0:
        raise ViewError("hdu", "this frame makes no mosaic")
    raise ViewError("hdu", f"there is no HDU {index}; this frame lists {len(facts.hdus)}, counted from 0")


def clip(region: Region | None, hdu: Hdu) -> Region:
    """Cut a region to the plane; None is all of it.

    Raises  ViewError if nothing is left.
    """
    if region is None:
        return Region(0, 0, hdu.width_px, hdu.height_px)
    width = min(region.width_px, hdu.width_px - region.x_px)
    height = min(region.height_px, hdu.height_px - region.y_px)
    if width <= 0 or height <= 0:
        raise ViewError("region", f"lies outside the plane of {hdu.width_px} x {hdu.height_px} pixels")
    return Region(region.x_px, region.y_px, width, height)


def _three(rgb: tuple[Place, ...], facts: Facts) -> tuple[Channel, ...]:
    found = tuple(channel_of(choose_hdu(place.hdu, facts), place.plane, facts) for place in rgb)
    sizes = {(one.hdu.height_px, one.hdu.width_px) for one in found}
    if len(sizes) > 1:
        shown = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise ViewError("rgb", f"the three planes must have the same size; these have {shown}")
    return found


def _choose_cfa(view: View, hdu: Hdu) -> str | None:
    if view.color == "bayer" and hdu.cfa is None:
        raise ViewError("color", "this HDU names no Bayer pattern")
    return None if view.color == "mono" else hdu.cfa
