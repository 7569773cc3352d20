"""Facts: what `parse` found out about a frame, as the planner needs it."""

import math
from typing import Final, Literal

import msgspec

FACTS_BYTES_MAX: Final = 1 << 20  # The facts document of one frame; more HDUs than fit are counted, not listed.
HEADER_BYTES_MAX: Final = 4 << 20  # The header document (all cards as JSON) of one frame.
AXES_MAX: Final = 999  # NAXIS has three digits at most.
HDUS_MAX: Final = 2048  # Listed HDUs; a mosaic camera has about a hundred.

SIZE_MAX: Final = 2**62  # Bytes or pixels; sums of two still fit into 64 bits.
TILE_ROW_PX_MAX: Final = 1 << 28  # Pixels of one row of tiles, all of whose planes; they are in memory at once.
BLOCK_PX_MAX: Final = 1 << 16  # Pixels of a block of RICE_1.
PARTS_MAX: Final = 200  # Sections of a mosaic.
MOSAIC_SIDE_MAX: Final = 1 << 20
MOSAIC: Final = -1  # Index of the HDU that is none: the one put together.

StoredType = Literal["u1", "i2", "i4", "i8", "f4", "f8"]
HduKind = Literal["image", "compressed", "table", "empty", "other", "mosaic"]
Method = Literal["RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS", "OTHER"]
ColumnCode = Literal["B", "I", "J", "K", "E", "D"]
COLUMN_BYTES: Final[dict[ColumnCode, int]] = {"B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8}


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source identity: which bytes a result was computed from.

    salt  0, or a number used once where the file changed so recently that another change could hide
          behind the same mtime_ns; its results are then never found again under this identity.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    salt: int = 0


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of the table around a tile-compressed image.

    at    byte of a table row at which it starts.
    code  type of its elements.
    wide  0: it holds a number; 32 or 64: a descriptor of an array in the heap, of two numbers of so many bits.
    """

    at: int
    code: ColumnCode
    wide: Literal[0, 32, 64] = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in a table row."""
        return self.wide // 4 or COLUMN_BYTES[self.code]


class Tiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a tile-compressed image lies in its table. The table's rows start at the HDU's offset.

    tile       shape of a tile in numpy order, as many axes as the HDU's shape, none longer than the image's.
    row_bytes  of a table row; the table starts at the HDU's offset, the heap at the file's byte `heap`.
    method     "OTHER" is left to cfitsio.
    data, gzip, raw     where a tile's bytes are: the first of them that is not empty; gzip, raw: always lossless.
    scale, zero, blank  columns with each tile's own numbers, or else the number that holds for all of them.
    quantised  floats kept as integers: value = stored * scale + zero; dither: the method (1, 2) subtracted, or 0.
    block_px, pixel_bytes  RICE_1's parameters BLOCKSIZE and BYTEPIX.
    """

    method: Method
    tile: tuple[int, ...]
    row_bytes: int
    heap: int
    data: Column | None = None
    gzip: Column | None = None
    raw: Column | None = None
    scale: Column | float = 1.0
    zero: Column | float = 0.0
    blank: Column | int | None = None
    quantised: bool = False
    dither: Literal[0, 1, 2] = 0
    seed: int = 1
    block_px: int = 32
    pixel_bytes: Literal[1, 2, 4] = 4


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One section of a mosaic: a rectangle of an HDU's first plane, and its place. All counted from 0.

    flip_x, flip_y  its columns, or rows, are laid in reverse.
    """

    hdu: int
    x: int
    y: int
    width: int
    height: int
    at_x: int
    at_y: int
    flip_x: bool = False
    flip_y: bool = False


class Hdu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One header-data unit.

    shape       numpy order (planes..., rows, columns); a one-dimensional image has shape (1, n).
    stored      big-endian type of the pixels as they lie in the file, before BSCALE and BZERO.
    offset      byte offset of the first pixel (kind "image"); data_bytes as the header claims.
    rows        rows of all planes together that the file really holds (smaller when truncated).
    blank       stored value that marks a bad pixel, integers only.
    cfa         Bayer pattern of the 2x2 cell at the first pixel stored (e.g. "RGGB"), offsets applied.
    top_down    True: the first row stored is the top one (ROWORDER = 'TOP-DOWN'); None: the header does not say.
    reason      why this HDU has no picture; None when it has one.
    tiling      how a tile-compressed image is read; None for any other.
    parts       what a mosaic (kind "mosaic", index MOSAIC) is put together from; its pixels are data units already.
    saturate    data units from which on a pixel is saturated, if a card says so.
    has_wcs     there are cards that tell its place in the sky.
    rgb         its three planes are red, green and blue.
    """

    index: int
    name: str
    kind: HduKind
    shape: tuple[int, ...] = ()
    stored: StoredType = "u1"
    offset: int = 0
    data_bytes: int = 0
    rows: int = 0
    bscale: float = 1.0
    bzero: float = 0.0
    blank: int | None = None
    cfa: str | None = None
    top_down: bool | None = None
    reason: str | None = None
    tiling: Tiling | None = None
    parts: tuple[Part, ...] = ()
    saturate: float | None = None
    has_wcs: bool = False
    rgb: bool = False

    @property
    def height_px(self) -> int:
        """Rows of one plane."""
        return self.shape[-2]

    @property
    def width_px(self) -> int:
        """Columns of one plane."""
        return self.shape[-1]

    @property
    def planes(self) -> int:
        """Number of 2-D planes, the axes beyond the second flattened in C order."""
        count = 1
        for length in self.shape[:-2]:
            count *= length
        return count


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a frame holds.

    default_hdu  index of the mosaic if there is one, else of the first HDU with a picture; None if there is none.
    warnings     plain words for people: truncated, unlisted HDUs, odd cards.
    whole        False: the file ends sooner than its headers say; it may still be growing.
    """

    format: str
    hdus: tuple[Hdu, ...]
    default_hdu: int | None
    warnings: tuple[str, ...] = ()
    whole: bool = True


def encode_facts(facts: Facts) -> bytes:
    """Write facts as JSON."""
    return msgspec.json.encode(facts)


def decode_facts(text: bytes) -> Facts:
    """Read facts written by `encode_facts`.

    Raises  msgspec.ValidationError or msgspec.DecodeError for anything else.
    """
    facts = _DECODER.decode(text)
    for hdu in facts.hdus:
        if not _is_sound(hdu):
            raise msgspec.ValidationError(f"HDU {hdu.index} cannot be as it is described")
    return facts


def _is_sound(hdu: Hdu) -> bool:
    """Tell whether what is said of an HDU can be true; only one with a picture has to have a shape."""
    if (hdu.index < 0) != (hdu.kind == "mosaic") or (hdu.kind == "mosaic" and hdu.index != MOSAIC):
        return False
    if min(hdu.rows, hdu.offset, hdu.data_bytes) < 0 or max(hdu.rows, hdu.offset, hdu.data_bytes) > SIZE_MAX:
        return False
    if not all(math.isfinite(number) for number in (hdu.bscale, hdu.bzero, hdu.saturate or 0.0)):
        return False
    if hdu.cfa is not None and (len(hdu.cfa) != 4 or not set(hdu.cfa) <= set("RGB")):
        return False
    if hdu.reason is not None:
        return True
    if not (2 <= len(hdu.shape) <= AXES_MAX and all(side >= 1 for side in hdu.shape)):
        return False
    if hdu.kind == "mosaic":
        return _is_sound_mosaic(hdu)
    return not hdu.parts and (hdu.tiling is None or (hdu.kind == "compressed" and _is_sound_tiling(hdu, hdu.tiling)))


def _is_sound_tiling(hdu: Hdu, tiling: Tiling) -> bool:
    """Tell whether tiles can be found, and one row of them be held in memory, with these numbers."""
    shape, tile = hdu.shape, tiling.tile
    if len(tile) != len(shape) or not all(1 <= part <= whole for part, whole in zip(tile, shape, strict=True)):
        return False
    if math.prod(shape) > SIZE_MAX or shape[-1] * math.prod(tile[:-1]) > TILE_ROW_PX_MAX:
        return False
    tiles = math.prod(-(-whole // part) for part, whole in zip(tile, shape, strict=True))
    if tiling.row_bytes < 1 or not hdu.offset + tiles * tiling.row_bytes <= tiling.heap <= SIZE_MAX:
        return False
    columns = (tiling.data, tiling.gzip, tiling.raw, tiling.scale, tiling.zero, tiling.blank)
    for column in columns:
        if isinstance(column, Column) and not 0 <= column.at <= tiling.row_bytes - column.size_bytes:
            return False
    if any(column is not None and not column.wide for column in (tiling.data, tiling.gzip, tiling.raw)):
        return False
    if any(isinstance(column, Column) and column.wide for column in (tiling.scale, tiling.zero, tiling.blank)):
        return False
    fixed = (number for number in (tiling.scale, tiling.zero) if isinstance(number, float))
    whole = tiling.blank if isinstance(tiling.blank, int) else 0
    return (
        all(math.isfinite(number) for number in fixed)
        and -(2**63) <= whole < 2**63
        and 1 <= tiling.seed <= 10_000
        and 1 <= tiling.block_px <= BLOCK_PX_MAX
        and (not tiling.quantised or hdu.stored[0] == "f")
    )


def _is_sound_mosaic(hdu: Hdu) -> bool:
    if len(hdu.shape) != 2 or max(hdu.shape) > MOSAIC_SIDE_MAX or hdu.rows != hdu.height_px or hdu.stored[0] != "f":
        return False
    return 2 <= len(hdu.parts) <= PARTS_MAX and all(
        part.hdu >= 0
        and min(part.x, part.y, part.at_x, part.at_y) >= 0
        and min(part.width, part.height) >= 1
        and max(part.x, part.y) <= SIZE_MAX
        and part.at_x + part.width <= hdu.width_px
        and part.at_y + part.height <= hdu.height_px
        for part in hdu.parts
    )


_DECODER: Final = msgspec.json.Decoder(Facts)
