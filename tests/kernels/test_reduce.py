"""The reduce kernels equal their slow twins, whatever the type, shape, contents and number of threads."""

import math
import os
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.kernels import bands
from cgi_worker.kernels.bands import Counted, Pass, reduce_bands
from cgi_worker.kernels.counts import collect, moments
from cgi_worker.kernels.hands import Hands
from cgi_worker.kernels.means import reduce_means
from cgi_worker.kernels.reduce import (
    BINS,
    F4,
    F8,
    FLOAT32_MAX,
    HIGHEST,
    I2,
    I4,
    I8,
    MEAN,
    NOTHING,
    U1,
    U8,
    Grid,
    Scaling,
)
from cgi_worker.kernels.sharing import share_out
from tests.kernels.twins import Pixel, block_goods, block_means, block_tops, split_log_bin

KINDS = {U1: "u1", I2: "i2", I4: "i4", I8: "i8", U8: "u8", F4: "f4", F8: "f8"}
PATTERNS = ((0, 1, 1, 2), (2, 1, 1, 0), (1, 0, 2, 1), (1, 2, 0, 1))
CENTER, SCALE = 100.0, 50.0


@pytest.fixture(autouse=True)
def _empty_counters() -> Iterator[None]:
    """Whatever a pass did, the next one counts from nothing."""
    yield
    assert not any(counts.any() for counts in bands.COUNTERS)


def contents(kind: int, shape: tuple[int, int], seed: int, style: str) -> NDArray[Any]:
    """Make stored values in native order."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(KINDS[kind])
    if style == "flat":
        return np.full(shape, random.integers(0, 100), dtype)
    if dtype.kind == "f":
        values = (
            random.normal(100, 30, shape)
            if style == "near"
            else random.normal(0, 1, shape) * 10.0 ** random.uniform(-30, 30, shape)
        )
        values = values.astype(dtype)
        odd = random.random(shape)
        values[odd < 0.1] = np.nan
        values[odd < 0.05] = np.inf
        values[odd < 0.02] = -np.inf
        return values
    if style == "near":
        return random.integers(90, 110, shape).astype(dtype)
    limits = np.iinfo(dtype)
    values = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    values[random.random(shape) < 0.1] = limits.max
    return values


Sites = tuple[int, int, int, int]
MONO: Final[Sites] = (0, 0, 0, 0)
MOSAIC: Final[Sites] = (1, 0, 2, 1)


class Lent(NamedTuple):
    octets: NDArray[np.uint8]
    x_px: int


class Rows:
    """Rows of an array, lent with some columns around what is asked for; a stream holds who borrows to its order."""

    def __init__(self, octets: NDArray[np.uint8], item: int, *, in_order: bool) -> None:
        self.octets, self.item, self.in_order = octets, item, in_order
        self.given = 0
        self.busy = Lock()
        self.failing_at = len(octets)

    def lend(self, first: int, last: int, left: int, right: int) -> Lent:
        assert 0 <= first < last <= len(self.octets), "rows that there are"
        if last > self.failing_at:
            raise BrokenStreamError
        if self.in_order:
            assert self.busy.acquire(blocking=False), "one call at a time"
            assert first >= self.given, "forward, and nothing twice"
            for _ in range(5):
                os.sched_yield()  # Another thread may try to come between.
            self.given = last
            self.busy.release()
        margin = min(left, 3)
        piece = self.octets[first:last, (left - margin) * self.item : right * self.item].copy()
        piece.flags.writeable = False
        return Lent(piece, left - margin)


class BrokenStreamError(Exception):
    pass


def run(  # noqa: PLR0913
    stored: NDArray[Any], kind: int, *, factor: int, x: int = 0, width: int | None = None, blank: int | None = None,
    sites: tuple[int, int, int, int] = (0, 0, 0, 0), swap: int = 1, threads: int = 1,
    scale: float = 1.0, zero: float = 0.0, pooling: int = MEAN, counting: int = 1, taken: int = 0,
    counted: bool = False, in_order: bool = False, brim: float | None = None, top: int = 0,
) -> tuple[NDArray[np.float32], Counted]:  # fmt: skip
    """Reduce an array by the real kernels; zero is that of stored values."""
    rows = stored.shape[0] - top
    width = width or stored.shape[1] - x
    channels = 3 if any(sites) else 1
    raw = stored.view(np.int64) ^ np.int64(-(2**63)) if kind == U8 else stored
    if swap:
        raw = raw.byteswap()
    octets = np.ascontiguousarray(raw).view(np.uint8).reshape(len(stored), -1)
    whole = np.iinfo(KINDS[kind].replace("u8", "i8")).max if kind in (I4, I8, U8) else 0
    grid = Grid(
        -1, width, rows, factor, taken or factor, 0, -(-rows // factor), kind, swap,
        (blank or 0) + 32768 * (kind == I2), int(blank is not None), whole,
        2 if brim is not None else int(kind in (I4, I8, U8)), counting, pooling, int(scale < 0),
        channels // 2 + 1, *sites,
    )  # fmt: skip
    bin_zero = zero - 32768 * scale if kind == I2 else zero
    scaling = Scaling(scale, bin_zero, math.inf if brim is None else brim, np.full(3, CENTER), np.full(3, 1 / SCALE))
    shape = (channels * (1 + counted), -(-rows // factor), -(-width // factor))
    plane = np.full(shape, -1, np.float32)
    over = Pass(Rows(octets, stored.itemsize, in_order=in_order), x, top, apart=in_order)
    return plane, reduce_bands(over, grid, scaling, plane, threads=threads)


def pixels_of(stored: NDArray[Any], scale: float, zero: float, blank: int | None) -> list[list[Pixel]]:
    """Tell each pixel's value in data units, None if bad."""

    def one(value: Any) -> Pixel:
        physical = float(value) * scale + zero
        good = abs(physical) <= FLOAT32_MAX and (blank is None or int(value) != blank)
        return physical if good else None

    return [[one(value) for value in row] for row in stored]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    height, full = draw(st.integers(1, 23)), draw(st.integers(1, 37))
    x = draw(st.integers(0, full - 1))
    bayer = draw(st.booleans())
    factor = draw(st.integers(1, 12)) * (2 if bayer else 1)
    stored = contents(
        kind, (height, full), draw(st.integers(0, 2**32)), draw(st.sampled_from(["near", "wild", "flat"]))
    )
    blank = None
    if kind in (U1, I2, I4, I8) and draw(st.booleans()):
        blank = int(stored[draw(st.integers(0, height - 1)), draw(st.integers(0, full - 1))])
    scaled = kind != U8 and draw(st.booleans())
    plain = draw(st.sampled_from([0.0, 32768.0])) if kind == I2 else 0.0
    return {
        "kind": kind, "stored": stored, "factor": factor, "x": x, "blank": blank,
        "width": draw(st.integers(1, full - x)), "top": draw(st.integers(0, height - 1)),
        "sites": draw(st.sampled_from(PATTERNS)) if bayer else (0, 0, 0, 0), "swap": draw(st.integers(0, 1)),
        "scale": draw(st.sampled_from([0.5, -2.0, 1e-3])) if scaled else 1.0, "zero": 1000.0 if scaled else plain,
    }  # fmt: skip


