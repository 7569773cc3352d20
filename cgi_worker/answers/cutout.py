"""Cutout: the header of a piece of a plane, from the header of the HDU that it is cut from. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from cgi_worker.answers.coordinates import section
from cgi_worker.formats.cards import CARD, Card, Value, read_card
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.view import Region

BLOCK: Final = 2880
BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}
_ALWAYS: Final = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|EXTEND|BLOCKED|INHERIT|CHECKSUM|DATASUM|ZHECKSUM|ZDATASUM|END)$"
)
_OF_TABLE: Final = re.compile(
    r"(TFIELDS|THEAP|T(TYPE|FORM|UNIT|SCAL|ZERO|NULL|DIM|DISP)\d+|"
    r"Z(IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|MASKCMP|QUANTIZ|DITHER0|SIMPLE|TENSION|EXTEND|BLOCKED|PCOUNT|"
    r"GCOUNT|SCALE|ZERO|BLANK))$"
)
_OF_AXIS: Final = re.compile(r"(?:CTYPE|CRVAL|CDELT|CRPIX|CUNIT|CROTA|CNAME|CRDER|CSYER|CZPHS|CPERI)(\d+)[A-Z]?$")
_OF_AXES: Final = re.compile(r"(?:CD|PC)(\d+)_(\d+)[A-Z]?$|PC(\d{3})(\d{3})$")
_OF_PARAMETER: Final = re.compile(r"(?:PV|PS)(\d+)_\d+[A-Z]?$")
_ELSEWHERE: Final = re.compile(r"(CPDIS|CQDIS|DP|DQ|D2IMDIS|D2IM|CPERR|CQERR|DVERR|D2IMERR)\d+(\.\S*)?$|D2IMARR$")
_WORLD: Final = re.compile(r"(WCS(AXES|NAME)|EQUINOX|RADESYS|RADECSYS|LONPOLE|LATPOLE|A|B|AP|BP)[A-Z]?(_\w+)?$")
_REFERENCE: Final = re.compile(r"CRPIX(\d+)([A-Z]?)$")
_SKY: Final = re.compile(r"(RA--|DEC-|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)")
_IN_IMAGE: Final = re.compile(r"(DATASEC|TRIMSEC|BIASSEC)[A-Z]?$")
_ON_DETECTOR: Final = re.compile(r"(DETSEC|CCDSEC|AMPSEC)([A-Z]?)$")
_SECTION: Final = re.compile(r"\[\s*(-?\d{1,9})\s*:\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*:\s*(-?\d{1,9})\s*\]\s*$")

Span = tuple[int, int]  # First and last pixel, counted from 1; reversed where the axis runs the other way.


class Piece(NamedTuple):
    """What is cut out of which plane; `bitpix` of the pixels that are written."""

    hdu: Hdu
    plane: int
    region: Region
    bitpix: int

    @property
    def starts(self) -> tuple[int, ...]:
        """Pixels cut off before the first one kept, of each FITS axis."""
        before = np.unravel_index(self.plane, self.hdu.shape[:-2]) if len(self.hdu.shape) > 2 else ()
        return (self.region.x_px, self.region.y_px, *(int(each) for each in before[::-1]))

    @property
    def whole(self) -> bool:
        """Tell whether nothing of the plane is missing."""
        return (self.region.width_px, self.region.height_px) == (self.hdu.width_px, self.hdu.height_px)


def cutout_header(raw: Sequence[bytes], piece: Piece, notes: Iterable[str] = ()) -> bytes:
    """Write the header of a piece as a file of its own, padded to whole blocks.

    Cards stay as they are, byte by byte, but for those that tell how the data lie in the file (written anew), where
    they lie in the world or on the detector (moved), and what is not true any more (left out; HISTORY says what).

    raw    cards of the HDU; of HDU 0 for a mosaic, which keeps nothing about places.
    notes  more to be said in HISTORY.
    """
    groups = _grouped(raw)
    values: dict[str, Value] = {}
    for card, _ in groups:
        values.setdefault(card.keyword, card.value)
    editing = _Editing(piece, values)
    kept = [line for card, lines in groups for line in editing.edit(card, lines)]
    lines = [
        fixed_card("SIMPLE", True, "conforms to FITS standard"),
        fixed_card("BITPIX", piece.bitpix),
        fixed_card("NAXIS", 2),
        fixed_card("NAXIS1", piece.region.width_px),
        fixed_card("NAXIS2", piece.region.height_px),
        *kept,
        *editing.missing(),
    ]
    for note in (*editing.notes(), *notes):
        lines += [
            f"HISTORY {note[at : at + 72]}".encode("ascii", "replace").ljust(CARD) for at in range(0, len(note), 72)
        ]
    octets = b"".join((*lines, b"END".ljust(CARD)))
    return octets.ljust(-(-len(octets) // BLOCK) * BLOCK)


def fixed_card(keyword: str, value: bool | int | float | str, comment: str = "") -> bytes:
    """Write one card of 80 bytes; a comment that is too long is cut."""
    match value:
        case bool():
            text = f"{'T' if value else 'F':>20}"
        case str():
            quoted = value.replace("'", "''")
            text = f"'{quoted:<8}'"
        case _:
            text = f"{value!r:>20}".upper()
    card = f"{keyword:<8}= {text}" + (f" / {comment}" if comment else "")
    return card.encode("ascii", "replace")[:CARD].ljust(CARD)


def _grouped(raw: Sequence[bytes]) -> list[tuple[Card, list[bytes]]]:
    """Read cards; CONTINUE cards stay with the one that they continue."""
    groups: list[tuple[Card, list[bytes]]] = []
    for line in raw:
        clean = bytes(octet if 32 <= octet < 127 else 63 for octet in line)
        card = read_card(clean.decode("ascii")) or Card("", None)
        if card.keyword == "CONTINUE" and groups:
            groups[-1][1].append(clean)
        else:
            groups.append((card, [clean]))
    return groups


class _Editing:
    """The cards of one HDU being adapted to a piece of it."""

    def __init__(self, piece: Piece, values: dict[str, Value]) -> None:
        self._piece = piece
        self._values = values
        self._left_out: list[str] = []
        self._flat = len(piece.hdu.shape) > 2 and not self._binds_axes()
        self._looked_up = any("LOOKUP" in str(value).upper() for name, value in values.items() if "DIS" in name)

    def edit(self, card: Card, lines: list[bytes]) -> list[bytes]:
        """Adapt one card."""
        name, hdu = card.keyword, self._piece.hdu
        if _ALWAYS.match(name) or (hdu.kind == "compressed" and self._in_table() and _OF_TABLE.match(name)):
            return []
        if name in ("BSCALE", "BZERO"):
            meant = hdu.bscale if name == "BSCALE" else hdu.bzero
            return lines if hdu.kind != "mosaic" and _is_number(card.value, meant) else []
        if name == "BLANK":
            return lines if self._piece.bitpix > 0 and hdu.blank is not None and card.value == hdu.blank else []
        if hdu.kind == "mosaic" and _is_place(name):
            return []
        if name == "EXTNAME" and card.value == "COMPRESSED_IMAGE":
            return []
        if self._flat and _highest_axis(name) > 2:
            return []
        if name == "WCSAXES" and self._flat and isinstance(card.value, int) and card.value > 2:
            return [fixed_card(name, 2, card.comment)]
        if self._looked_up and _ELSEWHERE.match(name):
            return self._leave_out(name)
        return self._moved(card, lines)

    def missing(self) -> list[bytes]:
        """Write what the header left to defaults that hold no more."""
        piece, lines = self._piece, []
        hdu = piece.hdu
        if hdu.kind == "mosaic":
            return []
        for name, meant, default in (("BSCALE", hdu.bscale, 1.0), ("BZERO", hdu.bzero, 0.0)):
            if meant != default and not _is_number(self._values.get(name), meant):
                lines.append(fixed_card(name, meant))
        if piece.bitpix > 0 and hdu.blank is not None and self._values.get("BLANK") != hdu.blank:
            lines.append(fixed_card("BLANK", hdu.blank))
        for axis, start in enumerate(piece.starts[:2], 1):
            known = (re.match(rf"(?:CTYPE|CRVAL|CDELT|CD|PC){axis}(?:_\d+)?([A-Z]?)$", name) for name in self._values)
            for letter in sorted({match.group(1) for match in known if match}):
                if start and f"CRPIX{axis}{letter}" not in self._values:
                    lines.append(fixed_card(f"CRPIX{axis}{letter}", float(-start)))
        return lines

    def notes(self) -> list[str]:
        """Say what was done."""
        piece = self._piece
        region = piece.region
        where = section(region.x_px, region.y_px, region.width_px, region.height_px)
        of = "the mosaic" if piece.hdu.kind == "mosaic" else f"HDU {piece.hdu.index}"
        said = [f"Cut out by imgd: {where} of {of}"]
        said += [f"It was at pixel {at + 1} of axis {axis}" for axis, at in enumerate(piece.starts[2:], 3)]
        if self._left_out:
            said.append("Left out, for it does not hold for the piece: " + ", ".join(self._left_out))
        return said

    def _moved(self, card: Card, lines: list[bytes]) -> list[bytes]:
        name, starts = card.keyword, self._piece.starts
        reference = _REFERENCE.match(name)
        axis = int(reference.group(1)) if reference else {"LTV1": 1, "LTV2": 2, "CNPIX1": 1, "CNPIX2": 2}.get(name, 0)
        if 1 <= axis <= len(starts) and starts[axis - 1]:
            if isinstance(card.value, bool) or not isinstance(card.value, int | float):
                return lines
            moved = card.value + starts[axis - 1] if name.startswith("CNPIX") else card.value - starts[axis - 1]
            return [fixed_card(name, moved, card.comment)]
        if self._piece.whole or not isinstance(card.value, str):
            return lines
        detector = _ON_DETECTOR.match(name)
        if detector is None and not _IN_IMAGE.match(name):
            return lines
        spans = self._on_detector(card.value, detector.group(2)) if detector else self._in_image(card.value)
        if spans is None:
            return self._leave_out(name)
        (x1, x2), (y1, y2) = spans
        return [fixed_card(name, f"[{x1}:{x2},{y1}:{y2}]", card.comment)]

    def _in_image(self, text: str) -> tuple[Span, Span] | None:
        """Move a section of the image; None if the piece has nothing of it."""
        spans = _read_section(text)
        if spans is None:
            return None
        moved = [_overlap(span, kept) for span, kept in zip(spans, self._spans(), strict=True)]
        x, y = (None if span is None else (span[0] - start, span[1] - start)
                for span, start in zip(moved, self._piece.starts[:2], strict=True))  # fmt: skip
        return None if x is None or y is None else (x, y)

    def _on_detector(self, text: str, letter: str) -> tuple[Span, Span] | None:
        """Cut a section of the detector, which the data section lies on; None if it cannot be told."""
        hdu = self._piece.hdu
        data = self._values.get(f"DATASEC{letter}", self._values.get("DATASEC"))
        spans = _read_section(text)
        images = _read_section(data) if isinstance(data, str) else ((1, hdu.width_px), (1, hdu.height_px))
        if spans is None or images is None:
            return None
        cut = [_cut(span, image, kept) for span, image, kept in zip(spans, images, self._spans(), strict=True)]
        return None if cut[0] is None or cut[1] is None else (cut[0], cut[1])

    def _spans(self) -> tuple[Span, Span]:
        region = self._piece.region
        return (
            (region.x_px + 1, region.x_px + region.width_px),
            (region.y_px + 1, region.y_px + region.height_px),
        )

    def _binds_axes(self) -> bool:
        """Tell whether the axes of the plane have to do with the others, so that these are to be kept."""
        for name, value in self._values.items():
            axes = _OF_AXES.match(name)
            numbers = [int(number) for number in axes.groups() if number] if axes else []
            if numbers and min(numbers) <= 2 < max(numbers) and value not in (0, 0.0):
                return True
            axis = re.match(r"CTYPE(\d+)[A-Z]?$", name)
            if axis and int(axis.group(1)) > 2 and isinstance(value, str) and _SKY.match(value.upper()):
                return True
        return False

    def _in_table(self) -> bool:
        return self._values.get("ZIMAGE") is True

    def _leave_out(self, name: str) -> list[bytes]:
        self._left_out.append(name)
        return []


def _is_number(value: Value, meant: float) -> bool:
    """Tell whether a card's value is this number (2**63 is kept as text)."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == meant


