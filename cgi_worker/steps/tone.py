"""Tone: settle the levels, then make the 8-bit picture. No pixel that nobody sees is stretched."""

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.greys import BUCKETS, GREYS, lay
from cgi_worker.kernels.sharing import share_out
from cgi_worker.kernels.taps import taps
from cgi_worker.kernels.tone import Extent, Look, tone
from cgi_worker.steps.colours import colours_of, sample_of
from cgi_worker.steps.curve import Curve, at_least, thresholds
from cgi_worker.steps.levels import Channel, Distribution, Level, Samples, distribution, settle_all
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.steps import Tone
from cgi_worker.wire.view import Stretch

Spreads = tuple[Distribution | None, ...]
Planes = Sequence[NDArray[np.float32]]
REMEMBERED_MAX: Final = 6  # Histograms, each about a megabyte a channel: two pictures of three planes.
_read_before: Final[dict[str, Spreads]] = {}
BANDS: Final = 4  # For each thread: so that all end together. But what is begun for one takes time as well:
BAND_SAMPLES_MIN: Final = 131_072
FLOAT32_MAX: Final = 3.4e38
SLOPE_MIN: Final = 1e-37


class Toned(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of a tone step: what is drawn black and white in each channel, and how it is bent between them.

    levels     in data units, one for each channel.
    kind       of the levels that were asked for: auto, zscale, quantiles, cut or channels.
    power      the exponent, if the stretch is that.
    coarse     True: made from `rows_read` of the plane's `rows_all` rows.
    """

    levels: tuple[Level, ...]
    stretch: Stretch
    kind: str
    power: float | None = None
    coarse: bool = False
    rows_read: int = 0
    rows_all: int = 0


class Lying(msgspec.Struct, frozen=True):
    """How a plane lies over source pixels, and about its histogram: what is read of the facts of a reduce step."""

    factor: int
    width_px: int
    height_px: int
    channels: tuple[Channel, ...] = ()
    rows_read: int = 0
    rows_all: int = 0


class Laid(NamedTuple):
    """Planes of one size, one a channel, (R, C) float32 in C order; and what source pixels they are of."""

    planes: Planes
    lying: Lying


class Finish(NamedTuple):
    """What a tone step says about the look beside the levels; as in `Tone`."""

    curve: Curve
    invert: bool
    map: str
    bad: int | None
    under: int | None
    over: int | None


def do(step: Tone, work: Work) -> Made:
    """Make the picture (output 0) of the reduced planes (the first inputs) by their histograms (the others)."""
    lying = msgspec.json.decode(work.input_facts(0), type=Lying)
    planes = [channel for index in range(step.planes) for channel in work.input_array(index)]
    spreads: Spreads = (None,) * len(planes)
    if step.counted:
        spreads = read_spreads(work, range(step.planes, 2 * step.planes))
    samples: tuple[Samples, ...] = (None,) * len(planes)
    if step.sampled:
        samples = read_samples(work, range(2 * step.planes, 3 * step.planes))
    levels = settle_all(step, spreads, samples)
    picture = work.output_array(0)
    draw(step, levels, Laid(planes, lying), picture, threads=work.threads)
    toned = tell(step, levels)
    if lying.rows_read < lying.rows_all:
        toned = msgspec.structs.replace(toned, coarse=True, rows_read=lying.rows_read, rows_all=lying.rows_all)
    return Made((picture.nbytes,), msgspec.json.encode(toned).decode())


def tell(step: Tone, levels: tuple[Level, ...]) -> Toned:
    """Say what is drawn, of a plane all of whose rows were read."""
    kind = str(type(step.levels).__struct_config__.tag)
    return Toned(levels, step.stretch, kind, step.power if step.stretch == "power" else None)


def draw(step: Tone, levels: tuple[Level, ...], laid: Laid, picture: NDArray[np.uint8], *, threads: int = 1) -> None:
    """Fill an 8-bit picture, (height, width) or (height, width, 3) as it is turned, by levels that are settled.

    Cost    about 30 microseconds and what the pixels take; a look that was drawn before is remembered.
    """
    planes, lying = laid
    look = look_of(
        levels, Finish(Curve(step.stretch, step.power), step.invert, step.map, step.bad, step.under, step.over)
    )
    height, width = planes[0].shape
    axes = (
        _taps(lying.height_px, lying.factor, height, step.height_px),
        _taps(lying.width_px, lying.factor, width, step.width_px),
    )
    three = (planes[0], planes[1], planes[2]) if len(planes) == 3 else (planes[0],) * 3
    out = as_stored(step, picture)
    assert out.shape[:2] == (step.height_px, step.width_px)
    count = min(BANDS * threads, -(-picture.size // BAND_SAMPLES_MIN)) if threads > 1 else 1
    rows = -(-step.height_px // count)
    bands = [Extent(len(planes), top, min(top + rows, step.height_px)) for top in range(0, step.height_px, rows)]
    share_out(lambda band: tone(three, axes, look, band, out), bands, threads)


def as_stored(step: Tone, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """See a picture as (rows, columns, samples) in the order in which the source has them: not turned, not mirrored."""
    seen = picture if picture.ndim == 3 else picture[:, :, None]
    if step.turn:
        seen = np.rot90(seen, step.turn // 90)
    return seen[:: -1 if step.flip_v else 1, :: -1 if step.flip_h else 1]


@functools.lru_cache(maxsize=32)
def look_of(levels: tuple[Level, ...], finish: Finish) -> Look:
    """Make the kernel's tables for these levels."""
    channels = len(levels)
    near, slope = np.empty(channels, np.float32), np.empty(channels, np.float32)
    table, deep = np.empty((channels, BUCKETS + 1), np.uint32), np.zeros(1, np.int64)
    found, beyond = np.empty((channels, GREYS), np.float32), np.zeros((2, channels), np.float32)
    for channel, level in enumerate(levels):
        found[channel] = thresholds(finish.curve, level.black, level.white, level.mid)
        near[channel] = min(max(level.black, -FLOAT32_MAX), FLOAT32_MAX)
        slope[channel] = min(max(1.0 / (level.white - level.black), SLOPE_MIN), FLOAT32_MAX)
        lay(found[channel], near[channel], slope[channel], table[channel], deep)
    if finish.under is not None or finish.over is not None:
        black, white = (np.array(ends) for ends in zip(*((level.black, level.white) for level in levels), strict=True))
        beyond = np.stack((at_least(black), -at_least(-white)))
    palette = colours_of(finish.map)
    marks = [sample_of(colour or 0) for colour in (finish.bad, finish.under, finish.over)]
    return Look(
        near,
        slope,
        table,
        found,
        int(deep[0]),
        np.ascontiguousarray(palette[::-1] if finish.invert else palette).copy(),
        int(not finish.invert),
        beyond,
        np.array(marks, np.uint8),
        np.array([1, finish.under is not None, finish.over is not None], np.uint8),
    )


_taps = functools.lru_cache(maxsize=64)(taps)


def read_spreads(work: Work, histograms: range) -> Spreads:
    """Read the histograms (these inputs), or remember them: the same frame with other levels is what comes next."""
    found: list[Distribution | None] = []
    for index in histograms:
        key = work.input_key(index)
        if key not in _read_before:
            counted = msgspec.json.decode(work.input_facts(index), type=Lying)
            histogram = work.input_array(index)
            spreads = tuple(distribution(row, of) for row, of in zip(histogram, counted.channels, strict=True))
            while len(_read_before) >= REMEMBERED_MAX:
                del _read_before[next(iter(_read_before))]
            _read_before[key] = spreads
        found += _read_before[key]
    return tuple(found)


def read_samples(work: Work, samples: range) -> tuple[Samples, ...]:
    """Read what zscale looks at (these inputs): ascending; None where no pixel is good."""
    found = [values[~np.isnan(values)] for values in map(work.input_array, samples)]
    return tuple(values if values.size else None for values in found)
