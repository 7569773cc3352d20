"""Tell formats apart by content, never by name."""

import os
import stat
from typing import Final, Literal

from cgi_worker.formats.octets import Inflated, Octets, Plain
from cgi_worker.wire.failure import StepFailed

Wrapping = Literal["plain", "gzip"]
_FITS: Final = b"SIMPLE  ="
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\0", "a TIFF file"),
    (b"MM\0*", "a TIFF file"),
    (b"BZh", "a bzip2 file"),
    (b"\x1f\x9d", "a file from compress (.Z)"),
    (b"\xfd7zXZ", "an xz file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"###CBF", "a CBF file"),
    (b"XTENSION", "a FITS extension without the primary header before it"),
)


def wrapping(source_fd: int) -> Wrapping:
    """Tell whether the frame lies in the file as it is, or inside gzip."""
    return "gzip" if Plain(source_fd).read(0, 2) == _GZIP else "plain"


def open_octets(source_fd: int) -> Octets:
    """Open a frame's bytes from their start."""
    return Inflated(source_fd) if wrapping(source_fd) == "gzip" else Plain(source_fd)


def check_fits(source_fd: int) -> None:
    """Make sure that the content is FITS.

    Raises  StepFailed("bad_frame") that says what it is instead, as far as its first bytes tell.
    """
    if not stat.S_ISREG(os.fstat(source_fd).st_mode):
        raise StepFailed("bad_frame", "not a file with contents of its own")
    octets = open_octets(source_fd)
    start = octets.read(0, 64)
    if start.startswith(_FITS):
        return
    where = " inside the gzip file" if isinstance(octets, Inflated) else ""
    if octets.complaint():
        raise StepFailed("bad_frame", octets.complaint())
    if not start:
        raise StepFailed("bad_frame", f"there is nothing{where}" if where else "the file is empty")
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise StepFailed("bad_frame", f"not FITS: this is {what}{where}")
    raise StepFailed("bad_frame", f"not FITS{where}: its first bytes are not 'SIMPLE  ='")
