"""Make a demonstration folder: a star field, a Bayer frame, a cube, and a new frame every few seconds.

A process of its own (`python -m cgi_worker.demo DIR --every 5`). Frames are written under a name that no listing shows
and then renamed, so that nobody ever reads half a frame; old ones go, so that the disk stays bounded.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES: Final = 2880  # FITS standard 4.0, section 3.1.
SCALE_ARCSEC_PX: Final = 1.55
ORION: Final = (83.822, -5.391)  # Where the made-up sky pretends to be, degrees.
KEEP_DEFAULT: Final = 12  # New frames that stay: 12 x 4.5 MB.
PARENT_POLL_S: Final = 0.5

Card = tuple[str, bool | int | float | str, str]
Floats = NDArray[np.float32]


def fits_header(cards: Sequence[Card]) -> bytes:
    """Write cards (keyword, value, comment) as a FITS header in fixed format, padded to whole blocks.

    Raises  ValueError for a card that does not fit its 80 columns.
    Source  FITS standard 4.0, section 4.2.
    """
    lines = [_card_text(card) for card in cards] + ["END".ljust(80)]
    text = "".join(lines).encode("ascii")
    return text + b" " * (-len(text) % BLOCK_BYTES)


def write_fits(path: Path, pixels: NDArray[np.uint16] | Floats, cards: Sequence[Card] = ()) -> None:
    """Write one image HDU to `path`, whole or not at all.

    pixels  (..., R, C) uint16 (stored as int16 with BZERO 32768) or float32 (stored as such).

    Raises  OSError if the disk is full or the folder is gone; no half-written file stays.
    """
    unsigned = pixels.dtype == np.uint16
    axes: list[Card] = [(f"NAXIS{i}", n, "") for i, n in enumerate(reversed(pixels.shape), start=1)]
    head: list[Card] = [
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", 16 if unsigned else -32, "bits of a stored pixel"),
        ("NAXIS", pixels.ndim, ""),
        *axes,
    ]
    if unsigned:
        head += [("BZERO", 32768, "unsigned counts"), ("BSCALE", 1, "")]
    stored = _as_stored(pixels)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(fits_header([*head, *cards]))
            file.write(stored.data)
            file.write(b"\0" * (-stored.nbytes % BLOCK_BYTES))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def star_field(
    rng: np.random.Generator, shape: tuple[int, int], stars: int, shift: tuple[float, float] = (0, 0)
) -> Floats:
    """Draw the light of gaussian stars whose fluxes follow a power law, without sky or noise.

    shape  (R, C) pixels.
    shift  (rows, columns) that all stars are moved by: a mount never tracks perfectly.
    Returns (R, C) float32, expected counts.
    """
    light = np.zeros(shape, np.float32)
    rows = rng.uniform(0, shape[0], stars) + shift[0]
    columns = rng.uniform(0, shape[1], stars) + shift[1]
    fluxes = 5000 * rng.pareto(1.1, stars) + 1500
    for row, column, flux in zip(rows, columns, np.minimum(fluxes, 1e7), strict=True):
        _add_star(light, (row, column), flux)
    return light


def expose(rng: np.random.Generator, light: Floats, gain: float = 1.5) -> NDArray[np.uint16]:
    """Turn expected counts into recorded ones: photon and read noise, hot pixels, a bias of 500, saturation.

    light  (R, C) float32, expected counts; unchanged.
    Source  Poisson noise by its normal approximation, exact enough above some 20 counts of sky.
    """
    noise = rng.standard_normal(light.shape, np.float32)
    recorded = light + noise * np.sqrt(np.maximum(light, 0) * gain + 40) + 500
    hot = rng.integers(0, recorded.size, recorded.size // 20_000)
    recorded.reshape(-1)[hot] += rng.exponential(9000, hot.size).astype(np.float32)
    counts: NDArray[np.uint16] = np.clip(recorded, 0, 65535).astype(np.uint16)
    return counts


def sky_gradient(shape: tuple[int, int], level: float) -> Floats:
    """Draw a sky of about `level` counts, brighter towards one corner, with the vignetting of a lens.

    Returns (R, C) float32, expected counts.
    """
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    sky = np.float32(level) * (1 + 0.04 * x + 0.03 * y) * (1 - 0.05 * (x * x + y * y))
    return sky.astype(np.float32)


def make_star_field(path: Path) -> None:
    """Write a monochrome field of 3008 x 3008 pixels with a world coordinate system."""
    rng = np.random.default_rng(1)
    shape = (3008, 3008)
    pixels = expose(rng, star_field(rng, shape, 2500) + sky_gradient(shape, 350))
    write_fits(path, pixels, _observation("M 42 field", 120.0) + _tangent_wcs(shape))


def make_bayer_frame(path: Path) -> None:
    """Write an RGGB frame of 2400 x 1600 pixels: stars of different colours around a red and blue nebula."""
    rng = np.random.default_rng(2)
    shape = (1600, 2400)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1.5 : 1.5 : shape[1] * 1j].astype(np.float32)
    swirl = 1 + 0.5 * np.sin(7 * x + 3 * np.sin(4 * y)) * np.cos(5 * y - 2 * x)
    red = 2600 * np.exp(-((x / 0.55) ** 2 + (y / 0.42) ** 2)) * swirl
    blue = 1500 * np.exp(-(((x - 0.35) / 0.3) ** 2 + ((y + 0.25) / 0.35) ** 2)) * swirl
    warm, cold = (star_field(rng, shape, 450) for _ in range(2))
    sky = sky_gradient(shape, 300)
    channels = {
        "R": sky + red + 1.2 * warm + 0.6 * cold,
        "G": 1.3 * sky + 0.25 * red + 0.5 * blue + warm + cold,
        "B": sky + 0.1 * red + blue + 0.5 * warm + 1.4 * cold,
    }
    light = np.empty(shape, np.float32)
    for (row, column), colour in zip(((0, 0), (0, 1), (1, 0), (1, 1)), "RGGB", strict=True):
        light[row::2, column::2] = channels[colour][row::2, column::2]
    cards: list[Card] = [
        ("BAYERPAT", "RGGB", "colours of the 2x2 cell at the first pixel"),
        ("XBAYROFF", 0, ""),
        ("YBAYROFF", 0, ""),
        ("ROWORDER", "TOP-DOWN", "the first row is the top one"),
    ]
    write_fits(path, expose(rng, light), _observation("Nebula", 30.0) + cards)


def make_cube(path: Path) -> None:
    """Write a float32 cube of 12 planes: an emission line that wanders over a turning galaxy."""
    rng = np.random.default_rng(3)
    planes, side = 12, 480
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    radius = np.hypot(x, y * 1.8)
    disc = np.exp(-radius / 0.28)
    velocity = 180 * x / np.maximum(radius, 0.05) * (1 - np.exp(-radius / 0.12))
    velocities = np.linspace(-220, 220, planes, dtype=np.float32)
    line = disc * np.exp(-(((velocities[:, None, None] - velocity) / 45) ** 2))
    cube = (8e-3 * line + 4e-4 * disc + 2e-4 * rng.standard_normal(line.shape, np.float32)).astype(np.float32)
    cube[:, :8, :8] = np.nan  # A corner that the instrument did not see.
    cards: list[Card] = [
        ("BUNIT", "Jy/beam", "unit of the pixels"),
        ("CTYPE3", "VRAD", "radial velocity"),
        ("CUNIT3", "km/s", ""),
        ("CRPIX3", 1.0, ""),
        ("CRVAL3", float(velocities[0]), ""),
        ("CDELT3", float(velocities[1] - velocities[0]), ""),
    ]
    write_fits(path, cube, _observation("Turning galaxy", 3600.0) + cards)


def make_new_frame(path: Path, number: int) -> None:
    """Write frame `number` of a running exposure: the same stars, drifting a little, and an asteroid on its way."""
    shape = (1504, 1504)
    drift = (1.5 * np.sin(number / 7), 1.5 * np.cos(number / 11))
    light = star_field(np.random.default_rng(4), shape, 700, drift) + sky_gradient(shape, 250)
    step = number % 120
    _add_star(light, (300 + 6.0 * step, 200 + 9.0 * step), 90_000)
    pixels = expose(np.random.default_rng((5, number)), light)
    write_fits(path, pixels, _observation(f"Survey {number}", 5.0) + _tangent_wcs(shape))


def make_folder(folder: Path) -> None:
    """Write the three standing frames and the first new one, those that are not there yet."""
    new = folder / "new"
    new.mkdir(parents=True, exist_ok=True)
    standing = {"stars.fits": make_star_field, "bayer.fits": make_bayer_frame, "cube.fits": make_cube}
    for name, make in standing.items():
        if not (folder / name).exists():
            make(folder / name)
    if not any(new.glob("frame-*.fits")):
        make_new_frame(new / _new_name(1), 1)


def add_frame(folder: Path, keep: int) -> Path:
    """Write the next new frame of a folder that `make_folder` made; remove the oldest beyond `keep`."""
    new = folder / "new"
    there = sorted(new.glob("frame-*.fits"))
    number = int(there[-1].stem.removeprefix("frame-")) + 1 if there else 1
    made = new / _new_name(number)
    make_new_frame(made, number)
    for old in [*there, made][:-keep]:
        old.unlink(missing_ok=True)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; ends when the folder is gone, or the process that started it, if that was named."""
    parser = argparse.ArgumentParser(prog="python -m cgi_worker.demo", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--every", type=float, default=0.0, metavar="S", help="seconds between new frames; 0: end now")
    parser.add_argument("--keep", type=int, default=KEEP_DEFAULT, metavar="N", help="new frames that stay")
    parser.add_argument("--parent", type=int, default=0, metavar="PID", help="end when this parent process is gone")
    given = parser.parse_args(arguments)
    if given.keep < 1 or given.every < 0:
        parser.error("--keep must be at least 1, and --every not negative")
    try:
        make_folder(given.folder)
        while given.every and _wait(given.every, given.parent) and given.folder.exists():
            add_frame(given.folder, given.keep)
    except KeyboardInterrupt:
        pass
    except OSError as error:
        if given.folder.exists():  # Otherwise it was taken away under us, as its owner may.
            print(f"imgd: no demonstration frames in {given.folder}: {error.strerror}", file=sys.stderr)
            return 1
    return 0


def _wait(seconds: float, parent: int) -> bool:
    end = time.monotonic() + seconds
    while parent in (0, os.getppid()):
        left = end - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, PARENT_POLL_S))
    return False


