"""Every real frame: figures, reduced planes, levels, greys, questions and exports, each against what is true of it."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import fitsio
import msgspec
import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from astropy.visualization import ZScaleInterval  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.formats.fits import walk
from cgi_worker.formats.rows import open_rows
from cgi_worker.steps import reduce
from cgi_worker.steps.levels import Channel, Linear, distribution
from cgi_worker.wire.question import question_from_pairs
from cgi_worker.wire.steps import BINS, Reduce
from cgi_worker.wire.view import Region, View, view_from_pairs
from cgi_worker.wire.wanted import recipe_of
from tests.exact.truth import Truth, block_means, block_tops, drawn, frames, hdus_of, opened, resampled, truths
from tests.frames.real import real_frames
from tests.steps.lending import Lending, garbage

BAD = np.array([255, 0, 1])  # No grey is like it.


@pytest.mark.parametrize("path", frames(), ids=lambda path: path.name)
def test_a_real_frame_is_exact(path: Path) -> None:
    with opened(path) as descriptor:
        for truth in truths(path):
            channel, counts = check_planes(descriptor, truth)
            check_figures(truth, channel, counts)
            check_stats(descriptor, truth)
            check_pixels(descriptor, truth)
            check_exports(descriptor, truth)
            check_zscale(descriptor, truth)
            check_picture(descriptor, truth)


def check_planes(descriptor: int, truth: Truth) -> tuple[Channel, NDArray[np.uint64]]:
    """Reduced by some factors, to the last bit of float32 but one; not reduced, to the last bit."""
    plane, channel, counts = reduced(descriptor, truth, 1)
    assert np.array_equal(plane, truth.values.astype(np.float32), equal_nan=True)
    for factor in (2, 7, 48):
        if factor > 2 * max(truth.values.shape):
            continue
        plane, again, same_counts = reduced(descriptor, truth, factor)
        means, largest = block_means(truth.values, factor)
        assert np.array_equal(np.isnan(plane), np.isnan(means))
        slack = np.spacing(np.abs(means).astype(np.float32)) + 1e-12 * largest
        with np.errstate(invalid="ignore"):
            assert not np.any(np.abs(plane - means) > slack), factor
        assert np.array_equal(counts, same_counts)
        check_same(again, channel)
    plane, _, _ = reduced(descriptor, truth, 5, pool="max")
    assert np.array_equal(plane, block_tops(truth.values, 5).astype(np.float32), equal_nan=True)
    return channel, counts


def check_same(one: Channel, other: Channel) -> None:
    """The factor changes no figure, but for the order in which floats are added."""
    assert (one.bins, one.good, one.bad, one.min, one.max) == (other.bins, other.good, other.bad, other.min, other.max)
    if one.min is not None and one.max is not None:
        room = 1e-12 * max(abs(one.min), abs(one.max))
        assert one.mean == pytest.approx(other.mean, rel=2.0**-23, abs=room)


def reduced(
    descriptor: int, truth: Truth, factor: int, **fields: Any
) -> tuple[NDArray[np.float32], Channel, NDArray[np.uint64]]:
    """Carry out a reduce step over the whole plane."""
    height, width = truth.values.shape
    step = Reduce(truth.hdu, truth.plane, Region(0, 0, width, height), factor, **fields)
    plane = garbage((1, -(-height // factor), -(-width // factor)), "f4")
    histogram = garbage((1, BINS), "u8")
    made = reduce.do(step, Lending(descriptor, 2, outputs=[plane, histogram]))
    (channel,) = msgspec.json.decode(made.facts, type=reduce.Reduced).channels
    return plane[0], channel, histogram[0]


def check_figures(truth: Truth, channel: Channel, counts: NDArray[np.uint64]) -> None:
    """Counts, minimum and maximum exactly, the sum of counts, too; the mean to float32, the median to its bin."""
    good = truth.good
    assert (channel.good, channel.bad) == (good.size, truth.values.size - good.size)
    assert counts.sum() == good.size
    if not good.size:
        assert channel.min is channel.max is channel.mean is None
        return
    assert channel.mean is not None
    assert (channel.min, channel.max) == (good.min(), good.max())
    assert channel.mean == pytest.approx(good.mean(), rel=2.0**-23, abs=1e-12 * np.abs(good).max() + 1e-300)
    if isinstance(channel.bins, Linear):
        values = channel.bins.start + channel.bins.step * np.arange(BINS)
        assert (counts * values).sum() == pytest.approx(good.sum(), rel=1e-15 if good.min() >= 0 else 1e-12)
    spread = distribution(counts, channel)
    assert spread is not None
    low, high = (float(np.quantile(good, 0.5, method=way)) for way in ("lower", "higher"))
    below = spread.edges[max(int(np.searchsorted(spread.edges, low, side="right")) - 2, 0)]
    above = spread.edges[min(int(np.searchsorted(spread.edges, high)) + 1, len(spread.edges) - 1)]
    assert below <= spread.median <= above


def check_stats(descriptor: int, truth: Truth) -> None:
    good = truth.good
    (found,) = ask(descriptor, truth, "stats")["channels"]
    assert (found["count"], found["bad"]) == (good.size, truth.values.size - good.size)
    if good.size:
        assert (found["min"], found["max"]) == (good.min(), good.max())
        exactly = truth.hdu.stored in ("u1", "i2")
        assert not exactly or found["median_within"] == found["mad_within"] == 0
        rel, room = 1e-12 if exactly else 2.0**-23, 1e-12 * np.abs(good).max()
        assert found["mean"] == pytest.approx(good.mean(), rel=rel, abs=room)
        assert found["sigma"] == pytest.approx(good.std(), rel=rel, abs=1e-9 * np.abs(good).max())
        slack = found["median_within"] + 1e-12 * abs(found["median"])
        low, high = (np.quantile(good, 0.5, method=way) for way in ("lower", "higher"))
        assert low - slack <= found["median"] <= high + slack


def check_pixels(descriptor: int, truth: Truth) -> None:
    """The highest one, and the four corners."""
    height, width = truth.values.shape
    places = [(0, 0), (height - 1, 0), (0, width - 1), (height - 1, width - 1)]
    if truth.good.size:
        y, x = np.unravel_index(int(np.nanargmax(truth.values)), truth.values.shape)
        places.append((int(y), int(x)))
    for y, x in places:
        found = ask(descriptor, truth, "pixel", x=x + 1, y=y + 1)
        value = truth.values[y, x]
        assert found["bad"] == bool(np.isnan(value))
        assert np.isnan(value) or float(found["value"]) == value


def check_exports(descriptor: int, truth: Truth) -> None:
    height, width = truth.values.shape
    x, y = width // 3, height // 3
    cut = truth.values[y : y + 90, x : x + 120]
    octets = export(descriptor, truth, (x, y, cut.shape[1], cut.shape[0]), "npy")
    check_alike(np.load(io.BytesIO(octets)), cut)
    octets = export(descriptor, truth, (x, y, cut.shape[1], cut.shape[0]), "fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Real headers break rules, and astropy says so.
        with fits.open(io.BytesIO(octets), memmap=False) as file:
            check_alike(file[0].data, cut)


def check_alike(ours: NDArray[Any], theirs: NDArray[np.float64]) -> None:
    """Equal, to float32's rounding where astropy or numpy's file has no more."""
    good = ~np.isnan(theirs)
    ours, theirs = ours.reshape(good.shape)[good], theirs[good]
    exactly = ours.dtype.kind != "f" or ours.dtype.itemsize == 8
    with np.errstate(over="ignore"):
        room = 0.0 if exactly else 2 * np.spacing(np.abs(theirs).astype(np.float32))  # Astropy scales in float32.
    assert np.all(np.abs(ours.astype(np.float64) - theirs) <= room)


def check_zscale(descriptor: int, truth: Truth) -> None:
    """Of all pixels or of a part, reduced or not, a picture or a tile: with the pixels that astropy would sample."""
    height, width = truth.values.shape
    x, y = width // 4, height // 4
    part = {"region": f"{x},{y},{min(500, width - x)},{min(400, height - y)}", "levels": "zscale"}
    for asked in (part | {"size": "max"}, part | {"size": "90,90"}):
        check_levels(picture(descriptor, truth, **asked)[1], truth.values[y : y + 400, x : x + 500])
    check_levels(picture(descriptor, truth, size="90,90", levels="zscale")[1], truth.values)


def check_levels(facts: dict[str, Any], values: NDArray[Any]) -> None:
    good = values[~np.isnan(values)].astype(np.float32)
    if good.size and good.min() < good.max():
        low, high = (float(each) for each in ZScaleInterval().get_limits(good))
        level = facts["levels"][0]
        if low < high:
            assert (level["black"], level["white"]) == pytest.approx((low, high), rel=1e-5, abs=1e-30)


def check_picture(descriptor: int, truth: Truth) -> None:
    """Neither black nor white; each grey that of the exact area mean, by one at most."""
    octets, facts = picture(descriptor, truth, size="180,180", bad="ff0001")
    seen = np.asarray(Image.open(io.BytesIO(octets))).astype(int)
    marked = (seen == BAD).all(axis=-1)
    if not truth.good.size:
        assert marked.all()
        return
    assert 8 <= seen[~marked][:, 0].mean() <= 247
    if not truth.hdu.top_down:
        seen, marked = seen[::-1], marked[::-1]
    level = facts["levels"][0]
    means = resampled(truth.values, factor_of(descriptor, truth, size="180,180"), (seen.shape[1], seen.shape[0]))
    assert np.array_equal(marked, np.isnan(means))
    greys, means = seen[..., 0][~marked], means[~marked]
    with np.errstate(over="ignore"):
        last_bits = 2 * np.spacing(np.abs(means).astype(np.float32))  # Of float32 planes: a steep curve shows them.
    low, high = (drawn(means + by, level["black"], level["white"], level["mid"]) for by in (-last_bits, last_bits))
    assert np.all((greys >= low - 1) & (greys <= high + 1))


def factor_of(descriptor: int, truth: Truth, **fields: str) -> int:
    """Tell the factor that a picture is reduced by."""
    recipe = recipe_of(view_of(truth, **fields), walk(descriptor).facts, alone.identity(descriptor))
    return next(stage.step.factor for stage in recipe.stages if isinstance(stage.step, Reduce))


def test_cfitsio_reads_the_same_counts() -> None:
    """Stored values, as cfitsio gives them, wherever it can read a frame at all."""
    read = 0
    for path in frames():
        for hdu in hdus_of(path):
            try:
                theirs = stored_by_cfitsio(path, hdu.index)
            except (OSError, ValueError, TypeError, KeyError):
                continue
            if theirs is None or theirs.size != hdu.planes * hdu.height_px * hdu.width_px:
                continue
            with opened(path) as descriptor:
                rows = open_rows(descriptor, hdu, 0)
                lent = rows.lend(0, rows.count, 0, hdu.width_px)
            ours = lent.octets.view(f"{'>' if rows.swap else '='}{rows.stored}")[:, : hdu.width_px]
            theirs = theirs.reshape(-1, hdu.height_px, hdu.width_px)[0]
            assert np.array_equal(ours, theirs[: rows.count], equal_nan=ours.dtype.kind == "f"), path
            read += 1
    assert read >= 50


def stored_by_cfitsio(path: Path, index: int) -> NDArray[Any] | None:
    with fitsio.FITS(str(path)) as file:
        image = file[index]
        image.ignore_scaling = True
        found = image.read()
    return None if found is None or found.dtype.names else np.asarray(found)


def test_there_are_many_of_them() -> None:
    planes = sum(hdu.planes for path in real_frames() for hdu in hdus_of(path))
    assert len(real_frames()) >= 100
    assert planes >= 100
    assert len(frames()) >= 75


def ask(descriptor: int, truth: Truth, name: str, **fields: object) -> Any:
    pairs = [("frame", "x"), *((key, str(value)) for key, value in {**place(truth), **fields}.items())]
    octets, media_type, _ = alone.render(descriptor, question_from_pairs(name, pairs), 2)
    assert media_type == "application/json"
    return json.loads(octets)


def export(descriptor: int, truth: Truth, region: tuple[int, int, int, int], kind: str) -> bytes:
    asked = {"frame": "x", **place(truth), "region": ",".join(map(str, region)), "format": kind}
    octets, _, _ = alone.render(descriptor, question_from_pairs("export", asked.items()))
    return octets


def picture(descriptor: int, truth: Truth, **fields: str) -> tuple[bytes, Any]:
    octets, _, facts = alone.render(descriptor, view_of(truth, **fields), 2)
    return octets, json.loads(facts)


def view_of(truth: Truth, **fields: str) -> View:
    asked = {"frame": "x", **place(truth), "color": "mono", "format": "png", "stretch": "mtf", **fields}
    return view_from_pairs(asked.items())


def place(truth: Truth) -> dict[str, str]:
    return {"hdu": str(truth.hdu.index), "plane": str(truth.plane)}
