"""The rig itself: it starts the real daemon, ends it, and says so when something is wrong."""

from pathlib import Path

import pytest

from tests.daemon import kernel
from tests.daemon.rig import DaemonFailed, running_daemon, starting_daemon


async def test_a_daemon_starts_answers_and_leaves_nothing(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, workers_max=1) as daemon:
        assert (await daemon.get("/healthz")).status == 200
        assert (await daemon.head("/healthz")).body == b""
        async with daemon.connect2() as connection:
            assert (await connection.get("/healthz")).status == 200
        pids = daemon.processes()
        assert daemon.pid in pids
        assert daemon.children() == pids[1:]
        assert len(pids) >= 2  # The template is one.
        assert daemon.descriptors() > 0
        assert daemon.pss_bytes() > 1 << 20
    assert kernel.family(pids[0], daemon.mark) == []


async def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(DaemonFailed, match="no such setting"):
        async with starting_daemon(tmp_path, nonsense=1):
            pass


async def test_an_error_of_the_test_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(KeyError) as caught:
        async with starting_daemon(tmp_path) as daemon:
            raise KeyError("mine")
    assert "log ends with" in caught.value.__notes__[0]
    assert kernel.family(daemon.pid, daemon.mark) == []


async def test_a_daemon_that_the_test_killed_must_not_leave_workers(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        daemon.process.kill()
        await daemon.process.wait()
        await daemon.settles(lambda: not daemon.processes())
