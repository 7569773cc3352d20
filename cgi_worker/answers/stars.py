"""Stars: the answer to what stars are in a plane, how bright and how sharp."""

import math
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from cgi_worker.answers.coordinates import COORDINATES, section
from cgi_worker.answers.detect import Sources, detect
from cgi_worker.answers.field import Background, Field, measure_background, open_field
from cgi_worker.kernels import hfr
from cgi_worker.steps.work import Work
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import Stars
from cgi_worker.wire.steps import Measure
from cgi_worker.wire.view import Region

PX_MAX: Final = 1 << 28  # Pixels of one question: ten seconds.
FWHM_PER_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
_SHARP_PX: Final = 1.2  # FWHM below which the light comes from a single pixel, not through a lens.
_BLENDED, _EDGE, _CROWDED = 1, 2, 4  # sep's OBJ_MERGED, OBJ_TRUNC, OBJ_DOVERFLOW.

BLENDED: Final = "blended with a neighbour"
EDGE: Final = "at the edge"
SATURATED: Final = "saturated"
BAD: Final = "has bad pixels"
SHARP: Final = "sharper than a star"
UNSTEADY: Final = "of uncertain shape"
CUT: Final = "larger than what is measured"


class Star(msgspec.Struct, frozen=True):
    """One source.

    x, y         FITS pixels of the plane (the centre of the first pixel stored is 1, 1): centroid, Gaussian-weighted.
    flux         sum above the background within 5 sigmas, data units x pixels.
    peak         of one pixel (of a Bayer mosaic: of the mean of a 2x2 cell), above the background, data units.
    fwhm         px: 2.3548 sigma of the Gaussian that fits it best (adaptive moments), the root of the mean square of
                 the two axes.
    hfr          px: radius of the circle that holds half of the flux, each pixel's light spread over it, which adds
                 1/12 px^2 to the variance (else 2 x hfr = fwhm for a round Gaussian); None where no flux is left.
    ellipticity  1 - short axis / long axis.
    flags        what is odd about it, in words; empty for a star that counts in the medians.
    """

    x: float
    y: float
    flux: float
    peak: float
    fwhm: float
    hfr: float | None
    ellipticity: float
    saturated: bool
    flags: tuple[str, ...]


class StarsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The stars of a plane, or of a rectangle of it, brightest first.

    section           the rectangle, as FITS headers write one.
    found, listed     how many there are, and how many of them `stars` holds.
    median_of         how many stars (of all found: those without any flag) the medians are of.
    background, noise level between the stars and its standard deviation of a pixel (of a Bayer mosaic: of the mean of a
                      2x2 cell), data units.
    threshold         sigmas above the background that were used; higher than `asked` where there were too many sources,
                      and `truncated` is then true.
    saturation        data units from which on a pixel counts as saturated; None if nothing tells.
    notes             for people.
    """

    hdu: int
    plane: int
    section: str
    found: int
    listed: int
    truncated: bool
    threshold: float
    asked: float
    background: float | None
    noise: float | None
    saturation: float | None
    fwhm: float | None
    hfr: float | None
    median_of: int
    stars: tuple[Star, ...]
    notes: tuple[str, ...]
    coordinates: str = COORDINATES


def answer(question: Stars, step: Measure, work: Work) -> StarsAnswer:
    """Find the stars.

    Raises  StepFailed("too_big") if the region is; StepFailed as the rows of the plane do.
    Memory  70 MB beside the mapped file, 100 MB with more than one thread, however large the plane is.
    """
    region = question.region or Region(0, 0, step.hdu.width_px, step.hdu.height_px)
    if region.width_px * region.height_px > PX_MAX:
        raise StepFailed("too_big", f"stars are found in at most {PX_MAX >> 20} Mi pixels at once: ask for a region")
    eye = open_field(work.source_fd, step.hdu, question.plane, region, parts=step.parts)
    background = measure_background(eye, threads=work.threads) if eye.height and eye.width else None
    sources = None
    if background is not None and background.noise > 0:
        sources = detect(eye, background, question.threshold, threads=work.threads)
    stars, fwhm, half = _describe(sources, eye, background, question.count)
    used = sources.threshold if sources else question.threshold
    return StarsAnswer(
        hdu=step.hdu.index,
        plane=question.plane,
        section=section(region.x_px, region.y_px, region.width_px, region.height_px),
        found=len(sources.found) if sources else 0,
        listed=len(stars),
        truncated=used > question.threshold,
        threshold=used,
        asked=question.threshold,
        background=_digits(background.level) if background else None,
        noise=_digits(background.noise) if background else None,
        saturation=eye.full if math.isfinite(eye.full) else None,
        fwhm=_digits(float(np.median(fwhm))) if len(fwhm) else None,
        hfr=_digits(float(np.median(half))) if len(half) else None,
        median_of=len(fwhm),
        stars=stars,
        notes=_notes(eye, background, sources, question.threshold),
    )


def _describe(
    sources: Sources | None, eye: Field, background: Background | None, count: int
) -> tuple[tuple[Star, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Turn sources into stars, the brightest first; give FWHM and HFR of all that count in the medians."""
    if sources is None or background is None or not len(sources.found):
        return (), np.empty(0), np.empty(0)
    found, measured = sources.found, sources.measured.copy()
    lost = measured[:, hfr.STEADY] == 0
    for column, name in ((hfr.X, "x"), (hfr.Y, "y"), (hfr.MAJOR, "a"), (hfr.MINOR, "b")):
        measured[lost, column] = found[name][lost]
    fwhm = FWHM_PER_SIGMA * np.sqrt((measured[:, hfr.MAJOR] ** 2 + measured[:, hfr.MINOR] ** 2) / 2)
    words = _words(sources, measured, fwhm)
    clean = np.isfinite(measured[:, hfr.HALF])
    for _, true in words:
        clean &= ~true
    brightest = np.argsort(-measured[:, hfr.FLUX], kind="stable")[:count]
    stars = []
    for at in brightest:
        line, scale = measured[at], eye.scale
        stars.append(
            Star(
                x=round(float(eye.region.x_px + 1 + scale * (line[hfr.X] + 0.5) - 0.5), 4),
                y=round(float(eye.region.y_px + 1 + scale * (line[hfr.Y] + 0.5) - 0.5), 4),
                flux=_digits(line[hfr.FLUX] * background.noise * scale * scale),
                peak=_digits(float(found["peak"][at]) * background.noise),
                fwhm=_digits(fwhm[at] * scale),
                hfr=_digits(line[hfr.HALF] * scale) if np.isfinite(line[hfr.HALF]) else None,
                ellipticity=round(float(1.0 - min(line[hfr.MINOR] / max(line[hfr.MAJOR], 1e-9), 1.0)), 4),
                saturated=bool(line[hfr.SATURATED_PX]),
                flags=tuple(word for word, true in words if true[at]),
            )
        )
    return tuple(stars), fwhm[clean] * eye.scale, measured[clean, hfr.HALF] * eye.scale


def _words(
    sources: Sources, measured: NDArray[np.float64], fwhm: NDArray[np.float64]
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Tell what is odd about which source."""
    flag: NDArray[Any] = sources.found["flag"]
    return [
        (SATURATED, measured[:, hfr.SATURATED_PX] > 0),
        (BLENDED, (flag & (_BLENDED | _CROWDED)) != 0),
        (EDGE, ((flag & _EDGE) != 0) & ~sources.cut),
        (CUT, sources.cut | (measured[:, hfr.MAJOR] * 5.0 > hfr.REACH_PX)),
        (BAD, measured[:, hfr.BAD_PX] > 0),
        (SHARP, fwhm < _SHARP_PX),
        (UNSTEADY, measured[:, hfr.STEADY] == 0),
    ]


def _notes(eye: Field, background: Background | None, sources: Sources | None, asked: float) -> tuple[str, ...]:
    notes = []
    rows = eye.region.height_px - eye.height * eye.scale
    if rows >= eye.scale:
        notes.append(f"the file ends before the last {rows} rows of this region")
    if eye.scale == 2:
        notes.append(
            "a Bayer mosaic: found in the means of its 2x2 cells; positions and sizes are pixels of the mosaic"
        )
    if background is None:
        notes.append("there is no good pixel")
    elif background.noise == 0:
        notes.append("all pixels are alike")
    if sources is not None and sources.threshold > asked:
        notes.append(f"too many sources: only those {sources.threshold:g} sigmas above the background were looked for")
    if sources is not None and sources.together:
        notes.append("too crowded: not all neighbours were told apart")
    return tuple(notes)


def _digits(value: float) -> float:
    """Keep six digits: more are noise."""
    return float(f"{value:.6g}")
