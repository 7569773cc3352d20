"""HFR: the shape of stars, and the radius that holds half of their light."""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from cgi_worker.kernels.background import SATURATED
from cgi_worker.kernels.compiled import compiled, part

REACH_PX: Final = 48  # No aperture is wider.
X, Y, MAJOR, MINOR, FLUX, HALF, SATURATED_PX, BAD_PX, STEADY = range(9)
FIELDS: Final = 9

_ROUNDS_MAX: Final = 50
_SLIGHT: Final = 2e-3  # Change of the moments, of their own size, at which they are steady.
_SLIGHT_PX: Final = 5e-3
_VARIANCE_MIN: Final = 0.05  # px^2: a single bright pixel; anything narrower is not resolved.
_WINDOW: Final = 3.0  # Sigmas up to which weights are used; beyond, they weigh less than 1/90.
_APERTURE: Final = 5.0  # Sigmas of the aperture in which light is counted.
_APERTURE_PX_MIN: Final = 4.0
_BINS_PER_PX: Final = 8
_FINE_PX: Final = 6.0  # Up to this radius a pixel's light is spread over _FINE x _FINE points of it.
_FINE: Final = 4


@part
def _weighted(plane: Any, x: float, y: float, xx: float, yy: float, xy: float) -> Any:  # noqa: PLR0913, PLR0917
    """Sum light, weighted by an elliptic Gaussian around x, y: total, means of dx, dy, dx^2, dy^2, dx dy."""
    determinant = xx * yy - xy * xy
    reach_x = min(_WINDOW * np.sqrt(xx) + 1.0, REACH_PX)
    reach_y = min(_WINDOW * np.sqrt(yy) + 1.0, REACH_PX)
    total, sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(max(0, int(y - reach_y)), min(plane.shape[0], int(y + reach_y) + 2)):
        for column in range(max(0, int(x - reach_x)), min(plane.shape[1], int(x + reach_x) + 2)):
            dx, dy = column - x, row - y
            distance = (yy * dx * dx + xx * dy * dy - 2.0 * xy * dx * dy) / determinant
            if distance < _WINDOW * _WINDOW:
                light = plane[row, column] * np.exp(-0.5 * distance)
                total += light
                sx += light * dx
                sy += light * dy
                sxx += light * dx * dx
                syy += light * dy * dy
                sxy += light * dx * dy
    if not total > 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    return total, sx / total, sy / total, sxx / total, syy / total, sxy / total


@part
def _stride(old: float, new: float) -> float:
    """Go twice as far as the next weight says: near the end every round alone would halve what is missing."""
    return max(min(max(old + 2.0 * (new - old), 0.5 * old), 2.0 * old), _VARIANCE_MIN)


@part
def _shape(plane: Any, star: Any, out: Any) -> None:
    """Find centre and axes: twice the weighted moments become the next weight, until that changes nothing."""
    x, y = star[0], star[1]
    xx = yy = max(star[2] * star[2], 1.0)
    xy = 0.0
    steady = False
    for _ in range(_ROUNDS_MAX):
        total, mx, my, mxx, myy, mxy = _weighted(plane, x, y, xx, yy, xy)
        nxx, nyy, nxy = 2.0 * (mxx - mx * mx), 2.0 * (myy - my * my), 2.0 * (mxy - mx * my)
        if total == 0.0:
            break
        if not (nxx > 0.0 and nyy > 0.0 and nxx * nyy > nxy * nxy):  # All light is in one pixel.
            xx, yy, xy, steady = _VARIANCE_MIN, _VARIANCE_MIN, 0.0, True
            break
        x, y = x + 2.0 * mx, y + 2.0 * my
        if abs(x - star[0]) > REACH_PX or abs(y - star[1]) > REACH_PX or max(nxx, nyy) > REACH_PX * REACH_PX:
            break
        change = max(abs(nxx - xx), abs(nyy - yy), abs(nxy - xy))
        steady = change < _SLIGHT * max(xx, yy) and max(abs(mx), abs(my)) < _SLIGHT_PX
        nxx, nyy = _stride(xx, nxx), _stride(yy, nyy)
        xy += 2.0 * (nxy - xy)
        xx, yy = nxx, nyy
        room = 0.98 * xx * yy
        if xy * xy > room:
            xy = np.sqrt(room) if xy > 0.0 else -np.sqrt(room)
        if steady:
            break
    half, spread = 0.5 * (xx + yy), np.sqrt(0.25 * (xx - yy) * (xx - yy) + xy * xy)
    out[X], out[Y], out[STEADY] = x, y, 1.0 if steady else 0.0
    out[MAJOR], out[MINOR] = np.sqrt(half + spread), np.sqrt(max(half - spread, _VARIANCE_MIN))


