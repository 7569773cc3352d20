"""The region question: exact figures, whatever the type, the shape and the size of the bands."""

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.answers import ranks, shape
from cgi_worker.answers.plane import Plane
from cgi_worker.answers.shape import ShapeAnswer, measure
from cgi_worker.wire.facts import Hdu, StoredType
from cgi_worker.wire.question import Shape, ShapeKind
from tests.answers.asking import Noted, ask
from tests.frames.make import BLOCK, card, cut, image_hdu, star_field, write, write_compressed, write_gzip

TYPES: list[StoredType] = ["u1", "i2", "i4", "i8", "f4", "f8"]


def inside(kind: str, numbers: tuple[float, ...], x: int, y: int) -> bool:
    """Tell whether the centre of a pixel lies in a shape, by the words of the answer's docstring."""
    if kind == "rect":
        cx, cy, width, height = numbers
        return cx - width / 2 <= x < cx + width / 2 and cy - height / 2 <= y < cy + height / 2
    squared = (x - numbers[0]) ** 2 + (y - numbers[1]) ** 2
    if kind == "circle":
        return squared < numbers[2] ** 2
    return numbers[2] ** 2 <= squared < numbers[3] ** 2


def slowly(values: list[list[Any]], kind: str, numbers: tuple[float, ...]) -> dict[str, Any]:
    """Compute the figures with plain loops and whole numbers; None is a bad pixel."""
    good = [
        (value, x, y)
        for y, line in enumerate(values, 1)
        for x, value in enumerate(line, 1)
        if value is not None and inside(kind, numbers, x, y)
    ]
    bad = sum(
        value is None and inside(kind, numbers, x, y)
        for y, line in enumerate(values, 1)
        for x, value in enumerate(line, 1)
    )
    found: dict[str, Any] = {"count": len(good), "bad": bad}
    if not good:
        return found
    exact = [Fraction(value) for value, _, _ in good]
    mean = sum(exact) / len(exact)
    median = middle(exact)
    found |= {"min": min(exact), "max": max(exact), "mean": mean, "sum": sum(exact), "median": median}
    found["mad"] = middle([abs(value - median) for value in exact])
    found["sigma"] = math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))
    highest = next(each for each in good if each[0] == max(exact))
    found |= {"max_x": highest[1], "max_y": highest[2]}
    above = [(Fraction(value) - median, x, y) for value, x, y in good if value > median]
    weight = sum(each[0] for each in above)
    if weight:
        found["centroid_x"] = sum(each[0] * each[1] for each in above) / weight
        found["centroid_y"] = sum(each[0] * each[2] for each in above) / weight
    return found


def middle(values: list[Fraction]) -> Fraction:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def compare(answer: ShapeAnswer, expected: dict[str, Any], *, whole: bool, scale: float) -> None:
    assert (answer.count, answer.bad) == (expected["count"], expected["bad"])
    for name in ("min", "max", "median", "mad", "sum"):
        got, value = getattr(answer, name), expected.get(name)
        if value is None:
            assert got is None
        elif whole:
            assert Fraction(got) == value and isinstance(got, str) == (abs(value) > 2**53), name
        else:
            assert got == pytest.approx(float(value), rel=1e-12, abs=1e-12 * scale), name
    for name in ("mean", "sigma"):
        value = expected.get(name)
        assert getattr(answer, name) == (
            None if value is None else pytest.approx(float(value), rel=1e-9, abs=1e-9 * scale)
        )
    assert (answer.max_x, answer.max_y) == (expected.get("max_x"), expected.get("max_y"))
    if "centroid_x" in expected and whole:
        assert answer.centroid_x == pytest.approx(float(expected["centroid_x"]), abs=1e-6)
        assert answer.centroid_y == pytest.approx(float(expected["centroid_y"]), abs=1e-6)


