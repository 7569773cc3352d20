"""Export: pixels to take away, as FITS, npy, or a 16-bit picture."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from cgi_worker.answers.coordinates import section
from cgi_worker.answers.cutout import BITPIX, BLOCK, Piece, cutout_header
from cgi_worker.answers.plane import Plane, open_plane
from cgi_worker.answers.png import write_png
from cgi_worker.answers.room import Room
from cgi_worker.formats.raw_header import raw_cards
from cgi_worker.steps.work import Made, Work
from cgi_worker.wire.question import Export
from cgi_worker.wire.steps import Measure
from cgi_worker.wire.view import Region

BAND_PX: Final = 1 << 18  # Of the rows copied together.
_UNSIGNED: Final = {("u1", 0): "u1", ("u1", -128): "i1", ("i2", 1 << 15): "u2", ("i4", 1 << 31): "u4",
                    ("i8", 1 << 63): "u8", ("i2", 0): "i2", ("i4", 0): "i4", ("i8", 0): "i8"}  # fmt: skip
_TIFF_DESCRIPTION: Final = 270


class Exported(msgspec.Struct, frozen=True):
    """The facts of an export.

    section  what was taken, as FITS headers write it.
    dtype    of the samples written.
    black, white  data units of the samples 0 and 65535 of a picture, linear between them; null where its samples are
             the data themselves. Bad pixels are 0.
    missing  rows at the end that the file does not hold.
    """

    format: str
    section: str
    dtype: str
    black: float | None = None
    white: float | None = None
    missing: int = 0


def do(question: Export, step: Measure, work: Work) -> Made:
    """Write what was asked for into output 0."""
    region = question.region or Region(0, 0, step.hdu.width_px, step.hdu.height_px)
    plane = open_plane(step, work)
    match question.format:
        case "fits":
            room = Room(work, "this piece as FITS")
            dtype = _write_fits(plane, question.plane, region, (room, work))
            facts = _facts("fits", region, plane, dtype)
        case "npy":
            room = Room(work, "this piece as npy")
            facts = _facts("npy", region, plane, _write_npy(plane, region, room))
        case "png" | "tiff":
            room = Room(work, f"this piece as {question.format.upper()}")
            facts = _write_picture(question, step, work, (plane, region, room))
    return Made((room.used,), msgspec.json.encode(facts).decode())


def npy_type(plane: Plane) -> str:
    """Choose the type of data units: the stored one, its unsigned kin, or a float that holds scaled values."""
    stored = plane.hdu.stored
    if stored[0] == "f":
        return stored
    same = _UNSIGNED.get((stored, plane.offset)) if plane.whole else None
    return same or ("f4" if stored in ("u1", "i2") else "f8")


def _facts(format: str, region: Region, plane: Plane, dtype: str) -> Exported:
    where = section(region.x_px, region.y_px, region.width_px, region.height_px)
    return Exported(format, where, dtype, missing=_rows(plane, region)[1])


def _rows(plane: Plane, region: Region) -> tuple[int, int]:
    """Tell how many rows of a region the file holds, and how many it does not."""
    there = min(max(plane.count - region.y_px, 0), region.height_px)
    return there, region.height_px - there


def _bands(plane: Plane, region: Region) -> Iterator[tuple[int, NDArray[Any]]]:
    """Lend the rows of a region that there are, in order, as stored; tell the place of the first one in the region."""
    there, _ = _rows(plane, region)
    step = max(1, BAND_PX // region.width_px)
    for row in range(0, there, step):
        first, last = region.y_px + row, region.y_px + min(row + step, there)
        yield row, plane.stored(first, last, region.x_px, region.x_px + region.width_px)


def _write_fits(plane: Plane, index: int, region: Region, to: tuple[Room, Work]) -> str:
    """Write stored values, bit by bit the same, below the header of the HDU that they are from."""
    room, work = to
    hdu, stored = plane.hdu, plane.hdu.stored
    missing = _rows(plane, region)[1]
    filler = 0 if hdu.blank is None else hdu.blank
    notes = [] if not missing else [
        f"The last {missing} rows are missing in the source; they are {'NaN' if stored[0] == 'f' else filler} here"
    ]  # fmt: skip
    raw = raw_cards(work.source_fd, max(hdu.index, 0))
    room.write(cutout_header(raw, Piece(hdu, index, region, BITPIX[stored]), notes))
    start = room.used
    whole = f"i{stored[1]}" if stored != "u1" else "u1"  # Moved as integers: a NaN keeps its bits.
    for _, band in _bands(plane, region):
        room.take(band.nbytes).view(f">{whole}")[:] = band.view(whole).reshape(-1)
        room.announce()
    rest = room.take(missing * region.width_px * int(stored[1]))
    rest.view(f">{stored}")[:] = np.nan if stored[0] == "f" else filler
    room.take(-(room.used - start) % BLOCK)[:] = 0
    return f">{stored}"


def _write_npy(plane: Plane, region: Region, room: Room) -> str:
    """Write data units as a numpy file; bad pixels are NaN in floats, and what they are stored as in whole numbers."""
    dtype = np.dtype(f"<{npy_type(plane)}")
    header = {"descr": dtype.str, "fortran_order": False, "shape": (region.height_px, region.width_px)}
    np.lib.format.write_array_header_1_0(room.file(), header)
    for _, band in _bands(plane, region):
        room.take(band.size * dtype.itemsize).view(dtype)[:] = data_units(band, plane, dtype).reshape(-1)
        room.announce()
    missing = _rows(plane, region)[1] * region.width_px
    rest = room.take(missing * dtype.itemsize).view(dtype)
    rest[:] = np.nan if dtype.kind == "f" else 0
    return dtype.str


def data_units(band: NDArray[Any], plane: Plane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Turn stored values into data units of this type."""
    if dtype.kind in "iu":
        bits = np.dtype(f"u{dtype.itemsize}")
        return np.asarray((band.view(bits) + np.array(plane.offset % (1 << 8 * dtype.itemsize), bits)).view(dtype))
    if band.dtype.kind == "f" and plane.hdu.bscale == 1 and plane.hdu.bzero == 0:
        return band
    values = plane.scaled(band)
    if plane.hdu.blank is not None:
        values[band == plane.hdu.blank] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype)


