"""The pixel question: values exactly as astropy has them, and what is said where there is none."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from cgi_worker import alone
from cgi_worker.wire.question import Histogram, Pixel, Shape, Stats
from cgi_worker.wire.tiles import TileView
from cgi_worker.wire.view import Cut, Region, Size, View
from tests.answers.asking import ask, facts_of
from tests.frames.make import BLOCK, card, cut, image_hdu, write, write_compressed, write_gzip
from tests.frames.real import real_frames


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_box_is_what_was_written(dtype: str, tmp_path: Path) -> None:
    info: Any = np.iinfo(dtype) if dtype[0] in "iu" else np.finfo("f4")
    pixels = np.array([[info.min, info.max, 7], [1, 0, 3], [2, 5, 6]], dtype)
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Pixel(frame="", x=2, y=2, box=3))
    assert (answer["x"], answer["y"], answer["x_first"], answer["y_first"]) == (2, 2, 1, 1)
    assert answer["value"] == 0 and answer["bad"] is False and answer["why"] is None
    expected = [[value.item() for value in row] for row in pixels]
    assert [[int(v) if isinstance(v, str) else v for v in row] for row in answer["values"]] == expected
    for row in answer["values"]:
        assert all(isinstance(value, str) == (dtype[0] in "iu" and abs(int(value)) > 2**53) for value in row)


def test_column_comes_before_row(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype="i2").reshape(3, 4)
    assert ask(write(tmp_path / "a", image_hdu(pixels)), Pixel(frame="", x=4, y=1))["value"] == 3


def test_off_the_plane_is_null(tmp_path: Path) -> None:
    answer = ask(write(tmp_path / "a", image_hdu(np.ones((2, 2), "i2"))), Pixel(frame="", x=1, y=2, box=3))
    assert answer["values"] == [[None, 1, 1], [None, 1, 1], [None, None, None]]
    assert (answer["x_first"], answer["y_first"]) == (0, 1)


def test_bad_pixels(tmp_path: Path) -> None:
    floats = np.array([[math.nan, math.inf, 1e300, 2.0]], "f8")
    path = write(tmp_path / "a", image_hdu(floats))
    said = [ask(path, Pixel(frame="", x=x, y=1)) for x in (1, 2, 3, 4)]
    assert [one["value"] for one in said] == [None, None, 1e300, 2.0]
    assert [one["bad"] for one in said] == [True, True, True, False]
    assert [one["why"] for one in said] == ["NaN", "infinite", "beyond single precision", None]
    path = write(tmp_path / "b", image_hdu(np.array([[5, -7]], "i2"), cards=[card("BLANK", -7)]))
    blank = ask(path, Pixel(frame="", x=2, y=1))
    assert (blank["value"], blank["bad"], blank["why"]) == (None, True, "blank")
    path = cut(write(tmp_path / "c", image_hdu(np.ones((10, 100), "i2"))), BLOCK + 500)
    missing = ask(path, Pixel(frame="", x=2, y=4, box=5))
    assert (missing["value"], missing["bad"], missing["why"]) == (None, True, "missing")
    assert missing["values"] == [[None, 1, 1, 1, 1]] + [[None] * 5] * 4 if facts_of(path).hdus[0].rows == 2 else True


FLOAT32_MAX = float(np.finfo("f4").max)
SCALED = [card("BSCALE", 1e36), card("BZERO", 0.0)]
FAR = [card("BSCALE", 1e306), card("BZERO", 0.0)]


@pytest.mark.parametrize(
    ("pixels", "cards", "said"),
    [
        (np.array([[1e200, -1e39, FLOAT32_MAX, 5.0, math.nan]]), [], ["beyond", "beyond", None, None, "NaN"]),
        (np.full((1, 3), -1e200), [], ["beyond"] * 3),
        (np.array([[1, 300, 400, -400, math.inf]], "f4"), SCALED, [None, None, "beyond", "beyond", "infinite"]),
        (np.array([[1, 300, -400, -7]], "i4"), [*SCALED, card("BLANK", -7)], [None, None, "beyond", "blank"]),
        (np.array([[1, 300, -400, -7]], "i2"), [*SCALED, card("BLANK", -7)], [None, None, "beyond", "blank"]),
        (np.array([[1, 200]], "u1"), [card("BSCALE", 1e37)], [None, "beyond"]),
        (np.array([[0, 1, 400, -7]], "i4"), [*FAR, card("BLANK", -7)], [None, "beyond", "beyond", "blank"]),
        (np.array([[0, 1, 400, math.inf]], "f4"), FAR, [None, "beyond", "beyond", "infinite"]),
    ],
)  # fmt: skip
def test_what_float32_cannot_hold_is_bad_for_every_question(
    pixels: NDArray[Any], cards: list[bytes], said: list[str | None], tmp_path: Path
) -> None:
    path, width = write(tmp_path / "a", image_hdu(pixels, cards=cards)), pixels.shape[1]
    words = {"beyond": "beyond single precision"}
    told = [ask(path, Pixel(frame="", x=x + 1, y=1)) for x in range(width)]
    assert [one["why"] for one in told] == [words.get(why or "", why) for why in said]
    assert [one["bad"] for one in told] == [why is not None for why in said]
    bad = width - said.count(None)
    for question in (
        Stats(frame=""), Histogram(frame=""), Stats(frame="", region=Region(0, 0, width, 1)),
    ):  # fmt: skip
        (channel,) = ask(path, question)["channels"]
        assert (channel["count"], channel["bad"]) == (width - bad, bad)
        assert channel.get("max") is None or channel["max"] <= FLOAT32_MAX
    shape = ask(path, Shape(frame="", shape="rect", numbers=((width + 1) / 2, 1.0, float(width), 1.0)))
    assert (shape["count"], shape["bad"]) == (width - bad, bad)
    with path.open("rb") as file:
        view = View("", size=Size(), bad=0xFF0000, levels=Cut(0.0, 1.0), format="png", rows="down")
        for wanted in (view, TileView(view, 0, 0, 0)):
            drawn = np.asarray(Image.open(io.BytesIO(alone.render(file.fileno(), wanted)[0])))[0]
            assert [tuple(pixel) == (255, 0, 0) for pixel in drawn] == [why is not None for why in said]


def test_saturated(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.array([[65535, 65534]], "u2")))
    assert [ask(path, Pixel(frame="", x=x, y=1))["saturated"] for x in (1, 2)] == [True, False]
    if facts_of(write(tmp_path / "b", image_hdu(PAIR, cards=[card("SATURATE", 49999.5)]))).hdus[0].saturate:
        assert [ask(tmp_path / "b", Pixel(frame="", x=x, y=1))["saturated"] for x in (1, 2)] == [True, False]


PAIR = np.array([[50000, 49999]], "u2")


def test_compressed_and_gzipped(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 60000, (40, 30)).astype("u2")
    question = Pixel(frame="", x=17, y=33, box=5)
    expected = pixels[30:35, 14:19].tolist()
    assert ask(write_gzip(tmp_path / "a.gz", image_hdu(pixels)), question)["values"] == expected
    assert ask(write_compressed(tmp_path / "a.fz", pixels), question)["values"] == expected


def test_real_frames_as_astropy() -> None:
    seen = 0
    for path in real_frames()[::3]:
        facts = facts_of(path)
        for hdu in facts.hdus:
            if hdu.reason is not None or hdu.kind == "mosaic" or hdu.planes > 1 or hdu.rows < hdu.height_px:
                continue
            with fits.open(path, memmap=False) as file:
                data = file[hdu.index].data.reshape(hdu.height_px, hdu.width_px)
            y, x = hdu.height_px // 2, hdu.width_px // 3
            answer = ask(path, Pixel(frame="", hdu=hdu.index, x=x + 1, y=y + 1))
            value = float(data[y, x])
            assert answer["value"] == (pytest.approx(value, rel=1e-6) if math.isfinite(value) else None), path
            seen += 1
    assert seen > 20