@st.composite
def shapes(draw: Callable[[Any], Any]) -> tuple[ShapeKind, tuple[float, ...]]:
    place = st.one_of(st.integers(-2, 12), st.floats(-2, 12).map(lambda x: round(x * 16) / 16))
    size = st.one_of(st.integers(1, 14), st.floats(0.25, 14).map(lambda x: round(x * 16) / 16))
    kind: ShapeKind = draw(st.sampled_from(["rect", "circle", "annulus"]))
    if kind == "annulus":
        inner, ring = draw(st.one_of(st.just(0), size)), draw(size)
        return kind, (draw(place), draw(place), inner, inner + ring)
    return kind, (draw(place), draw(place), draw(size), *([draw(size)] if kind == "rect" else []))


@given(
    st.sampled_from(TYPES), st.tuples(st.integers(1, 11), st.integers(1, 11)), shapes(), st.integers(0, 2**32 - 1),
    st.sampled_from(["few", "narrow", "full"]), st.sampled_from([0.0, -3.0, 2.0**63]), st.integers(1, 30),
    st.booleans(),
)  # fmt: skip
def test_against_plain_loops(  # noqa: PLR0913, PLR0917
    stored: StoredType, size: tuple[int, int], asked: tuple[ShapeKind, tuple[float, ...]], seed: int, spread: str,
    bzero: float, band: int, in_order: bool,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    pixels = drawn(random, stored, size, spread)
    floats = stored[0] == "f"
    blank = None if floats else int(pixels[0, 0])
    if floats:
        bzero = 0.0
        pixels[random.random(size) < 0.1] = np.nan
    hdu = Hdu(0, "", "image", size, stored, bzero=bzero, blank=blank)
    count = int(random.integers(0, size[0] + 1))
    values = [
        [None if y >= count or value == blank or math.isnan(value) else told(value, bzero) for value in line]
        for y, line in enumerate(pixels.tolist())
    ]
    question = Shape(frame="", shape=asked[0], numbers=asked[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape, "BAND_PX", band)
        patch.setattr(shape, "KEPT_PX_MAX", band)
        patch.setattr(ranks, "SORTED_MAX", band)
        answer = measure(lambda: Plane(Noted(pixels, stored, count, in_order=in_order), hdu), question)
    expected = slowly(values, *asked)
    compare(answer, expected, whole=not floats, scale=float(np.nanmax(np.abs(pixels.astype("f8")), initial=1)))


def told(value: Any, bzero: float) -> Any:
    return value + int(bzero) if isinstance(value, int) else value


def drawn(random: np.random.Generator, stored: StoredType, size: tuple[int, int], spread: str) -> NDArray[Any]:
    if stored[0] == "f":
        scale = {"few": 0.0, "narrow": 3.0, "full": 1e30}[spread]
        return np.asarray(random.normal(5, 1, size).round() + random.normal(0, 1, size) * scale, stored)
    low, high = int(np.iinfo(stored).min), int(np.iinfo(stored).max)
    if spread != "full":
        low, high = (3, 5) if spread == "few" else (high - 60, high)
    return random.integers(low, high, size, endpoint=True, dtype=np.int64).astype(stored)


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "u8", "f4", "f8"])
def test_a_large_shape_as_numpy(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "KEPT_PX_MAX", 1000)
    monkeypatch.setattr(shape, "BAND_PX", 7000)
    monkeypatch.setattr(ranks, "SORTED_MAX", 500)
    pixels = (star_field(300, 220) // (300 if kind == "u1" else 1)).astype(kind)
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Shape(frame="", shape="circle", numbers=(100.5, 150, 90)))
    ys, xs = np.mgrid[1:301, 1:221]
    chosen = pixels[(xs - 100.5) ** 2 + (ys - 150) ** 2 < 90**2].astype("f8")
    assert answer["count"] == chosen.size
    for name, value in {
        "min": chosen.min(), "max": chosen.max(), "mean": chosen.mean(), "median": np.median(chosen),
        "sigma": chosen.std(), "sum": chosen.sum(), "mad": np.median(np.abs(chosen - np.median(chosen))),
    }.items():  # fmt: skip
        assert answer[name] == pytest.approx(value, rel=1e-12), name


