"""`imgd-cgi FILE`: a picture without a daemon, and exit codes that tell whose fault it was."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgi_worker import command
from cgi_worker.alone import render
from cgi_worker.wire.view import PARAMETERS, Size, View
from tests.frames.make import image_hdu, write

COMMAND = [sys.executable, "-m", "cgi_worker.cli"]


def run(*arguments: object) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, timeout=100, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run here, where nothing has to start: it must fail with this code and one line with these words."""

    def check(code: int, words: str, *arguments: object) -> None:
        try:
            found: int | str | None = command.run([str(argument) for argument in arguments])
        except SystemExit as exit_:
            found = exit_.code
        out, text = capfd.readouterr()
        assert (found, out) == (code, ""), text
        assert text.startswith("imgd-cgi: ")
        assert words in text
        assert text.count("\n") == 1

    return check


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
    path = tmp_path_factory.mktemp("frames") / "frame.fits"
    write(path, image_hdu(pixels))
    return path


def test_it_makes_the_picture_that_any_worker_makes(frame: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    done = run(frame, "-o", out, "--size=40,", "--format", "png", "--cut=-5,4000", "--invert", "--threads=1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with Image.open(out) as picture:
        assert picture.size == (40, 30)
    again = run(frame, "-o", "-", "--size=40,", "--format", "png", "--cut=-5,4000", "--invert=1", "--threads=2")
    assert again.stdout == out.read_bytes()
    other = run(frame, "-o", "-", "--size=40,", "--format", "png", "--cut=-5,4000", "--invert=0")
    assert other.returncode == 0
    assert other.stdout != again.stdout
    source_fd = os.open(frame, os.O_RDONLY)
    octets, _, _ = render(source_fd, View("f", size=Size(40), format="jpeg"))
    os.close(source_fd)
    assert run(frame, "-o", "-", "--size=40,").stdout == octets
    assert Image.open(BytesIO(octets)).format == "JPEG"


def test_it_prints_the_header(frame: Path) -> None:
    done = run(frame, "--header")
    assert done.returncode == 0
    assert json.loads(done.stdout)["frame"]["hdus"][0]["shape"] == [60, 80]


def test_every_parameter_has_a_flag() -> None:
    text = run("--help").stdout.decode()
    for name in PARAMETERS:
        assert (f"--{name} " in text or f"--{name}\n" in text) == (name != "frame")


def test_a_wrong_command_is_one_clear_line(frame: Path, tmp_path: Path, fails: Callable[..., None]) -> None:
    fails(2, "FILE")
    fails(2, "-o is missing", frame)
    fails(2, "--nonsense", frame, "-o", "-", "--nonsense", "1")
    fails(2, "--siz", frame, "-o", "-", "--siz", "max")
    fails(2, "--quality: must be a whole number", frame, "-o", "-", "--quality", "101")
    fails(2, "--quality: repeated", frame, "-o", "-", "--quality", "1", "--quality", "2")
    fails(2, "--cut: cannot be combined", frame, "-o", "-", "--levels", "0,1", "--cut", "0,1")
    fails(2, "--hdu: there is no HDU 9", frame, "-o", "-", "--hdu", "9")
    fails(2, "--plane: ", frame, "-o", "-", "--plane", "1")
    fails(2, "threads", frame, "-o", "-", "--threads", "0")
    fails(2, "limit", frame, "-o", "-", "--limit", "much")
    fails(2, "out.jpg", frame, "-o", tmp_path / "nowhere" / "out.jpg")


def test_a_file_at_fault_is_3_and_a_file_out_of_reach_4(
    frame: Path, tmp_path: Path, fails: Callable[..., None]
) -> None:
    empty = tmp_path / "empty.fits"
    empty.touch()
    os.mkfifo(tmp_path / "fifo")
    fails(3, "empty.fits: ", empty, "-o", "-")
    fails(3, "a directory, not a file", tmp_path, "-o", "-")
    fails(3, "a FIFO, not a file", tmp_path / "fifo", "--header")
    fails(3, "a device, not a file", "/dev/zero", "-o", "-")
    fails(3, "memory", frame, "-o", "-", "--limit=1KiB")
    fails(4, "No such file", tmp_path / "missing.fits", "-o", "-")
    fails(4, "Not a directory", frame / "below", "--header")
    done = run(tmp_path / "missing.fits", "-o", "-")
    assert (done.returncode, done.stdout) == (4, b"")


def test_a_reader_that_leaves_ends_it_quietly(frame: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, str(frame), "-o", "-"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
