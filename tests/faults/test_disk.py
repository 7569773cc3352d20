"""A disk that is full when the daemon, or its template, starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

from imgd.cli import EXIT_NOT_NOW
from tests.daemon.rig import PROJECT, running_daemon
from tests.faults.aftermath import is_served
from tests.faults.hung import tmpfs
from tests.frames import make

GOOD = "/img?frame=f/good.fits"
LIMIT_S = 120.0  # A kernel is compiled twice here.
LOAD_ONE = "from cgi_worker.kernels import halve, warm; warm.load('halve'); print('ready', halve.__file__)"


def fill(place: Path) -> Path:
    """Write until there is no room."""
    path = place / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 8, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def test_kernels_that_cannot_be_kept_on_a_full_disk_are_ready_all_the_same(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "full", "256k"):
        place = tmp_path / "full"
        (place / "kept").mkdir()
        fill(place)
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(place / "kept"), "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(
            [sys.executable, "-c", LOAD_ONE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("ready")
        assert "kernels cannot be kept for the next start: No space left on device" in done.stderr


async def test_a_daemon_that_starts_on_a_full_disk_says_so_in_one_line_and_starts_when_there_is_room(
    tmp_path: Path,
) -> None:
    root, place = tmp_path / "root", tmp_path / "full"
    root.mkdir()
    make.write(root / "good.fits", make.image_hdu(make.star_field(300, 400)))
    with tmpfs(place, "4m"):
        database = f"sqlite:{place}/events.sqlite"
        filling = fill(place)
        command = [sys.executable, "-m", "imgd.cli", "serve", f"f={root}", "--bind", "127.0.0.1:0"]
        environment = {**os.environ, "IMGD_DATABASE": database, "PYTHONPATH": str(PROJECT)}
        with trio.fail_after(LIMIT_S):
            ended = await trio.run_process(
                command, capture_stderr=True, capture_stdout=True, check=False, env=environment, cwd=tmp_path
            )
        assert ended.returncode == EXIT_NOT_NOW, "a supervisor tries again"
        assert b"database or disk is full" in ended.stderr and b"Traceback" not in ended.stderr
        filling.unlink()
        async with running_daemon(f"f={root}", database=database) as daemon:
            body = (await daemon.get(GOOD)).body
            fill(place)  # And while it runs: pictures go on.
            for quality in range(3):
                assert (await daemon.get(f"{GOOD}&quality={20 + quality}")).status == 200
            await is_served(daemon, GOOD, body)
            daemon.process.send_signal(signal.SIGTERM)
            with trio.fail_after(LIMIT_S):
                assert await daemon.process.wait() == 0