def test_centroid_finds_a_star(tmp_path: Path) -> None:
    ys, xs = np.mgrid[1:61, 1:81]
    pixels = (1000 + 30_000 * np.exp(-((xs - 41.3) ** 2 + (ys - 22.8) ** 2) / 8)).astype("u2")
    answer = ask(write(tmp_path / "a", image_hdu(pixels)), Shape(frame="", shape="circle", numbers=(41, 23, 15)))
    assert (answer["centroid_x"], answer["centroid_y"]) == pytest.approx((41.3, 22.8), abs=0.01)
    assert (answer["max_x"], answer["max_y"]) == (41, 23)


def test_saturated(tmp_path: Path) -> None:
    pixels = np.array([[65535, 65535, 3], [65534, 0, 65535]], "u2")
    question = Shape(frame="", shape="rect", numbers=(2, 1.5, 3, 2))
    assert ask(write(tmp_path / "a", image_hdu(pixels)), question)["saturated"] == 3
    path = write(tmp_path / "b", image_hdu(pixels, cards=[card("SATURATE", 65533.5)]))
    assert ask(path, question)["saturated"] == 4
    path = write(tmp_path / "c", image_hdu(pixels.astype("f4")))
    assert ask(path, question)["saturated"] == 0


def test_off_the_plane_and_missing_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.ones((5, 5), "i2")))
    answer = ask(path, Shape(frame="", shape="rect", numbers=(5, 5, 3, 3)))
    assert (answer["count"], answer["clipped"], answer["bad"]) == (4, True, 0)
    answer = ask(path, Shape(frame="", shape="circle", numbers=(1e9, -1e9, 3)))
    assert (answer["count"], answer["median"], answer["centroid_x"]) == (0, None, None)
    path = cut(write(tmp_path / "b", image_hdu(np.ones((9, 1000), "i2"))), BLOCK + 2000 * 3)
    answer = ask(path, Shape(frame="", shape="rect", numbers=(5, 3, 5, 5)))
    assert (answer["count"], answer["bad"], answer["clipped"], answer["sum"]) == (15, 10, False, 15)


def test_edges_belong_to_one_side(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(np.arange(36, dtype="i2").reshape(6, 6)))
    answer = ask(path, Shape(frame="", shape="rect", numbers=(3, 3, 2, 4)))
    assert (answer["count"], answer["min"], answer["max"]) == (8, 1, 3 * 6 + 2)
    parts = [("circle", (3, 3, 2)), ("annulus", (3, 3, 2, 3)), ("annulus", (3, 3, 0, 3)), ("circle", (3, 3, 3))]
    counts = [ask(path, Shape(frame="", shape=kind, numbers=numbers))["count"] for kind, numbers in parts]  # type: ignore[arg-type]
    assert counts[0] + counts[1] == counts[2] == counts[3] == 25


def test_zero_has_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "BAND_PX", 1)
    pixels = np.array([[0.0], [-0.0], [-0.0], [5.0]])
    hdu = Hdu(0, "", "image", (4, 1), "f8", bzero=-0.0)
    question = Shape(frame="", shape="rect", numbers=(1, 2.5, 1, 4))
    answer = measure(lambda: Plane(Noted(pixels, "f8"), hdu), question)
    assert (answer.median, answer.mad, answer.max) == (0, 0, 5)


def test_scaled_whole_numbers(tmp_path: Path) -> None:
    pixels = np.array([[1, 2, 40]], "i2")
    path = write(tmp_path / "a", image_hdu(pixels, cards=[card("BSCALE", -0.5), card("BZERO", 10.0)]))
    answer = ask(path, Shape(frame="", shape="rect", numbers=(2, 1, 3, 1)))
    assert (answer["min"], answer["max"], answer["median"], answer["max_x"]) == (-10, 9.5, 9, 1)


def test_compressed_and_gzipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "KEPT_PX_MAX", 100)
    monkeypatch.setattr(shape, "BAND_PX", 1000)
    pixels = star_field(60, 50)
    question = Shape(frame="", shape="annulus", numbers=(25, 30, 5, 22))
    plain = ask(write(tmp_path / "a", image_hdu(pixels)), question)
    assert ask(write_gzip(tmp_path / "a.gz", image_hdu(pixels)), question) == plain
    assert ask(write_compressed(tmp_path / "a.fz", pixels), question) == plain | {"hdu": 1}
