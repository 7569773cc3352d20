"""Sky: the answer to where in the world a pixel is, and where a position is among the pixels."""

import math
from typing import Final

import msgspec
import numpy as np

from cgi_worker.answers.coordinates import COORDINATES
from cgi_worker.formats.sky_map import Floats, SkyMap, load, unit_vectors
from cgi_worker.steps.work import Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import GRID_NODES_MAX, Sky
from cgi_worker.wire.steps import Measure

__all__ = ["Axis", "Grid", "Position", "SkyAnswer", "answer", "load"]

ACCURACY_PX: Final = 0.1
_CHECKED_MAX: Final = 100_000  # Points at which a grid is checked; at least three inside each cell.
_ARCSEC: Final = 3600.0
_FINE_MAX: Final = 8


class Axis(msgspec.Struct, frozen=True):
    """One world coordinate: its name as the header has it ("RA", "GLON", "WAVE", ""), and its unit."""

    name: str
    unit: str


class Position(msgspec.Struct, frozen=True):
    """A pixel and where it is. What does not project is None.

    x, y       FITS pixels: the centre of the first pixel stored is 1, 1.
    world      the two coordinates, in the order and the units of `axes`.
    ra, dec    degrees, for equatorial coordinates only; and the same as text, hours and degrees.
    """

    x: float | None
    y: float | None
    world: tuple[float, float] | None
    ra: float | None = None
    dec: float | None = None
    ra_text: str | None = None
    dec_text: str | None = None


class Grid(msgspec.Struct, frozen=True):
    """World coordinates of the nodes at columns `xs` and rows `ys` (FITS pixels), row by row, the first row first.

    The outermost nodes lie on the outer edges of the outermost pixels; all are `step` apart, but for the last ones.
    world     coordinates as in `Position`; None where the projection has none.
    vectors   of a celestial map: unit vectors x (to 0, 0), y (to 90, 0), z (to the north pole). To find what lies
              between nodes, interpolate these bilinearly in x and y, then longitude = atan2(y, x), latitude =
              atan2(z, hypot(x, y)): no seam at 0 or 360 degrees, no trouble at a pole. None for linear axes, whose
              coordinates are interpolated as they are.
    accuracy_px  largest error seen of points interpolated so, in pixels; None if no cell has four nodes.
    """

    step: float
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    world: tuple[tuple[float, float] | None, ...]
    vectors: tuple[tuple[float, float, float] | None, ...] | None
    accuracy_px: float | None


class SkyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """World coordinates of a plane.

    kind       "celestial", or "linear" for any other axes, which have no north and no arc seconds.
    system, projection, frame, equinox  of a celestial map: equatorial, TAN, ICRS, None.
    scale      of a pixel at the centre, along x and along y: arc seconds, or the axes' units; None without a position.
    north, east  directions at the centre, degrees from +y (towards growing rows) counterclockwise, where x grows to
               the right; None for linear axes.
    mirrored   False where east is counterclockwise of north, as in the sky with rows growing upwards.
    centre     the middle of the plane.
    position   the answer to `at` or `sky`.  grid  the answer to neither.
    notes      for people.
    coordinates  of pixels: what x and y count.
    """

    hdu: int
    kind: str
    system: str
    projection: str
    frame: str
    equinox: float | None
    axes: tuple[Axis, ...]
    scale: tuple[float, float] | None
    north: float | None
    east: float | None
    mirrored: bool | None
    centre: Position
    position: Position | None
    grid: Grid | None
    notes: tuple[str, ...]
    coordinates: str = COORDINATES


class _Compass(msgspec.Struct, frozen=True):
    scale: tuple[float, float] | None = None
    north: float | None = None
    east: float | None = None
    mirrored: bool | None = None


