"""The demonstration frames are proper FITS, their folder stays bounded, and nobody sees half a frame."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits  # type: ignore[import-untyped]

from cgi_worker import demo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo")
    demo.make_folder(made)
    return made


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("stars.fits", (3008, 3008), "uint16"),
        ("bayer.fits", (1600, 2400), "uint16"),
        ("cube.fits", (12, 480, 480), ">f4"),
        ("new/frame-000001.fits", (1504, 1504), "uint16"),
    ],
)
def test_frames_are_proper_fits(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    with fits.open(folder / name) as hdus:
        hdus.verify("exception")
        assert len(hdus) == 1
        assert hdus[0].data.shape == shape
        assert hdus[0].data.dtype == dtype
        assert np.nanstd(hdus[0].data) > 0
    assert (folder / name).stat().st_size % demo.BLOCK_BYTES == 0


def test_frames_say_what_they_are(folder: Path) -> None:
    assert fits.getval(folder / "bayer.fits", "BAYERPAT") == "RGGB"
    stars = fits.getheader(folder / "stars.fits")
    assert (stars["CTYPE1"], stars["CTYPE2"]) == ("RA---TAN", "DEC--TAN")
    assert stars["CRPIX1"] == 1504.5


def test_bayer_cells_have_the_colours_that_the_header_names(folder: Path) -> None:
    pixels = fits.getdata(folder / "bayer.fits").astype(float)
    nebula = pixels[800:, 800:1300]  # Its red side.
    red, green, blue = nebula[::2, ::2], nebula[::2, 1::2], nebula[1::2, 1::2]
    assert np.median(red) > np.median(green) > np.median(blue) > 500


def test_pixels_come_back_as_they_were_written(tmp_path: Path) -> None:
    counts = np.arange(65536, dtype=np.uint16).reshape(2, 128, 256)
    demo.write_fits(tmp_path / "a.fits", counts)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), counts)
    reals = np.array([[0.5, -1e30, np.nan]], np.float32)
    demo.write_fits(tmp_path / "b.fits", reals, [("OBJECT", "O'Neill", "quoted"), ("MANY", -3, "")])
    np.testing.assert_array_equal(fits.getdata(tmp_path / "b.fits"), reals)
    assert fits.getval(tmp_path / "b.fits", "OBJECT") == "O'Neill"
    assert fits.getval(tmp_path / "b.fits", "MANY") == -3


def test_a_card_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for card in (("TOOLONGAKEY", 1, ""), ("A", "x" * 80, ""), ("A", "\N{DEGREE SIGN}", "")):
        with pytest.raises(ValueError, match="does not fit"):
            demo.write_fits(tmp_path / "a.fits", np.zeros((1, 1), np.uint16), [card])
        assert list(tmp_path.iterdir()) == []  # No half frame stays.


def test_old_frames_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "make_new_frame", lambda path, number: path.write_text(str(number)))
    (tmp_path / "new").mkdir()
    made = [demo.add_frame(tmp_path, keep=3).name for _ in range(12)]
    assert made[-1] == "frame-000012.fits"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == made[-3:]


def test_a_folder_made_before_is_left_as_it_is(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.fits")}
    demo.make_folder(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.fits")} == before


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for name in ("stars.fits", "bayer.fits", "cube.fits", "new/frame-000001.fits"):
        (tmp_path / name).touch()
    started = "import os, subprocess, sys; subprocess.Popen([*sys.argv[1:], str(os.getpid())])"
    demo_command = [sys.executable, "-m", "cgi_worker.demo", str(tmp_path), "--every", "3600", "--parent"]
    # It holds our pipe, whose end comes when it is gone.
    subprocess.run([sys.executable, "-c", started, *demo_command], check=True, capture_output=True, timeout=20)


def test_it_ends_with_its_folder(tmp_path: Path) -> None:
    timer = threading.Timer(0.3, shutil.rmtree, [tmp_path / "a"], {"ignore_errors": True})
    for name in ("stars.fits", "bayer.fits", "cube.fits", "new/frame-000001.fits"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).touch()
    timer.start()
    assert demo.main([str(tmp_path / "a"), "--every", "0.4", "--keep", "1"]) == 0
    timer.join()


@pytest.mark.parametrize("arguments", [["--keep", "0", "x"], ["--every", "-1", "x"], []])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main(arguments)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert demo.main([str(tmp_path / "file")]) == 1
    assert "no demonstration frames" in capsys.readouterr().err
