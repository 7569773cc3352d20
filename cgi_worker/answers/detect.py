"""Detect: find the sources of a field by the sep library, band by band, in bounded memory and time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import sep
from numpy.typing import NDArray

from cgi_worker.answers.field import CHUNK_ROWS, Background, Field
from cgi_worker.formats.rows import Rows
from cgi_worker.kernels.background import crowd, flatten
from cgi_worker.kernels.hfr import FIELDS, REACH_PX, measure_stars
from cgi_worker.wire.failure import StepFailed

BAND_PX: Final = 6 << 20  # Pixels of a band, overlap included: 30 MB, twice that with two threads.
OVERLAP_ROWS: Final = REACH_PX  # On both sides: a star measured in its own band is whole.
WIDTH_PX_MAX: Final = 1 << 16
FOUND_MAX: Final = 200_000  # Sources of a whole field.
PATCHES_MAX: Final = 10_000  # Of a band: what comes next compares each one with all others.
ABOVE_PX_MAX: Final = 400_000  # Pixels above the threshold, of a band.
SPARSE: Final = 0.005  # Up to this part of the pixels above the threshold, telling neighbours apart is cheap.
BOXES_PX_MAX: Final = 15_000_000  # Of the boxes around all patches of a band, each gone through 32 times: a second.
ROUNDS_MAX: Final = 12
_STACK_PX: Final = 500_000  # Pixels above the threshold in patches not yet complete.
_LIMITS: Final = ("pixel buffer full", "deblending overflow", "sub-object")
_START_PX_MAX: Final = 16.0


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found. All in pixels of the field, counted from 0, and in sigmas of its noise.

    found      sep's own numbers of each.
    measured   (n, FIELDS) what `measure_stars` makes of it.
    cut        (n,) bool: reaches further than was looked at.
    threshold  sigmas: that asked for, or higher where there were too many.
    together   some neighbours were not told apart, because that would have taken too long.
    """

    found: NDArray[Any]
    measured: NDArray[np.float64]
    cut: NDArray[np.bool_]
    threshold: float
    together: bool


@dataclass(slots=True)
class _Band:
    """One band in memory; it begins at row `top` and owns the rows [first, last)."""

    plane: NDArray[np.float32]
    flags: NDArray[np.uint8]
    top: int = 0
    end: int = 0
    first: int = 0
    last: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))


def detect(eye: Field, background: Background, threshold: float, *, threads: int = 1) -> Sources:
    """Find all sources that are `threshold` sigmas above the background, at least five pixels each.

    Where there are too many, the threshold is doubled until there are not.

    Raises  StepFailed("too_big") if the field is too wide, or if no threshold helps.
    Memory  BAND_PX at 5 bytes each, twice that with more than one thread, and 40 MB for sep.
    Cost    about 20 ns a pixel. sep holds the GIL, so a second thread can only prepare the next band meanwhile.
    """
    if eye.width > WIDTH_PX_MAX:
        raise StepFailed("too_big", f"stars are found in at most {WIDTH_PX_MAX} columns at once: ask for a region")
    sep.set_extract_pixstack(_STACK_PX)
    for _ in range(ROUNDS_MAX):
        swept = _sweep(eye, background, threshold, threads)
        if isinstance(swept, Sources):
            return swept
        threshold = swept
    raise StepFailed("too_big", "this field is too crowded for stars to be found in it")


def _sweep(eye: Field, background: Background, threshold: float, threads: int) -> Sources | float:
    """Go through all bands; give the threshold to try next if there is too much in one of them."""
    rows = eye.open()
    height = max(BAND_PX // eye.width - 2 * OVERLAP_ROWS, CHUNK_ROWS)
    starts = range(0, eye.height, height)
    room = (min(height + 2 * OVERLAP_ROWS, eye.height), eye.width)
    bands = [_Band(np.empty(room, np.float32), np.empty(room, np.uint8)) for _ in range(min(threads, 2, len(starts)))]
    pieces: list[tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_]]] = []
    together = False
    with ThreadPoolExecutor(1) as pool:

        def order(number: int) -> Callable[[], _Band]:
            before, band = bands[(number - 1) % len(bands)], bands[number % len(bands)]
            limits = (starts[number], min(starts[number] + height, eye.height))

            def prepare() -> _Band:
                return _prepare(eye, background, rows, (before if number else None, band, limits, threshold))

            if len(bands) == 1:
                return prepare
            future: Future[_Band] = pool.submit(prepare)
            return future.result

        ready = order(0)
        for number in range(len(starts)):
            band = ready()
            if number + 1 < len(starts) and len(bands) > 1:
                ready = order(number + 1)
            found = _extract(band, threshold)
            if isinstance(found, float):
                return found
            together |= found[1]
            pieces.append(_measure(band, found[0], eye.height))
            if sum(len(piece[0]) for piece in pieces) > FOUND_MAX:
                return 2.0 * threshold
            if number + 1 < len(starts) and len(bands) == 1:
                ready = order(number + 1)
    found_all, measured, cut = (np.concatenate(list(some)) for some in zip(*pieces, strict=True))
    return Sources(found_all, measured, cut, threshold, together)