def _highest_axis(name: str) -> int:
    for pattern in (_OF_AXIS, _OF_AXES, _OF_PARAMETER):
        match = pattern.match(name)
        if match:
            return max(int(number) for number in match.groups() if number)
    return 0


def _is_place(name: str) -> bool:
    patterns = (_WORLD, _ELSEWHERE, _IN_IMAGE, _ON_DETECTOR)
    return _highest_axis(name) > 0 or name[:3] in ("LTV", "LTM") or any(pattern.match(name) for pattern in patterns)


def _read_section(text: str) -> tuple[Span, Span] | None:
    match = _SECTION.match(text.strip())
    if match is None:
        return None
    x1, x2, y1, y2 = (int(number) for number in match.groups())
    return (x1, x2), (y1, y2)


def _overlap(span: Span, kept: Span) -> Span | None:
    low, high = max(min(span), kept[0]), min(max(span), kept[1])
    if low > high:
        return None
    return (low, high) if span[0] <= span[1] else (high, low)


def _cut(span: Span, image: Span, kept: Span) -> Span | None:
    """Cut what lies on pixels `image` to those of them that are kept; None if it is binned, or nothing is."""
    left = _overlap(image, kept)
    if left is None or abs(span[1] - span[0]) != abs(image[1] - image[0]):
        return None
    way = 1 if span[0] <= span[1] else -1
    first, last = (span[0] + way * abs(end - image[0]) for end in left)
    return first, last
