"""Recipes: which steps make which buffers for a view; the same for the daemon and for a worker alone."""

import math
from typing import Any, Final, Literal

import msgspec

from cgi_worker.wire.facts import FACTS_BYTES_MAX, HEADER_BYTES_MAX, Facts, Hdu, Source
from cgi_worker.wire.view import SIDE_PX_MAX, WEBP_SIDE_PX_MAX, Cut, Format, Levels, Region, Stretch, View, ViewError

BINS: Final = 65_536
FACTOR_MAX: Final = 4096  # A row band of this many rows still sums 16-bit counts exactly in uint64.
MEDIA_TYPES: Final[dict[Format, str]] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class Parse(msgspec.Struct, frozen=True, tag="parse", tag_field="step", forbid_unknown_fields=True):
    """File -> facts (JSON, `facts.Facts`), header (JSON: every card with value, comment and unit)."""


class Read(msgspec.Struct, frozen=True, tag="read", tag_field="step", forbid_unknown_fields=True):
    """File -> one full-size plane, native byte order, for sources without random access."""

    hdu: Hdu
    plane: int


class Reduce(msgspec.Struct, frozen=True, tag="reduce", tag_field="step", forbid_unknown_fields=True):
    """File, or the plane that `Read` made -> reduced plane, histogram, in one pass over the source.

    region  in source pixels, inside the plane.
    factor  source pixels per output side; even for a Bayer cell, or 1 for full demosaicing.
    cfa     pattern of the 2x2 cell at the plane's first pixel for three channels R, G, B; None for one.
    Outputs plane (channels, R, C) float32 in data units, NaN where no pixel is good;
            histogram (channels, BINS) uint64 counts. The step's facts tell the bins' values.
    """

    hdu: Hdu
    plane: int
    region: Region
    factor: int
    cfa: str | None = None


class Tone(msgspec.Struct, frozen=True, tag="tone", tag_field="step", forbid_unknown_fields=True):
    """Reduced plane, histogram -> 8-bit picture (height, width) or (height, width, 3)."""

    width_px: int
    height_px: int
    levels: Levels
    mid: float | None
    stretch: Stretch
    invert: bool
    flip_h: bool
    flip_v: bool


class Encode(msgspec.Struct, frozen=True, tag="encode", tag_field="step", forbid_unknown_fields=True):
    """8-bit picture -> encoded bytes, in growing chunks."""

    format: Format
    quality: int


class Deliver(msgspec.Struct, frozen=True, tag="deliver", tag_field="step", forbid_unknown_fields=True):
    """Encoded bytes -> the descriptor handed over with the todo list, as a CGI/1.1 answer.

    head  the CGI header block, its empty line included; `{bytes}` in it stands for how many bytes follow.
    """

    head: str


Step = Parse | Read | Reduce | Tone | Encode | Deliver


class Buffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A result that a step will write: its key, its worst-case bytes, its array layout ("" for bytes).

    kept  False for what nobody will ask for again: its segment is used for something else as soon as it is idle.
    """

    key: str
    size_bytes: int
    dtype: Literal["", "u1", "u2", "i2", "i4", "i8", "f4", "f8", "u8"] = ""
    shape: tuple[int, ...] = ()
    kept: bool = True


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step with the buffers, by index, that it reads and writes."""

    step: Step
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps in order; each buffer is written by one step, before any that reads it. `result` is the answer."""

    stages: tuple[Stage, ...]
    buffers: tuple[Buffer, ...]
    result: int


def parse_recipe(source: Source, result: int = 1) -> Recipe:
    """Find out what a frame holds: buffer 0 is the facts, buffer 1 the header; `result` tells which is asked for."""
    buffers = (
        Buffer(_key("facts", source, {}), FACTS_BYTES_MAX),
        Buffer(_key("header", source, {}), HEADER_BYTES_MAX),
    )
    return Recipe((Stage(Parse(), (), (0, 1)),), buffers, result)


def picture_recipe(view: View, facts: Facts, source: Source) -> Recipe:
    """Requalify a view with its frame's facts: every "auto" settled, every size known.

    Raises  ViewError when the frame cannot satisfy the view; nothing is half-made.
    """
    hdu = choose_hdu(view, facts)
    if view.plane >= hdu.planes:
        raise ViewError("plane", f"HDU {hdu.index} has {hdu.planes} plane(s), counted from 0")
    region = _clip(view.region, hdu)
    cfa = _choose_cfa(view, hdu)
    width, height = fit(view, region)
    factor = _choose_factor(region, (width, height), cfa)
    channels = 3 if cfa else 1
    buffers: list[Buffer] = []
    stages: list[Stage] = []
    where = {"hdu": hdu.index, "plane": view.plane}
    inputs: tuple[int, ...] = ()
    if hdu.kind == "compressed":
        size = hdu.height_px * hdu.width_px * int(hdu.stored[1])
        buffers.append(Buffer(_key("read", source, where), size, hdu.stored, (hdu.height_px, hdu.width_px)))
        stages.append(Stage(Read(hdu, view.plane), (), (0,)))
        inputs = (0,)
    place = where | {"region": msgspec.to_builtins(region), "cfa": cfa}
    reduced = (channels, math.ceil(region.height_px / factor), math.ceil(region.width_px / factor))
    plane_at = len(buffers)
    buffers.append(Buffer(_key("reduce", source, place | {"factor": factor}), math.prod(reduced) * 4, "f4", reduced))
    buffers.append(Buffer(_key("histogram", source, place), channels * BINS * 8, "u8", (channels, BINS)))
    reduce = Reduce(hdu, view.plane, region, factor, cfa)
    stages.append(Stage(reduce, inputs, (plane_at, plane_at + 1)))
    tone = Tone(
        width, height, view.levels, _settle_mid(view), view.stretch, view.invert,
        flip_h="h" in view.flip, flip_v=("v" in view.flip) != (not hdu.top_down),
    )  # fmt: skip
    tone_key = _key("tone", source, place | {"factor": factor, "tone": msgspec.to_builtins(tone)})
    shape = (height, width, 3) if cfa else (height, width)
    buffers.append(Buffer(tone_key, math.prod(shape), "u1", shape, kept=False))
    stages.append(Stage(tone, (plane_at, plane_at + 1), (plane_at + 2,)))
    encode = Encode(view.format, view.quality)
    encode_key = _key("encode", source, {"of": tone_key, "encode": msgspec.to_builtins(encode)})
    buffers.append(Buffer(encode_key, 2 * math.prod(shape) + 65_536))  # Noise at quality 100 stays below 2 B a sample.
    stages.append(Stage(encode, (plane_at + 2,), (plane_at + 3,)))
    return Recipe(tuple(stages), tuple(buffers), result=plane_at + 3)


def delivered(recipe: Recipe, head: str) -> Recipe:
    """Add the step that hands the result to a CGI's standard output."""
    stage = Stage(Deliver(head), (recipe.result,), ())
    return msgspec.structs.replace(recipe, stages=(*recipe.stages, stage))