def _write_picture(question: Export, step: Measure, work: Work, of: tuple[Plane, Region, Room]) -> Exported:
    """Write a 16-bit grey picture, top row first; it is put together at the end of the room while it is encoded."""
    plane, region, room = of
    facts = _facts(question.format, region, plane, "uint16")
    scale = None
    if npy_type(plane) not in ("u1", "u2"):
        scale = _extremes(plane, region)
        facts = msgspec.structs.replace(facts, black=scale[0], white=scale[1])
        plane = open_plane(step, work)
    pixels = region.width_px * region.height_px
    picture = room.end(pixels * 2).view("<u2").reshape(region.height_px, region.width_px)
    upright = picture if plane.hdu.top_down else picture[::-1]
    for row, band in _bands(plane, region):
        upright[row : row + len(band)] = _grey(band, plane, scale)
    upright[_rows(plane, region)[0] :] = 0
    _encode(picture, question.format, _description(facts), room)
    return facts


def _grey(band: NDArray[Any], plane: Plane, scale: tuple[float, float] | None) -> NDArray[Any]:
    if scale is None:
        values = data_units(band, plane, np.dtype(npy_type(plane)))
        return np.where(plane.good(band), values, 0)
    black, white = scale
    good = plane.good(band)
    values = plane.scaled(band)
    step = 65535 / (white - black) if white > black else 0.0
    return np.where(good, np.rint((np.where(good, values, black) - black) * step), 0).astype(np.uint16)


def _extremes(plane: Plane, region: Region) -> tuple[float, float]:
    """Find the lowest and the highest good value in data units; 0 and 0 where there is none."""
    found: list[float] = []
    for _, band in _bands(plane, region):
        some = band[plane.good(band)]
        if some.size:
            found += plane.scaled(np.array([some.min(), some.max()])).tolist()
    return (min(found), max(found)) if found else (0.0, 0.0)


def _description(facts: Exported) -> str:
    if facts.black is None:
        return f"{facts.section}: samples are data values"
    return f"{facts.section}: 0 is {facts.black!r}, 65535 is {facts.white!r}, linear; bad pixels are 0"


def _encode(picture: NDArray[Any], format: str, text: str, room: Room) -> None:
    if format == "png":
        write_png(picture, text, room)
        return
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_TIFF_DESCRIPTION] = text
    height, width = picture.shape
    Image.frombuffer("I;16", (width, height), picture, "raw", "I;16", 0, 1).save(room.file(), "TIFF", tiffinfo=tags)
