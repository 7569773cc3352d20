"""FITS structure: walk the header-data units by their computed sizes; tell what each holds.

Source  FITS Standard 4.0: sections 3 (files), 4 (headers), 7 (extensions), 10 (tiled compression).
"""

import math
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from cgi_worker.formats.cards import CARD, Card, Value, continued, read_card
from cgi_worker.formats.mosaic import Misfit, Section, add_mosaic, read_section
from cgi_worker.formats.octets import Inflated, Octets
from cgi_worker.formats.sniff import check_fits, open_octets
from cgi_worker.formats.tiling import read_tiling, rows_within
from cgi_worker.formats.values import HeaderError, axes, data_bytes, grouped, number, short, whole
from cgi_worker.wire.facts import HDUS_MAX, Facts, Hdu, StoredType
from cgi_worker.wire.failure import StepFailed

BLOCK: Final = 2880
SCAN_BYTES_MAX: Final = 8 << 20  # Header bytes of one file: 100,000 cards, about half a second.
AXES_MAX: Final = 32
AXIS_MAX: Final = 2**31 - 1
WRAPPED_ROW_BYTES_MAX: Final = 32 << 20  # A row inside a gzip file is held whole; 16 million 16-bit pixels are enough.
STORED: Final[dict[int, StoredType]] = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}
ROW_ORDERS: Final = {"TOP-DOWN": True, "BOTTOM-UP": False}
PATTERNS: Final = ("RGGB", "BGGR", "GRBG", "GBRG")
SATURATIONS: Final = ("SATURATE", "SATURAT", "SATLEVEL", "DATAMAX")


@dataclass(frozen=True, slots=True)
class Header:
    """The cards of one HDU; `values` by keyword, the first of each that occurs."""

    cards: list[Card]
    values: dict[str, Value]
    end: int  # Offset of the first byte after its last block.


@dataclass(slots=True)
class Walked:
    """What a walk over a file found."""

    facts: Facts
    cards: list[list[Card]]  # Of each listed HDU.


