"""Recipes: which steps make which buffers for a view; the same for the daemon and for a worker alone."""

import math
from typing import Any, Final

import msgspec

from cgi_worker.wire.channels import Channel, channels_of, clip
from cgi_worker.wire.facts import FACTS_BYTES_MAX, HEADER_BYTES_MAX, Facts, Source
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.steps import (
    BINS,
    SAMPLES,
    Buffer,
    Deliver,
    Encode,
    Parse,
    Read,
    Recipe,
    Reduce,
    Sample,
    Stage,
    Tone,
)
from cgi_worker.wire.view import FORMAT_SIDE_PX_MAX, Cut, Format, Mid, PerChannel, Region, View, Zscale

FACTOR_MAX: Final = 4096  # A row band of this many rows still sums 16-bit counts exactly in uint64.
COARSE_PX_MIN: Final = 150_000_000  # A plane of more pixels is shown coarse first, to who accepts that.
COARSE_READ_PX: Final = 40_000_000  # So many are read for it.
MEDIA_TYPES: Final[dict[Format, str]] = {
    "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif",
}  # fmt: skip


def parse_recipe(source: Source, result: int = 1) -> Recipe:
    """Find out what a frame holds: buffer 0 is the facts, buffer 1 the header; `result` tells which is asked for."""
    buffers = (
        Buffer(key("facts", source, {}), FACTS_BYTES_MAX),
        Buffer(key("header", source, {}), HEADER_BYTES_MAX),
    )
    return Recipe((Stage(Parse(), (), (0, 1)),), buffers, result)


def picture_recipe(view: View, facts: Facts, source: Source, *, read_px: int = 0) -> Recipe:
    """Requalify a view with its frame's facts: every "auto" settled, every size known.

    read_px  of each plane so many pixels will do, in rows that lie apart; 0: that is for the view to say.

    Raises  ViewError when the frame cannot satisfy the view; nothing is half-made.
    """
    channels = channels_of(view, facts)
    region = clip(view.region, channels[0].hdu)
    size, factor = _fit(view, region, channels[0].cfa)
    making = Making(source)
    tone = tone_of(view, channels, size)
    coarse = _reduce_of(view, channels[0], region, factor, read_px=read_px).taken > 0
    tone = msgspec.structs.replace(tone, sampled=tone.sampled and not coarse)
    elsewhere = tone.counted and view.levels_from == "plane" and region != clip(None, channels[0].hdu)
    planes, histograms = [], []
    for channel in channels:
        step = _reduce_of(view, channel, region, factor, read_px=read_px)
        plane, histogram = reduced(making, channel, step, counted=tone.counted and not elsewhere)
        planes.append(plane)
        histograms += histogram
    made = {"tone": msgspec.to_builtins(tone), "of": [making.buffers[at].key for at in planes]}
    if elsewhere:
        histograms += histograms_of(making, view, facts)
        made["counted"] = [making.buffers[at].key for at in histograms]
    samples = samples_of(making, channels, None if elsewhere else region) if tone.sampled else ()
    toned = making.add(
        tone, (*planes, *histograms, *samples), tone_buffer(source, tone, is_colour(tone, count_of(channels)), made)
    )
    encode = Encode(view.format, view.quality, view.subsampling)
    # Noise at quality 100 stays below 2 bytes a sample.
    size_bytes = 2 * making.buffers[toned].size_bytes + 65_536
    how = {"of": making.buffers[toned].key, "encode": msgspec.to_builtins(encode)}
    result = making.add(encode, (toned,), Buffer(key("encode", source, how), size_bytes))
    return making.recipe(result)


def delivered(recipe: Recipe, head: str) -> Recipe:
    """Add the step that hands the result to a CGI's standard output."""
    stage = Stage(Deliver(head), (recipe.result,), ())
    return msgspec.structs.replace(recipe, stages=(*recipe.stages, stage))


