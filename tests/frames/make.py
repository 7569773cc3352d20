"""FITS files written from the standard's text, without any FITS library (but fitsio for tile compression).

write(path, image_hdu(pixels, cards=[card("OBJECT", "M 51")]), image_hdu(other, primary=False))
"""

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fitsio
import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 2880
_UNSIGNED: Final[Mapping[str, tuple[str, int]]] = {
    "u2": ("i2", 1 << 15),
    "u4": ("i4", 1 << 31),
    "u8": ("i8", 1 << 63),
    "i1": ("u1", -128),
}
_BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}

Value = bool | int | float | str | None


def card(keyword: str, value: Value, comment: str = "") -> bytes:
    """Write one fixed-format card of 80 bytes; None leaves the value undefined."""
    match value:
        case bool():
            text = f"{'T' if value else 'F':>20}"
        case str():
            quoted = value.replace("'", "''")
            text = f"'{quoted:<8}'"
        case None:
            text = " " * 20
        case _:
            text = f"{value!r:>20}".upper()
    return raw_card(f"{keyword:<8}= {text}" + (f" / {comment}" if comment else ""))


def raw_card(text: str | bytes) -> bytes:
    """Pad or cut anything to 80 bytes: for cards that break the rules."""
    octets = text.encode("latin-1") if isinstance(text, str) else text
    return octets[:80].ljust(80)


def header(cards: Iterable[bytes]) -> bytes:
    """Join cards, add END, fill the block with spaces."""
    octets = b"".join(cards) + raw_card("END")
    return octets.ljust(-(-len(octets) // BLOCK) * BLOCK)


def padded(data: bytes) -> bytes:
    """Fill a data unit's last block with zeros."""
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def image_hdu(pixels: NDArray[Any], *, cards: Sequence[bytes] = (), primary: bool = True, pad: bool = True) -> bytes:
    """Write an image; unsigned (and signed 8-bit) pixels get the standard's BZERO."""
    kind = pixels.dtype.str[1:]
    stored, zero = _UNSIGNED.get(kind, (kind, 0))
    if zero:
        pixels = (pixels.astype(object) - zero).astype(stored)
    data = pixels.astype(">" + stored).tobytes()
    first = card("SIMPLE", True) if primary else card("XTENSION", "IMAGE")
    lines = [first, *structure(_BITPIX[stored], pixels.shape[::-1])]
    if not primary:
        lines += [card("PCOUNT", 0), card("GCOUNT", 1)]
    if zero:
        lines += [card("BSCALE", 1.0), card("BZERO", float(zero))]
    return header([*lines, *cards]) + (padded(data) if pad else data)


def structure(bitpix: int, axes: Sequence[int]) -> list[bytes]:
    """Write BITPIX, NAXIS and NAXISn (first axis first), whatever they claim."""
    lines = [card("BITPIX", bitpix), card("NAXIS", len(axes))]
    return lines + [card(f"NAXIS{n}", length) for n, length in enumerate(axes, 1)]


def empty_hdu(cards: Sequence[bytes] = ()) -> bytes:
    """Write a primary header without data."""
    return header([card("SIMPLE", True), *structure(8, ()), card("EXTEND", True), *cards])


def table_hdu(rows: int = 3) -> bytes:
    """Write a binary table of one 32-bit column."""
    lines = [card("XTENSION", "BINTABLE"), *structure(8, (4, rows)), card("PCOUNT", 0), card("GCOUNT", 1)]
    lines += [card("TFIELDS", 1), card("TTYPE1", "N"), card("TFORM1", "J"), card("EXTNAME", "EVENTS")]
    return header(lines) + padded(np.arange(rows, dtype=">i4").tobytes())


def write(path: Path, *units: bytes) -> Path:
    """Write header-data units after one another; return the path."""
    path.write_bytes(b"".join(units))
    return path


def write_gzip(path: Path, *units: bytes) -> Path:
    """Write the same, compressed as a whole."""
    path.write_bytes(gzip.compress(b"".join(units), 1, mtime=0))
    return path


def write_compressed(path: Path, pixels: NDArray[Any], compress: str = "RICE", **options: Any) -> Path:
    """Write a tile-compressed image as HDU 1, as fpack would (RICE, GZIP, GZIP_2, PLIO, HCOMPRESS)."""
    path.unlink(missing_ok=True)
    with fitsio.FITS(str(path), "rw") as file:
        file.write(pixels, compress=compress, **options)
    return path


def cut(path: Path, size_bytes: int) -> Path:
    """Cut a file short."""
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    return path


def star_field(height: int, width: int, seed: int = 1) -> NDArray[np.uint16]:
    """Draw a noisy sky with stars, uint16 counts; its brightest star lies at a quarter of both sides."""
    random = np.random.default_rng(seed)
    sky = random.normal(1000, 20, (height, width)).astype(np.float32)
    for index in range(max(1, height * width // 4000)):
        y, x = (height / 4, width / 4) if index == 0 else random.uniform(0, 1, 2) * (height, width)
        top = 50_000.0 if index == 0 else random.exponential(4000)
        y0, x0 = max(0, int(y) - 8), max(0, int(x) - 8)
        ys, xs = np.ogrid[y0 : min(height, y0 + 17), x0 : min(width, x0 + 17)]
        sky[y0 : y0 + 17, x0 : x0 + 17] += top * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 6)
    return np.clip(sky, 0, 65535).astype(np.uint16)


def mosaic(colours: NDArray[np.uint16], pattern: str = "RGGB") -> NDArray[np.uint16]:
    """Look at a colour picture (R, C, 3) through a Bayer mask whose first cell is `pattern`."""
    plane = np.empty(colours.shape[:2], np.uint16)
    for site, letter in enumerate(pattern):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        plane[rows, columns] = colours[rows, columns, "RGB".index(letter)]
    return plane


def hostile() -> dict[str, bytes]:
    """Give bytes that are no good frame, by what is wrong with them; `parse` refuses each of them whole."""
    simple = card("SIMPLE", True)
    return {
        "empty": b"",
        "text": b"this is a note about the frame, not the frame\n" * 100,
        "zeros": bytes(BLOCK),
        "short": (simple + card("BITPIX", 16))[:120],
        "no end": simple + card("BITPIX", 16) + raw_card("COMMENT x") * 400,
        "no naxis": header([simple, card("BITPIX", 16)]),
        "negative axis": header([simple, *structure(16, (100, -5))]),
        "negative naxis": header([simple, card("BITPIX", 16), card("NAXIS", -2)]),
        "1000 axes": header([simple, card("BITPIX", 16), card("NAXIS", 1000)]),
        "overflow": header([simple, *structure(16, (2**40, 2**40, 2**40))]),
        "axis not a number": header([simple, card("BITPIX", 16), card("NAXIS", 1), card("NAXIS1", "many")]),
        "axis missing": header([simple, card("BITPIX", 16), card("NAXIS", 2), card("NAXIS1", 4)]),
        "huge text number": header([simple, card("BITPIX", 16), raw_card("NAXIS   = " + "9" * 69)]),
    }
