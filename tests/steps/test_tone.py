"""The tone step: inputs, levels and their facts, stretches, colours, orientation; every real frame is seen."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cmap import Colormap
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.steps import colours, tone
from cgi_worker.steps.curve import Curve
from cgi_worker.steps.levels import Channel, Level, Linear
from cgi_worker.steps.tone import Lying, Toned
from cgi_worker.wire.maps import COLOUR_MAPS
from cgi_worker.wire.steps import BINS, Tone
from cgi_worker.wire.view import AutoLevels, Cut, Levels, PerChannel, Quantiles, Stretch, Zscale, view_from_pairs
from tests.frames.real import real_frames
from tests.steps.lending import Lending

STRETCHES: list[Stretch] = ["linear", "sqrt", "log", "asinh", "power", "mtf"]
RAMP = np.linspace(0, 1, 600, dtype=np.float32).reshape(1, 20, 30)


UNIT = Cut(0.0, 1.0)


def asked(plane: NDArray[np.float32], levels: Levels = UNIT, **fields: Any) -> Tone:
    width, height = fields.pop("size", plane.shape[:0:-1])
    flips: dict[str, Any] = {"flip_h": False, "flip_v": False, "counted": not isinstance(levels, (Cut, PerChannel))}
    whole: dict[str, Any] = {"mid": 0.5, "stretch": "linear", "invert": False} | flips | fields
    return Tone(width, height, levels, **whole)


def toned(
    *planes: NDArray[np.float32],
    threads: int = 1,
    facts: str = "",
    samples: Sequence[NDArray[Any]] = (),
    **fields: Any,
) -> tuple[NDArray[Any], Toned]:
    """Carry the step out; histograms of whole numbers are made as they are needed."""
    step = asked(planes[0], planes=len(planes), **fields)
    channels = sum(map(len, planes))
    greys = [mark for mark in (step.bad, step.under, step.over) if mark is not None]
    colour = channels == 3 or step.map or any(mark % 0x10101 for mark in greys)
    shape = (step.height_px, step.width_px)
    shape = shape[::-1] if step.turn in (90, 270) else shape
    lying = msgspec.json.encode(Lying(1, planes[0].shape[2], planes[0].shape[1])).decode()
    inputs, said = [*planes], [facts or lying] * len(planes)
    for plane in planes if step.counted else ():
        counts, figures = zip(*(histogram(channel) for channel in plane), strict=True)
        inputs.append(np.stack(counts))
        said.append(msgspec.json.encode(Lying(1, plane.shape[2], plane.shape[1], figures)).decode())
    inputs += samples
    said += ["{}"] * len(samples)
    out = np.full((*shape, 3) if colour else shape, 77, np.uint8)
    made = tone.do(step, Lending(threads=threads, inputs=inputs, facts=said, outputs=[out]))
    assert made.used_bytes == (out.nbytes,)
    return out, msgspec.json.decode(made.facts, type=Toned)


def histogram(plane: NDArray[np.float32]) -> tuple[NDArray[np.uint64], Channel]:
    good = plane[~np.isnan(plane)]
    counts = np.bincount(good.astype(int), minlength=BINS).astype(np.uint64)
    if not good.size:
        return counts, Channel(Linear(0, 1), 0, plane.size, None, None, None)
    ends = float(good.min()), float(good.max()), float(good.mean(dtype=np.float64))
    return counts, Channel(Linear(0, 1), good.size, plane.size - good.size, *ends)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_within_one_grey_of_the_exact_curve(data: st.DataObject) -> None:
    """All stretches and parameters; twin in float64."""
    curve = Curve(data.draw(st.sampled_from(STRETCHES)), data.draw(st.floats(0.05, 20)))
    mid, invert = data.draw(st.floats(0.0001, 0.9999)), data.draw(st.booleans())
    low, span = data.draw(st.floats(-1e6, 1e6)), data.draw(st.floats(0.1, 1e6))
    cut = Cut(low, low + span)
    t = np.sort(
        np.random.default_rng(data.draw(st.integers(0, 2**32))).random(600) ** data.draw(st.sampled_from([1, 9]))
    )
    plane = (low + span * (1.2 * t - 0.1)).astype(np.float32).reshape(1, 20, 30)
    power = curve.power
    out, _ = toned(plane, levels=cut, mid=mid, stretch=curve.stretch, power=power, invert=invert)
    exact = curve.greys(plane[0].astype(np.float64), cut.low, cut.high, mid)
    assert np.abs((255 - exact if invert else exact) - out).max() <= 1
    assert np.all(np.diff(out.ravel().astype(int)) * (-1 if invert else 1) >= 0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_make_the_same_picture(threads: int) -> None:
    plane = np.random.default_rng(1).random((1, 700, 900), np.float32)
    plane[0, 300:310] = np.nan
    one, _ = toned(plane)
    assert np.array_equal(toned(plane, threads=threads)[0], one)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flip_h", [False, True])
@pytest.mark.parametrize("flip_v", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_orientation(turn: int, flip_h: bool, flip_v: bool, channels: int) -> None:
    plane = np.random.default_rng(1).random((channels, 11, 23), np.float32)
    plain, _ = toned(plane)
    out, _ = toned(plane, turn=turn, flip_h=flip_h, flip_v=flip_v)
    expected = plain[:: -1 if flip_v else 1, :: -1 if flip_h else 1]
    for _ in range(turn // 90):
        expected = np.rot90(expected, -1)  # Clockwise.
    assert np.array_equal(out, expected)


def test_three_planes_are_the_channels_of_one() -> None:
    plane = np.round(np.random.default_rng(1).normal(1000, 30, (3, 30, 20))).astype(np.float32)
    plane[1] += 300
    auto: dict[str, Any] = {"levels": AutoLevels(), "mid": None}
    for fields in ({"levels": Cut(900, 1200)}, auto, {"levels": Zscale()}):
        together, facts = toned(plane, **fields)
        apart, others = toned(*(channel[None] for channel in plane), **fields)
        assert np.array_equal(together, apart)
        assert facts == others
        assert len(facts.levels) == 3


def test_facts() -> None:
    plane = np.round(RAMP * 1000)
    _, facts = toned(plane, levels=Quantiles(0.1, 0.9), stretch="power", power=3.0)
    assert (facts.kind, facts.stretch, facts.power, facts.coarse) == ("quantiles", "power", 3.0, False)
    assert facts.levels[0].black == pytest.approx(100, abs=2)
    _, facts = toned(plane, levels=Cut(3, 4), mid=0.25)
    assert facts == Toned((Level(3, 4, 0.25),), "linear", "cut")
    lying = '{"factor":1,"width_px":30,"height_px":20,"rows_read":5,"rows_all":20}'
    _, facts = toned(plane, facts=lying)
    assert (facts.coarse, facts.rows_read, facts.rows_all) == (True, 5, 20)
    _, facts = toned(plane, facts=lying.replace("5", "20"))
    assert facts == Toned(facts.levels, "linear", "cut")
    wide = Toned(
        (Level(-1.2345678901234567e-300, 1.2345678901234567e300, 0.12345678901234567),) * 3, "asinh", "channels"
    )
    assert len(msgspec.json.encode(wide)) < 1024


def test_zscale_looks_at_the_samples_and_without_them_at_the_histogram() -> None:
    from astropy.visualization import ZScaleInterval  # type: ignore[import-untyped]

    plane = np.round(np.random.default_rng(1).normal(1000, 30, (1, 90, 70))).astype(np.float32)
    sample = np.sort(plane.ravel()[:: plane.size // 1000][:1000]).astype(float)
    _, facts = toned(plane, levels=Zscale(), sampled=True, samples=[sample])
    assert (facts.levels[0].black, facts.levels[0].white) == pytest.approx(ZScaleInterval().get_limits(plane))
    _, short = toned(plane, levels=Zscale(), sampled=True, samples=[np.append(sample[:1], np.nan)])
    assert short.levels[0].black <= sample[0] < short.levels[0].white
    _, other = toned(plane, levels=Zscale())
    assert other.levels != facts.levels
    assert other.levels[0].white == pytest.approx(facts.levels[0].white, rel=0.02)


def test_every_map_is_the_librarys() -> None:
    colours.load_maps()
    for name, known_as in COLOUR_MAPS.items():
        out, _ = toned(RAMP, map=name)
        grey, _ = toned(RAMP)
        expected = np.asarray(Colormap(known_as)(grey / 255.0))[..., :3] * 255
        assert np.abs(out - expected).max() <= 1, name
        mirrored, _ = toned(RAMP, map=name, invert=True)
        assert np.array_equal(mirrored, colours.colours_of(name)[255 - grey.astype(int)])


def test_marks() -> None:
    plane = np.array([[[np.nan, -0.1, 0.0, 0.5, 1.0, 1.1]]], np.float32)
    out, _ = toned(plane, bad=0x102030, under=0xFF0000, over=0x00FF7F)
    assert out[0].tolist() == [[16, 32, 48], [255, 0, 0], [0] * 3, [128] * 3, [255] * 3, [0, 255, 127]]
    out, _ = toned(plane, bad=0x808080, over=0x010101, invert=True)
    assert out.tolist() == [[128, 255, 255, 127, 0, 1]]
    assert toned(plane, invert=True)[0].tolist() == [[0, 255, 255, 127, 0, 0]]
    assert toned(plane, map="viridis")[0][0, 0].tolist() == [0, 0, 0]


def test_marks_of_colour() -> None:
    planes = np.array([[[-1, -1, 2, 2, 0.5]], [[-1, 0.5, 2, 2, np.nan]], [[-1, -1, 2, 0, 0.5]]], np.float32)
    out, _ = toned(planes, bad=0x102030, under=0xFF0000, over=0x00FF7F)
    assert out[0].tolist() == [[255, 0, 0], [0, 128, 0], [0, 255, 127], [255, 255, 0], [16, 32, 48]]


def test_nothing_is_good() -> None:
    plane = np.full((1, 5, 6), np.nan, np.float32)
    for levels in (AutoLevels(), Zscale(), Quantiles(0.1, 0.9), Cut(0, 1)):
        out, facts = toned(plane, levels=levels, mid=None if isinstance(levels, AutoLevels) else 0.5)
        assert np.all(out == 0)
        assert facts.levels[0].black < facts.levels[0].white


def test_the_histogram_is_read_once() -> None:
    plane = np.round(RAMP * 1000)
    toned(plane, levels=AutoLevels(), mid=None)
    before = dict(tone._read_before)
    toned(plane, levels=Quantiles(0.2, 0.8))
    assert dict(tone._read_before) == before
    for shift in range(2 * tone.REMEMBERED_MAX):
        toned(plane + shift, levels=AutoLevels(), mid=None)
    assert len(tone._read_before) == tone.REMEMBERED_MAX


@pytest.mark.parametrize("path", real_frames(), ids=lambda path: path.name)
def test_auto_on_every_real_frame(path: Path) -> None:
    """Neither black nor white, at any size; more than one grey wherever there is more than one value."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        hdus = json.loads(alone.header(descriptor))["frame"]["hdus"]
        for index in [str(hdu["index"]) for hdu in hdus if hdu["reason"] is None][:3]:
            sizes = [{"size": size} for size in ("64,64", "500,500")]
            for fields in sizes + [{"stretch": str(stretch)} for stretch in STRETCHES]:
                good = good_of(descriptor, hdu=index, **fields)
                assert not good.size or 8 <= good.mean() <= 247, fields
            whole = {"hdu": index, "size": "2000,2000"}
            good, ends = good_of(descriptor, **whole), good_of(descriptor, levels="0,1", stretch="linear", **whole)
            assert not good.size or 8 <= good.mean() <= 247
            assert np.ptp(ends) == 0 or np.ptp(good) > 0
    finally:
        os.close(descriptor)


def good_of(descriptor: int, **pairs: str) -> NDArray[np.int64]:
    """Draw a frame; give the greys of its good pixels: bad ones are drawn in a colour."""
    view = view_from_pairs({"frame": "x", "format": "png", "bad": "ff0001", "size": "200,200", **pairs}.items())
    octets, _, _ = alone.render(descriptor, view)
    seen = np.asarray(Image.open(io.BytesIO(octets))).astype(int)
    good: NDArray[np.int64] = seen[(seen != (255, 0, 1)).any(axis=-1)]
    return good if good.size else np.zeros(1, int) + 100
