"""Tile: reduce, tone and encode one tile in one go, with nothing in between that anybody else would want."""

import functools
from typing import IO, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.pixels import FLOAT32_MAX
from cgi_worker.kernels.lookup import ENTRIES, look_up
from cgi_worker.steps import reduce
from cgi_worker.steps.colours import sample_of
from cgi_worker.steps.encode import Sink, write
from cgi_worker.steps.levels import Level, settle_all
from cgi_worker.steps.tone import Laid, Lying, as_stored, draw, read_samples, read_spreads, tell
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.recipe import is_colour
from cgi_worker.wire.steps import Reduce, Tile, Tone

SETTLED_MAX: Final = 8  # Looks whose levels are remembered: the tiles of a picture are asked for many times.
_settled: Final[dict[tuple[Tone, int, tuple[str, ...]], tuple[Level, ...]]] = {}


def do(step: Tile, work: Work) -> Made:
    """Write the encoded tile (output 0); its facts are those of a tone step."""
    levels = settle(step, work)
    picture = paint(step, levels, work)
    sink = Sink(work)
    try:
        write(step.encode, picture, cast(IO[bytes], sink))
    finally:
        sink.release()
    return Made((sink.used,), said(step, levels))


def said(step: Tile, levels: tuple[Level, ...]) -> str:
    """Tell the levels as a tone step does: JSON."""
    return msgspec.json.encode(tell(step.tone, levels)).decode()


def paint(step: Tile, levels: tuple[Level, ...], work: Work) -> NDArray[np.uint8]:
    """Draw a tile: (height, width) or (height, width, 3), as it is seen."""
    tone, part, channels = step.tone, step.reduce[0], _channels(step)
    across, down = (tone.height_px, tone.width_px) if tone.turn in (90, 270) else (tone.width_px, tone.height_px)
    picture = np.empty((down, across, 3) if is_colour(tone, channels) else (down, across), np.uint8)
    if step.source == "file" and channels == part.factor == 1 and part.hdu.stored == "i2":
        _look_up(step, levels, work, picture)
    else:
        planes = [plane for at, each in enumerate(step.reduce) for plane in _planes(step, at, each, work)]
        draw(tone, levels, Laid(planes, Lying(1, tone.width_px, tone.height_px)), picture)
    return picture


def _channels(step: Tile) -> int:
    return 3 if len(step.reduce) == 3 or step.reduce[0].cfa else 1


def _planes(step: Tile, at: int, part: Reduce, work: Work) -> list[NDArray[np.float32]]:
    """Make, or cut out, what one reduction of the tile gives: a plane, or three of a Bayer frame."""
    window = step.window
    if step.source == "level":
        level = work.input_array(at)
        down, across = (
            slice(window.y_px, window.y_px + window.height_px),
            slice(window.x_px, window.x_px + window.width_px),
        )
        return [np.ascontiguousarray(plane[down, across]) for plane in level[: len(level) // 2]]
    plane = np.empty((3 if part.cfa else 1, window.height_px, window.width_px), np.float32)
    held = step.source == "plane"
    rows = reduce.open_held(part, work.input_array(at)) if held else reduce.open_once(part, work)
    reduce.reduce_rows(part, rows, reduce.Target(plane), threads=1)
    return list(plane)


def _look_up(step: Tile, levels: tuple[Level, ...], work: Work, picture: NDArray[np.uint8]) -> None:
    """Draw a tile of 16-bit pixels, each of which is a pixel of the tile: without any numbers in between."""
    part, hdu = step.reduce[0], step.reduce[0].hdu
    bare = msgspec.structs.replace(step.tone, width_px=0, height_px=0, flip_h=False, flip_v=False, turn=0)
    table = _table(levels, bare, (hdu.bscale, hdu.bzero, hdu.blank), picture.ndim)
    out = as_stored(step.tone, picture)
    region = part.region
    rows = reduce.open_once(part, work)
    there = min(max(rows.count - region.y_px, 0), region.height_px)
    if there:
        first, right = region.y_px, region.x_px + region.width_px
        lent = rows.lend(first, first + there, region.x_px, right)
        look_up(lent.octets, region.x_px - lent.x_px, rows.swap, table, out[:there])
    out[there:] = sample_of(step.tone.bad or 0)[: out.shape[2]]


@functools.lru_cache(maxsize=8)
def _table(
    levels: tuple[Level, ...], tone: Tone, stored: tuple[float, float, int | None], axes: int
) -> NDArray[np.uint8]:
    """Draw each value that a 16-bit pixel can have, in order: (65536, samples)."""
    scale, zero, blank = stored
    values = scale * np.arange(ENTRIES, dtype=np.float64) + (zero - 32768 * scale)
    if blank is not None:
        values[blank + 32768] = np.nan
    values[~(np.abs(values) <= FLOAT32_MAX)] = np.nan
    plane = values.astype(np.float32).reshape(256, 256)
    laid = Laid([plane], Lying(1, 256, 256))
    drawn = np.empty((256, 256, 3) if axes == 3 else (256, 256), np.uint8)
    draw(msgspec.structs.replace(tone, width_px=256, height_px=256), levels, laid, drawn)
    return drawn.reshape(ENTRIES, -1)


def settle(step: Tile, work: Work) -> tuple[Level, ...]:
    """Settle the levels by the histograms of the whole planes, or remember them."""
    channels = _channels(step)
    first = 0 if step.source == "file" else len(step.reduce)
    count = step.tone.planes if step.tone.counted else 0
    keys = tuple(work.input_key(first + at) for at in range(count))
    look = (msgspec.structs.replace(step.tone, width_px=0, height_px=0), channels, keys)
    if look not in _settled:
        spreads = read_spreads(work, range(first, first + count)) if count else (None,) * channels
        last = first + count
        sampled = read_samples(work, range(last, last + count)) if step.tone.sampled else (None,) * channels
        while len(_settled) >= SETTLED_MAX:
            del _settled[next(iter(_settled))]
        _settled[look] = settle_all(step.tone, spreads, sampled)
    return _settled[look]
