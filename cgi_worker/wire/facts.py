"""Facts: what `parse` found out about a frame, as the planner needs it."""

import math
from typing import Final, Literal

import msgspec

FACTS_BYTES_MAX: Final = 1 << 20  # The facts document of one frame; more HDUs than fit are counted, not listed.
HEADER_BYTES_MAX: Final = 4 << 20  # The header document (all cards as JSON) of one frame.
AXES_MAX: Final = 999  # NAXIS has three digits at most.
HDUS_MAX: Final = 2048  # Listed HDUs; a mosaic camera has about a hundred.

StoredType = Literal["u1", "i2", "i4", "i8", "f4", "f8"]
HduKind = Literal["image", "compressed", "table", "empty", "other"]


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


class Hdu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One header-data unit.

    shape       numpy order (planes..., rows, columns); a one-dimensional image has shape (1, n).
    stored      big-endian type of the pixels as they lie in the file, before BSCALE and BZERO.
    offset      byte offset of the first pixel (kind "image"); data_bytes as the header claims.
    rows        rows of all planes together that the file really holds (smaller when truncated).
    blank       stored value that marks a bad pixel, integers only.
    cfa         Bayer pattern of the 2x2 cell at the first pixel stored (e.g. "RGGB"), offsets applied.
    top_down    True: the first row stored is the top one (ROWORDER = 'TOP-DOWN').
    reason      why this HDU has no picture; None when it has one.
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
    top_down: bool = False
    reason: str | None = None

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

    default_hdu  index of the first HDU with a picture, None if there is none.
    warnings     plain words for people: truncated, unlisted HDUs, odd cards.
    """

    format: str
    hdus: tuple[Hdu, ...]
    default_hdu: int | None
    warnings: tuple[str, ...] = ()


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
    if hdu.index < 0 or hdu.rows < 0 or hdu.offset < 0 or not (math.isfinite(hdu.bscale) and math.isfinite(hdu.bzero)):
        return False
    if hdu.cfa is not None and (len(hdu.cfa) != 4 or not set(hdu.cfa) <= set("RGB")):
        return False
    has_picture = hdu.reason is None
    return not has_picture or (2 <= len(hdu.shape) <= AXES_MAX and all(side >= 1 for side in hdu.shape))


_DECODER: Final = msgspec.json.Decoder(Facts)
