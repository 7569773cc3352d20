"""Slow twins of the kernels: plain loops over plain numbers, written from the definitions alone."""

import math
from collections.abc import Callable, Sequence

import numpy as np

Pixel = float | None  # None: a bad one.


def block_means(
    pixels: Sequence[Sequence[Pixel]], factor: int, sites: tuple[int, int, int, int], channels: int
) -> list[list[list[float]]]:
    """Average the good pixels of each channel in each block; NaN where there is none."""
    return _blocks(pixels, factor, sites, channels, lambda block: math.fsum(block) / len(block))


def block_tops(
    pixels: Sequence[Sequence[Pixel]], factor: int, sites: tuple[int, int, int, int], channels: int
) -> list[list[list[float]]]:
    """Find the highest good pixel of each channel in each block; NaN where there is none."""
    return _blocks(pixels, factor, sites, channels, max)


def block_goods(
    pixels: Sequence[Sequence[Pixel]], factor: int, sites: tuple[int, int, int, int], channels: int
) -> list[list[list[float]]]:
    """Count the good pixels of each channel in each block."""
    return _blocks(pixels, factor, sites, channels, lambda block: float(len(block)), 0.0)


def _blocks(  # noqa: PLR0913, PLR0917
    pixels: Sequence[Sequence[Pixel]], factor: int, sites: tuple[int, int, int, int], channels: int,
    pool: Callable[[list[float]], float], nothing: float = math.nan,
) -> list[list[list[float]]]:  # fmt: skip
    height, width = len(pixels), len(pixels[0])
    pooled = []
    for channel in range(channels):
        plane = []
        for top in range(0, height, factor):
            row = []
            for left in range(0, width, factor):
                block = [
                    value
                    for y in range(top, min(top + factor, height))
                    for x in range(left, min(left + factor, width))
                    if (value := pixels[y][x]) is not None and (channels == 1 or sites[2 * (y % 2) + x % 2] == channel)
                ]
                row.append(pool(block) if block else nothing)
            plane.append(row)
        pooled.append(plane)
    return pooled


def deviation(values: Sequence[float]) -> float:
    """Find the standard deviation of some values, all of them there are."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def halved(
    means: Sequence[Sequence[float]], counts: Sequence[Sequence[float]]
) -> tuple[list[list[float]], list[list[float]]]:
    """Shrink means to half their size, each weighed by its count."""
    height, width = len(means), len(means[0])
    mean_rows, count_rows = [], []
    for top in range(0, height, 2):
        mean_row, count_row = [], []
        for left in range(0, width, 2):
            cells = [(y, x) for y in (top, top + 1) for x in (left, left + 1) if y < height and x < width]
            count = sum(counts[y][x] for y, x in cells)
            total = math.fsum(means[y][x] * counts[y][x] for y, x in cells if counts[y][x])
            mean_row.append(total / count if count else math.nan)
            count_row.append(count)
        mean_rows.append(mean_row)
        count_rows.append(count_row)
    return mean_rows, count_rows


def split_log_bin(value: float, center: float, inverse: float) -> int:
    """Find the adaptive bin of a good value; the centre is a float32 number."""
    with np.errstate(over="ignore"):
        away = np.float32(value - center)
        folded = np.float32(np.float32(1) + abs(away) * np.float32(inverse))
    step = min((int(folded.view(np.int32)) - 0x3F800000) >> 15, 32767)
    return 32767 - step if away < 0 else 32768 + step


def bilinear(pixels: Sequence[Sequence[Pixel]], sites: tuple[int, int, int, int]) -> list[list[list[float]]]:
    """Give each pixel three colours: its own, and the means of its good neighbours of the other two."""
    height, width = len(pixels), len(pixels[0])
    out = [[[math.nan] * width for _ in range(height)] for _ in range(3)]
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                if sites[2 * (y % 2) + x % 2] == channel:
                    around = [pixels[y][x]]
                else:
                    around = [
                        pixels[v][u]
                        for v in (y - 1, y, y + 1)
                        for u in (x - 1, x, x + 1)
                        if 0 <= v < height and 0 <= u < width and sites[2 * (v % 2) + u % 2] == channel
                    ]
                good = [value for value in around if value is not None]
                if good:
                    out[channel][y][x] = sum(good) / len(good)
    return out


def area_mean(
    pixels: Sequence[Sequence[float]], factor: int, extent: tuple[int, int], cell: tuple[float, ...]
) -> float:
    """Average blocks over a cell (top, bottom, left, right, in source pixels), by area; NaN ones do not count.

    extent  height and width of the plane in source pixels: where the last blocks end.
    """
    top, bottom, left, right = cell
    total = weight = 0.0
    for row, values in enumerate(pixels):
        high = min(bottom, (row + 1) * factor, extent[0]) - max(top, row * factor)
        for column, value in enumerate(values):
            wide = min(right, (column + 1) * factor, extent[1]) - max(left, column * factor)
            if high > 1e-9 and wide > 1e-9 and not math.isnan(value):
                total += value * high * wide
                weight += high * wide
    return total / weight if weight else math.nan
