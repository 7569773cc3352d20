"""What others need for the same frames: libvips, what a user writes, cfitsio alone, zlib alone, sep by hand.

Each call is one sample in milliseconds, and raises Missing if what it needs is not installed.
"""

import importlib
import io
import re
import shutil
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any, Final

import fitsio
import numpy as np
from PIL import Image

from bench.turns import Missing

WIDTH_PX: Final = 1200
POLL_S: Final = 0.002
STAR_SIGMA: Final = 5.0
STAR_BUFFER_PX: Final = 10_000_000  # sep's own 300,000 are too few for some fields.


class Vips:
    """`vips shrink`, then `vips linear` with levels that it is given, saved as JPEG: two processes, page cache warm."""

    def __init__(self, frame: Path, folder: Path, quality: int) -> None:
        self._frame = frame
        self._between = folder / f"{frame.stem}-vips.v"
        self._picture = folder / f"{frame.stem}-vips.jpg"
        self._quality = quality
        sample = np.asarray(fitsio.FITS(str(frame))[0][::16, ::16])
        self.levels = np.quantile(sample, [0.01, 0.997])
        self._shrink = fitsio.read_header(str(frame))["NAXIS1"] / WIDTH_PX

    def picture_ms(self) -> float:
        """Make the picture."""
        commands = self._commands()
        began = time.perf_counter()
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if process.wait() != 0:
                raise Missing(f"`{' '.join(command[1:3])}` ended with {process.returncode}")
        took_ms = (time.perf_counter() - began) * 1e3
        assert Image.open(self._picture).width == WIDTH_PX, "vips made another picture"
        return took_ms

    def peak_mb(self) -> float:
        """Make it once more; tell the larger process's highest resident set.

        Source  VmHWM, asked again and again: ru_maxrss begins with what this process had when it started the other.
        """
        peak_kb = 0
        for command in self._commands():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None:
                found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak_kb = max(peak_kb, int(found[1]) if found else 0)
                time.sleep(POLL_S)
        return peak_kb * 1024 / 1e6

    def _commands(self) -> list[list[str]]:
        vips = shutil.which("vips")
        if vips is None:
            raise Missing("vips is not installed (Debian's libvips-tools)")
        low, high = self.levels
        gain = 255 / (high - low)
        shrink = [vips, "shrink", str(self._frame), str(self._between), str(self._shrink), str(self._shrink)]
        linear = [vips, "linear", str(self._between), f"{self._picture}[Q={self._quality}]"]
        linear += ["--uchar", "--", str(gain), str(-low * gain)]
        return [shrink, linear]


def users_way_ms(frame: Path, quality: int) -> float:
    """Do as a user's script does: astropy reads and finds levels, numpy averages blocks, Pillow saves.

    The process is running and everything imported: nothing of that is counted.
    """
    fits, visualization = (_module(name, "astropy") for name in ("astropy.io.fits", "astropy.visualization"))
    began = time.perf_counter()
    pixels = fits.getdata(frame).astype(np.float32)
    low, high = visualization.ZScaleInterval().get_limits(pixels)
    factor = max(1, pixels.shape[1] // WIDTH_PX)
    rows, columns = (side // factor for side in pixels.shape)
    small = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean((1, 3))
    grey = (np.clip((small - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(grey[::-1]).save(io.BytesIO(), "JPEG", quality=quality)
    return (time.perf_counter() - began) * 1e3


def fitsio_read_ms(frame: Path) -> float:
    """Read the pixels by cfitsio, in this process; nothing more."""
    began = time.perf_counter()
    fitsio.read(str(frame))
    return (time.perf_counter() - began) * 1e3


class Zlib:
    """A gzip file's bytes, inflated in one go into memory of the right size."""

    def __init__(self, frame: Path, plain: Path) -> None:
        self._octets = frame.read_bytes()
        self._plain_bytes = plain.stat().st_size

    def inflate_ms(self) -> float:
        """Inflate them once."""
        began = time.perf_counter()
        plain = zlib.decompress(self._octets, 31, self._plain_bytes)
        took_ms = (time.perf_counter() - began) * 1e3
        assert len(plain) == self._plain_bytes
        return took_ms


def sep_by_hand_ms(frame: Path) -> float:
    """Find stars on the whole array: background, subtraction, extraction, half-flux radii."""
    sep = _module("sep", "sep")
    sep.set_extract_pixstack(STAR_BUFFER_PX)
    began = time.perf_counter()
    pixels = fitsio.read(str(frame)).astype(np.float32)
    background = sep.Background(pixels)
    background.subfrom(pixels)
    found = sep.extract(pixels, STAR_SIGMA, err=background.globalrms)
    sep.flux_radius(pixels, found["x"], found["y"], 6.0 * found["a"], 0.5, normflux=found["flux"], subpix=5)
    return (time.perf_counter() - began) * 1e3


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(f"{package} is not installed") from None