def _new_name(number: int) -> str:
    return f"frame-{number:06d}.fits"


def _add_star(light: Floats, centre: tuple[float, float], flux: float, sigma_px: float = 1.7) -> None:
    reach = 7 + int(np.log10(max(flux, 1)))
    row, column = round(centre[0]), round(centre[1])
    r0, r1 = max(row - reach, 0), min(row + reach + 1, light.shape[0])
    c0, c1 = max(column - reach, 0), min(column + reach + 1, light.shape[1])
    if r0 >= r1 or c0 >= c1:
        return
    y = np.arange(r0, r1, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(c0, c1, dtype=np.float32)[None, :] - np.float32(centre[1])
    peak = np.float32(flux / (2 * np.pi * sigma_px**2))
    light[r0:r1, c0:c1] += peak * np.exp(-(x * x + y * y) / np.float32(2 * sigma_px**2))


def _observation(target: str, exposure_s: float) -> list[Card]:
    return [
        ("OBJECT", target, "what is shown; made up"),
        ("TELESCOP", "imgd demonstration", ""),
        ("EXPTIME", exposure_s, "[s] exposure"),
        ("DATE-OBS", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()), "UTC"),
    ]


def _tangent_wcs(shape: tuple[int, int]) -> list[Card]:
    scale = SCALE_ARCSEC_PX / 3600
    return [
        ("CTYPE1", "RA---TAN", ""),
        ("CTYPE2", "DEC--TAN", ""),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRPIX1", shape[1] / 2 + 0.5, ""),
        ("CRPIX2", shape[0] / 2 + 0.5, ""),
        ("CRVAL1", ORION[0], "[deg]"),
        ("CRVAL2", ORION[1], "[deg]"),
        ("CD1_1", -scale, "[deg/px]"),
        ("CD1_2", 0.0, ""),
        ("CD2_1", 0.0, ""),
        ("CD2_2", scale, "[deg/px]"),
        ("RADESYS", "ICRS", ""),
    ]


def _as_stored(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype != np.uint16:
        return pixels.astype(">f4")
    less: NDArray[np.uint16] = np.bitwise_xor(pixels, np.uint16(0x8000))  # Minus 32768, modulo 65536.
    return less.astype(">u2")


def _card_text(card: Card) -> str:
    keyword, value, comment = card
    match value:
        case bool():
            text = f"{'T' if value else 'F':>20}"
        case int():
            text = f"{value:>20d}"
        case float():
            text = f"{repr(value).upper():>20}"
        case str():
            quoted = value.replace("'", "''").ljust(8)
            text = f"'{quoted}'".ljust(20)
    line = f"{keyword:<8}= {text}" + (f" / {comment}" if comment else "")
    if len(keyword) > 8 or len(line) > 80 or not line.isascii():
        raise ValueError(f"card {keyword} does not fit")
    return line.ljust(80)


if __name__ == "__main__":
    sys.exit(main())
