"""A clock that is set while the daemon runs: deadlines take no notice, ages do not believe it, nothing is lost."""

import os
from pathlib import Path

import pytest
import trio

from imgd.steady import BELIEVE_S, SteadyClock
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_reload import events_of
from tests.daemon.test_sessions import seated
from tests.frames import make

LIMIT_S = 60.0
LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
DAY_S = 86_400.0


class Hands:
    """The hands of two clocks."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0

    def pass_s(self, time_s: float) -> None:
        """Let time pass."""
        self.wall += time_s
        self.steady += time_s


def test_a_clock_that_is_set_ahead_is_believed_when_it_has_lasted() -> None:
    hands = Hands()
    clock = SteadyClock(lambda: hands.wall, lambda: hands.steady)
    hands.pass_s(100)
    assert clock.now_s() == 1_000_100
    hands.wall += 400 * DAY_S
    hands.pass_s(10)
    assert clock.now_s() == 1_000_110
    hands.pass_s(BELIEVE_S + 1)
    assert clock.now_s() == 1_000_111 + BELIEVE_S + 400 * DAY_S
    hands.wall -= 400 * DAY_S
    hands.pass_s(1)
    assert clock.now_s() == hands.wall, "what is kept longer is not lost"


def test_a_mistake_that_is_mended_was_never_believed() -> None:
    hands = Hands()
    clock = SteadyClock(lambda: hands.wall, lambda: hands.steady)
    hands.wall += 400 * DAY_S
    assert clock.now_s() == 1_000_000
    hands.wall -= 400 * DAY_S
    hands.pass_s(BELIEVE_S)
    assert clock.now_s() == hands.wall
    hands.wall += 400 * DAY_S  # Another one: it has its own time to last.
    assert clock.now_s() == hands.wall - 400 * DAY_S


def set_clock(file: Path, offset: str) -> None:
    """Set the daemon's clock, and nobody else's."""
    new = file.with_suffix(".new")
    new.write_text(offset + "\n")
    new.replace(file)


async def frames_of(daemon: RunningDaemon) -> list[str]:
    """Name the frames of which events tell that they arrived."""
    types = ("frame.arrived", "frame.rewritten")
    return sorted(one["path"] for one in await events_of(daemon) if one["type"] in types)


async def test_a_clock_that_leaps_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes a year ahead and a year back under a session, running pictures and arriving frames."""
    if not Path(LIBRARY).exists():
        pytest.skip("libfaketime is not installed")
    folder, file = tmp_path / "frames", tmp_path / "clock"
    folder.mkdir()
    set_clock(file, "+0")
    for name, value in (
        ("LD_PRELOAD", LIBRARY), ("FAKETIME_TIMESTAMP_FILE", str(file)), ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DONT_RESET", "1"), ("NO_FAKE_STAT", "1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    make.write(folder / "0.fits", make.image_hdu(make.star_field(300, 400)))
    os.utime(folder / "0.fits", (1e9, 1e9))
    async with running_daemon(f"f={folder}", settle_s=0.2, resume_s=600) as daemon, seated(daemon) as sitter:
        runner = await sitter.open("frame=f/0.fits&size=50,")
        assert (await sitter.run(runner))["op"] == "completed"
        expected: list[str] = []
        for number, offset in enumerate(("+1y", "-1y", "+0"), start=1):
            set_clock(file, offset)
            make.write(folder / f"{number}.fits", make.image_hdu(make.star_field(200, 300, seed=number)))
            expected.append(f"{number}.fits")
            with trio.fail_after(LIMIT_S):
                while await frames_of(daemon) != expected:
                    await trio.sleep(0.05)
            assert (await daemon.get(f"/img?frame=f/{number}.fits")).status == 200
            assert (await sitter.ask("ping"))["op"] == "ping"
            await sitter.ask("set", runner=runner, changes={"size": f"{50 + number},"})
            assert (await sitter.run(runner))["op"] == "completed"
        figures = await metrics(daemon)
        assert figures["imgd_live_sessions"] == 1 and figures["imgd_events_pruned_total"] == 0
