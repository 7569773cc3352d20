"""Exports: FITS that astropy reads back bit by bit and at the same place in the sky, npy, and 16-bit pictures."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]
from astropy.wcs import WCS, FITSFixedWarning  # type: ignore[import-untyped]
from PIL import Image

from cgi_worker.wire.facts import MOSAIC
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.question import Export, ExportFormat
from cgi_worker.wire.view import Region
from tests.answers.asking import facts_of, take
from tests.frames.make import BLOCK, card, cut, image_hdu, raw_card, star_field, write, write_compressed, write_gzip
from tests.frames.real import real_frames

NOT_FOR_ASTROPY = "nttexample.mt"  # It breaks off at an HDU after the first; ours shows that one.
REGION = Region(7, 11, 20, 30)
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
WORLD = [
    card("CTYPE1", "RA---TAN-SIP"), card("CTYPE2", "DEC--TAN-SIP"), card("CRPIX1", 20.25, "x"), card("CRPIX2", 30),
    card("CRVAL1", 83.6), card("CRVAL2", -5.4), card("CD1_1", -0.0003), card("CD1_2", 1e-5), card("CD2_1", 1e-5),
    card("CD2_2", 0.0003), card("A_ORDER", 2), card("A_2_0", 1e-5), card("B_ORDER", 2), card("B_0_2", -2e-5),
]  # fmt: skip


def opened(octets: bytes) -> Any:
    """Open with all complaints as errors."""
    assert len(octets) % BLOCK == 0
    file = fits.open(io.BytesIO(octets), memmap=False)
    file.verify("exception")
    assert len(file) == 1
    return file[0]


def random_pixels(dtype: str, shape: tuple[int, ...] = (50, 40)) -> Any:
    octets = np.random.default_rng(5).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(octets, dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fits_is_bit_equal(dtype: str, tmp_path: Path) -> None:
    pixels = random_pixels(dtype)
    path = write(tmp_path / "a", image_hdu(pixels))
    octets, facts, _ = take(path, Export(frame="", region=REGION))
    assert facts["section"] == "[8:27,12:41]"
    hdu = opened(octets)
    if dtype != "i1":  # Which astropy cannot add its BZERO to.
        assert hdu.data.dtype.newbyteorder("=") == pixels.dtype
        with np.errstate(invalid="ignore"):
            assert np.array_equal(hdu.data, pixels[11:41, 7:27], equal_nan=dtype[0] == "f")
    start = octets.index(b"END" + b" " * 77) // BLOCK * BLOCK + BLOCK
    item = pixels.dtype.itemsize
    whole = path.read_bytes()[BLOCK:]
    for row in range(30):
        was = whole[((11 + row) * 40 + 7) * item : ((11 + row) * 40 + 27) * item]
        assert octets[start + row * 20 * item : start + (row + 1) * 20 * item] == was


def test_cards_survive(tmp_path: Path) -> None:
    cards = [
        card("OBJECT", "M 51", "what it is"), raw_card("HIERARCH ESO DET CHIP1 ID = 'x''y' / id"),
        raw_card("COMMENT hello"),
        raw_card("LONG    = 'abc&'"), raw_card("CONTINUE  'def&'"), raw_card("CONTINUE  'ghi' / end"),
        card("CHECKSUM", "abc"), card("DATASUM", "1"), raw_card(b"COMMENT caf\xe9"), raw_card(""), card("BLANK", -7),
        card("EXTEND", True), raw_card("HISTORY was here"), card("LTV1", 3.5), card("LTM1_1", 1.0),
    ]  # fmt: skip
    path = write(tmp_path / "a", image_hdu(random_pixels("i2"), cards=cards))
    octets, _, _ = take(path, Export(frame="", region=REGION))
    hdu = opened(octets)
    header = hdu.header
    assert header["OBJECT"] == "M 51" and header.comments["OBJECT"] == "what it is"
    assert header["ESO DET CHIP1 ID"] == "x'y" and header["LONG"] == "abcdefghi"
    assert header["BLANK"] == -7 and header["LTV1"] == 3.5 - 7 and header["LTM1_1"] == 1
    assert "CHECKSUM" not in header and "DATASUM" not in header
    assert list(header["COMMENT"]) == ["hello", "caf?"]
    assert list(header["HISTORY"]) == ["was here", "Cut out by imgd: [8:27,12:41] of HDU 0"]
    for line in (cards[1], *cards[3:6]):
        assert line in octets


def sky(header: Any, x: float, y: float) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header).celestial.all_pix2world([[x, y]], 1)[0]


def test_place_in_the_sky(tmp_path: Path) -> None:
    alternate = [card("CTYPE1P", "x"), card("CRPIX1P", 5.0), card("CRVAL1P", 100.0), card("CDELT1P", 1.0)]
    path = write(tmp_path / "a", image_hdu(random_pixels("i2"), cards=[*WORLD, *alternate]))
    header = opened(take(path, Export(frame="", region=REGION))[0]).header
    before = fits.getheader(path)
    for x, y in ((1, 1), (20, 30), (3.25, 17.5)):
        np.testing.assert_allclose(sky(header, x, y), sky(before, x + 7, y + 11), atol=1e-11)
    assert header["CRPIX1P"] == -2 and header.comments["CRPIX1"] == "x"
    assert header["CRPIX2"] == 19


def test_a_reference_pixel_that_was_never_said(tmp_path: Path) -> None:
    cards = [card("CTYPE1", "RA---TAN"), card("CTYPE2", "DEC--TAN"), *WORLD[4:10]]
    path = write(tmp_path / "a", image_hdu(random_pixels("i2"), cards=cards))
    header = opened(take(path, Export(frame="", region=REGION))[0]).header
    np.testing.assert_allclose(sky(header, 2, 3), sky(fits.getheader(path), 9, 14), atol=1e-11)


def test_sections_move(tmp_path: Path) -> None:
    cards = [
        card("DATASEC", "[5:34,1:50]"), card("BIASSEC", "[35:40,1:50]"), card("DETSEC", "[2030:2001,101:150]"),
        card("CCDSEC", "[1:15,1:25]"), card("TRIMSEC", "[10:20,20:30]"), card("AMPSECA", "nonsense"),
    ]  # fmt: skip
    path = write(tmp_path / "a", image_hdu(random_pixels("i2"), cards=cards))
    header = opened(take(path, Export(frame="", region=REGION))[0]).header
    assert header["DATASEC"] == "[1:20,1:30]"  # All that is kept is within 5..34.
    assert header["DETSEC"] == "[2027:2008,112:141]"  # Column 8 was the fourth of the section, which runs backwards.
    assert header["TRIMSEC"] == "[3:13,9:19]"
    assert "BIASSEC" not in header and "CCDSEC" not in header and "AMPSECA" not in header
    assert any("BIASSEC, CCDSEC, AMPSECA" in line for line in header["HISTORY"])
    whole = opened(take(path, Export(frame=""))[0]).header
    assert [whole[name] for name in ("DATASEC", "BIASSEC", "CCDSEC")] == ["[5:34,1:50]", "[35:40,1:50]", "[1:15,1:25]"]


def test_plane_of_a_cube(tmp_path: Path) -> None:
    third = [
        card("WCSAXES", 3),
        *WORLD,
        card("CTYPE3", "FREQ"),
        card("CRPIX3", 1.0),
        card("CRVAL3", 1e9),
        card("CDELT3", 1e6),
    ]
    pixels = random_pixels("f4", (2, 3, 50, 40))
    path = write(tmp_path / "a", image_hdu(pixels, cards=third))
    hdu = opened(take(path, Export(frame="", plane=4, region=REGION))[0])
    assert np.array_equal(hdu.data.view("u4"), pixels[1, 1, 11:41, 7:27].astype(">f4").view("u4"))
    assert hdu.header["NAXIS"] == 2 and hdu.header["WCSAXES"] == 2 and "CTYPE3" not in hdu.header
    assert WCS(hdu.header).naxis == 2
    assert "It was at pixel 2 of axis 3" in list(hdu.header["HISTORY"])
    bound = [*third, card("PC3_1", 0.5)]
    path = write(tmp_path / "b", image_hdu(pixels, cards=bound))
    header = opened(take(path, Export(frame="", plane=4, region=REGION))[0]).header
    assert header["CRPIX3"] == 0 and header["WCSAXES"] == 3


@pytest.mark.parametrize(("compress", "dtype"), [("RICE", "u2"), ("GZIP", "i4"), ("GZIP_2", "f4"), ("RICE", "f4")])
def test_compressed_comes_out_plain(compress: str, dtype: str, tmp_path: Path) -> None:
    pixels = star_field(50, 40).astype(dtype)
    options = {"qlevel": 4} if (compress, dtype) == ("RICE", "f4") else {}
    path = write_compressed(tmp_path / "a.fz", pixels, compress, **options)
    hdu = opened(take(path, Export(frame="", region=REGION))[0])
    with fits.open(path) as file:
        assert np.array_equal(hdu.data, file[1].data[11:41, 7:27])
    assert not [name for name in hdu.header if name.startswith(("Z", "TFORM", "TTYPE", "XTENSION", "TFIELDS"))]


def test_gzipped_as_plain(tmp_path: Path) -> None:
    units = [image_hdu(random_pixels("i4", (3, 5))), image_hdu(random_pixels("u2"), primary=False, cards=WORLD)]
    plain, zipped = write(tmp_path / "a", *units), write_gzip(tmp_path / "a.gz", *units)
    formats: tuple[ExportFormat, ...] = ("fits", "npy", "png", "tiff")
    for format in formats:
        question = Export(frame="", hdu=1, region=REGION, format=format)
        assert take(zipped, question)[:2] == take(plain, question)[:2]


def test_mosaic(tmp_path: Path) -> None:
    left = image_hdu(random_pixels("u2"), primary=False, cards=[card("DETSEC", "[1:40,1:50]"), *WORLD])
    right = image_hdu(random_pixels("u2") // 2, primary=False, cards=[card("DETSEC", "[41:80,1:50]"), *WORLD])
    empty = image_hdu(np.zeros((0,), "u1"), cards=[card("OBJECT", "M 51"), card("EXTEND", True)])
    path = write(tmp_path / "a", empty, left, right)
    if not any(hdu.kind == "mosaic" for hdu in facts_of(path).hdus):
        pytest.fail("no mosaic is made of these")
    hdu = opened(take(path, Export(frame="", hdu=MOSAIC, region=Region(35, 0, 10, 50)))[0])
    assert hdu.header["BITPIX"] == -32 and hdu.header["OBJECT"] == "M 51" and "CTYPE1" not in hdu.header
    assert np.array_equal(hdu.data[:, :5], random_pixels("u2")[:, 35:]) and "BZERO" not in hdu.header
    assert np.array_equal(hdu.data[:, 5:], random_pixels("u2")[:, :5] // 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_npy(dtype: str, tmp_path: Path) -> None:
    pixels = random_pixels(dtype)
    octets, facts, _ = take(write(tmp_path / "a", image_hdu(pixels)), Export(frame="", region=REGION, format="npy"))
    array = np.load(io.BytesIO(octets), allow_pickle=False)
    assert array.dtype == np.dtype(dtype) and facts["dtype"] == array.dtype.str
    assert array.tobytes() == np.ascontiguousarray(pixels[11:41, 7:27]).tobytes()


def test_npy_of_scaled_numbers(tmp_path: Path) -> None:
    pixels = np.array([[1, -5, 9]], "i2")
    path = write(tmp_path / "a", image_hdu(pixels, cards=[card("BSCALE", 0.5), card("BZERO", 3.0), card("BLANK", -5)]))
    array = np.load(io.BytesIO(take(path, Export(frame="", format="npy"))[0]))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[3.5, np.nan, 7.5]])


def test_missing_rows(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "a", image_hdu(np.full((9, 1000), 5, "i2"))), BLOCK + 2000 * 3)
    octets, facts, _ = take(path, Export(frame="", region=Region(0, 1, 10, 5)))
    assert opened(octets).data.tolist() == [[5] * 10] * 2 + [[0] * 10] * 3 and facts["missing"] == 3
    path = cut(write(tmp_path / "b", image_hdu(np.full((9, 1000), 5, "f4"))), BLOCK + 4000 * 3)
    assert np.isnan(opened(take(path, Export(frame="", region=Region(0, 4, 10, 5)))[0]).data).all()
    picture = Image.open(io.BytesIO(take(path, Export(frame="", format="png"))[0]))
    assert (np.asarray(picture) == 0).all()


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_pictures_hold_the_data(format: Any, tmp_path: Path) -> None:
    pixels = random_pixels("u2")
    octets, facts, _ = take(write(tmp_path / "a", image_hdu(pixels)), Export(frame="", region=REGION, format=format))
    assert (facts["black"], facts["white"], facts["dtype"]) == (None, None, "uint16")
    picture = Image.open(io.BytesIO(octets))
    assert picture.size == (20, 30) and picture.mode.startswith("I;16")
    assert np.array_equal(np.asarray(picture), pixels[11:41, 7:27][::-1])
    down = write(tmp_path / "b", image_hdu(pixels, cards=[card("ROWORDER", "TOP-DOWN")]))
    octets, _, _ = take(down, Export(frame="", region=REGION, format=format))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(octets))), pixels[11:41, 7:27])


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_pictures_of_other_types_are_scaled(format: Any, tmp_path: Path) -> None:
    pixels = np.array([[-100.0, 0.0, 30.0], [np.nan, np.inf, 100.0]], "f4")
    octets, facts, _ = take(write(tmp_path / "a", image_hdu(pixels)), Export(frame="", format=format))
    assert (facts["black"], facts["white"]) == (-100, 100)
    picture = Image.open(io.BytesIO(octets))
    assert np.asarray(picture).tolist() == [[0, 0, 65535], [0, 32768, 42598]]
    text = picture.info["Description"] if format == "png" else picture.tag_v2[270]  # type: ignore[attr-defined]
    assert text == "[1:3,1:2]: 0 is -100.0, 65535 is 100.0, linear; bad pixels are 0"


def test_progress_and_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "a", image_hdu(random_pixels("u2", (700, 1500))))
    octets, _, lent = take(path, Export(frame=""))
    assert lent.announced and lent.announced == sorted(lent.announced) and lent.announced[-1] <= len(octets)
    comments = [raw_card("COMMENT " + "x" * 72)] * 60_000
    path = write(tmp_path / "b", image_hdu(random_pixels("u2", (2, 2)), cards=comments))
    with pytest.raises(StepFailed) as failed:
        take(path, Export(frame=""))
    assert failed.value.code == "too_big"


def test_real_frames_survive() -> None:
    seen = 0
    for path in real_frames()[::2]:
        if path.name == NOT_FOR_ASTROPY:
            continue
        for hdu in facts_of(path).hdus:
            if hdu.reason is not None or hdu.kind == "mosaic" or hdu.rows < hdu.height_px * hdu.planes:
                continue
            x, y = hdu.width_px // 4, hdu.height_px // 3
            region = Region(x, y, max(1, hdu.width_px // 2), max(1, hdu.height_px // 2))
            octets, _, _ = take(path, Export(frame="", hdu=hdu.index, plane=hdu.planes - 1, region=region))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with fits.open(path, memmap=False) as file, fits.open(io.BytesIO(octets)) as piece:
                    data = file[hdu.index].data.reshape(-1, hdu.height_px, hdu.width_px)[-1]
                    chosen = data[y : y + region.height_px, x : x + region.width_px]
                    assert np.array_equal(piece[0].data, chosen, equal_nan=chosen.dtype.kind == "f"), path
                    if hdu.planes == 1 and len(hdu.shape) == 2 and same_sky(file[hdu.index], piece[0], (x, y)):
                        seen += 1
    assert seen > 10


def same_sky(whole: Any, piece: Any, corner: tuple[int, int]) -> bool:
    """Compare the world coordinates of two pixels; False if there are none."""
    try:
        before = WCS(whole.header)
    except (ValueError, KeyError, OSError, fits.VerifyError):  # Broken cards; a distortion whose table is not given.
        return False
    if not before.has_celestial or before.naxis != 2:
        return False
    after = WCS(piece.header)
    points = np.array([[1.0, 1.0], [9.5, 4.25]])
    places = [(after.wcs_pix2world(points, 1), before.wcs_pix2world(points + corner, 1))]
    if before.sip is not None:
        places.append((after.sip_pix2foc(points, 1), before.sip_pix2foc(points + corner, 1)))
    for now, then in places:
        np.testing.assert_allclose(now, then, rtol=0, atol=1e-9)
    return True