def seen(case: dict[str, Any]) -> NDArray[Any]:
    """Cut out what the case is about."""
    part: NDArray[Any] = case["stored"][case["top"] :, case["x"] : case["x"] + case["width"]]
    return part


@settings(deadline=None, max_examples=300)
@given(cases())
def test_plane_equals_twin(case: dict[str, Any]) -> None:
    stored = seen(case)
    pixels = pixels_of(stored, case["scale"], case["zero"], case["blank"])
    plane, _ = run(**case, counted=True)
    channels = len(plane) // 2
    twin = np.array(block_means(pixels, case["factor"], case["sites"], channels))
    assert np.array_equal(plane[channels:], block_goods(pixels, case["factor"], case["sites"], channels))
    plane = plane[:channels]
    assert np.array_equal(np.isnan(plane), np.isnan(twin))
    magnitude = max((abs(value) for row in pixels for value in row if value is not None), default=0.0)
    np.testing.assert_allclose(plane, twin, rtol=2e-7, atol=magnitude * 1e-13, equal_nan=True)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_highest_equals_twin(case: dict[str, Any]) -> None:
    stored = seen(case)
    pixels = pixels_of(stored, case["scale"], case["zero"], case["blank"])
    plane, counted = run(**case, pooling=HIGHEST, counted=True)
    channels = len(plane) // 2
    tops = np.array(block_tops(pixels, case["factor"], case["sites"], channels)).astype(np.float32)
    assert np.array_equal(plane[:channels], tops, equal_nan=True)
    assert np.array_equal(plane[channels:], block_goods(pixels, case["factor"], case["sites"], channels))
    for one, other in zip(counted, run(**case)[1], strict=True):
        assert one.tobytes() == other.tobytes()