def answer(question: Sky, step: Measure, work: Work) -> SkyAnswer:
    """Tell the world coordinates of a pixel, of a position, or of a grid.

    Raises  StepFailed("bad_frame") if the header's are broken or not supported; "too_big" for a grid of too many nodes.
    """
    hdu = step.hdu
    sky = SkyMap(work.source_fd, hdu)
    centre = (hdu.width_px + 1) / 2, (hdu.height_px + 1) / 2
    position, grid, notes = None, None, []
    if question.at is not None:
        position = _locate(sky, question.at)
    elif question.sky is not None:
        position = _find(sky, question.sky)
        if position.x is None:
            notes.append("this position is not on the map")
    else:
        grid = _grid(sky, (hdu.width_px, hdu.height_px), question.step)
        if grid.accuracy_px is None:
            notes.append("hardly anything of this plane has a position")
        elif grid.accuracy_px > ACCURACY_PX:
            notes.append(f"between the nodes of this grid positions are wrong by up to {grid.accuracy_px:.3g} px")
    compass = _compass(sky, centre)
    return SkyAnswer(
        hdu=hdu.index,
        kind=sky.kind,
        system=sky.system,
        projection=sky.projection,
        frame=sky.frame,
        equinox=sky.equinox,
        axes=tuple(Axis(name, unit) for name, unit in zip(sky.names, sky.units, strict=True)),
        scale=compass.scale,
        north=compass.north,
        east=compass.east,
        mirrored=compass.mirrored,
        centre=_locate(sky, centre),
        position=position,
        grid=grid,
        notes=tuple(notes),
    )


def sexagesimal(degrees: float, *, hours: bool) -> str:
    """Write an angle as hours (0 to 24, ms of time) or degrees (with sign, hundredths of an arc second)."""
    decimals = 3 if hours else 2
    per_unit = 3600 * 10**decimals
    total = round(abs(degrees) / (15 if hours else 1) * per_unit)
    if hours:
        total %= 24 * per_unit
    whole, rest = divmod(total, per_unit)
    minutes, rest = divmod(rest, 60 * 10**decimals)
    seconds, fraction = divmod(rest, 10**decimals)
    sign = "" if hours else "-" if degrees < 0 else "+"
    return f"{sign}{whole:02d}:{minutes:02d}:{seconds:02d}.{fraction:0{decimals}d}"


def _locate(sky: SkyMap, pixel: tuple[float, float]) -> Position:
    first, second = (float(value) for value in sky.world(np.array(pixel[0]), np.array(pixel[1])))
    if not (math.isfinite(first) and math.isfinite(second)):
        return Position(*pixel, None)
    return _position(sky, pixel, (first, second))


def _find(sky: SkyMap, world: tuple[float, float]) -> Position:
    if sky.kind == "celestial":
        world = world[0] % 360.0, world[1]
    return _position(sky, sky.pixel(*world) or (None, None), world)


def _position(sky: SkyMap, pixel: tuple[float | None, float | None], world: tuple[float, float]) -> Position:
    if sky.system != "equatorial" or abs(world[1]) > 90:
        return Position(*pixel, world)
    texts = sexagesimal(world[0], hours=True), sexagesimal(world[1], hours=False)
    return Position(*pixel, world, *world, *texts)


def _compass(sky: SkyMap, centre: tuple[float, float]) -> _Compass:
    """Find how the sky lies on the plane, from the pixels around its centre."""
    x, y = centre
    left, right, down, up = sky.points(x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5]))
    along_x, along_y = right - left, up - down
    scale = float(np.linalg.norm(along_x)), float(np.linalg.norm(along_y))
    if not all(map(math.isfinite, scale)):
        return _Compass()
    if sky.kind == "linear":
        return _Compass((float(f"{scale[0]:.9g}"), float(f"{scale[1]:.9g}")))
    longitude, latitude = (float(value) for value in sky.world(np.array(x), np.array(y)))
    east = unit_vectors(np.array(longitude + 90), np.array(0.0))
    north = unit_vectors(np.array(longitude), np.array(latitude + 90))
    jacobian = np.array([[along_x @ east, along_y @ east], [along_x @ north, along_y @ north]])
    determinant = float(np.linalg.det(jacobian))
    arcsec = tuple(float(f"{math.degrees(each) * _ARCSEC:.9g}") for each in scale)
    if abs(determinant) <= 1e-9 * scale[0] * scale[1]:
        return _Compass((arcsec[0], arcsec[1]))
    eastwards, northwards = np.linalg.inv(jacobian).T
    return _Compass((arcsec[0], arcsec[1]), _bearing(northwards), _bearing(eastwards), determinant > 0)


