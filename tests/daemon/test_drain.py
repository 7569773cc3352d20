"""SIGTERM under load: what is under way is answered or told to come again, and the end comes within the limit."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import trio

from imgd.ending import TIDY_S
from imgd.web.serve import LAST_WORDS_S
from tests.daemon.rig import PROGRAM, running_daemon
from tests.daemon.test_faults import catch_worker
from tests.daemon.test_sessions import seated, until
from tests.daemon.test_unit import Supervisor
from tests.frames import make

LIMIT_S = 60.0
SLACK_S = 10.0  # For a machine that others keep busy; the bound is against hanging.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small frame, and one that takes a worker some time."""
    place = tmp_path_factory.mktemp("frames")
    make.write(place / "a.fits", make.image_hdu(make.star_field(300, 400)))
    make.write(place / "big.fits", make.image_hdu(np.tile(make.star_field(600, 800), (10, 10))))
    return place


async def test_all_that_is_under_way_is_answered_and_nothing_new_begun(folder: Path) -> None:
    async with running_daemon(f"f={folder}", shutdown_s=120, workers_max=1) as daemon:
        await daemon.get("/img?frame=f/big.fits&size=50,&levels=0.5,0.6")
        statuses: list[int] = []
        closings: list[str] = []

        async def ask(number: int) -> None:
            async with daemon.connect() as connection:
                answer = await connection.get(f"/img?frame=f/big.fits&levels=0.{number + 1},0.99&size=3000,&format=png")
                statuses.append(answer.status)
                closings.append(answer.headers.get("connection", ""))

        async with seated(daemon) as sitter, daemon.connect2() as second:

            async def ask_by_http2() -> None:
                answer = await second.get("/img?frame=f/big.fits&levels=0.7,0.99&size=max&format=png")
                statuses.append(answer.status)

            runner = await sitter.open("frame=f/big.fits&quality=31&size=max&format=png")
            await sitter.ask("run", runner=runner)
            async with trio.open_nursery() as nursery:
                await until(daemon, LIMIT_S, engine_jobs=1)
                nursery.start_soon(ask_by_http2)
                await until(daemon, LIMIT_S, engine_jobs=2)
                for number in range(4):
                    nursery.start_soon(ask, number)
                await until(daemon, LIMIT_S, engine_jobs=6)
                os.kill(daemon.pid, signal.SIGTERM)
                await daemon.settles(lambda: refuses(daemon.port), LIMIT_S)
        assert statuses == [200] * 5
        assert closings == ["close"] * 4
        with trio.fail_after(LIMIT_S):
            assert await daemon.process.wait() == 0


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_who_cannot_be_answered_in_time_is_told_to_come_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker is stopped, so its request hangs; a reader takes nothing; both are there when the end comes. Settings
    are not read any more then, and nobody is told that the daemon is ready."""
    supervisor = Supervisor(f"{tmp_path}/notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    async with running_daemon(f"f={folder}", shutdown_s=1, workers_max=1, step_limit_s=600) as daemon:
        await daemon.get("/img?frame=f/a.fits")
        answers: list[tuple[int, str, str]] = []

        async def ask(levels: str) -> None:
            answer = await daemon.get(f"/img?frame=f/big.fits&levels={levels}")
            problem = json.loads(answer.body)
            answers.append((answer.status, answer.headers["retry-after"], problem["detail"]))

        async with daemon.connect(receive_buffer_bytes=4096) as stalled, trio.open_nursery() as nursery:
            await stalled.send("GET", "/export?frame=f/big.fits&format=fits")
            await until(daemon, LIMIT_S, engine_jobs_reading=1)
            for levels in ("0.1,0.9", "0.2,0.9"):
                nursery.start_soon(ask, levels)
            await catch_worker(daemon, signal.SIGSTOP)
            began = time.monotonic()
            os.kill(daemon.pid, signal.SIGTERM)
            await supervisor.until("STOPPING=1")
            os.kill(daemon.pid, signal.SIGHUP)
            assert await daemon.process.wait() == 0
            took_s = time.monotonic() - began
        assert answers == [(503, "2", "the daemon is ending; try again")] * 2
        assert took_s < 1 + LAST_WORDS_S + TIDY_S + SLACK_S
        with supervisor.socket:
            assert not [text for text in supervisor.read() if "READY" in text or "RELOADING" in text]
        await daemon.settles(lambda: not daemon.processes())


async def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    async with (
        running_daemon(f"f={folder}", shutdown_s=3000, step_limit_s=600) as daemon,
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            with pytest.raises((ConnectionError, trio.BrokenResourceError, Exception)):
                await daemon.get("/img?frame=f/big.fits&levels=0.3,0.9")

        await daemon.get("/img?frame=f/a.fits")
        nursery.start_soon(ask)
        await catch_worker(daemon, signal.SIGSTOP)
        os.kill(daemon.pid, signal.SIGTERM)
        await daemon.settles(lambda: refuses(daemon.port), LIMIT_S)
        os.kill(daemon.pid, signal.SIGTERM)
        with trio.fail_after(LIMIT_S):
            await daemon.process.wait()
        await daemon.settles(lambda: not daemon.processes())


async def test_a_loop_that_hangs_is_ended_by_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM has been heard when the event loop stops for good: the limit holds nevertheless."""
    monkeypatch.setenv(PROGRAM, "tests.rig.stubborn")
    monkeypatch.setenv("HOLD_S", "3000")
    async with (
        running_daemon(f"f={folder}", shutdown_s=1) as daemon,
        daemon.connect(receive_buffer_bytes=4096) as stalled,
    ):
        await stalled.send("GET", "/export?frame=f/big.fits&format=fits")
        await until(daemon, LIMIT_S, engine_jobs_reading=1)
        os.kill(daemon.pid, signal.SIGTERM)
        await daemon.settles(lambda: "SIGTERM: ending" in daemon.log())
        os.kill(daemon.pid, signal.SIGUSR1)
        with trio.fail_after(1 + LAST_WORDS_S + TIDY_S + 3 * SLACK_S):
            await daemon.process.wait()
        assert "ended by force" in daemon.log()
        await daemon.settles(lambda: not daemon.processes())