@settings(deadline=None, max_examples=100)
@given(cases(), st.data())
def test_rows_that_are_not_taken_count_for_nothing(case: dict[str, Any], data: st.DataObject) -> None:
    """As if each block row had no others; whether they are borrowed or not."""
    cell = 2 if any(case["sites"]) else 1
    factor, stored = case["factor"], case["stored"][case["top"] :]
    taken = data.draw(st.integers(1, factor // cell)) * cell
    in_order = data.draw(st.booleans())
    plane, counted = run(**case, taken=taken, counted=True, in_order=in_order)
    rows = np.arange(len(stored))
    few = np.ascontiguousarray(stored[rows % factor < taken])
    pixels = pixels_of(few[:, case["x"] : case["x"] + case["width"]], case["scale"], case["zero"], case["blank"])
    bands_of = [
        block_goods(pixels[at : at + taken], factor, case["sites"], len(plane) // 2) for at in range(0, len(few), taken)
    ]
    assert np.array_equal(plane[len(plane) // 2 :], np.concatenate(bands_of, axis=1))
    alone = run(**{**case, "stored": few, "top": 0})[1]
    assert np.array_equal(counted.histogram, alone.histogram)
    assert np.array_equal(counted.maxima, alone.maxima)


@settings(deadline=None, max_examples=200)
@given(cases())
def test_histogram_equals_twin(case: dict[str, Any]) -> None:
    stored = seen(case)
    narrow = case["kind"] in (U1, I2)
    pixels = pixels_of(stored, case["scale"], case["zero"], None if narrow else case["blank"])
    _, counted = run(**case)
    twin = np.zeros(counted.histogram.shape, np.uint64)
    found: list[list[float]] = [[] for _ in twin]
    for y, row in enumerate(pixels):
        for x, value in enumerate(row):
            channel = case["sites"][2 * (y % 2) + x % 2]
            if narrow:
                twin[channel, int(stored[y, x]) + 32768 * (case["kind"] == I2)] += 1
            elif value is not None:
                twin[channel, split_log_bin(value, CENTER, 1 / SCALE)] += 1
                found[channel].append(value)
    assert np.array_equal(counted.histogram, twin)
    if not narrow:
        for channel, values in enumerate(found):
            assert counted.minima[channel] == min(values, default=math.inf)
            assert counted.maxima[channel] == max(values, default=-math.inf)
            assert math.isclose(
                counted.totals[channel], math.fsum(values), rel_tol=1e-9, abs_tol=1e-12 * sum(map(abs, values))
            )
            away = [(value - CENTER) ** 2 for value in values]
            assert math.isclose(counted.squares[channel], math.fsum(away), rel_tol=1e-9)
        for channel in range(len(twin)):
            at_most = [
                pixels[y][x] is not None and int(stored[y, x]) == np.iinfo(stored.dtype).max
                for y, x in np.ndindex(*stored.shape)
                if stored.dtype.kind != "f" and case["sites"][2 * (y % 2) + x % 2] == channel
            ]
            assert counted.full[channel] == sum(at_most)


@settings(deadline=None, max_examples=100)
@given(cases(), st.floats(-100, 2000))
def test_full_pixels_are_those_from_a_value_on(case: dict[str, Any], brim: float) -> None:
    if case["kind"] in (U1, I2):
        return
    _, counted = run(**case, brim=brim)
    twin = np.zeros(len(counted.full))
    for y, row in enumerate(pixels_of(seen(case), case["scale"], case["zero"], case["blank"])):
        for x, value in enumerate(row):
            twin[case["sites"][2 * (y % 2) + x % 2]] += value is not None and value >= brim
    assert np.array_equal(counted.full, twin)


@settings(deadline=None, max_examples=100)
@given(cases(), st.integers(2, 5), st.booleans())
def test_threads_change_nothing(case: dict[str, Any], threads: int, in_order: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_PX", 40)  # Many bands even in a small frame.
        one, several = (run(**case, threads=each, in_order=in_order) for each in (1, threads))
    assert one[0].tobytes() == several[0].tobytes()
    for left, right in zip(one[1], several[1], strict=True):
        assert left.tobytes() == right.tobytes()


@settings(deadline=None, max_examples=50)
@given(cases())
def test_each_result_can_be_had_without_the_other(case: dict[str, Any]) -> None:
    plane, counted = run(**case)
    only_plane, _ = run(**case, counting=0)
    _, only_counted = run(**case, pooling=NOTHING)
    assert plane.tobytes() == only_plane.tobytes()
    assert np.array_equal(counted.histogram, only_counted.histogram)


@pytest.mark.parametrize("kind", [U1, I2, I4, F4, F8])
@pytest.mark.parametrize("factor", [1, 7, 4096])
def test_rows_longer_than_what_is_worked_on_at_once(kind: int, factor: int) -> None:
    stored = contents(kind, (2, 40_001), 5, "near")
    plane, counted = run(stored, kind, factor=factor)
    good = np.isfinite(stored.astype(np.float64))
    values = np.where(good, stored, 0).astype(np.float64)
    starts = np.arange(0, 40_001, factor)
    groups = np.arange(0, 2, factor)
    sums = np.add.reduceat(np.add.reduceat(values, starts, axis=1), groups, axis=0)
    counts = np.add.reduceat(np.add.reduceat(good, starts, axis=1, dtype=np.int64), groups, axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(plane[0], sums / counts, rtol=1e-6, equal_nan=True)
    assert int(counted.histogram.sum()) == int(good.sum())


def assert_sums(
    made: tuple[NDArray[np.float32], Counted], seen: NDArray[np.int16], factor: int, blank: int | None, sites: Sites
) -> None:
    """Compare a plane, with its numbers of good pixels, and a histogram with numpy, as the twin is slow."""
    (plane, counted), channels, (height, width) = made, len(made[0]) // 2, seen.shape
    rows, columns = np.ogrid[:height, :width]
    own, values = np.array(sites).reshape(2, 2)[rows & 1, columns & 1], seen.astype(np.int64)
    cuts = np.arange(0, height, factor), np.arange(0, width, factor)
    for channel in range(channels):
        every = own == channel
        good = every & (values != blank)
        sums, counts = (
            np.add.reduceat(np.add.reduceat(each, cuts[0], axis=0), cuts[1], axis=1)
            for each in (np.where(good, values, 0), good.astype(np.int64))
        )
        with np.errstate(invalid="ignore"):
            assert np.array_equal(plane[channel], (sums / counts).astype(np.float32), equal_nan=True)
        assert np.array_equal(plane[channels + channel], counts)
        assert np.array_equal(counted.histogram[channel], np.bincount(values[every] + 32768, minlength=BINS))


@pytest.mark.parametrize("swap", [0, 1])
@pytest.mark.parametrize("sites", [MONO, MOSAIC])
@pytest.mark.parametrize("blank", [None, 95])
@pytest.mark.parametrize("factor", [1, 2, 4, 6, 10, 18, 258])
def test_rows_of_many_pieces(factor: int, blank: int | None, sites: Sites, swap: int) -> None:
    """Widths that are worked on in pieces and in spans, several block rows at once."""
    if factor == 1 and any(sites):
        return
    for height, width in ((41, 301), (9, 8500)):
        stored = contents(I2, (height, width), width, "near")
        made = run(stored, I2, factor=factor, blank=blank, sites=sites, swap=swap, counted=True, x=3)
        assert_sums(made, stored[:, 3:], factor, blank, sites)


@pytest.mark.parametrize("swap", [0, 1])
@pytest.mark.parametrize("blank", [None, 7])
@pytest.mark.parametrize("center", [-32768, -32700, 0, 32_600, 32_767])
@pytest.mark.parametrize("width", [1, 40, 80, 127])
@pytest.mark.parametrize(("factor", "sites"), [(3, MONO), (19, MONO), (4, MOSAIC), (34, MOSAIC)])
def test_neighbours_that_are_counted_together_count_once_each(  # noqa: PLR0913, PLR0917
    center: int, width: int, blank: int | None, swap: int, factor: int, sites: Sites
) -> None:
    """Skies of noise with stars in it, and flat parts: values as near to each other as are counted in pairs, or not."""
    random = np.random.default_rng(center + 32768 + width)
    stored = random.integers(-width, width + 1, (120, 777)) + center
    stored[random.random(stored.shape) < 0.003] = 20_000
    stored[40:60, 300:] = center
    stored[90:, :200] += 1000
    if any(sites):  # Each site has a level of its own; the sky of one is wider than what is counted in pairs.
        stored[::2, 1::2] += 300
        stored[1::2, ::2] -= 40
        stored[100:, 1::2] *= 2
    stored = np.clip(stored, -32768, 32767).astype(np.int16)
    made = run(stored, I2, factor=factor, blank=blank, swap=swap, x=5, sites=sites, counted=True)
    assert_sums(made, stored[:, 5:], factor, blank, sites)


@pytest.mark.parametrize("sites", [MONO, MOSAIC])
@pytest.mark.parametrize("blank", [None, 12_000])
@pytest.mark.parametrize("share", [0.01, 0.3], ids=["many stars", "a field of stars"])
def test_rows_with_a_star_in_every_piece(share: float, blank: int | None, sites: Sites) -> None:
    """More pixels are looked at again than may wait for it; where hardly any is near another, none is."""
    random = np.random.default_rng(3)
    stored = random.integers(100, 200, (26, 9001)).astype(np.int16)
    far = random.random(stored.shape) < share
    stored[far] = random.choice([-32768, 12_000, 32767], np.count_nonzero(far))
    made = run(stored, I2, factor=12, blank=blank, sites=sites, counted=True)
    assert_sums(made, stored, 12, blank, sites)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "rise", [0, 1, -3, 100, 5000, -9000], ids=["level", "slow", "falling", "beyond", "far", "far down"]
)
def test_a_sky_that_rises_from_band_to_band_is_counted_exactly(
    rise: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs are counted from one base while it lasts, across bands, and from another one after that."""
    random, count, width = np.random.default_rng(abs(rise)), 30, 200
    levels = 500 + rise * (np.arange(count) - count // 2)
    levels[7::9] = 20_000  # What one band has above, or below, its neighbours, does not stay.
    levels[8::9] = -32_700
    stored = np.repeat(levels.clip(-32_700, 32_600), 4)[:, np.newaxis] + random.integers(0, 60, (4 * count, width))
    stored = stored.astype(np.int16)
    monkeypatch.setattr(bands, "BAND_PX", 4 * width)
    monkeypatch.setattr(bands, "BANDS_LONG", 1)
    plane, counted = run(stored, I2, factor=4, threads=threads)
    expected = np.bincount(stored.ravel().astype(np.int64) + 32_768, minlength=BINS)
    assert np.array_equal(counted.histogram[0], expected)
    assert np.array_equal(plane[0], stored.reshape(count, 4, width // 4, 4).mean(axis=(1, 3), dtype=np.float64))


def test_passes_side_by_side_have_hands_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_PX", 40)
    stored = [contents(I2, (60, 33), seed, "wild") for seed in range(6)]
    found: dict[int, tuple[NDArray[np.float32], Counted]] = {}

    def reduce_one(number: int) -> None:
        found[number] = run(stored[number], I2, factor=3, threads=3)

    share_out(reduce_one, range(6), 3)
    for number, each in enumerate(stored):
        plane, counted = run(each, I2, factor=3)
        assert np.array_equal(found[number][0], plane)
        assert np.array_equal(found[number][1].histogram, counted.histogram)


@pytest.mark.parametrize("late_s", [0.0, 0.003])
def test_a_stream_is_read_in_order_by_many_threads(late_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where hands are held up just when they have taken something, so that all the rest is done meanwhile."""
    leader = threading.get_ident()

    class Late(SimpleQueue):  # type: ignore[type-arg]
        def get(self, *how: Any) -> Any:
            taken = super().get(*how)
            if threading.get_ident() != leader:
                time.sleep(late_s)
            return taken

    monkeypatch.setattr(bands, "BAND_PX", 40)
    monkeypatch.setattr(bands, "SimpleQueue", Late)
    stored = contents(I2, (60, 20), 3, "wild")
    alone, expected = run(stored, I2, factor=2)
    for threads in (2, 3, 6):
        plane, counted = run(stored, I2, factor=2, threads=threads, in_order=True)
        assert np.array_equal(plane, alone) and np.array_equal(counted.histogram, expected.histogram)


@pytest.mark.parametrize("had", [0, 2])
@pytest.mark.parametrize("in_order", [False, True])
def test_a_pass_is_made_by_the_threads_there_are(had: int, in_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if len(begun) == had:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(bands, "BAND_PX", 40)
    monkeypatch.setattr(bands, "HANDS", Hands())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    stored = contents(I2, (600, 20), 3, "wild")
    plane, counted = run(stored, I2, factor=2, threads=5, in_order=in_order)
    assert len(begun) == had
    alone, expected = run(stored, I2, factor=2)
    assert np.array_equal(plane, alone) and np.array_equal(counted.histogram, expected.histogram)


def test_a_stream_that_breaks_ends_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = np.zeros((40, 10), np.uint8)
    rows = Rows(octets, 1, in_order=True)
    rows.failing_at = 25
    grid = Grid(0, 10, 40, 2, 2, 0, 20, U1, 0, 0, 0, 0, 0, 1, MEAN, 0, 1, 0, 0, 0, 0)
    scaling = Scaling(1.0, 0.0, math.inf, np.zeros(3), np.ones(3))
    monkeypatch.setattr(bands, "BAND_PX", 40)
    with pytest.raises(BrokenStreamError):
        reduce_bands(Pass(rows, 0, 0), grid, scaling, np.zeros((1, 20, 5), np.float32), threads=2)
    assert rows.given == 24


@pytest.mark.parametrize("threads", [2, 4])
def test_a_stream_is_read_no_further_than_who_works_on_it(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    octets = np.zeros((400, 10), np.uint8)
    rows = Rows(octets, 1, in_order=True)
    grid = Grid(0, 10, 400, 2, 2, 0, 200, U1, 0, 0, 0, 0, 0, 1, MEAN, 0, 1, 0, 0, 0, 0)
    scaling = Scaling(1.0, 0.0, math.inf, np.zeros(3), np.ones(3))
    monkeypatch.setattr(bands, "BAND_PX", 40)
    monkeypatch.setattr(bands, "reduce_narrow", fail)
    with pytest.raises(MemoryError):
        reduce_bands(Pass(rows, 0, 0), grid, scaling, np.zeros((1, 200, 5), np.float32), threads=threads)
    assert rows.given < 200


def test_a_pass_that_fails_midway_leaves_nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = contents(I2, (60, 33), 5, "wild")
    expected = run(stored, I2, factor=3)[1].histogram
    begun = []

    def fail_third(*args: Any) -> None:
        begun.append(args)
        if len(begun) == 3:
            raise MemoryError
        reduce_means(*args)

    monkeypatch.setattr(bands, "BAND_PX", 40)
    with monkeypatch.context() as failing:
        failing.setattr(bands, "reduce_means", fail_third)
        with pytest.raises(MemoryError):
            run(stored, I2, factor=3)
    assert np.array_equal(run(stored, I2, factor=3)[1].histogram, expected)


@pytest.mark.parametrize("kind", [U1, I2, F4])
def test_counters_are_emptied_before_they_overflow(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = []

    def noted(counts: NDArray[np.uint32], channels: Sites, histogram: NDArray[np.uint64]) -> None:
        before = histogram.copy()
        collect(counts, channels, histogram)
        emptied.append(int((histogram - before).max()))

    monkeypatch.setattr(bands, "BAND_PX", 40)
    monkeypatch.setattr(bands, "BANDS_LONG", 1)
    monkeypatch.setattr(bands, "COUNTED_MAX", 100)
    monkeypatch.setattr(bands, "collect", noted)
    _, counted = run(np.zeros((50, 20), KINDS[kind]), kind, factor=2)
    assert counted.histogram.max() == 1000
    assert len(emptied) == 13 and max(emptied) <= 100


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(0, 2**40)), max_size=20))
def test_moments_equal_twin(filled: list[tuple[int, int]]) -> None:
    histogram = np.zeros(BINS, np.uint64)
    for value, count in filled:
        histogram[value] = count
    out = np.empty(6, np.uint64)
    moments(histogram, out)
    found = [(value, int(histogram[value])) for value in sorted({value for value, _ in filled}) if histogram[value]]
    good, first, last, total, high, low = (int(number) for number in out)
    assert good == sum(count for _, count in found)
    assert (first, last) == ((found[0][0], found[-1][0]) if found else (0, 0))
    assert total == sum(value * count for value, count in found)
    assert (high << 16) + low == sum(value * value * count for value, count in found)


def test_sums_of_the_brightest_largest_block_are_exact() -> None:
    stored = np.full((4096, 64), 32767, np.int16)
    stored[0, 0] = -32768
    plane, _ = run(stored, I2, factor=4096, zero=32768.0)
    assert plane[0, 0, 0] == np.float32((65535 * (4096 * 64 - 1)) / (4096 * 64))


def test_steps_above_the_base_of_the_largest_block_that_has_such_are_exact() -> None:
    stored = np.zeros((256, 512), np.int16)
    stored[:, 1::2] = 255  # As far from one another as values near one base can be.
    plane, counted = run(stored, I2, factor=256)
    assert plane.tolist() == [[[127.5, 127.5]]]
    assert counted.histogram[0, [32768, 32768 + 255]].tolist() == [256 * 256] * 2