@dataclass(slots=True)
class _Walk:
    octets: Octets
    hdus: list[Hdu] = field(default_factory=list)
    cards: list[list[Card]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sections: list[Section | Misfit] = field(default_factory=list)
    scanned: int = 0
    whole: bool = True


def walk(source_fd: int) -> Walked:
    """Read all headers of a FITS file; no pixel is touched (but a gzip file is inflated as it must be).

    Raises  StepFailed("bad_frame") when not even the first HDU can be told.
    Cost    bounded by SCAN_BYTES_MAX and HDUS_MAX whatever the file claims.
    """
    check_fits(source_fd)
    walking = _Walk(open_octets(source_fd))
    offset: int | None = 0
    while offset is not None:
        offset = _walk_one(walking, offset)
    if walking.octets.complaint():
        walking.warnings.append(walking.octets.complaint())
        walking.whole = False
    _add_mosaic(walking)
    default = next((hdu.index for hdu in sorted(walking.hdus, key=lambda hdu: hdu.index) if hdu.reason is None), None)
    name = "fits.gz" if isinstance(walking.octets, Inflated) else "fits"
    facts = Facts(name, tuple(walking.hdus), default, tuple(walking.warnings[:64]), walking.whole)
    return Walked(facts, walking.cards)


def _add_mosaic(walking: _Walk) -> None:
    """Add the mosaic that the listed HDUs are parts of, if any."""
    if isinstance(walking.octets, Inflated) and len(walking.sections) > 1:
        walking.warnings.append("the sections that DETSEC names are not joined: that needs a file outside gzip")
        return
    complaint = add_mosaic(walking.hdus, walking.sections)
    if complaint:
        walking.warnings.append(complaint)


def _walk_one(walking: _Walk, offset: int) -> int | None:
    """Read the HDU at `offset`; return where the next one starts, None if this was the last."""
    index = len(walking.hdus)
    try:
        header = read_header(walking.octets, offset, SCAN_BYTES_MAX - walking.scanned)
        walking.scanned += header.end - offset
        size = data_bytes(header.values)
    except HeaderError as error:
        if index == 0:
            raise StepFailed("bad_frame", f"HDU 0: {error}") from error
        walking.warnings.append(f"nothing after HDU {index - 1} is shown; HDU {index}: {error}")
        walking.whole = False
        return None
    stop = header.end + size
    reached = walking.octets.reach(stop)
    hdu = _describe(index, header, reached, walking)
    walking.hdus.append(hdu)
    walking.cards.append(header.cards)
    try:
        section = read_section(hdu, header.values)
    except Misfit as error:
        walking.sections.append(error)
    else:
        if section is not None:
            walking.sections.append(section)
    if reached < stop:
        rows = f"{hdu.rows} of {hdu.height_px * hdu.planes} rows" if hdu.shape else f"{reached - header.end} bytes"
        walking.warnings.append(f"HDU {index} is cut short: the file ends after {rows}")
        walking.whole = False
        return None
    following = header.end + -(-size // BLOCK) * BLOCK
    if walking.octets.reach(following) < following or not _begins_extension(walking, following):
        return None
    if len(walking.hdus) == HDUS_MAX:
        walking.warnings.append(f"only the first {HDUS_MAX} HDUs are listed")
        return None
    return following


def _begins_extension(walking: _Walk, offset: int) -> bool:
    start = walking.octets.read(offset, len("XTENSION"))
    if start != b"XTENSION" and start.strip(b"\0 "):
        walking.warnings.append(f"what follows HDU {len(walking.hdus) - 1}, from byte {offset} on, is not FITS")
    return start == b"XTENSION"


def read_header(octets: Octets, offset: int, limit_bytes: int) -> Header:
    """Read the header that starts at `offset`.

    Raises  HeaderError when no END comes before the end of the file, or before the limit.
    """
    cards: list[Card] = []
    values: dict[str, Value] = {}
    at = offset
    while True:
        if at - offset >= limit_bytes:
            raise HeaderError(f"its header from byte {offset} on has no END within {limit_bytes} bytes")
        block = octets.read(at, BLOCK).decode("latin-1")
        for start in range(0, len(block) - CARD + 1, CARD):
            line = block[start : start + CARD]
            if line.startswith("END") and not line[3:].strip(" \0"):
                return Header(cards, values, min(at + BLOCK, octets.reach(at) + len(block)))
            joined = continued(cards[-1], line) if cards and line.startswith("CONTINUE") else None
            if joined is not None:
                cards[-1] = joined
                continue
            card = read_card(line)
            if card is not None:
                cards.append(card)
                values.setdefault(card.keyword, card.value)
        if len(block) < BLOCK:
            raise HeaderError(f"its header from byte {offset} on has no END before the file ends")
        at += BLOCK


def _describe(index: int, header: Header, reached: int, walking: _Walk) -> Hdu:
    """Tell what one HDU holds; `reached` is where its data end in this file."""
    values = header.values
    name = values.get("EXTNAME", "PRIMARY" if index == 0 else "")
    hdu = Hdu(
        index,
        name.strip()[:68] if isinstance(name, str) else short(name),
        "other",
        offset=header.end,
        data_bytes=data_bytes(values),
    )
    extension = "IMAGE" if index == 0 else values.get("XTENSION")
    extension = extension.strip().upper() if isinstance(extension, str) else "?"
    sides = axes(values)
    if extension in ("BINTABLE", "A3DTABLE") and values.get("ZIMAGE") is True:
        return _compressed(hdu, values, reached, walking)
    if extension in ("BINTABLE", "A3DTABLE", "TABLE"):
        return replace(hdu, kind="table", reason="a table, not an image")
    if extension not in ("IMAGE", "IUEIMAGE"):
        return replace(hdu, reason=f"an extension of type {extension[:16]}, not an image")
    if grouped(values, sides):
        return replace(hdu, reason="random groups, not an image")
    hdu = _image(hdu, sides, whole(values, "BITPIX"))
    if hdu.reason is not None:
        return hdu
    row_bytes = hdu.width_px * int(hdu.stored[1])
    rows = min(hdu.height_px * hdu.planes, max(0, reached - hdu.offset) // row_bytes)
    wrapped = isinstance(walking.octets, Inflated)
    hdu = replace(_scaled(hdu, values, walking), rows=rows, kind="compressed" if wrapped else "image")
    if wrapped and row_bytes > WRAPPED_ROW_BYTES_MAX:
        return replace(
            hdu, reason=f"inside a gzip file, and a row has {row_bytes} bytes; {WRAPPED_ROW_BYTES_MAX} at most"
        )
    return hdu if rows else replace(hdu, reason="the file ends before the end of its first row")


def _image(hdu: Hdu, sides: tuple[int, ...], bitpix: int) -> Hdu:
    """Fill in shape and stored type, or the reason why there is no picture in such an array."""
    if not sides:
        return replace(hdu, kind="empty", reason="it holds no data (NAXIS is 0)")
    if 0 in sides:
        return replace(hdu, kind="empty", reason=f"it holds no pixels (NAXIS{sides.index(0) + 1} is 0)")
    if bitpix not in STORED:
        return replace(hdu, reason=f"BITPIX is {bitpix}, which is none of the standard's pixel types")
    if len(sides) > AXES_MAX:
        return replace(hdu, reason=f"it has {len(sides)} axes; at most {AXES_MAX} are shown")
    if max(sides) > AXIS_MAX:
        return replace(hdu, reason=f"an axis has {max(sides)} pixels; at most {AXIS_MAX} are shown")
    shape = (1, *sides) if len(sides) == 1 else sides[::-1]
    return replace(hdu, kind="image", shape=shape, stored=STORED[bitpix])


def _compressed(hdu: Hdu, values: dict[str, Value], reached: int, walking: _Walk) -> Hdu:
    """Tell about a tile-compressed image: the image inside, not the table around it."""
    try:
        inside = _image(hdu, axes(values, "Z"), whole(values, "ZBITPIX"))
    except HeaderError as error:
        return replace(hdu, kind="compressed", reason=f"a compressed image, but {error}")
    if inside.reason is not None:
        return inside
    inside = replace(inside, kind="compressed")
    try:
        tiling = read_tiling(inside, values)
    except HeaderError as error:
        return replace(inside, reason=str(error))
    if isinstance(walking.octets, Inflated):
        return replace(inside, reason="tile-compressed inside a gzip file, which is not supported")
    rows = inside.height_px * inside.planes
    if reached < hdu.offset + hdu.data_bytes:
        rows = rows_within(walking.octets, inside, tiling, reached)
        if not rows:
            return replace(inside, reason="tile-compressed, and the file ends before the end of its first row of tiles")
    return _scaled(replace(inside, tiling=tiling, rows=rows), values, walking)


def _scaled(hdu: Hdu, values: dict[str, Value], walking: _Walk) -> Hdu:
    """Add what the cards say about the meaning of the stored values."""
    scale, zero = number(values, "BSCALE", 1.0), number(values, "BZERO", 0.0)
    if scale == 0:
        walking.warnings.append(f"HDU {hdu.index}: BSCALE is 0; taken as 1")
        scale = 1.0
    return replace(
        hdu,
        bscale=scale,
        bzero=zero,
        blank=_blank(hdu, values),
        cfa=_pattern(hdu, values, walking),
        saturate=_saturation(values),
        has_wcs="CTYPE1" in values and "CTYPE2" in values,
        rgb=len(hdu.shape) == 3 and hdu.shape[0] == 3,
        top_down=ROW_ORDERS.get(str(values.get("ROWORDER", "")).strip().upper()),
    )


def _saturation(values: dict[str, Value]) -> float | None:
    for keyword in SATURATIONS:
        level = number(values, keyword, math.nan)
        if math.isfinite(level):
            return level
    return None


def _blank(hdu: Hdu, values: dict[str, Value]) -> int | None:
    """Tell the stored value that marks a bad pixel, if the type can hold it."""
    value = values.get("ZBLANK" if "ZBLANK" in values else "BLANK")
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        value = int(value)  # -2**63 is kept as text.
    if isinstance(value, bool) or not isinstance(value, int) or hdu.stored[0] == "f":
        return None
    low, high = (
        (0, 255) if hdu.stored == "u1" else (-(1 << 8 * int(hdu.stored[1]) - 1), (1 << 8 * int(hdu.stored[1]) - 1) - 1)
    )
    return value if low <= value <= high else None


def _pattern(hdu: Hdu, values: dict[str, Value], walking: _Walk) -> str | None:
    """Tell the Bayer pattern at the first pixel stored; None for a frame that is not a raw mosaic."""
    named = next((values[keyword] for keyword in ("BAYERPAT", "COLORTYP") if keyword in values), None)
    if named is None:
        return None
    pattern = str(named).strip().upper()
    if pattern not in PATTERNS:
        walking.warnings.append(f"HDU {hdu.index}: {short(named)} is no known Bayer pattern; shown without colour")
        return None
    if hdu.planes == 3 or min(hdu.height_px, hdu.width_px) < 2:
        return None  # Three planes are red, green and blue already; a line holds no cell.
    x, y = int(number(values, "XBAYROFF", 0)) % 2, int(number(values, "YBAYROFF", 0)) % 2
    return "".join(pattern[2 * ((row + y) % 2) + (column + x) % 2] for row in (0, 1) for column in (0, 1))