def _prepare(
    eye: Field, background: Background, rows: Rows, band_of: tuple[_Band | None, _Band, tuple[int, int], float]
) -> _Band:
    """Fill a band: the rows that the one before had too are taken from it, each other row is converted once."""
    before, band, (first, last), threshold = band_of
    top, end = max(first - OVERLAP_ROWS, 0), min(last + OVERLAP_ROWS, eye.height)
    at = top
    if before is not None:
        at = before.end
        shared = slice(top - before.top, before.end - before.top)
        band.plane[: at - top] = before.plane[shared]
        band.flags[: at - top] = before.flags[shared]
    band.top, band.end, band.first, band.last = top, end, first, last
    band.counts[:] = 0
    scale = np.array([background.noise, eye.full])
    counts = np.zeros(2, np.int64)
    for row in range(at, end, CHUNK_ROWS):
        some = slice(row - top, min(row + CHUNK_ROWS, end) - top)
        eye.fill(rows, row, band.plane[some])
        flatten(band.plane[some], band.flags[some], background.mesh, np.array([row, eye.height]), scale)
        crowd(band.plane[some], threshold, counts)
        band.counts += counts
    return band


def _extract(band: _Band, threshold: float) -> tuple[NDArray[Any], bool] | float:
    """Let sep find what is in a band; tell whether neighbours were left together. Or give a higher threshold."""
    plane = band.plane[: band.end - band.top]
    higher = threshold
    counts = band.counts.copy()
    while counts[0] > ABOVE_PX_MAX or counts[1] > PATCHES_MAX:
        higher *= 2.0
        crowd(plane, higher, counts)
    if higher > threshold:
        return higher
    together = False
    if counts[0] > SPARSE * plane.size:
        patches = _ask(plane, threshold, deblend_nthresh=1, clean=False)
        if patches is None or len(patches) > PATCHES_MAX:
            return 2.0 * threshold
        boxes = (patches["xmax"] - patches["xmin"] + 1) * (patches["ymax"] - patches["ymin"] + 1)
        together = bool(boxes.sum() > BOXES_PX_MAX)
    found = None if together else _ask(plane, threshold)
    if found is None:
        together = True
        found = _ask(plane, threshold, deblend_nthresh=1)
    return (found, together) if found is not None else 2.0 * threshold


def _ask(plane: NDArray[np.float32], threshold: float, **options: Any) -> NDArray[Any] | None:
    """Call sep; None if one of its limits was reached."""
    try:
        found: NDArray[Any] = sep.extract(plane, threshold, minarea=5, **options)
        return found
    except Exception as error:  # sep has no class of its own for this.
        if type(error) is Exception and any(limit in str(error) for limit in _LIMITS):
            return None
        raise


def _measure(
    band: _Band, found: NDArray[Any], height: int
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_]]:
    """Measure those that peak in the band's own rows; the others belong to its neighbours."""
    peak = found["ypeak"] + band.top
    found = found[(peak >= band.first) & (peak < band.last)]
    size = band.end - band.top
    start = np.stack([found["x"], found["y"], np.minimum(found["a"], _START_PX_MAX)], axis=1)
    start = np.ascontiguousarray(np.nan_to_num(start, nan=1.0), np.float64)
    measured = np.zeros((len(found), FIELDS))
    measure_stars(band.plane[:size], band.flags[:size], start, measured)
    measured[:, 1] += band.top
    cut = (found["ymin"] == 0) & (band.top > 0) | (found["ymax"] == size - 1) & (band.end < height)
    for name in ("y", "ymin", "ymax", "ypeak"):
        found[name] += band.top
    return found, measured, cut
