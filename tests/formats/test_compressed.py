"""Tile-compressed images, made by astropy and by cfitsio, decoded as cfitsio does to the last bit; and damaged ones."""

import contextlib
import gzip
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgi_worker.formats.cfitsio import Decompressed
from cgi_worker.formats.tiled import Tiled
from cgi_worker.wire.failure import StepFailed
from tests.formats.lending import find, opened, pixels_of, rows_of, same
from tests.frames.make import cut, star_field, write_compressed, write_gzip
from tests.kernels.test_rice import encode_slowly

ROOMY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
METHODS = ("RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS", "PLIO_1", "HCOMPRESS_1")


def write_tiles(path: Path, pixels: NDArray[Any], method: str, **options: Any) -> Path:
    """Write HDU 1 by astropy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.CompImageHDU(pixels, compression_type=method, **options).writeto(path, overwrite=True)
    return path


def stored_by_cfitsio(path: Path) -> NDArray[Any]:
    with fitsio.FITS(str(path)) as file:
        image = file[1]
        image.ignore_scaling = True
        pixels = image.read()
    return np.asarray(pixels)


def check_whole(path: Path, theirs: NDArray[Any]) -> None:
    """Compare every plane, lent whole."""
    with opened(path) as (descriptor, facts):
        hdu = find(facts, 1)
        assert hdu.reason is None
        theirs = theirs.reshape(hdu.planes, hdu.height_px, hdu.width_px)
        for plane in range(hdu.planes):
            rows = rows_of(descriptor, facts, 1, plane)
            assert (rows.stored, rows.count, rows.in_order) == (hdu.stored, hdu.height_px, False)
            assert same(pixels_of(rows, (0, hdu.height_px, 0, hdu.width_px)), theirs[plane])


def contents(shape: tuple[int, ...], kind: str, style: str, seed: int) -> NDArray[Any]:
    """Make pixels: a quiet sky, noise over the whole range, one value, or extremes of the type."""
    random = np.random.default_rng(seed)
    if kind[0] == "f":
        pixels = random.normal(0 if style == "zeros" else 1000, 20, shape)
        if style == "extremes":
            pixels[random.random(shape) < 0.2] = random.choice([np.nan, 0.0, 1e30, -1e-30])
        if style == "zeros":
            pixels[random.random(shape) < 0.5] = 0.0
        return np.full(shape, 2.5, kind) if style == "constant" else pixels.astype(kind)
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    if style == "wild":
        return random.integers(low, high, shape, kind, endpoint=True)
    pixels = np.full(shape, 100, kind) if style == "constant" else random.normal(100, 9, shape).astype(kind)
    if style == "extremes":
        pixels[random.random(shape) < 0.3] = random.choice([low, high])
    return pixels


@st.composite
def images(draw: st.DrawFn, kinds: tuple[str, ...]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Pixels, and the shape of their tiles."""
    sides = st.sampled_from([1, 2, 3, 5, 7, 13, 31, 64])
    before = st.lists(st.integers(1, 4), max_size=1 if kinds[0] == "f4" else 2)  # cfitsio knows three axes.
    shape = (*draw(before), draw(sides), draw(sides))
    tile = tuple(draw(st.sampled_from([1, 2, 3, 8, length])) for length in shape)
    tile = tuple(min(part, length) for part, length in zip(tile, shape, strict=True))
    style = draw(st.sampled_from(["quiet", "wild", "constant", "extremes", "zeros"]))
    return contents(shape, draw(st.sampled_from(kinds)), style, draw(st.integers(0, 999))), tile


@ROOMY
@given(image=images(("u1", "i2", "i4")), method=st.sampled_from(METHODS[:4]))
def test_integers_of_any_shape(
    tmp_path: Path, image: tuple[NDArray[Any], tuple[int, ...]], method: str
) -> None:  # fmt: skip
    pixels, tile = image
    check_whole(write_tiles(tmp_path / "a.fz", pixels, method, tile_shape=tile), pixels)


