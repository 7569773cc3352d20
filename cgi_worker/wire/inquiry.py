"""Inquiries: the recipe of an answer that is no picture."""

from typing import Final

import msgspec

from cgi_worker.wire.channels import Channel, channel_of, channels_of, choose_hdu, clip
from cgi_worker.wire.facts import Facts, Hdu, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.question import (
    EXPORT_PX_MAX,
    SHAPE_PX_MAX,
    Export,
    Histogram,
    Pixel,
    Profile,
    Question,
    Shape,
    Sky,
    Stars,
    Stats,
)
from cgi_worker.wire.recipe import Making, key, picture_recipe
from cgi_worker.wire.steps import Buffer, Measure, Read, Recipe, Reduce
from cgi_worker.wire.view import Region, View

ANSWER_BYTES_MAX: Final = 4 << 20  # Of an answer in JSON.
EXPORT_HEADER_BYTES_MAX: Final = 4 << 20  # A header as long as one may be that is listed.


def question_recipe(question: Question, facts: Facts, source: Source) -> Recipe:
    """Settle which steps answer a question.

    Raises  ViewError when the frame cannot answer it.
    """
    making = Making(source)
    match question:
        case Stats() | Histogram():
            return _from_histograms(question, facts, source)
        case Pixel() | Profile() | Shape() | Stars() | Sky() | Export():
            channel = channel_of(choose_hdu(question.hdu, facts), question.plane, facts)
    settled = _settle(question, channel.hdu)
    return making.recipe(
        making.add(Measure(settled, channel.hdu, channel.parts), (), _buffer(settled, channel, source))
    )


def _settle(question: Question, hdu: Hdu) -> Question:
    """Fill in what depends on the HDU, and check what it bounds."""
    hdu_named = msgspec.structs.replace(question, frame="", hdu=hdu.index)
    match hdu_named:
        case Stars(region=region):
            return msgspec.structs.replace(hdu_named, region=clip(region, hdu))
        case Export(region=region):
            clipped = clip(region, hdu)
            if clipped.width_px * clipped.height_px > EXPORT_PX_MAX:
                raise ViewError("region", f"at most {EXPORT_PX_MAX >> 20} Mi pixels are exported at once")
            return msgspec.structs.replace(hdu_named, region=clipped)
        case Pixel(x=x, y=y) if x > hdu.width_px or y > hdu.height_px:
            raise ViewError("x" if x > hdu.width_px else "y", f"the plane has {hdu.width_px} x {hdu.height_px} pixels")
        case Shape(numbers=numbers, shape=shape):
            reach = numbers[2:4] if shape == "rect" else (2 * numbers[-1], 2 * numbers[-1])
            if min(reach[0], hdu.width_px) * min(reach[1], hdu.height_px) > SHAPE_PX_MAX:
                words = f"a shape covers at most {SHAPE_PX_MAX >> 20} Mi pixels; `/stats` of a rectangle has no limit"
                raise ViewError("numbers", words)
        case Sky() if not hdu.has_wcs:
            raise ViewError("hdu", f"HDU {hdu.index} has no world coordinates")
    return hdu_named


def _from_histograms(question: Stats | Histogram, facts: Facts, source: Source) -> Recipe:
    """Ask the histograms that a picture of the same region has, or will have."""
    view = View("", hdu=question.hdu, plane=question.plane, region=question.region, color=question.color)
    picture = picture_recipe(view, facts, source)
    channels = channels_of(view, facts)
    making = Making(source)
    histograms = []
    for stage in picture.stages:
        if isinstance(stage.step, Read | Reduce):
            first = making.add(stage.step, stage.inputs, *(picture.buffers[at] for at in stage.outputs))
            histograms += [first + 1] if isinstance(stage.step, Reduce) else []
    settled = msgspec.structs.replace(
        question, frame="", hdu=channels[0].hdu.index, region=clip(question.region, channels[0].hdu)
    )
    buffer = _buffer(settled, channels[0], source)
    return making.recipe(making.add(Measure(settled, channels[0].hdu, ()), tuple(histograms), buffer))


def _buffer(question: Question, channel: Channel, source: Source) -> Buffer:
    size = ANSWER_BYTES_MAX
    if isinstance(question, Export):
        region = question.region or Region(0, 0, channel.hdu.width_px, channel.hdu.height_px)
        pixels = region.width_px * region.height_px
        size = EXPORT_HEADER_BYTES_MAX + 2 * pixels * max(int(channel.hdu.stored[1]), 4)
    return Buffer(key("answer", source, {"to": msgspec.to_builtins(question)}), size)
