"""Background: the level and the noise between the stars, cell by cell; and a plane freed of it."""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.compiled import compiled, part

SATURATED: Final = 1  # Bits of a pixel's flags.
BAD: Final = 2
_BINS: Final = 256
_REACH: Final = 5.0  # Sigmas on both sides of the mean that the bins cover.
_ROUNDS_MAX: Final = 100
_STEADY: Final = 1e-4
_HUGE: Final = float(np.finfo(np.float32).max)

_PLANE: Final = numba.f4[:, ::1]
_FLAGS: Final = numba.u1[:, ::1]


@part
def _moments(plane: Any, box: Any, limits: tuple[float, float], sums: Any) -> tuple[float, float, float]:
    """Count the pixels of a box within limits; give their mean and sigma. Columns are summed apart, side by side."""
    low, high = limits
    width = box[3] - box[2]
    sums[:, :width] = 0.0
    counts, totals, squares = sums[0, :width], sums[1, :width], sums[2, :width]
    for y in range(box[0], box[1]):
        line = plane[y, box[2] : box[3]]
        for x in range(width):
            inside = (line[x] >= low) & (line[x] <= high)  # NaN is not.
            value = np.float64(line[x]) if inside else np.float64(0.0)
            counts[x] += 1.0 if inside else 0.0
            totals[x] += value
            squares[x] += value * value
    count = counts.sum()
    if count == 0.0:
        return 0.0, 0.0, 0.0
    mean = totals.sum() / count
    return count, mean, np.sqrt(max(squares.sum() / count - mean * mean, 0.0))


@part
def _settle(bins: Any) -> tuple[float, float, float]:
    """Clip a histogram at three sigmas around its median until it stays as it is; mean, median, sigma in bins."""
    low, high, sigma, before = 0, bins.size, 1.0, 0.0
    mean = median = 0.5 * bins.size
    for _ in range(_ROUNDS_MAX):
        if before != 0.0 and abs(sigma / before - 1.0) <= _STEADY:
            break
        before = sigma
        count, total, squares = 0.0, 0.0, 0.0
        for at in range(low, high):
            count += bins[at]
            total += bins[at] * (at + 0.5)
            squares += bins[at] * (at + 0.5) * (at + 0.5)
        if count == 0.0:
            break
        mean = total / count
        sigma = np.sqrt(max(squares / count - mean * mean, 0.0))
        passed = 0.0
        for at in range(low, high):
            if passed + bins[at] >= 0.5 * count:
                median = at + (0.5 * count - passed) / bins[at]
                break
            passed += bins[at]
        if sigma == 0.0:
            break
        low = max(0, int(np.floor(median - 3.0 * sigma)))
        high = min(bins.size, int(np.ceil(median + 3.0 * sigma)))
    return mean, median, sigma


@part
def _cell(plane: Any, box: Any, bins: Any, sums: Any) -> tuple[float, float]:
    """Estimate level and noise of one cell; NaN if less than half of its pixels are good."""
    count, mean, sigma = _moments(plane, box, (-_HUGE, _HUGE), sums)
    if 2.0 * count < (box[1] - box[0]) * (box[3] - box[2]):
        return np.nan, np.nan
    _, mean, sigma = _moments(plane, box, (mean - 2.0 * sigma, mean + 2.0 * sigma), sums)
    if sigma <= 1e-7 * abs(mean):  # float32 tells no smaller differences.
        return mean, 0.0
    start, per_bin = mean - _REACH * sigma, bins.size / (2.0 * _REACH * sigma)
    bins[:] = 0
    scale, offset = np.float32(per_bin), np.float32(start)
    for y in range(box[0], box[1]):
        line = plane[y, box[2] : box[3]]
        for x in range(line.size):
            at = (line[x] - offset) * scale
            if (at >= np.float32(0)) & (at < np.float32(_BINS)):
                bins[np.int32(at)] += np.int32(1)
    mean, median, sigma = _settle(bins)
    level = median
    if sigma > 0.0 and abs(mean - median) < 0.3 * sigma:
        level = 2.5 * median - 1.5 * mean
    return start + level / per_bin, sigma / per_bin


