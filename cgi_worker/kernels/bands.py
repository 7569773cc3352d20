"""Bands: a pass over source rows on threads, each taking the next band as it becomes free.

The result does not depend on how many there are.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.counts import collect
from cgi_worker.kernels.floats import reduce_floats
from cgi_worker.kernels.hands import HANDS
from cgi_worker.kernels.means import FACTOR_MAX, reduce_means
from cgi_worker.kernels.narrow import reduce_narrow
from cgi_worker.kernels.reduce import (
    BINS,
    F4,
    FULL,
    HIGHEST,
    I2,
    LOWEST,
    SQUARES,
    SUM,
    TABLES,
    TOP,
    Grid,
    Into,
    Scaling,
)
from cgi_worker.kernels.wide import reduce_wide

BAND_PX: Final = 1 << 20  # A band takes about a millisecond; the same bands whatever the threads.
BANDS_LONG: Final = (
    4  # So much longer are bands at most where nothing is borrowed for them: each costs some time to begin.
)
BANDS_LEFT: Final = 8  # There are still as many as this while they are longer, so that threads end together.
AHEAD: Final = 2  # Bands of a stream that wait for a hand; who reads it works on what is more than that.
# What passes counted with, (TABLES, BINS + 1), empty again: the next pass need not fill fresh pages with zeros.
# Counters of a pass that failed are not among them.
COUNTERS: Final = deque[NDArray[np.uint32]](maxlen=2)
COUNTED_MAX: Final = 2**32 - 1  # What counters hold; they are emptied before they could overflow.


class Piece(Protocol):
    """Some rows as they are lent: (rows, bytes) uint8, and the column of the plane at which they begin."""

    @property
    def octets(self) -> NDArray[np.uint8]:
        """Stored pixels."""

    @property
    def x_px(self) -> int:
        """Column of the first of them."""


class Lender(Protocol):
    """Rows that can be had a few at a time; `in_order`: each once, in order, and not by two threads at once."""

    @property
    def in_order(self) -> bool:
        """Tell whether it is a stream."""

    def lend(self, first: int, last: int, left: int, right: int) -> Piece:
        """Lend rows [first, last) with at least the columns [left, right)."""


class Pass(NamedTuple):
    """What is passed over: a region of a plane.

    rows   lend its rows.
    x, y   column and row of the plane at which the region begins.
    apart  True: each block row is borrowed for itself, as rows between those that are taken cost something.
    begun  what was borrowed before of a stream: the first band's rows.
    """

    rows: Lender
    x: int
    y: int
    apart: bool = False
    begun: Piece | None = None


class Counted(NamedTuple):
    """What was counted in all bands.

    histogram  (channels, BINS) uint64; blank pixels included (narrow), bad pixels excluded (wide).
    the others (channels,) float64, of the good pixels (wide only): sum, sum of squares about the bins' centre, minimum
               and maximum (inf and -inf if there is none), number of full ones.
    """

    histogram: NDArray[np.uint64]
    totals: NDArray[np.float64]
    squares: NDArray[np.float64]
    minima: NDArray[np.float64]
    maxima: NDArray[np.float64]
    full: NDArray[np.float64]


def bands(grid: Grid, *, apart: bool = False) -> list[Grid]:
    """Cut a pass over all block rows into bands, by what is read of them."""
    row_px, first, cut = grid.taken * grid.width, grid.first, []
    while first < grid.last:
        left_px = (grid.last - first) * row_px
        size_px = BAND_PX if apart else min(max(BAND_PX, left_px // BANDS_LEFT), BANDS_LONG * BAND_PX)
        height = 1 if apart and grid.taken < grid.factor else max(1, size_px // row_px)
        last = min(first + height, grid.last)
        cut.append(grid._replace(first=first, last=last))
        first = last
    return cut


def borrow(band: Grid, over: Pass) -> Piece:
    """Borrow the rows of one band."""
    first = band.first * band.factor
    last = min((band.last - 1) * band.factor + band.taken, band.rows)
    return over.rows.lend(over.y + first, over.y + last, over.x, over.x + band.width)


def reduce_bands(over: Pass, grid: Grid, scaling: Scaling, plane: NDArray[np.float32], *, threads: int) -> Counted:
    """Reduce block rows [grid.first, grid.last) into `plane`, and count them.

    grid    its `x` is set anew for each band, from what is lent.
    plane   (channels or twice as many, R, C) float32; not touched if grid.pooling is NOTHING, nor outside these rows.

    Raises  what lending raises; some of the plane is written then.
    Memory  up to 2 MB a thread if counting, and what is lent.
    """
    cut = bands(grid, apart=over.apart)
    sums = np.zeros((len(cut), 5, 4))
    sums[:, LOWEST], sums[:, TOP] = np.inf, -np.inf
    turns = _Turns(over, list(zip(cut, sums, strict=True)))
    hands = min(threads, len(cut)) - 1
    if hands < 1:
        return _merge(_carry_out(turns, grid, scaling, plane), sums, grid)
    shared = _Fed(turns) if over.rows.in_order else turns
    histograms: list[NDArray[np.uint64]] = []

    def work() -> None:
        histograms.append(_carry_out(shared, grid, scaling, plane))

    with HANDS.beside(work, shared.end, hands):
        histograms.append(_carry_out(shared.lead(), grid, scaling, plane))
    return _merge(sum(histograms[1:], start=histograms[0]), sums, grid)


_Turn = tuple[Grid, Piece, NDArray[np.float64]]


class _Turns:
    """Gives one band after the other, with its rows, to whichever thread asks next."""

    def __init__(self, over: Pass, waiting: Sequence[tuple[Grid, NDArray[np.float64]]]) -> None:
        self.over = over
        self._waiting = iter(waiting)
        self._begun = over.begun
        self._lock = Lock()

    def __iter__(self) -> Iterator[_Turn]:
        while True:
            with self._lock:
                turn = next(self._waiting, None)
                if turn is None:
                    return
                piece, self._begun = self._begun, None
                if piece is None and self.over.rows.in_order:
                    piece = self._borrow(turn[0])
            if piece is None:
                piece = self._borrow(turn[0])
            yield turn[0]._replace(x=self.over.x - piece.x_px), piece, turn[1]

    def lead(self) -> Iterator[_Turn]:
        """Give them to the thread that others are beside."""
        return iter(self)

    def end(self) -> None:
        """Let nobody begin anything further."""
        with self._lock:
            self._waiting = iter(())

    def _borrow(self, band: Grid) -> Piece:
        lent = False
        try:
            piece = borrow(band, self.over)
            lent = True
        finally:
            if not lent:
                self._waiting = iter(())  # The others need not go on.
        return piece


class _Fed:
    """The turns of a stream: one thread reads on while others work on what it has read.

    A stream that is read by one thread after the other takes longer than by one alone.
    """

    def __init__(self, turns: _Turns) -> None:
        self._turns = turns
        self._read: SimpleQueue[_Turn | None] = SimpleQueue()  # None is the last, and stays.
        self._is_over = False

    def lead(self) -> Iterator[_Turn]:
        """Read all of it, and give what hands do not get round to; less if one of them fails.

        Raises  what lending raises.
        """
        for turn in self._turns:
            if self._is_over:
                return
            self._read.put(turn)
            while self._read.qsize() > AHEAD and (mine := self._take(wait=False)):
                yield mine
        self._read.put(None)
        yield from self

    def __iter__(self) -> Iterator[_Turn]:
        return iter(self._take, None)

    def end(self) -> None:
        """Let nobody begin anything further."""
        self._is_over = True
        self._read.put(None)

    def _take(self, *, wait: bool = True) -> _Turn | None:
        if self._is_over:  # Not when one was taken: it would be lost.
            return None
        try:
            turn = self._read.get(wait)
        except Empty:
            return None
        if turn is None:
            self._read.put(None)
        return turn


def _kernel(grid: Grid, scaling: Scaling) -> Callable[..., None]:
    if grid.kind == I2 and grid.pooling != HIGHEST and grid.factor <= FACTOR_MAX:
        return reduce_means
    if grid.kind == F4 and grid.pooling != HIGHEST and scaling.scale == 1 and scaling.zero == 0:
        return reduce_floats
    return reduce_narrow if grid.kind <= I2 else reduce_wide


def _no_histogram(grid: Grid) -> NDArray[np.uint64]:
    return np.zeros((3 if grid.parities == 2 else 1, BINS if grid.counting else 0), np.uint64)


def _new_counters(grid: Grid) -> NDArray[np.uint32]:
    if not grid.counting:
        return np.zeros((TABLES, 1), np.uint32)
    try:
        return COUNTERS.pop()
    except IndexError:
        return np.zeros((TABLES, BINS + 1), np.uint32)


def _carry_out(turns: Iterable[_Turn], grid: Grid, scaling: Scaling, plane: NDArray[np.float32]) -> NDArray[np.uint64]:
    counts = _new_counters(grid)
    histogram = _no_histogram(grid)
    kernel = _kernel(grid, scaling)
    pending = 0
    for band, piece, sums in turns:
        read_px = len(piece.octets) * band.width
        if grid.counting and pending + read_px > COUNTED_MAX:
            collect(counts, grid.sites, histogram)
            pending = 0
        pending += read_px
        kernel(piece.octets, band, scaling, Into(plane, counts, sums))
    if grid.counting:
        collect(counts, grid.sites, histogram)
        COUNTERS.append(counts)
    return histogram


def _merge(histogram: NDArray[np.uint64], sums: NDArray[np.float64], grid: Grid) -> Counted:
    """Bring the bands' sums together, in order, from sites to channels."""
    channels = histogram.shape[0]
    totals, squares, full = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    minima, maxima = np.full(channels, np.inf), np.full(channels, -np.inf)
    if grid.counting and grid.kind > I2:
        for site, channel in enumerate(grid.sites):
            totals[channel] += sums[:, SUM, site].sum()
            squares[channel] += sums[:, SQUARES, site].sum()
            full[channel] += sums[:, FULL, site].sum()
            minima[channel] = min(minima[channel], sums[:, LOWEST, site].min(initial=np.inf))
            maxima[channel] = max(maxima[channel], sums[:, TOP, site].max(initial=-np.inf))
    return Counted(histogram, totals, squares, minima, maxima, full)
