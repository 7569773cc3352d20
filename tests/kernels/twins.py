"""Slow twins of the kernels: plain loops over plain numbers, written from the definitions alone."""

import math
from collections.abc import Sequence

import numpy as np

Pixel = float | None  # None: a bad one.


def block_means(
    pixels: Sequence[Sequence[Pixel]], factor: int, sites: tuple[int, int, int, int], channels: int
) -> list[list[list[float]]]:
    """Average the good pixels of each channel in each block; NaN where there is none."""
    height, width = len(pixels), len(pixels[0])
    means = []
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
                row.append(math.fsum(block) / len(block) if block else math.nan)
            plane.append(row)
        means.append(plane)
    return means


def split_log_bin(value: float, center: float, inverse: float) -> int:
    """Find the adaptive bin of a good value."""
    with np.errstate(over="ignore"):
        folded = np.float32(1.0 + abs(value - center) * inverse)
    step = min((int(folded.view(np.int32)) - 0x3F800000) >> 15, 32767)
    return 32767 - step if value < center else 32768 + step


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