@ROOMY
@given(
    image=images(("f4", "f8")),
    method=st.sampled_from(["RICE_1", "GZIP_1", "GZIP_2"]),
    dither=st.sampled_from([-1, 1, 2]),
    level=st.sampled_from([0.0, 16.0, 1.0, -0.5]),
    seed=st.integers(1, 10_000),
)
def test_floats_of_any_shape(
    tmp_path: Path, image: tuple[NDArray[Any], tuple[int, ...]], method: str, **options: Any
) -> None:  # fmt: skip
    pixels, tile = image
    if method == "RICE_1" and options["level"] == 0:
        options["level"] = 4.0  # RICE_1 cannot keep floats whole.
    path = write_tiles(
        tmp_path / "a.fz", pixels, method, tile_shape=tile, quantize_level=options["level"],
        quantize_method=options["dither"], dither_seed=options["seed"],
    )  # fmt: skip
    check_whole(path, stored_by_cfitsio(path))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4"])
def test_cfitsios_own_integers(tmp_path: Path, method: str, kind: str) -> None:
    pixels = (star_field(47, 61) // 300).astype(kind)
    if method == "NOCOMPRESS" or (method == "PLIO_1" and kind == "u4"):
        path = write_tiles(tmp_path / "a.fz", pixels, "GZIP_1" if method == "PLIO_1" else method)
    else:
        path = write_compressed(tmp_path / "a.fz", pixels, method, tile_dims=(20, 30))
    check_whole(path, stored_by_cfitsio(path) if method != "NOCOMPRESS" else stored_by_us(pixels))
    with opened(path) as (descriptor, facts):
        expected = Decompressed if find(facts, 1).tiling.method == "OTHER" else Tiled  # type: ignore[union-attr]
        assert type(rows_of(descriptor, facts, 1)) is expected


def stored_by_us(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn unsigned pixels into what is stored of them."""
    if pixels.dtype.kind == "u" and pixels.itemsize > 1:
        return (pixels ^ (1 << 8 * pixels.itemsize - 1)).view(f"i{pixels.itemsize}")
    return pixels


@pytest.mark.parametrize("method", ["RICE", "GZIP", "GZIP_2", "HCOMPRESS"])
@pytest.mark.parametrize("dither", ["NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_cfitsios_own_floats(tmp_path: Path, method: str, dither: str, kind: str) -> None:
    pixels = star_field(90, 130).astype(kind) + np.float32(0.25)
    pixels[50:, 30:60] = 0
    if method != "HCOMPRESS":
        pixels[10:20, 20:25] = np.nan
    path = write_compressed(tmp_path / "a.fz", pixels, method, tile_dims=(20, 40), qlevel=4.0, qmethod=dither)
    check_whole(path, stored_by_cfitsio(path))


def test_random_numbers_go_round(tmp_path: Path) -> None:
    """Tiles longer than the list of random numbers, from seeds near its end."""
    pixels = contents((110, 300), "f4", "quiet", 1)
    for seed in (1, 9_999, 10_000):
        path = write_tiles(
            tmp_path / "a.fz", pixels, "RICE_1", tile_shape=(110, 300), quantize_level=4.0,
            quantize_method=1, dither_seed=seed,
        )  # fmt: skip
        check_whole(path, stored_by_cfitsio(path))


@pytest.mark.parametrize(("kind", "value"), [("i2", -32768), ("i4", -(2**31)), ("u1", 255)])
def test_blank_integers(tmp_path: Path, kind: str, value: int) -> None:
    pixels = contents((20, 30), kind, "quiet", 1)
    pixels[3, 4] = value
    hdu = fits.CompImageHDU(pixels, compression_type="RICE_1")
    hdu.header["BLANK"] = value
    hdu.writeto(tmp_path / "a.fz")
    check_whole(tmp_path / "a.fz", pixels)
    with opened(tmp_path / "a.fz") as (_, facts):
        assert find(facts, 1).blank == value


def test_wide_descriptors(tmp_path: Path) -> None:
    pixels = contents((20, 30), "i2", "quiet", 1)
    path = write_tiles(tmp_path / "a.fz", pixels, "RICE_1")
    narrow = path.read_bytes()
    with opened(path) as (_, facts):
        hdu = find(facts, 1)
        assert hdu.tiling is not None and hdu.tiling.data is not None
        start, stop = hdu.offset, hdu.tiling.heap
    table = np.frombuffer(narrow[start:stop], ">i4").astype(">i8").tobytes()
    head = narrow[:start].replace(b"NAXIS1  =                    8", b"NAXIS1  =                   16")
    head = head.replace(b"'1PB(", b"'1QB(")
    path.write_bytes(head + table + narrow[stop:])
    check_whole(path, pixels)


def test_pixels_of_another_size(tmp_path: Path) -> None:
    """RICE_1 of 32-bit integers for an image of fewer bits: what does not fit becomes the nearest that does."""
    pixels = np.array([[5, 40_000, -40_000, 7, 32_767, -32_768, 0, 255]] * 3, np.int32)
    path = write_tiles(tmp_path / "a.fz", pixels, "RICE_1")
    whole = path.read_bytes()
    for bits, kind in ((16, "i2"), (8, "u1")):
        path.write_bytes(whole.replace(b"ZBITPIX =                   32", b"ZBITPIX =                   %2d" % bits))
        limits = np.iinfo(kind)
        check_whole(path, np.clip(pixels, limits.min, limits.max).astype(kind))


@pytest.mark.parametrize("fixed", [False, True])
def test_each_way_to_keep_a_tile(tmp_path: Path, fixed: bool) -> None:
    """Tiles of one image that are quantised, kept whole by gzip, or not compressed; scales in columns or cards.

    As the standard says: cfitsio looks for one of the last two only, and takes ZSCALE cards for whole numbers.
    """
    height, width = 4, 9
    ints = np.arange(width) * 5 - 7
    octets = np.frombuffer(encode_slowly([int(n) % 2**32 for n in ints], 4, 32, [6]), np.uint8)
    reals = np.linspace(-3, 1e6, width)
    packed = np.frombuffer(gzip.compress(reals.astype(">f4").tobytes()), np.uint8)
    none = np.empty(0, np.uint8)
    columns = [
        fits.Column("COMPRESSED_DATA", "1PB()", array=np.array([octets, none, none, octets], object)),
        fits.Column("GZIP_COMPRESSED_DATA", "1PB()", array=np.array([none, packed, none, none], object)),
        fits.Column("UNCOMPRESSED_DATA", "1PE()", array=np.array([none, none, reals.astype("f4"), none], object)),
    ]
    cards: dict[str, Any] = {
        "ZIMAGE": True, "ZCMPTYPE": "RICE_1", "ZBITPIX": -32, "ZNAXIS": 2, "ZNAXIS1": width, "ZNAXIS2": height,
        "ZNAME1": "BLOCKSIZE", "ZVAL1": 32, "ZNAME2": "BYTEPIX", "ZVAL2": 4, "ZQUANTIZ": "NO_DITHER", "ZBLANK": -2,
    }  # fmt: skip
    if fixed:
        cards |= {"ZSCALE": 0.3, "ZZERO": 17.0}
    else:
        columns += [fits.Column("ZSCALE", "1D", array=[0.3] * 4), fits.Column("ZZERO", "1D", array=[17.0] * 4)]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "a.fz")
    quantised = np.where(ints == -2, np.nan, ints * 0.3 + 17.0).astype("f4")
    expected = np.array([quantised, reals.astype("f4"), reals.astype("f4"), quantised])
    assert np.isnan(expected).sum() == 2
    check_whole(tmp_path / "a.fz", expected)


@ROOMY
@given(data=st.data())
def test_any_pieces_in_any_order(tmp_path: Path, data: st.DataObject) -> None:
    pixels = star_field(53, 71).view(np.int16)
    tile = data.draw(st.sampled_from([(1, 71), (10, 71), (7, 20), (53, 71), (1, 1), (53, 1)]))
    path = write_tiles(tmp_path / "a.fz", pixels, data.draw(st.sampled_from(METHODS[:2])), tile_shape=tile)
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, 1)
        for _ in range(8):
            first, left = data.draw(st.integers(0, 52)), data.draw(st.integers(0, 70))
            last, right = data.draw(st.integers(first + 1, 53)), data.draw(st.integers(left + 1, 71))
            box = (first, last, left, right)
            assert np.array_equal(pixels_of(rows, box), pixels[first:last, left:right])


def test_nothing_is_decoded_twice_on_the_way_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = star_field(60, 40).view(np.int16)
    path = write_tiles(tmp_path / "a.fz", pixels, "RICE_1", tile_shape=(25, 40))
    decoded: list[int] = []
    original = Tiled._decode

    def noted(self: Tiled, strips: range, *rest: Any) -> None:
        decoded.extend(strips)
        original(self, strips, *rest)

    monkeypatch.setattr(Tiled, "_decode", noted)
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, 1)
        for first in range(0, 60, 4):
            assert np.array_equal(pixels_of(rows, (first, first + 4, 0, 40)), pixels[first : first + 4])
    assert decoded == [0, 1, 2]


def test_threads_share_a_tile_that_all_of_them_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = star_field(400, 300).view(np.int16)
    path = write_tiles(tmp_path / "a.fz", pixels, "GZIP_1", tile_shape=(400, 300))
    decoded: list[int] = []
    together = threading.Barrier(4)
    second = threading.Barrier(2)
    original = Tiled._decode

    def noted(self: Tiled, strips: range, *rest: Any) -> None:
        decoded.extend(strips)
        with contextlib.suppress(threading.BrokenBarrierError):
            second.wait(0.2)  # Time for a second one to come, if it could.
        original(self, strips, *rest)

    monkeypatch.setattr(Tiled, "_decode", noted)
    with opened(path) as (descriptor, facts), ThreadPoolExecutor(4) as pool:
        rows = rows_of(descriptor, facts, 1)

        def look(worker: int) -> bool:
            together.wait()
            return np.array_equal(pixels_of(rows, (worker, worker + 50, 0, 300)), pixels[worker : worker + 50])

        assert all(pool.map(look, range(4)))
    assert decoded == [0]


def test_threads_at_once(tmp_path: Path) -> None:
    pixels = star_field(400, 300).view(np.int16)
    for method, tile in (("RICE_1", (1, 300)), ("RICE_1", (60, 70)), ("HCOMPRESS_1", (16, 300))):
        path = write_tiles(tmp_path / "a.fz", pixels, method, tile_shape=tile)
        expected = stored_by_cfitsio(path)
        with opened(path) as (descriptor, facts), ThreadPoolExecutor(4) as pool:
            rows = rows_of(descriptor, facts, 1)
            together = threading.Barrier(4)

            def look(worker: int, rows: Any = rows, together: Any = together, expected: Any = expected) -> bool:
                together.wait()
                boxes = [(first, first + 23, 0, 300) for first in range(worker * 7, 370, 31)]
                return all(np.array_equal(pixels_of(rows, box), expected[box[0] : box[1]]) for box in boxes)

            assert all(pool.map(look, range(4)))


@pytest.mark.parametrize("tile", [(1, 150), (7, 150), (7, 20)])
@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "PLIO_1"])
def test_cut_short_shows_the_rows_whose_tiles_are_whole(tmp_path: Path, method: str, tile: tuple[int, int]) -> None:
    pixels = (star_field(210, 150) // 2).view(np.int16)
    path = write_tiles(tmp_path / "a.fz", pixels, method, tile_shape=tile)
    with opened(path) as (_, facts):
        hdu = find(facts, 1)
    assert hdu.tiling is not None
    middle = hdu.tiling.heap + (hdu.offset + hdu.data_bytes - hdu.tiling.heap) // 2
    with opened(cut(path, middle)) as (descriptor, facts):
        short = find(facts, 1)
        assert short.reason is None
        assert 60 < short.rows < 150
        assert short.rows % tile[0] == 0
        assert facts.warnings == (f"HDU 1 is cut short: the file ends after {short.rows} of 210 rows",)
        rows = rows_of(descriptor, facts, 1)
        assert rows.count == short.rows
        assert np.array_equal(pixels_of(rows, (0, rows.count, 0, 150)), pixels[: rows.count])


def test_cut_short_anywhere(tmp_path: Path) -> None:
    """Rows that are told to be there can be decompressed, wherever the file ends; cfitsio reads whole records only."""
    pixels = (star_field(210, 150) // 2).view(np.int16)
    for method in ("PLIO_1", "HCOMPRESS_1", "RICE_1"):
        path = write_tiles(tmp_path / "a.fz", pixels, method, tile_shape=(7, 150), hcomp_scale=0)
        whole = path.read_bytes()
        with opened(path) as (_, facts):
            tiling = find(facts, 1).tiling
        assert tiling is not None
        for size in range(tiling.heap + 3000, len(whole) - 2880, 1777):
            path.write_bytes(whole[:size])
            with opened(path) as (descriptor, facts):
                rows = rows_of(descriptor, facts, 1)
                assert np.array_equal(pixels_of(rows, (0, rows.count, 0, 150)), pixels[: rows.count])


def test_cut_short_cubes(tmp_path: Path) -> None:
    pixels = star_field(60, 50).view(np.int16).reshape(6, 10, 50)
    for tile, step in (((1, 1, 50), 1), ((2, 10, 50), 20), ((4, 3, 20), 40)):
        path = write_tiles(tmp_path / "a.fz", pixels, "RICE_1", tile_shape=tile)
        with opened(path) as (_, facts):
            tiling = find(facts, 1).tiling
        assert tiling is not None
        with opened(cut(path, tiling.heap + (path.stat().st_size - tiling.heap) // 2)) as (descriptor, facts):
            rows = find(facts, 1).rows
            assert 0 < rows < 60 and rows % step == 0
            for plane in range(-(-rows // 10)):
                lent = rows_of(descriptor, facts, 1, plane)
                assert lent.count == min(10, rows - 10 * plane)
                assert np.array_equal(pixels_of(lent, (0, lent.count, 0, 50)), pixels[plane, : lent.count])


def test_a_file_that_shrinks_has_changed(tmp_path: Path) -> None:
    path = write_tiles(tmp_path / "a.fz", star_field(100, 100).view(np.int16), "RICE_1")
    with opened(path) as (descriptor, facts):
        tiling = find(facts, 1).tiling
        assert tiling is not None
        cut(path, tiling.heap - 8)
        with pytest.raises(StepFailed) as caught:
            rows_of(descriptor, facts, 1)
        assert caught.value.code == "changed"
        cut(path, 0)
        with pytest.raises(StepFailed):
            rows_of(descriptor, facts, 1)


def test_missing_tiles_and_wild_descriptors_are_named(tmp_path: Path) -> None:
    path = write_tiles(tmp_path / "a.fz", star_field(10, 100).view(np.int16), "RICE_1")
    whole = path.read_bytes()
    with opened(path) as (_, facts):
        offset = find(facts, 1).offset
    for pair, what in ((bytes(8), "is missing"), (b"\x7f\xff\xff\xff\0\0\0\0", "lies outside the file"),
                       (b"\0\0\0\1\x7f\xff\xff\xff", "lies outside the file"), (b"\xff" * 8, "is missing"),
                       (b"\0\0\0\5\0\0\0\0", "is damaged")):  # fmt: skip
        path.write_bytes(whole[: offset + 24] + pair + whole[offset + 32 :])
        with opened(path) as (descriptor, facts), pytest.raises(StepFailed) as caught:
            rows_of(descriptor, facts, 1).lend(0, 10, 0, 100)
        assert (caught.value.code, caught.value.text) == (
            "bad_frame", f"HDU 1 cannot be decompressed: its tile 4 {what}"
        )  # fmt: skip


@pytest.mark.parametrize("head", [b"", b"\0" * 10, b"\xdd\x99\0\0\0\0\0\0\0\5", b"\xdd\x99\0\0\0\x08\0\0\0\x08"])
def test_tiles_that_cfitsio_would_die_of_are_named(tmp_path: Path, head: bytes) -> None:
    path = write_tiles(tmp_path / "a.fz", star_field(48, 64).view(np.int16), "HCOMPRESS_1", tile_shape=(16, 16))
    octets = bytearray(path.read_bytes())
    with opened(path) as (descriptor, facts):
        hdu = find(facts, 1)
        assert len(rows_of(descriptor, facts, 1).lend(0, 48, 0, 64).octets) == 48
    assert hdu.tiling is not None
    entry = hdu.offset + 5 * hdu.tiling.row_bytes
    length, start = (int.from_bytes(octets[at : at + 4], "big") for at in (entry, entry + 4))
    if head:
        octets[hdu.tiling.heap + start : hdu.tiling.heap + start + len(head)] = head
    else:
        octets[entry : entry + 4] = (9).to_bytes(4, "big")  # Too short to have one.
    assert length > 10
    path.write_bytes(octets)
    with opened(path) as (descriptor, facts), pytest.raises(StepFailed, match="its tile 6 is damaged") as caught:
        rows_of(descriptor, facts, 1).lend(0, 48, 0, 64)
    assert caught.value.code == "bad_frame"


def test_bombs_end_where_the_tile_does(tmp_path: Path) -> None:
    """A gzip tile that would inflate to gigabytes is refused after the tile's own size."""
    path = write_tiles(tmp_path / "a.fz", np.zeros((4, 50), np.int16), "GZIP_1")
    with opened(path) as (_, facts):
        hdu = find(facts, 1)
    bomb = gzip.compress(bytes(64 << 20))
    octets = bytearray(path.read_bytes())
    octets[hdu.offset : hdu.offset + 8] = np.array([len(bomb), len(octets) - hdu.tiling.heap], ">i4").tobytes()  # type: ignore[union-attr]
    path.write_bytes(octets + bomb)
    with opened(path) as (descriptor, facts):
        rows = rows_of(descriptor, facts, 1)
        tracemalloc.start()
        with pytest.raises(StepFailed, match="its tile 1 is damaged"):
            rows.lend(0, 4, 0, 50)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.stop()


@settings(ROOMY, max_examples=150)
@given(data=st.data())
def test_damage_is_shown_or_told(tmp_path: Path, data: st.DataObject) -> None:
    """Any octets of the header, the table or the heap may be anything: pixels or StepFailed, nothing else."""
    method = data.draw(st.sampled_from(METHODS[:4]))
    kind = data.draw(st.sampled_from(["u1", "i2", "i4", "f4"]))
    options = {"quantize_method": 2, "quantize_level": 4.0} if kind == "f4" and method != "NOCOMPRESS" else {}
    if kind == "f4" and method == "NOCOMPRESS":
        kind = "i2"
    path = write_tiles(tmp_path / "a.fz", contents((12, 40), kind, "quiet", 1), method, tile_shape=(5, 40), **options)
    octets = bytearray(path.read_bytes())
    with opened(path) as (_, facts):
        offset = find(facts, 1).offset
    places = st.integers(2880, len(octets) - 1) | st.integers(offset, min(offset + 400, len(octets) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(places)
        some = data.draw(st.binary(min_size=1, max_size=10) | st.sampled_from([b"9", b"0", b"-1", b"\xff" * 8]))
        octets[at : at + len(some)] = some
    path.write_bytes(octets[: data.draw(st.integers(2880, len(octets)) | st.just(len(octets)))])
    with contextlib.suppress(StepFailed), opened(path) as (descriptor, facts):
        for hdu in facts.hdus:
            if hdu.reason is None and hdu.height_px * hdu.width_px < 1 << 22:
                rows = rows_of(descriptor, facts, hdu.index, min(hdu.planes - 1, 1))
                for first in range(0, rows.count, 512):
                    rows.lend(first, min(rows.count, first + 512), 0, hdu.width_px)


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    path = write_tiles(tmp_path / "a.fz", np.zeros((9, 40), np.int16), "RICE_1")
    whole = path.read_bytes()
    for before, after, reason in (
        (b"BYTEPIX ", b"BYTEPIX ", None),
        (b"ZTILE1  =                   40", b"ZTILE1  =                    0", "compressed in tiles of 0 x 1 pixels"),
        (b"ZTILE2  =                    1", b"ZTILE1  =                    7", None),
        (b"ZVAL1   =                   32", b"ZVAL1   =                  -32", "compressed in blocks of -32 pixels"),
        (b"ZVAL2   =                    2", b"ZVAL2   =                    3", "compressed as pixels of 3 bytes"),
        (b"NAXIS2  =                    9", b"NAXIS2  =                    8", "of 9 tiles in a table of 8 rows"),
        (b"TFORM1  = '1PB(", b"TFORM1  = '9PB(", "do not fit into rows of 8 bytes"),
        (b"TFORM1  = '1PB(", b"TFORM1  = 'zzz(", "a compressed image, but TFORM1 is"),
        (b"ZNAXIS1 =                   40", b"ZNAXIS1 =           2000000000", "so large that a row of them"),
        (b"ZTILE2  =                    1", b"ZTILE2  =                 1000", None),
    ):
        assert before in whole
        path.write_bytes(whole.replace(before, after))
        with opened(path) as (_, facts):
            said = find(facts, 1).reason
        assert said is None if reason is None else reason in (said or ""), (before, said)


def test_inside_gzip_is_refused(tmp_path: Path) -> None:
    inner = write_compressed(tmp_path / "a.fz", star_field(9, 9)).read_bytes()
    with opened(write_gzip(tmp_path / "b", inner)) as (_, facts):
        assert find(facts, 1).reason == "tile-compressed inside a gzip file, which is not supported"
