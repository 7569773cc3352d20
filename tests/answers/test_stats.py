"""The stats question: numpy's figures, exactly where each value has a bin of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.answers.counts import Counted
from cgi_worker.answers.stats import QUANTILES, describe
from cgi_worker.steps.levels import Channel, Linear, SplitLog
from cgi_worker.wire.question import Stats
from cgi_worker.wire.view import Region
from tests.answers.asking import ask
from tests.frames.make import BLOCK, card, cut, image_hdu, mosaic, star_field, write, write_compressed, write_gzip


def figures(values: NDArray[Any]) -> dict[str, float]:
    """Compute the figures by numpy."""
    wide = values.astype("f8").reshape(-1)
    median = np.median(wide)
    return {
        "min": wide.min(), "max": wide.max(), "mean": wide.mean(), "sigma": wide.std(), "median": median,
        "mad": np.median(np.abs(wide - median)),
    }  # fmt: skip


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=40), st.integers(-40_000, 40_000),
    st.sampled_from([1.0, -1.0, 0.25, -3.0]),
)  # fmt: skip
def test_exact_figures(bins: list[int], start: float, step: float) -> None:
    values = start + step * np.array(bins, "f8")
    counts = np.bincount(bins, minlength=65536).astype(np.uint64)
    channel = Channel(Linear(float(start), step), len(bins), 3, values.min(), values.max(), values.mean())
    found = describe(Counted("grey", counts, channel))
    assert (found.count, found.bad, found.median_within, found.mad_within) == (len(bins), 3, 0, 0)
    for name, value in figures(values).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-12, abs=1e-9), name
    for each in found.quantiles:
        assert each.within == 0 and each.value == pytest.approx(np.quantile(values, each.q), rel=1e-12, abs=1e-9)
    assert tuple(each.q for each in found.quantiles) == QUANTILES


def test_nothing_good() -> None:
    for bins in (Linear(0.0, 1.0), SplitLog(0.0, 1.0)):
        found = describe(Counted("grey", np.zeros(65536, np.uint64), Channel(bins, 0, 9, None, None, None)))
        assert (found.count, found.bad, found.median, found.quantiles) == (0, 9, None, ())


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
def test_a_frame(dtype: str, tmp_path: Path) -> None:
    pixels = star_field(120, 90)
    pixels = (pixels // 256 if dtype == "u1" else pixels).astype(dtype)
    path = write(tmp_path / "a", image_hdu(pixels))
    for region in (None, Region(10, 20, 50, 60)):
        answer = ask(path, Stats(frame="", region=region))
        assert answer["section"] == ("[11:60,21:80]" if region else "[1:90,1:120]")
        chosen = pixels[20:80, 10:60] if region else pixels
        (channel,) = answer["channels"]
        assert (channel["channel"], channel["count"], channel["bad"]) == ("grey", chosen.size, 0)
        within = max(channel["median_within"], channel["mad_within"])
        assert (within == 0) == (dtype in ("u1", "u2"))
        for name, value in figures(chosen).items():
            room = 2 * within if name in ("median", "mad") else 1e-3 if within else 0
            assert channel[name] == pytest.approx(value, rel=1e-9 if within == 0 else 1e-6, abs=room), name
        for each in channel["quantiles"]:
            low, high = (np.quantile(chosen, each["q"], method=way) for way in ("lower", "higher"))
            assert low - 2 * each["within"] <= each["value"] <= high + 2 * each["within"], each


def test_saturated_blank_and_missing(tmp_path: Path) -> None:
    pixels = np.array([[65535, 65535, 3], [65534, 7, 0]], "u2")
    path = write(tmp_path / "a", image_hdu(pixels, cards=[card("BLANK", 7 - 32768)]))
    (channel,) = ask(path, Stats(frame=""))["channels"]
    assert (channel["count"], channel["bad"], channel["saturated"]) == (5, 1, 2)
    path = cut(write(tmp_path / "b", image_hdu(np.ones((9, 1000), "i2"))), BLOCK + 2000 * 3)
    (channel,) = ask(path, Stats(frame=""))["channels"]
    assert (channel["count"], channel["bad"]) == (3000, 6000)


def test_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(2).integers(0, 9000, (30, 20, 3)).astype("u2") + np.array([0, 10000, 20000], "u2")
    path = write(tmp_path / "a", image_hdu(mosaic(colours), cards=[card("BAYERPAT", "RGGB")]))
    answer = ask(path, Stats(frame="", color="bayer"))
    assert [each["channel"] for each in answer["channels"]] == ["red", "green", "blue"]
    assert [each["count"] for each in answer["channels"]] == [150, 300, 150]
    assert answer["channels"][2]["mean"] == pytest.approx(colours[1::2, 1::2, 2].mean(), rel=1e-12)
    assert len(ask(path, Stats(frame=""))["channels"]) == 1
    cube = write(tmp_path / "b", image_hdu(np.moveaxis(colours, 2, 0)))
    answer = ask(cube, Stats(frame="", color="rgb"))
    assert [each["channel"] for each in answer["channels"]] == ["red", "green", "blue"]
    for channel, pixels in zip(answer["channels"], np.moveaxis(colours, 2, 0), strict=True):
        assert (channel["min"], channel["max"]) == (pixels.min(), pixels.max())


def test_compressed_and_gzipped(tmp_path: Path) -> None:
    pixels = star_field(60, 50)
    plain = ask(write(tmp_path / "a", image_hdu(pixels)), Stats(frame=""))
    assert ask(write_gzip(tmp_path / "a.gz", image_hdu(pixels)), Stats(frame="")) == plain
    assert ask(write_compressed(tmp_path / "a.fz", pixels), Stats(frame="")) == plain | {"hdu": 1}
