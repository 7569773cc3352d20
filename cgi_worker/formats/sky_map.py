"""Sky map: pixels of a plane to world coordinates and back, by astropy.wcs."""

import importlib
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cgi_worker.formats.raw_header import raw_cards
from cgi_worker.formats.wcs_header import wcs_header
from cgi_worker.wire.facts import Hdu
from cgi_worker.wire.failure import StepFailed

_SYSTEMS: Final = {
    "RA": "equatorial", "GLON": "galactic", "ELON": "ecliptic", "HLON": "helioecliptic", "SLON": "supergalactic",
}  # fmt: skip
# MemoryError is what wcslib's wrapper makes of any bad distortion.
_COMPLAINTS: Final = (ValueError, KeyError, TypeError, IndexError, AssertionError, ZeroDivisionError, MemoryError)
_BACK_PX: Final = 1e-6  # How near a position must come to itself, there and back.
_ROUNDS_MAX: Final = 60

Floats = NDArray[np.float64]


def load() -> Any:
    """Import astropy.wcs, which takes half a second and 30 MB: the template does it once, before it forks.

    Nothing is written, no network and no table of Earth's rotation is used. Its messages are for interactive use.
    """
    module = importlib.import_module("astropy.wcs")
    logging.getLogger("astropy").setLevel(logging.CRITICAL)
    return module


class SkyMap:
    """World coordinates of one plane: those of its two pixel axes.

    kind        "celestial": degrees of longitude and latitude, in this order; "linear": the two axes' own coordinates.
    system      equatorial, galactic, ...; "" for linear axes.
    projection  TAN, SIN, ...; "" for linear axes.
    frame       RADESYS for equatorial coordinates; equinox None if it has none.
    names, units  of the two coordinates, as the header calls them.
    """

    def __init__(self, source_fd: int, hdu: Hdu) -> None:
        """Read the header and set up the transformation.

        Raises  StepFailed("bad_frame") if the header has no usable world coordinates.
        """
        if hdu.kind == "mosaic":
            raise StepFailed("bad_frame", "a mosaic has no world coordinates of its own: ask for one of its HDUs")
        self._module = load()
        header = wcs_header(raw_cards(source_fd, hdu.index), hdu.shape[::-1])
        with _in_words(self._module):
            wcs = self._module.WCS(header)
            if wcs.naxis > 2:
                wcs = wcs.sub([1, 2])
            wcs.wcs.set()
        self._wcs = wcs
        self._distorted = wcs.sip is not None
        self._order = (wcs.wcs.lng, wcs.wcs.lat) if min(wcs.wcs.lng, wcs.wcs.lat) >= 0 else (0, 1)
        self.kind: Literal["celestial", "linear"] = "celestial" if min(wcs.wcs.lng, wcs.wcs.lat) >= 0 else "linear"
        types = [str(wcs.wcs.ctype[axis]).strip() for axis in self._order]
        self.names = tuple(name.rstrip("-").partition("-")[0] if self.kind == "celestial" else name for name in types)
        self.units = tuple(str(wcs.wcs.cunit[axis]) for axis in self._order)
        self.system = self.projection = self.frame = ""
        self.equinox: float | None = None
        if self.kind == "celestial":
            self.system = _SYSTEMS.get(self.names[0], self.names[0])
            self.projection = types[0][5:8]
        if self.system == "equatorial":
            self.frame = str(wcs.wcs.radesys).strip() or "ICRS"
            self.equinox = float(wcs.wcs.equinox) if math.isfinite(wcs.wcs.equinox) else None

    def world(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Find the world coordinates of FITS pixels; NaN where the projection has none."""
        given = np.stack([np.ravel(x), np.ravel(y)], axis=1).astype(np.float64)
        with _in_words(self._module), np.errstate(all="ignore"):
            found = self._wcs.all_pix2world(given, 1)
        found = np.where(np.isfinite(found), found, np.nan)
        first, second = (found[:, axis].reshape(np.shape(x)) for axis in self._order)
        return (first % 360.0 if self.kind == "celestial" else first), second

    def pixel(self, first: float, second: float) -> tuple[float, float] | None:
        """Find the FITS pixel at a position; None if it does not project, or not to a point that leads back to it."""
        given = np.empty((1, 2))
        given[0, self._order[0]], given[0, self._order[1]] = first, second
        if self.kind == "celestial" and abs(second) > 90:
            return None
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                if self._distorted:
                    found = self._wcs.all_world2pix(given, 1, tolerance=_BACK_PX / 100, maxiter=_ROUNDS_MAX)
                else:
                    found = self._wcs.wcs_world2pix(given, 1)
        except (self._module.NoConvergence, ValueError):
            return None
        x, y = (float(value) for value in found[0])
        if not (math.isfinite(x) and math.isfinite(y) and self._leads_back((x, y), (first, second))):
            return None
        return x, y

    def points(self, x: Floats, y: Floats) -> Floats:
        """Find what can be interpolated between pixels: (..., 3) unit vectors, or (..., 2) linear coordinates."""
        first, second = self.world(x, y)
        return unit_vectors(first, second) if self.kind == "celestial" else np.stack([first, second], axis=-1)

    def _leads_back(self, pixel: tuple[float, float], asked: tuple[float, float]) -> bool:
        """Tell whether a pixel lies where it should, to a thousandth of itself."""
        x, y = np.array([0.0, 0.5, 0.0]) + pixel[0], np.array([0.0, 0.0, 0.5]) + pixel[1]
        here, right, up = self.points(x, y)
        point = unit_vectors(*map(np.asarray, asked)) if self.kind == "celestial" else np.array(asked)
        size = max(np.linalg.norm(right - here), np.linalg.norm(up - here))
        rounding = 1e-14 * np.linalg.norm(point)
        return bool(np.linalg.norm(point - here) <= 2e-3 * size + rounding)


def unit_vectors(longitude: Floats, latitude: Floats) -> Floats:
    """Turn degrees into unit vectors (..., 3): x towards 0, 0; y towards 90, 0; z towards the north pole."""
    along, up = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)], axis=-1)


@contextmanager
def _in_words(module: Any) -> Iterator[None]:
    """Turn what astropy and wcslib complain about into a failure with words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (*_COMPLAINTS, module.NoConvergence) as error:
        raise StepFailed("bad_frame", f"its world coordinates are broken: {_plain(error)}") from error


def _plain(error: BaseException) -> str:
    """Take the sentence out of wcslib's message, without the names of its functions and files."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("ERROR ") and "/" not in line]
    return lines[0][:200] if lines else "wcslib cannot make sense of them"
