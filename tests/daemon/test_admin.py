"""`imgd stat` and `/admin` of the real daemon: an operator sees all sessions and runners, and ends them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.daemon.rig import RunningDaemon, starting_daemon
from tests.web.sitting import Sitter


async def stat(daemon: RunningDaemon, *arguments: str) -> tuple[int, str]:
    """Run `imgd stat` as an operator does; return its exit code and what it printed."""
    command = [sys.executable, "-m", "imgd.cli", "stat", daemon.base_url, *arguments]
    with trio.fail_after(20):
        done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


async def test_an_operator_sees_everybody_and_ends_one_or_all(tmp_path: Path) -> None:
    async with starting_daemon(tmp_path) as daemon:
        async with daemon.websocket("/live") as first, daemon.websocket("/live") as second:
            one, other = Sitter(first), Sitter(second)
            await one.ask("hello")
            await other.ask("hello")
            runner = await one.open("frame=night/a.fits", paused=True)
            code, text = await stat(daemon, "--json")
            found = json.loads(text)
            assert code == 0 and runner not in text
            assert {each["name"] for each in found["sessions"]} == {"ws1", "ws2"}
            assert [(each["number"], each["paused"]) for each in found["runners"]] == [(1, True)]
            assert "  #1  paused  turn 0  frame=night/a.fits" in (await stat(daemon))[1]

            assert await stat(daemon, "--end-runner", "1") == (0, "ended 1\n")
            assert (await one.until("closed"))["runner"] == runner
            code, text = await stat(daemon, "--end-runner", "1")
            assert (code, text) == (1, "imgd stat: status 404: there is no such runner\n")

            assert await stat(daemon, "--end-session", "ws1") == (0, "ended 1\n")
            with pytest.raises(ConnectionClosed):
                await one.ask("ping")
            await other.ask("ping")
            assert await stat(daemon, "--end-all") == (0, "ended 1\n")
            with pytest.raises(ConnectionClosed):
                await other.ask("ping")
            assert json.loads((await stat(daemon, "--json"))[1])["sessions"] == []
        metrics = (await daemon.get("/metrics")).body.decode()
        assert "imgd_live_sessions_total 2.0" in metrics and "imgd_live_sessions 0.0" in metrics
