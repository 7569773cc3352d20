"""Tone: settle the levels, then make the 8-bit picture. No pixel that nobody sees is stretched."""

import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.tone import TABLE, Look, Taps, bend, table_positions, taps, tone
from cgi_worker.steps.levels import Distribution, Level, distribution, settle, stretched
from cgi_worker.steps.reduce import Reduced
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.recipe import Tone
from cgi_worker.wire.view import Stretch

Spreads = tuple[Distribution | None, ...]
REMEMBERED_MAX: Final = 2  # Histograms, each about a megabyte a channel.
_read_before: Final[dict[str, Spreads]] = {}
THREAD_SAMPLES_MIN: Final = 200_000  # Below this a thread takes longer to start than its rows to be made.


class Toned(msgspec.Struct, frozen=True):
    """The facts of a tone step: what is drawn black and white in each channel, and how it is bent between them."""

    levels: tuple[Level, ...]
    stretch: Stretch


def do(step: Tone, work: Work) -> Made:
    """Make the picture (output 0) of the reduced plane (input 0) by its histogram (input 1)."""
    plane = work.input_array(0)
    how = msgspec.json.decode(work.input_facts(0), type=Reduced)
    levels = tuple(settle(step.levels, step.mid, spread) for spread in _spreads(work))
    channels, height, width = plane.shape
    look = Look(
        np.array([level.black for level in levels]),
        np.array([1.0 / (level.white - level.black) for level in levels]),
        tables(step, levels),
        int(step.flip_h),
        int(step.flip_v),
        int((height, width) == (step.height_px, step.width_px)),
        0,
        step.height_px,
    )
    axes = (
        taps(how.height_px, how.factor, height, step.height_px),
        taps(how.width_px, how.factor, width, step.width_px),
    )
    picture = work.output_array(0)
    _on_threads(plane, axes, look, picture.reshape(step.height_px, step.width_px, channels), threads=work.threads)
    return Made((picture.nbytes,), msgspec.json.encode(Toned(levels, step.stretch)).decode())


def _on_threads(
    plane: NDArray[np.float32], axes: tuple[Taps, Taps], look: Look, picture: NDArray[np.uint8], *, threads: int
) -> None:
    """Share the rows out; each is made by one thread, so that the picture does not depend on how many there are."""
    helpers = min(threads, 1 + picture.size // THREAD_SAMPLES_MIN) - 1
    edges = [look.last * n // (helpers + 1) for n in range(helpers + 2)]
    bands = [look._replace(first=first, last=last) for first, last in pairwise(edges)]
    if not helpers:
        tone(plane, axes, bands[0], picture)
        return
    with ThreadPoolExecutor(helpers) as pool:
        others = [pool.submit(tone, plane, axes, band, picture) for band in bands[1:]]
        tone(plane, axes, bands[0], picture)
        for other in others:
            other.result()


def _spreads(work: Work) -> Spreads:
    """Read the histogram (input 1), or remember it: the same frame with other levels is what comes next."""
    key = work.input_key(1)
    if key not in _read_before:
        counted = msgspec.json.decode(work.input_facts(1), type=Reduced)
        histogram = work.input_array(1)
        spreads = tuple(distribution(row, of) for row, of in zip(histogram, counted.channels, strict=True))
        while len(_read_before) >= REMEMBERED_MAX:
            del _read_before[next(iter(_read_before))]
        _read_before[key] = spreads
    return _read_before[key]


@functools.lru_cache(maxsize=8)
def _bent(stretch: Stretch) -> NDArray[np.float64]:
    """Remember the stretch of the table's positions: it is the same for every picture."""
    bent = stretched(stretch, table_positions())
    bent.flags.writeable = False
    return bent


def tables(step: Tone, levels: tuple[Level, ...]) -> NDArray[np.uint8]:
    """Compute each channel's grey values, (channels, TABLE) uint8, by the bins of the kernel's table."""
    bent = _bent(step.stretch)
    made = np.empty((len(levels), TABLE), np.uint8)
    for row, level in zip(made, levels, strict=True):
        bend(bent, level.mid, int(step.invert), row)
    return made
