"""How the tiles of a compressed image lie in the table around it, as its header says.

Source  FITS Standard 4.0: sections 7.3 (tables), 10.1 to 10.4 (tiled compression).
"""

import math
import re
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.octets import Octets
from cgi_worker.formats.values import HeaderError, Values, number, short, whole, words
from cgi_worker.wire.facts import (
    BLOCK_PX_MAX,
    COLUMN_BYTES,
    SIZE_MAX,
    TILE_ROW_PX_MAX,
    Column,
    ColumnCode,
    Hdu,
    Method,
    Tiling,
)

METHODS: Final[dict[str, Method]] = {
    "RICE_1": "RICE_1", "RICE_ONE": "RICE_1", "GZIP_1": "GZIP_1", "GZIP_2": "GZIP_2", "NOCOMPRESS": "NOCOMPRESS",
    "PLIO_1": "OTHER", "HCOMPRESS_1": "OTHER",
}  # fmt: skip
SEEDS: Final = 10_000
_FORMAT: Final = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])([A-Z]?)")
_FORMAT_BYTES: Final = {
    "L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16,
}  # fmt: skip
_COLUMNS_MAX: Final = 999
_TABLE_CHUNK: Final = 1 << 20
_RECORD: Final = 2880


def read_tiling(hdu: Hdu, values: Values) -> Tiling:
    """Read how the tiles lie.

    hdu  with the image's shape and stored type, and the table's offset.

    Raises  HeaderError that says what is missing, or is too large.
    """
    method = METHODS.get(words(values, "ZCMPTYPE"))
    if method is None:
        raise HeaderError(f"compressed by {short(values.get('ZCMPTYPE'))}, which is not supported")
    tile = _tile(hdu, values)
    row_bytes, table_rows = whole(values, "NAXIS1"), whole(values, "NAXIS2")
    heap = hdu.offset + whole(values, "THEAP", row_bytes * table_rows)
    tiles = math.prod(-(-length // part) for part, length in zip(tile, hdu.shape, strict=True))
    if not (tiles <= table_rows and row_bytes > 0):
        raise HeaderError(f"a compressed image of {tiles} tiles in a table of {table_rows} rows")
    if not hdu.offset + tiles * row_bytes <= heap <= SIZE_MAX:
        raise HeaderError(f"a compressed image whose THEAP is {short(values.get('THEAP'))}")
    columns = _columns(values, row_bytes)
    quantised = hdu.stored[0] == "f" and (method == "RICE_1" or "ZSCALE" in columns or "ZSCALE" in values)
    tiling = Tiling(
        method,
        tile,
        row_bytes,
        heap,
        data=_array(columns, "COMPRESSED_DATA"),
        gzip=_array(columns, "GZIP_COMPRESSED_DATA"),
        raw=_array(columns, "UNCOMPRESSED_DATA"),
        scale=_scalar(columns, "ZSCALE") or number(values, "ZSCALE", 1.0),
        zero=_scalar(columns, "ZZERO") or number(values, "ZZERO", 0.0),
        blank=_scalar(columns, "ZBLANK") or _fixed_blank(values),
        quantised=quantised,
        dither=_dither(values) if quantised else 0,
        seed=(max(1, whole(values, "ZDITHER0", 1)) - 1) % SEEDS + 1,
        block_px=_parameter(values, "BLOCKSIZE", 32),
        pixel_bytes=_pixel_bytes(values),
    )
    if not 1 <= tiling.block_px <= BLOCK_PX_MAX:
        raise HeaderError(f"compressed in blocks of {tiling.block_px} pixels, which is not supported")
    return tiling


def _tile(hdu: Hdu, values: Values) -> tuple[int, ...]:
    """Read the shape of a tile, none of its sides longer than the image's."""
    shape = hdu.shape
    axes = whole(values, "ZNAXIS")
    sides = [whole(values, f"ZTILE{n}", shape[-1] if n == 1 else 1) for n in range(1, axes + 1)]
    if min(sides) < 1:
        raise HeaderError(f"compressed in tiles of {' x '.join(map(str, sides))} pixels")
    sides += [1] * (len(shape) - axes)  # A line is shown as an image of one row.
    tile = tuple(min(part, length) for part, length in zip(sides[::-1], shape, strict=True))
    if shape[-1] * math.prod(tile[:-1]) > TILE_ROW_PX_MAX:
        raise HeaderError(f"compressed in tiles so large that a row of them has over {TILE_ROW_PX_MAX} pixels")
    if math.prod(shape) > SIZE_MAX:
        raise HeaderError("a compressed image of more pixels than any file can hold")
    return tile


def _columns(values: Values, row_bytes: int) -> dict[str, Column]:
    """Find the columns by name: where they start, and what they hold."""
    found: dict[str, Column] = {}
    at = 0
    for n in range(1, min(whole(values, "TFIELDS", 0), _COLUMNS_MAX) + 1):
        match = _FORMAT.match(words(values, f"TFORM{n}").upper())
        if match is None:
            raise HeaderError(f"a compressed image, but TFORM{n} is {short(values.get(f'TFORM{n}'))}")
        repeat, code, element = int(match[1] or 1), match[2], match[3]
        size = -(-repeat // 8) if code == "X" else repeat * _FORMAT_BYTES[code]
        if at + size > row_bytes:
            raise HeaderError(f"a compressed image whose columns do not fit into rows of {row_bytes} bytes")
        kind = element if code in "PQ" else code
        if repeat == 1 and kind in COLUMN_BYTES:
            wide: Literal[0, 32, 64] = 32 if code == "P" else 64 if code == "Q" else 0
            name = words(values, f"TTYPE{n}").upper()
            found.setdefault(name, Column(at, _code(kind), wide))
        at += size
    return found


def _code(letter: str) -> ColumnCode:
    return next(code for code in get_args(ColumnCode) if code == letter)


def _array(columns: dict[str, Column], name: str) -> Column | None:
    column = columns.get(name)
    return column if column is not None and column.wide else None


def _scalar(columns: dict[str, Column], name: str) -> Column | None:
    column = columns.get(name)
    return column if column is not None and not column.wide else None


def _fixed_blank(values: Values) -> int | None:
    blank = values.get("ZBLANK")
    return blank if isinstance(blank, int) and not isinstance(blank, bool) else None


def _dither(values: Values) -> Literal[0, 1, 2]:
    match words(values, "ZQUANTIZ", "NO_DITHER").upper():
        case "SUBTRACTIVE_DITHER_1":
            return 1
        case "SUBTRACTIVE_DITHER_2":
            return 2
        case "NO_DITHER" | "NONE" | "":
            return 0
        case other:
            raise HeaderError(f"quantised by {other[:40]!r}, which is not supported")


def _parameter(values: Values, name: str, default: int) -> int:
    """Read a parameter of the method: the ZVALn of the ZNAMEn that names it."""
    for n in range(1, 100):
        if f"ZNAME{n}" not in values:
            break
        if words(values, f"ZNAME{n}").upper() == name:
            return whole(values, f"ZVAL{n}", default)
    return default


def _pixel_bytes(values: Values) -> Literal[1, 2, 4]:
    match _parameter(values, "BYTEPIX", 4):
        case 1:
            return 1
        case 2:
            return 2
        case 4:
            return 4
        case other:
            raise HeaderError(f"compressed as pixels of {other} bytes, which is not supported")


def rows_within(octets: Octets, hdu: Hdu, tiling: Tiling, reached: int) -> int:
    """Count the rows, from the first on, all of whose tiles end within a file that was cut short.

    reached  where the file ends.
    """
    grid = [-(-length // part) for part, length in zip(tiling.tile, hdu.shape, strict=True)]
    across, down = grid[-1], grid[-2]
    if tiling.method == "OTHER":
        reached -= reached % _RECORD  # cfitsio reads whole records.
    found = _tiles_within(octets, hdu, tiling, (math.prod(grid), reached))
    thick = math.prod(tiling.tile[:-2])
    slabs, rest = divmod(found, across * down)
    rows = slabs * min(thick, hdu.planes) * hdu.height_px
    if thick == 1:
        return rows + min(rest // across * tiling.tile[-2], hdu.height_px)
    return min(rows, hdu.height_px * hdu.planes) if len(hdu.shape) == 3 else 0


def _tiles_within(octets: Octets, hdu: Hdu, tiling: Tiling, limits: tuple[int, int]) -> int:
    tiles, reached = limits
    step = max(1, _TABLE_CHUNK // tiling.row_bytes)
    for first in range(0, tiles, step):
        rows = min(step, tiles - first)
        some = octets.read(hdu.offset + first * tiling.row_bytes, rows * tiling.row_bytes)
        rows = len(some) // tiling.row_bytes
        table = np.frombuffer(some, np.uint8, rows * tiling.row_bytes).reshape(rows, tiling.row_bytes)
        whole_ones = np.zeros(rows, np.bool_)
        for column in (tiling.data, tiling.gzip, tiling.raw):
            if column is not None:
                start, stop = spans(table, column, tiling.heap)
                whole_ones |= (stop > start) & (stop <= reached)
        if rows < min(step, tiles - first) or not whole_ones.all():
            return first + (int(np.argmin(whole_ones)) if not whole_ones.all() else rows)
    return tiles


def spans(table: NDArray[np.uint8], column: Column, heap: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read the descriptors of a column: where in the file each array starts and stops.

    table  (n, bytes of a table row) uint8.

    What could not be is given as a span of no octets at 0.
    """
    kind = ">i4" if column.wide == 32 else ">i8"
    field = np.ascontiguousarray(table[:, column.at : column.at + column.size_bytes])
    pairs = field.view(kind).astype(np.int64).reshape(len(table), 2)
    count, offset = pairs[:, 0], pairs[:, 1]
    odd = (count < 0) | (offset < 0) | (count > SIZE_MAX // 16) | (offset > SIZE_MAX)
    start = np.where(odd, 0, offset + heap)
    return start, np.where(odd, 0, start + count * COLUMN_BYTES[column.code])
