"""The frames that pictures are measured with: made once, warm in memory, on the disk before anything is timed."""

import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fitsio
import numpy as np
from numpy.typing import NDArray

from bench.frames import MONO16, MONO61, make_star_frame
from cgi_worker import demo

BAYER26: Final = (4176, 6248)
GIGAPIXEL_PX: Final = 32_768  # Its side.
CURVE_SIDES_PX: Final = {1: 1000, 4: 2000, 256: 16_000}  # By megapixels; 16 and 61 are there as cameras' frames.
BAND_ROWS: Final = 1024  # Distinct rows of a banded frame: more than any cache holds.
MOSAIC_PARTS: Final = (4, 5)  # Across, up.
MOSAIC_PART: Final = (1024, 2048)  # Rows, columns.
ROOM_BYTES: Final = 12 << 30  # Free memory and disk that the gigapixel needs, with its limit's copy and the peers.
_BAYER: Final[tuple[demo.Card, ...]] = (
    ("BAYERPAT", "RGGB", "colours of the 2x2 cell at the first pixel"),
    ("ROWORDER", "TOP-DOWN", ""),
)
_PIECE_BYTES: Final = 1 << 22


@dataclass(frozen=True)
class Frames:
    """Where they are.

    packed, zipped  RICE-compressed (rows as tiles), and as a whole by gzip: by the name of the plain frame.
    curve           by megapixels, rising; the last one is the gigapixel, if there is room for it.
    """

    mono61: Path
    bayer26: Path
    mono16: Path
    float16: Path
    mosaic: Path
    packed: dict[str, Path]
    zipped: dict[str, Path]
    curve: dict[int, Path]
    gigapixel: Path | None


def make_frames(folder: Path) -> Frames:
    """Make all of them in `folder`."""
    plain = {name: folder / f"{name}.fits" for name in ("mono61", "bayer26", "mono16")}
    make_star_frame(plain["mono61"], MONO61)
    make_star_frame(plain["mono16"], MONO16)
    _make_bayer(plain["bayer26"])
    float16, mosaic = folder / "float16.fits", folder / "mosaic.fits"
    demo.write_fits(float16, fitsio.read(str(plain["mono16"])).astype(np.float32))
    _make_mosaic(mosaic)
    packed = {name: folder / f"{name}.fits.fz" for name in plain}
    zipped = {name: folder / f"{name}.fits.gz" for name in plain}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_zip, plain.values(), zipped.values()))
    for name, path in plain.items():
        _pack(path, packed[name])
    curve = {1: folder / "curve1.fits", 4: folder / "curve4.fits", 16: plain["mono16"], 61: plain["mono61"]}
    curve |= {256: folder / "curve256.fits"}
    for megapixels, side in CURVE_SIDES_PX.items():
        make_banded(curve[megapixels], side)
    gigapixel = folder / "gigapixel.fits" if has_room(folder) else None
    if gigapixel is not None:
        make_banded(gigapixel, GIGAPIXEL_PX)
        curve[GIGAPIXEL_PX**2 // 1_000_000] = gigapixel
    os.sync()
    return Frames(plain["mono61"], plain["bayer26"], plain["mono16"], float16, mosaic, packed, zipped, curve, gigapixel)


def has_room(folder: Path) -> bool:
    """Tell whether there is memory to hold a gigapixel warm, and disk for it."""
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    return min(available, shutil.disk_usage(folder).free) > ROOM_BYTES


def make_banded(path: Path, side_px: int) -> None:
    """Write a square of uint16 whose rows repeat after a while: every page of it is one of its own in memory."""
    band = _stored(_sky((min(BAND_ROWS, side_px), side_px)))
    with path.open("wb") as file:
        file.write(_header((side_px, side_px), ()))
        for top in range(0, side_px, len(band)):
            file.write(band[: side_px - top].data)
        _pad(file)


def _make_bayer(path: Path) -> None:
    pixels = _sky(BAYER26)
    pixels[::2, 1::2] += pixels[::2, 1::2] // 4
    demo.write_fits(path, pixels, _BAYER)


def _make_mosaic(path: Path) -> None:
    """Write extensions that lie beside one another, as DETSEC says."""
    rows, columns = MOSAIC_PART
    band = _stored(_sky(MOSAIC_PART))
    with path.open("wb") as file:
        file.write(demo.fits_header([("SIMPLE", True, ""), ("BITPIX", 8, ""), ("NAXIS", 0, ""), ("EXTEND", True, "")]))
        for number in range(MOSAIC_PARTS[0] * MOSAIC_PARTS[1]):
            up, across = divmod(number, MOSAIC_PARTS[0])
            x, y = across * columns, up * rows
            section = f"[{x + 1}:{x + columns},{y + 1}:{y + rows}]"
            file.write(_header(MOSAIC_PART, (("DETSEC", section, ""), ("EXTNAME", f"CCD{number}", "")), primary=False))
            file.write(band.data)
            _pad(file)


def _sky(shape: tuple[int, int]) -> NDArray[np.uint16]:
    rng = np.random.default_rng(7)
    light = demo.star_field(rng, shape, shape[0] * shape[1] // 8000)
    light += demo.sky_gradient(shape, 400)
    return demo.expose(rng, light)


def _stored(pixels: NDArray[np.uint16]) -> NDArray[Any]:
    return np.ascontiguousarray((pixels ^ np.uint16(0x8000)).astype(">u2"))


def _header(shape: tuple[int, int], cards: tuple[demo.Card, ...], primary: bool = True) -> bytes:
    first: demo.Card = ("SIMPLE", True, "") if primary else ("XTENSION", "IMAGE", "")
    head: list[demo.Card] = [first, ("BITPIX", 16, ""), ("NAXIS", 2, "")]
    head += [("NAXIS1", shape[1], ""), ("NAXIS2", shape[0], "")]
    head += [] if primary else [("PCOUNT", 0, ""), ("GCOUNT", 1, "")]
    return demo.fits_header([*head, ("BZERO", 32768, "unsigned counts"), ("BSCALE", 1, ""), *cards])


def _pad(file: Any) -> None:
    file.write(b"\0" * (-file.tell() % demo.BLOCK_BYTES))


def _pack(plain: Path, packed: Path) -> None:
    cards = [{"name": name, "value": value} for name, value, _ in _BAYER] if "bayer" in plain.name else None
    with fitsio.FITS(str(packed), "rw") as file:
        file.write(fitsio.read(str(plain)), compress="RICE", header=cards)


def _zip(plain: Path, zipped: Path) -> None:
    """Write a gzip file; zlib lets other threads run meanwhile."""
    packing = zlib.compressobj(1, wbits=31)
    with plain.open("rb") as source, zipped.open("wb") as target:
        while piece := source.read(_PIECE_BYTES):
            target.write(packing.compress(piece))
        target.write(packing.flush())
