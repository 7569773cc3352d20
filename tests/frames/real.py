"""Real frames: two Debian packages and astropy's own test data. Their absence is a failure, never a skip."""

from pathlib import Path
from typing import Final

import astropy.io.fits  # type: ignore[import-untyped]

_MIDAS: Final = Path("/usr/lib/eso-midas")
_DRIZZLE: Final = Path("/usr/share/python-drizzle/test_data")
_ASTROPY: Final = Path(astropy.io.fits.__file__).parent / "tests" / "data"
_FITS_START: Final = b"SIMPLE  ="


def _fits_below(folder: Path, package: str, at_least: int) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(_FITS_START)) == _FITS_START:
                    found.append(path)
    if len(found) < at_least:
        raise FileNotFoundError(f"{len(found)} FITS files below {folder}, not {at_least}: install {package}")
    return found


def real_frames() -> list[Path]:
    """Find all of them.

    Raises  FileNotFoundError naming the package that is missing.
    """
    return [
        *_fits_below(_MIDAS, "the Debian package eso-midas-testdata", 60),
        *_fits_below(_DRIZZLE, "the Debian package python-drizzle-testdata", 15),
        *_fits_below(_ASTROPY, "astropy with its test data", 25),
    ]