@compiled(_PLANE, numba.i8[::1], numba.f8[::1], numba.f8[::1])
def cell_row(
    plane: NDArray[np.float32],
    columns: NDArray[np.int64],
    level: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> None:
    """Estimate the background of one row of cells.

    plane    (R, C) float32, all rows of these cells; NaN where bad. Unchanged.
    columns  (n + 1,) int64, where cells begin, and where the last one ends.
    level    (n,) float64, mode of the pixels between the stars; NaN where less than half of them are good.
    noise    (n,) float64, their standard deviation; 0 where they are all equal.

    Source   SExtractor's estimate (Bertin and Arnouts 1996, A&AS 117, 393, section 3) as `sep.Background` makes it:
             clipping at 2 sigmas, a histogram clipped at 3 sigmas until steady, 2.5 median - 1.5 mean where the
             field is not crowded; compared with it in tests/steps/test_stars.py.
    """
    bins = np.zeros(_BINS, np.int32)
    sums = np.zeros((3, (columns[1:] - columns[:-1]).max()))
    for cell in range(level.size):
        box = (0, plane.shape[0], columns[cell], columns[cell + 1])
        level[cell], noise[cell] = _cell(plane, box, bins, sums)


@part
def _cubic(first: float, second: float, third: float, fourth: float) -> tuple[float, float, float, float]:
    """Give the polynomial from the second of four equal steps (0) to the third (1): that of Catmull and Rom."""
    return (
        second,
        0.5 * (third - first),
        first - 2.5 * second + 2.0 * third - 0.5 * fourth,
        0.5 * (fourth - first) + 1.5 * (second - third),
    )


@compiled(_PLANE, _FLAGS, numba.f8[:, ::1], numba.i8[::1], numba.f8[::1])
def flatten(
    plane: NDArray[np.float32],
    flags: NDArray[np.uint8],
    mesh: NDArray[np.float64],
    place: NDArray[np.int64],
    scale: NDArray[np.float64],
) -> None:
    """Subtract the background from some rows, and divide them by its noise; mark what is bad or saturated.

    plane   (R, C) float32, data units, NaN where bad; then in sigmas, 0 where bad.
    flags   (R, C) uint8, set to the bits SATURATED and BAD.
    mesh    (r + 4, c + 4) float64, levels of equal cells that cover the whole plane, and of two more on each side.
    place   int64: row of the whole plane that these begin with, rows of the whole plane.
    scale   float64: noise, level of saturation in data units (inf: none).

    Source  Catmull and Rom's cubic interpolation between the centres of cells.
    """
    rows, columns = mesh.shape[0] - 4, mesh.shape[1] - 4
    width = plane.shape[1]
    line = np.empty(columns + 4)
    level = np.empty(width, np.float32)
    factor, full = np.float32(1.0 / scale[0]), np.float32(scale[1])
    for y in range(plane.shape[0]):
        at = (place[0] + y + 0.5) * rows / place[1] - 0.5
        above = int(np.floor(at))
        down = at - above
        for column in range(columns + 4):
            c0, c1, c2, c3 = _cubic(
                mesh[above + 1, column], mesh[above + 2, column], mesh[above + 3, column], mesh[above + 4, column]
            )
            line[column] = c0 + down * (c1 + down * (c2 + down * c3))
        x = 0
        for cell in range(-1, columns):
            last = min(width, int(np.ceil((cell + 1.5) * width / columns - 0.5)))
            c0, c1, c2, c3 = _cubic(line[cell + 1], line[cell + 2], line[cell + 3], line[cell + 4])
            step = columns / width
            start = 0.5 * step - 0.5 - cell
            for column in range(x, last):
                t = start + step * column
                level[column] = c0 + t * (c1 + t * (c2 + t * c3))
            x = max(x, last)
        row, marks = plane[y], flags[y]
        for column in range(width):
            value = row[column]
            good = abs(value) < np.float32(np.inf)
            marks[column] = np.uint8(value >= full) | (np.uint8(not good) << np.uint8(1))
            row[column] = (value - level[column]) * factor if good else np.float32(0)


@compiled(_PLANE, numba.f8, numba.i8[::1])
def crowd(plane: NDArray[np.float32], threshold: float, counts: NDArray[np.int64]) -> None:
    """Count what is above a threshold.

    plane   (R, C) float32. Unchanged.
    counts  int64: pixels above it; runs of such pixels in a row that have none beside them in the row before:
            as many as there are patches of them, or more.
    """
    level = np.float32(threshold)
    counts[:] = 0
    width = plane.shape[1]
    for y in range(plane.shape[0]):
        above = 0
        for x in range(width):
            above += plane[y, x] > level
        counts[0] += above
        x = 0 if above else width
        while x < width:
            if not plane[y, x] > level:
                x += 1
                continue
            first = x
            while x < width and plane[y, x] > level:
                x += 1
            joined = False
            for column in range(max(first - 1, 0), min(x + 1, width) if y else 0):
                joined |= plane[y - 1, column] > level
            counts[1] += not joined
