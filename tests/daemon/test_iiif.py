"""The IIIF Image API by the consortium's own validator, over the picture that it knows."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import trio

from tests.daemon.rig import running_daemon
from tests.frames import make

LEVEL_2_TESTS = 33
IDENTIFIER = "v%2F67352ccc-d1b0-11e1-89ae-279075081939.fits;color=rgb;cut=0,255;stretch=linear;rows=down"


def squares() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Draw what the validator knows: 10 x 10 squares of 100 pixels, as planes of red, green and blue."""
    from iiif_validator.validator import ValidationInfo

    columns = np.array(ValidationInfo().colorInfo, np.uint8)  # By column, then by row from the top.
    return np.ascontiguousarray(columns.transpose(2, 1, 0).repeat(100, axis=1).repeat(100, axis=2))


async def test_all_tests_of_the_validator_at_level_2_pass(tmp_path: Path) -> None:
    make.write(tmp_path / "67352ccc-d1b0-11e1-89ae-279075081939.fits", make.image_hdu(squares()))
    async with running_daemon(f"v={tmp_path}") as daemon:
        script = Path(sys.executable).with_name("iiif-validate.py")
        command = [sys.executable, "-W", "ignore", script, "-s", f"{daemon.host}:{daemon.port}", "-p", "iiif/3"]
        command += ["-i", IDENTIFIER, "--version", "3.0", "--level", "2", "--verbose"]
        run = partial(trio.run_process, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
        with trio.fail_after(100):
            told = (await run(command)).stdout.decode()
    passed = [line for line in told.splitlines() if line.endswith(" PASS")]
    assert f"Done ({LEVEL_2_TESTS} tests, 0 failures)" in told, told
    assert len(passed) == LEVEL_2_TESTS, told
