"""JPEG in bands: they are encoded side by side, without the GIL, and joined by restart markers into one picture."""

from functools import partial
from typing import IO, Final, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cgi_worker.kernels.sharing import in_order
from cgi_worker.wire.view import Subsampling

BAND_PX: Final = 262_144  # About a millisecond's work; a tile is one band.
INTERVAL_MAX: Final = 65_535  # Units between two restart markers, by the standard.
_UNITS: Final[dict[str, tuple[int, int]]] = {"Gray": (8, 8), "444": (8, 8), "422": (16, 8), "420": (16, 16)}

# Markers by ITU-T T.81, table B.1.
_SOI, _EOI, _SOF0, _SOS, _RST0 = 0xD8, 0xD9, 0xC0, 0xDA, 0xD0
_DRI: Final = b"\xff\xdd\x00\x04"  # The marker and the length of its segment; the interval follows.


class _Parts(NamedTuple):
    """A JPEG file in parts: up to its scan's header, that header, and the coded units; and where its height stands."""

    head: bytes
    scan_head: bytes
    units: memoryview
    height_at: int


def write_jpeg(
    pixels: NDArray[np.uint8], file: IO[bytes], *, quality: int, subsampling: Subsampling, threads: int
) -> None:
    """Encode pixels, (height, width) or (height, width, 3), C order, into a file from its start to its end.

    The octets do not depend on the threads. `auto` is 4:2:0; grey stays grey.

    Memory  the encoded bytes of a few bands more than there are threads.
    Source  ITU-T T.81: at a restart marker the prediction begins anew, as it does at the start of a picture, so that
            the scan of a picture of its own can follow it.
    """
    height, width = pixels.shape[:2]
    chroma = "Gray" if pixels.ndim == 2 else "420" if subsampling == "auto" else subsampling
    rows = rows_of(height, width, chroma)
    cut = [pixels[top : top + rows] for top in range(0, height, rows)]
    encode = partial(_encode, quality=quality, chroma=chroma)
    for number, octets in enumerate(in_order(encode, cut, threads)):
        if len(cut) == 1:
            file.write(octets)
            return
        parts = _take_apart(octets)
        if number == 0:
            head = bytearray(parts.head)
            head[parts.height_at : parts.height_at + 2] = height.to_bytes(2, "big")
            across, down = _UNITS[chroma]
            interval = rows // down * -(-width // across)
            file.write(bytes(head) + _DRI + interval.to_bytes(2, "big") + parts.scan_head)
        else:
            file.write(bytes((0xFF, _RST0 + (number - 1) % 8)))
        file.write(parts.units)
    file.write(bytes((0xFF, _EOI)))


def rows_of(height: int, width: int, chroma: str) -> int:
    """Tell the rows of each band but the last: whole units, and alike, so that a picture's bands take as long."""
    across, down = _UNITS[chroma]
    count = -(-height * width // BAND_PX)
    most = max(1, INTERVAL_MAX // -(-width // across))
    return min(-(-height // (count * down)), most) * down


def _encode(band: NDArray[np.uint8], quality: int, chroma: str) -> bytes:
    if chroma == "Gray":
        octets: bytes = simplejpeg.encode_jpeg(band[..., np.newaxis], quality, "GRAY", "Gray", fastdct=False)
    else:
        octets = simplejpeg.encode_jpeg(band, quality, "RGB", chroma, fastdct=False)
    return octets


def _take_apart(octets: bytes) -> _Parts:
    """Find the parts of a JPEG file of one scan, as the encoder writes it."""
    assert octets[:2] == bytes((0xFF, _SOI)) and octets[-2:] == bytes((0xFF, _EOI))
    at, height_at = 2, 0
    while octets[at + 1] != _SOS:
        assert octets[at] == 0xFF, "a segment begins with a marker"
        if octets[at + 1] == _SOF0:
            height_at = at + 5
        at += 2 + int.from_bytes(octets[at + 2 : at + 4], "big")
    assert height_at, "only a baseline JPEG can be continued"
    units = at + 2 + int.from_bytes(octets[at + 2 : at + 4], "big")
    return _Parts(octets[:at], octets[at:units], memoryview(octets)[units:-2], height_at)