def choose_hdu(view: View, facts: Facts) -> Hdu:
    """Find the HDU that a view names, or the default one.

    Raises  ViewError naming what is wrong with it.
    """
    index = facts.default_hdu if view.hdu is None else view.hdu
    if index is None:
        reasons = "; ".join(f"HDU {hdu.index}: {hdu.reason}" for hdu in facts.hdus[:8])
        raise ViewError("frame", f"holds no image ({reasons})")
    for hdu in facts.hdus:
        if hdu.index == index:
            if hdu.reason is not None:
                raise ViewError("hdu", f"HDU {index}: {hdu.reason}")
            return hdu
    raise ViewError("hdu", f"there is no HDU {index}; this frame lists {len(facts.hdus)}, counted from 0")


def fit(view: View, region: Region) -> tuple[int, int]:
    """Compute the picture's (width, height) in pixels: the largest in the view's box, aspect kept, not enlarged."""
    width, height = region.width_px, region.height_px
    scale = min(
        1.0,
        (view.size.width_px or width) / width,
        (view.size.height_px or height) / height,
    )
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    side_max = WEBP_SIDE_PX_MAX if view.format == "webp" else SIDE_PX_MAX
    if max(fitted) > side_max:
        raise ViewError("size", f"{view.format} holds at most {side_max} pixels a side; this would be {max(fitted)}")
    return fitted


def _clip(region: Region | None, hdu: Hdu) -> Region:
    if region is None:
        return Region(0, 0, hdu.width_px, hdu.height_px)
    width = min(region.width_px, hdu.width_px - region.x_px)
    height = min(region.height_px, hdu.height_px - region.y_px)
    if width <= 0 or height <= 0:
        raise ViewError("region", f"lies outside the plane of {hdu.width_px} x {hdu.height_px} pixels")
    return Region(region.x_px, region.y_px, width, height)


def _choose_cfa(view: View, hdu: Hdu) -> str | None:
    if view.color == "bayer" and hdu.cfa is None:
        raise ViewError("color", "this HDU names no Bayer pattern")
    return None if view.color == "mono" else hdu.cfa


def _choose_factor(region: Region, size: tuple[int, int], cfa: str | None) -> int:
    factor = min(region.width_px // size[0], region.height_px // size[1], FACTOR_MAX)
    factor = max(1, factor)
    return factor - factor % 2 if cfa and factor > 1 else factor


def _settle_mid(view: View) -> float | None:
    """With levels of one's own, or a stretch of one's own, the midtone is neutral unless asked for."""
    if view.mid is None and (view.stretch != "mtf" or isinstance(view.levels, Cut)):
        return 0.5
    return view.mid


def _key(what: str, source: Source, parameters: dict[str, Any]) -> str:
    whole = {"made": what, "source": msgspec.to_builtins(source), **parameters}
    return msgspec.json.encode(whole, order="sorted").decode()