class Making:
    """A recipe while it is being written."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.buffers: list[Buffer] = []
        self._stages: list[Stage] = []

    def add(self, step: Any, inputs: tuple[int, ...], *outputs: Buffer) -> int:
        """Add a step and what it writes, once; return the index of the first of these buffers."""
        for stage in self._stages if outputs else ():
            if tuple(self.buffers[at] for at in stage.outputs) == outputs:
                return stage.outputs[0]
        first = len(self.buffers)
        self.buffers += outputs
        self._stages.append(Stage(step, inputs, tuple(range(first, len(self.buffers)))))
        return first

    def recipe(self, result: int) -> Recipe:
        """End it."""
        return Recipe(tuple(self._stages), tuple(self.buffers), result)


def reduced(making: Making, channel: Channel, step: Reduce, *, counted: bool) -> tuple[int, list[int]]:
    """Add the reduction of one channel; return the indices of its plane, and of its histogram if it is wanted."""
    inputs: tuple[int, ...] = ()
    hdu, region = step.hdu, step.region
    whole = (region.width_px, region.height_px) == (hdu.width_px, hdu.height_px)
    if channel.streamed and not whole:  # It has no random access, and who looks at a part will look at others.
        inputs = (read(making, channel),)
    count = 3 if step.cfa else 1
    shape = (
        count * (2 if step.counted else 1),
        -(-region.height_px // step.factor),
        -(-region.width_px // step.factor),
    )
    where = _where(step)
    how = {"factor": step.factor, "pool": step.pool, "counted": step.counted}
    buffers = [Buffer(key("reduce", making.source, where | how), math.prod(shape) * 4, "f4", shape)]
    if counted:
        buffers.append(Buffer(key("histogram", making.source, where), count * BINS * 8, "u8", (count, BINS)))
    plane = making.add(step, inputs, *buffers)
    return plane, [plane + 1] if counted else []


def samples_of(making: Making, channels: tuple[Channel, ...], region: Region | None) -> tuple[int, ...]:
    """Add what takes zscale's sample of each channel, of its whole plane if no region is given; return the indices."""
    return tuple(_sampled(making, channel, clip(region, channel.hdu)) for channel in channels)


def _sampled(making: Making, channel: Channel, region: Region) -> int:
    hdu = channel.hdu
    whole = (region.width_px, region.height_px) == (hdu.width_px, hdu.height_px)
    inputs = (read(making, channel),) if channel.streamed and not whole else ()
    where = {"hdu": hdu.index, "plane": channel.plane, "region": msgspec.to_builtins(region)}
    buffer = Buffer(key("sample", making.source, where), SAMPLES * 8, "f8", (SAMPLES,))
    return making.add(Sample(hdu, channel.plane, region, channel.parts), inputs, buffer)


