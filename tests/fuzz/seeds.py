"""Small good frames of every kind, made and real: what the mutations start from."""

import contextlib
import functools
import gzip
import io
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits  # type: ignore[import-untyped]
from numpy.typing import NDArray

from cgi_worker.formats.fits import walk
from cgi_worker.wire.failure import StepFailed
from tests.frames.make import card, empty_hdu, image_hdu, star_field, table_hdu, write_compressed
from tests.frames.real import real_frames

REAL_BYTES_MAX: Final = 60_000
TABLES_MAX: Final = 3
TAN: Final = (
    card("CTYPE1", "RA---TAN"), card("CTYPE2", "DEC--TAN"), card("CRVAL1", 10.5), card("CRVAL2", 41.25),
    card("CRPIX1", 20.0), card("CRPIX2", 15.0), card("CD1_1", -0.0003), card("CD1_2", 0.00001),
    card("CD2_1", 0.00001), card("CD2_2", 0.0003), card("CUNIT1", "deg"), card("CUNIT2", "deg"),
)  # fmt: skip
_SIP: Final = (
    card("CTYPE1", "RA---TAN-SIP"), card("CTYPE2", "DEC--TAN-SIP"), card("A_ORDER", 3), card("A_2_0", 1e-5),
    card("A_0_3", -1e-7), card("B_ORDER", 2), card("B_1_1", 2e-5), card("AP_ORDER", 2), card("AP_2_0", -1e-5),
    card("BP_ORDER", 2), card("BP_1_1", -2e-5), *TAN[2:],
)  # fmt: skip
_TPV: Final = (
    card("CTYPE1", "RA---TPV"), card("CTYPE2", "DEC--TPV"), card("PV1_0", 0.0), card("PV1_1", 1.0),
    card("PV1_4", 1e-4), card("PV2_0", 0.0), card("PV2_1", 1.0), card("PV2_6", 1e-4), *TAN[2:],
)  # fmt: skip
_BAYER: Final = (
    card("BAYERPAT", "RGGB"), card("XBAYROFF", 1), card("YBAYROFF", 0), card("ROWORDER", "TOP-DOWN"),
    card("SATURATE", 60000.0), card("BLANK", 3),
)  # fmt: skip


@functools.cache
def seeds() -> dict[str, bytes]:
    """Give all frames by name."""
    with tempfile.TemporaryDirectory() as name:
        found = {**_plain(), **_compressed(Path(name) / "a")}
    found |= {f"gzip {kind}": gzip.compress(found[kind], 1, mtime=0) for kind in ("u2 bayer", "f4 cube")}
    return found | _real()


def _real() -> dict[str, bytes]:
    """Give the smallest real frames with a picture, and a few without."""
    found: dict[str, bytes] = {}
    without = 0
    for path in sorted(real_frames(), key=lambda each: (each.stat().st_size, str(each))):
        if path.stat().st_size <= REAL_BYTES_MAX:
            with path.open("rb") as file, contextlib.suppress(StepFailed):
                shown = walk(file.fileno()).facts.default_hdu is not None
                without += not shown
                if shown or without <= TABLES_MAX:
                    found[f"real {path.name}"] = path.read_bytes()
    return found


def _plain() -> dict[str, bytes]:
    sky = star_field(37, 61)
    real = sky.astype("f4") / np.float32(7)
    real[5:9, 8:20] = np.nan
    wild = np.where(sky > 1010, np.inf, sky.astype("f8") * 1e300)
    cube = np.stack([sky, sky[::-1], sky[:, ::-1]])
    history = [card("OBJECT", "M 51"), card("EXPTIME", 30.0, "[s] time"), card("DATE-OBS", "2024-01-01T00:00:00")]
    return {
        "u1": image_hdu((sky // 256).astype("u1")),
        "u2 bayer": image_hdu(sky, cards=[*history, *_BAYER, *TAN]),
        "i2 scaled": image_hdu(
            (sky // 4).astype("i2"), cards=[card("BSCALE", 0.5), card("BZERO", 100.0), card("BLANK", 250), *_SIP]
        ),
        "i4": image_hdu(sky.astype("i4") * 60_000, cards=_TPV),
        "i8": image_hdu(sky.astype("i8") << 40),
        "u8": image_hdu(sky.astype("u8") << 48),
        "f4": image_hdu(real, cards=TAN),
        "f8 wild": image_hdu(wild),
        "f4 cube": image_hdu(np.stack([real] * 3), cards=[card("CTYPE3", "FREQ"), *TAN]),
        "u2 hypercube": image_hdu(np.stack([cube[:, :7, :9]] * 2)),
        "line": image_hdu(sky[3]),
        "several": empty_hdu() + table_hdu() + image_hdu(sky, primary=False) + image_hdu(real, primary=False),
        "mosaic": _mosaic(sky),
    }


def _mosaic(sky: NDArray[np.uint16]) -> bytes:
    """Four sections in two rows, the right ones in reverse, each with an overscan."""
    units = [empty_hdu([card("DETSIZE", "[1:120,1:72]")])]
    for y in (0, 1):
        for x in (0, 1):
            across = f"{60 * x + 60}:{60 * x + 1}" if x else "1:60"
            cards = [card("DETSEC", f"[{across},{36 * y + 1}:{36 * y + 36}]"), card("DATASEC", "[1:60,1:36]")]
            cards += [card("CCDSEC", "[1:60,1:36]"), card("GAIN", 1.5), *TAN]
            units.append(image_hdu(sky, cards=cards, primary=False))
    return b"".join(units)


def _compressed(path: Path) -> dict[str, bytes]:
    sky = star_field(40, 70)
    real = sky.astype("f4") + np.float32(0.25)
    real[10:14, 8:20] = 0
    holes = real.copy()
    holes[20:22] = np.nan
    found = {}
    for method in ("RICE", "GZIP", "GZIP_2", "HCOMPRESS", "PLIO"):
        counts = sky // 4 if method == "PLIO" else sky
        found[f"{method} u2"] = write_compressed(path, counts, method, tile_dims=(16, 32)).read_bytes()
    found["RICE u1"] = write_compressed(path, (sky // 256).astype("u1"), "RICE").read_bytes()
    found["RICE i4 rows"] = write_compressed(path, sky.astype("i4"), "RICE").read_bytes()
    for method in ("RICE", "GZIP", "GZIP_2", "HCOMPRESS"):
        for dither in ("NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")[: 3 if method == "RICE" else 2]:
            pixels = real if method == "HCOMPRESS" else holes
            options: dict[str, Any] = {"tile_dims": (16, 32), "qlevel": 4.0, "qmethod": dither}
            found[f"{method} f4 {dither}"] = write_compressed(path, pixels, method, **options).read_bytes()
    found["GZIP f8 lossless"] = by_astropy(holes.astype("f8"), "GZIP_1", (10, 35), quantize_level=0.0)
    found["GZIP_2 cube"] = by_astropy(np.stack([sky] * 3).astype("i2"), "GZIP_2", (2, 20, 35))
    found["RICE cube"] = by_astropy(np.stack([sky] * 3).astype("i4"), "RICE_1", (2, 7, 11))
    found["NOCOMPRESS"] = by_astropy(sky.astype("i2"), "NOCOMPRESS", (9, 70))
    return found


def by_astropy(pixels: NDArray[Any], method: str, tile: Sequence[int], **options: Any) -> bytes:
    """Write a tile-compressed image by astropy."""
    octets = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.CompImageHDU(pixels, compression_type=method, tile_shape=tuple(tile), **options).writeto(octets)
    return octets.getvalue()