def _bearing(direction: Floats) -> float:
    return round(math.degrees(math.atan2(-direction[0], direction[1])), 6)


def _grid(sky: SkyMap, size: tuple[int, int], step: float | None) -> Grid:
    """Make a grid of nodes `step` apart; or as far apart as ACCURACY_PX allows, in powers of two."""
    if step is not None:
        if _count_nodes(size, step) > GRID_NODES_MAX:
            raise StepFailed("too_big", f"such a grid has more than {GRID_NODES_MAX} nodes: ask for a wider step")
        return _lay(sky, size, step)
    wide = 2.0 ** math.ceil(math.log2(max(size)))
    best = _lay(sky, size, wide)
    while (best.accuracy_px is None or best.accuracy_px > ACCURACY_PX) and wide > 1:
        wide /= 2
        if _count_nodes(size, wide) > GRID_NODES_MAX:
            break
        best = _lay(sky, size, wide)
    return best


def _count_nodes(size: tuple[int, int], step: float) -> int:
    return (math.ceil(size[0] / step) + 1) * (math.ceil(size[1] / step) + 1)


def _lay(sky: SkyMap, size: tuple[int, int], step: float) -> Grid:
    xs, ys = (np.append(0.5 + step * np.arange(math.ceil(side / step)), side + 0.5) for side in size)
    x, y = np.meshgrid(xs, ys)
    points = sky.points(x, y)
    first, second = sky.world(x, y)
    world = [_pair(a, b) for a, b in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)]
    vectors = None
    if sky.kind == "celestial":
        vectors = tuple(
            None if math.isnan(each[0]) else (each[0], each[1], each[2])
            for each in points.reshape(-1, 3).round(14).tolist()
        )
    return Grid(step, tuple(xs.tolist()), tuple(ys.tolist()), tuple(world), vectors, _accuracy(sky, xs, ys, points))


def _pair(first: float, second: float) -> tuple[float, float] | None:
    return None if math.isnan(first) or math.isnan(second) else (first, second)


def _accuracy(sky: SkyMap, xs: Floats, ys: Floats, nodes: Floats) -> float | None:
    """Find the largest error of interpolated points, in pixels of the cell they are in."""
    cells = (len(xs) - 1) * (len(ys) - 1)
    fine = min(_FINE_MAX, max(2, math.isqrt(_CHECKED_MAX // cells)))
    parts = np.arange(fine + 1) / fine
    right, up = np.diff(xs), np.diff(ys)
    pixel = np.minimum(
        np.linalg.norm(np.diff(nodes, axis=1), axis=-1)[:-1] / right,
        np.linalg.norm(np.diff(nodes, axis=0), axis=-1)[:, :-1] / up[:, None],
    )
    worst = -1.0
    for v in parts:
        for u in parts:
            guess = (1 - v) * ((1 - u) * nodes[:-1, :-1] + u * nodes[:-1, 1:])
            guess += v * ((1 - u) * nodes[1:, :-1] + u * nodes[1:, 1:])
            if sky.kind == "celestial":
                guess /= np.linalg.norm(guess, axis=-1, keepdims=True)
            x, y = np.meshgrid(xs[:-1] + u * right, ys[:-1] + v * up)
            with np.errstate(all="ignore"):
                error = np.linalg.norm(sky.points(x, y) - guess, axis=-1) / pixel
            error = error[np.isfinite(error)]
            worst = max(worst, float(error.max(initial=-1.0)))
    return None if worst < 0 else float(f"{worst:.4g}")