def histograms_of(making: Making, view: View, facts: Facts) -> tuple[int, ...]:
    """Add the reductions of the whole planes that an overview needs as well; return the histogram of each plane.

    A plane that is more than one of the colours is reduced once; its histogram is returned as often as it is shown.
    """
    bare = View(view.frame)
    overview = msgspec.structs.replace(
        view, region=None, size=bare.size, exact=True, levels=bare.levels, levels_from="region", mid=None
    )
    recipe = picture_recipe(overview, facts, making.source)
    found: dict[int, int] = {}
    for stage in recipe.stages:
        if isinstance(stage.step, Reduce):
            found[stage.outputs[1]] = 1 + making.add(stage.step, (), *(recipe.buffers[at] for at in stage.outputs))
    (toned,) = (stage for stage in recipe.stages if isinstance(stage.step, Tone))
    return tuple(found[at] for at in toned.inputs[len(toned.inputs) // 2 :])


def read(making: Making, channel: Channel) -> int:
    """Add the reading of a full-size plane; return its index."""
    hdu = channel.hdu
    shape = (hdu.height_px, hdu.width_px)
    where = {"hdu": hdu.index, "plane": channel.plane}
    buffer = Buffer(key("read", making.source, where), math.prod(shape) * int(hdu.stored[1]), hdu.stored, shape)
    return making.add(Read(hdu, channel.plane), (), buffer)


def tone_of(view: View, channels: tuple[Channel, ...], size: tuple[int, int]) -> Tone:
    """Settle how a picture of this size, before it is turned, is toned."""
    hdu = channels[0].hdu
    top_down = view.rows == "down" if hdu.top_down is None else hdu.top_down
    mid = _settle_mid(view)
    several = count_of(channels) == 3
    given = isinstance(view.levels, Cut) or (isinstance(view.levels, PerChannel) and isinstance(view.levels.red, Cut))
    if isinstance(view.levels, PerChannel) and not several:
        raise ViewError("levels", "three pairs are for colour; this picture has one channel")
    if isinstance(mid, tuple) and not several:
        raise ViewError("mid", "three midtones are for colour; this picture has one channel")
    if view.map and several:
        raise ViewError("map", "a colour map is for pictures of one channel; color=mono makes this one of them")
    counted = not (given and mid is not None and not view.neutral)
    return Tone(
        *size, view.levels, mid, view.stretch, view.invert,
        flip_h="h" in view.flip, flip_v=("v" in view.flip) != (not top_down), turn=view.turn,
        power=view.power if view.stretch == "power" else 2.0, link=several and (view.link or view.neutral),
        neutral=several and view.neutral, map=view.map, bad=view.bad, under=view.under, over=view.over,
        planes=3 if len(channels) == 3 else 1, counted=counted,
        sampled=isinstance(view.levels, Zscale) and all(channel.cfa is None for channel in channels),
    )  # fmt: skip


def count_of(channels: tuple[Channel, ...]) -> int:
    """Count the channels of a picture: a Bayer plane makes three."""
    return 3 if len(channels) == 3 or channels[0].cfa is not None else 1


def is_colour(tone: Tone, channels: int) -> bool:
    """Tell whether the picture of so many channels has three samples a pixel."""
    marks = [mark for mark in (tone.bad, tone.under, tone.over) if mark is not None]
    grey = all(mark >> 16 == mark >> 8 & 0xFF == mark & 0xFF for mark in marks)
    return channels == 3 or tone.map != "" or not grey


def tone_buffer(source: Source, tone: Tone, colour: bool, made: dict[str, Any]) -> Buffer:
    """Describe the buffer of the 8-bit picture."""
    height, width = tone.height_px, tone.width_px
    if tone.turn in (90, 270):
        height, width = width, height
    shape = (height, width, 3) if colour else (height, width)
    return Buffer(key("tone", source, made), math.prod(shape), "u1", shape, kept=False)


def picture_size(recipe: Recipe) -> tuple[int, int]:
    """Tell the width and height in pixels of the picture that a recipe makes, as it is seen."""
    tone = next(stage.step for stage in recipe.stages if isinstance(stage.step, Tone))
    return (tone.height_px, tone.width_px) if tone.turn in (90, 270) else (tone.width_px, tone.height_px)


def _reduce_of(view: View, channel: Channel, region: Region, factor: int, *, read_px: int) -> Reduce:
    pixels = region.width_px * region.height_px
    if not read_px and not view.exact and pixels >= COARSE_PX_MIN:
        read_px = COARSE_READ_PX
    taken = 0
    if read_px and factor > 1 and not channel.streamed:
        taken = max(1, factor * read_px // pixels)
        taken += taken % 2 if channel.cfa else 0
        taken = taken if taken < factor else 0
    return Reduce(channel.hdu, channel.plane, region, factor, channel.cfa, view.pool, taken, channel.parts)


def _where(step: Reduce) -> dict[str, Any]:
    """Name what a histogram depends on."""
    region = msgspec.to_builtins(step.region)
    coarse = {"taken": step.taken, "factor": step.factor} if step.taken else {}
    return {"hdu": step.hdu.index, "plane": step.plane, "region": region, "cfa": step.cfa, **coarse}


def _fit(view: View, region: Region, cfa: str | None) -> tuple[tuple[int, int], int]:
    """Compute the picture's (width, height) in pixels before it is turned, and the factor to reduce by."""
    width, height = fit(view, region)
    if view.pool == "max":  # Each block is a pixel: averaging them afterwards would take the spots away again.
        across, down = _box(view, region)
        factor = max(1, -(-region.width_px // across), -(-region.height_px // down))
        factor += factor % 2 if cfa and factor > 1 else 0
        if factor > FACTOR_MAX:
            raise ViewError("size", f"maxima are taken of at most {FACTOR_MAX} x {FACTOR_MAX} pixels")
        if view.size.exact:
            return (width, height), factor  # Enlarged a little: the spots stay.
        return (-(-region.width_px // factor), -(-region.height_px // factor)), factor
    factor = max(1, min(region.width_px // width, region.height_px // height, FACTOR_MAX))
    return (width, height), factor - factor % 2 if cfa and factor > 1 else factor


def fit(view: View, region: Region) -> tuple[int, int]:
    """Compute the (width, height) in pixels, before turning: the largest in the view's box, aspect kept, not enlarged.

    A size that is exact is the box itself.

    Raises  ViewError when the format cannot hold it.
    """
    across, down = _box(view, region)
    width, height = region.width_px, region.height_px
    scale = min(1.0, across / width, down / height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    if view.size.exact:
        fitted = across, down
    limit = FORMAT_SIDE_PX_MAX[view.format]
    if max(fitted) > limit:
        raise ViewError("size", f"{view.format} holds at most {limit} pixels a side; this would be {max(fitted)}")
    return fitted


def _box(view: View, region: Region) -> tuple[int, int]:
    """Tell the box that the picture must fit before it is turned; a side left free is as long as the region."""
    box = view.size.width_px, view.size.height_px
    across, down = reversed(box) if view.turn in (90, 270) else box
    return across or region.width_px, down or region.height_px


def _settle_mid(view: View) -> Mid | None:
    """With levels of one's own, or a stretch of one's own, the midtone is neutral unless asked for."""
    cut = isinstance(view.levels, Cut) or (isinstance(view.levels, PerChannel) and isinstance(view.levels.red, Cut))
    return 0.5 if view.mid is None and (view.stretch != "mtf" or cut) else view.mid


def key(what: str, source: Source, parameters: dict[str, Any]) -> str:
    """Name a buffer by what was computed, from which source, with which parameters."""
    whole = {"made": what, "source": msgspec.to_builtins(source), **parameters}
    return msgspec.json.encode(whole, order="sorted").decode()