@part
def _growth(plane: Any, x: float, y: float, radius: float, rings: Any) -> tuple[float, float]:
    """Sum light within a radius; find the radius that holds half of it, NaN if there is no light."""
    count = int(np.ceil(radius * _BINS_PER_PX))
    rings[:count] = 0.0
    for row in range(max(0, int(y - radius)), min(plane.shape[0], int(y + radius) + 2)):
        for column in range(max(0, int(x - radius)), min(plane.shape[1], int(x + radius) + 2)):
            distance = np.sqrt((column - x) * (column - x) + (row - y) * (row - y))
            points = _FINE if distance < _FINE_PX or distance > radius - 1.0 else 1
            if distance > radius + 1.0:
                continue
            light = plane[row, column] / (points * points)
            for fine in range(points * points):
                dy = row - y + (fine // points + 0.5) / points - 0.5
                dx = column - x + (fine % points + 0.5) / points - 0.5
                ring = int(np.sqrt(dx * dx + dy * dy) * _BINS_PER_PX)
                if ring < count:  # A point stands for a square as wide as two rings.
                    rings[ring] += 0.5 * light
                    rings[max(ring - 1, 0)] += 0.25 * light
                    rings[min(ring + 1, count - 1)] += 0.25 * light
    total = rings[:count].sum()
    if not total > 0.0:
        return total, np.nan
    inside = 0.0
    for ring in range(count):
        if inside + rings[ring] >= 0.5 * total:
            return total, (ring + (0.5 * total - inside) / rings[ring]) / _BINS_PER_PX
        inside += rings[ring]
    return total, np.nan


@compiled(numba.f4[:, ::1], numba.u1[:, ::1], numba.f8[:, ::1], numba.f8[:, ::1])
def measure_stars(
    plane: NDArray[np.float32], flags: NDArray[np.uint8], found: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Measure stars one by one.

    plane  (R, C) float32, background 0, in any unit; 0 where bad. Unchanged.
    flags  (R, C) uint8, bits of `background`. Unchanged.
    found  (n, 3) float64: about where each star is, x and y of `plane` counted from 0, and its sigma, px.
    out    (n, FIELDS) float64: x, y; sigma along the long and the short axis, px; light in the aperture; radius of half
           of it, NaN if there is none; saturated and bad pixels in the star; 1 if the shape became steady, else 0.

    Cost   about 20 us a star of ordinary size; at most some ms each.
    Source sigma: adaptive moments, Bernstein and Jarvis 2002 (AJ 123, 583), section 3.1: the weight is the Gaussian
           that fits the star, so that neither noise nor a neighbour far away counts. Half of the light: in rings
           within 5 sigmas (4 to REACH_PX px), as `sep.flux_radius` does.
    """
    rings = np.zeros(REACH_PX * _BINS_PER_PX)
    for star in range(found.shape[0]):
        line = out[star]
        _shape(plane, found[star], line)
        x, y = line[X], line[Y]
        radius = min(max(_APERTURE * line[MAJOR], _APERTURE_PX_MIN), float(REACH_PX))
        line[FLUX], line[HALF] = _growth(plane, x, y, radius, rings)
        core = min(max(2.0 * line[MAJOR], 1.5), float(REACH_PX))
        full, bad = 0, 0
        for row in range(max(0, int(y - core)), min(plane.shape[0], int(y + core) + 2)):
            for column in range(max(0, int(x - core)), min(plane.shape[1], int(x + core) + 2)):
                if (column - x) ** 2 + (row - y) ** 2 <= core * core and flags[row, column]:
                    if flags[row, column] == SATURATED:
                        full += 1
                    else:
                        bad += 1
        line[SATURATED_PX], line[BAD_PX] = full, bad
