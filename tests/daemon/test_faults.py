"""What dies, hangs or lies: each fault costs its own request at most, and leaves nothing behind."""

import contextlib
import os
import random
import signal
from pathlib import Path

import h11
import numpy as np
import pytest
import trio

from tests.daemon.figures import metrics, until_free
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make

BIG = (6000, 8000)  # Pixels; takes a worker long enough to be caught at it.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a big frame and some small ones."""
    place = tmp_path_factory.mktemp("frames")
    sky = np.tile(make.star_field(BIG[0] // 10, BIG[1] // 10), (10, 10))
    make.write(place / "big.fits", make.image_hdu(sky))
    for number in range(20):
        make.write(place / f"{number}.fits", make.image_hdu(make.star_field(300, 400, seed=number)))
    return place


async def workers(daemon: RunningDaemon) -> list[int]:
    """Process ids of the workers: all but the daemon and its template."""
    template = int((await metrics(daemon))["imgd_engine_template_pid"])
    return [pid for pid in daemon.children() if pid != template]


async def catch_worker(daemon: RunningDaemon, how: signal.Signals) -> int:
    """Wait until a worker computes, and send it a signal."""
    with trio.fail_after(20):
        while True:
            for pid in daemon.children():
                if _state(pid) == "R" and _parent(pid) != daemon.pid and await _is_at_work(pid):
                    os.kill(pid, how)
                    return pid
            await trio.lowlevel.checkpoint()


async def _is_at_work(pid: int) -> bool:
    """Whether a worker has a frame mapped; it is held still for the look, and stays so when it has."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        while _state(pid) not in "TXZ":
            await trio.lowlevel.checkpoint()
        if ".fits\n" in Path(f"/proc/{pid}/maps").read_text():
            return True
        os.kill(pid, signal.SIGCONT)
    return False


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ["X", "0"] + ["0"] * 40


def _state(pid: int) -> str:
    return _fields(pid)[0]


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


async def test_a_stopped_worker_costs_its_own_request_only(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, step_limit_s=4) as daemon:
        statuses: list[int] = []

        async def ask_big() -> None:
            statuses.append((await daemon.get("/img?frame=f/big.fits&levels=0.1,0.9")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_big)
            stopped = await catch_worker(daemon, signal.SIGSTOP)
            for number in range(20):
                assert (await daemon.get(f"/img?frame=f/{number}.fits")).status == 200
            assert statuses == []
            assert (await metrics(daemon))["imgd_engine_leased_bytes"] > 0
        assert statuses == [504]
        assert _state(stopped) in "XZ"
        assert (await daemon.get("/img?frame=f/big.fits&levels=0.1,0.9")).status == 200
        await until_free(daemon)


async def test_two_stopped_workers_starve_nobody_for_ever(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, step_limit_s=2) as daemon:
        async with trio.open_nursery() as nursery:
            for levels in ("0.1,0.9", "0.2,0.8"):
                nursery.start_soon(daemon.get, f"/img?frame=f/big.fits&region=0,{levels[2]},8000,5000&levels={levels}")
            await catch_worker(daemon, signal.SIGSTOP)
            await catch_worker(daemon, signal.SIGSTOP)
        assert (await daemon.get("/img?frame=f/1.fits")).status == 200


async def test_a_killed_worker_is_an_error_for_its_request_and_no_poison(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2) as daemon:
        await daemon.get("/img?frame=f/0.fits")
        before = daemon.census()
        for attempt in range(5):
            target = f"/img?frame=f/big.fits&region=0,{attempt},8000,5000"
            answers: list[int] = []

            async def ask(target: str = target, answers: list[int] = answers) -> None:
                answer = await daemon.get(target)
                answers.append(answer.status)
                assert answer.status == 200 or b"was killed" in answer.body

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await catch_worker(daemon, signal.SIGKILL)
            assert answers == [503]
            assert (await daemon.get(target)).status == 200
        await daemon.settles(lambda: daemon.census().processes <= before.processes + 1)
        await until_free(daemon)


async def test_random_kills_under_load_leak_nothing(folder: Path) -> None:
    rng = random.Random(3)
    async with running_daemon(f"f={folder}", workers_max=2, budget_bytes="48MiB") as daemon:
        statuses: list[int] = []

        async def client(name: int) -> None:
            for step in range(25):
                target = f"/img?frame=f/{rng.randrange(20)}.fits&quality={1 + (name * 25 + step) % 100}"
                statuses.append((await daemon.get(target)).status)

        async with trio.open_nursery() as killing:
            killing.start_soon(kill_now_and_then, daemon, rng)
            async with trio.open_nursery() as clients:
                for name in range(8):
                    clients.start_soon(client, name)
            killing.cancel_scope.cancel()
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) > 100
        assert (await daemon.get("/img?frame=f/1.fits&quality=77")).status == 200
        figures = await metrics(daemon)
        for name in ("leased_bytes", "reserved_bytes", "jobs"):
            assert figures[f"imgd_engine_{name}"] == 0, name
        assert daemon.segment_bytes() == figures["imgd_engine_kernel_bytes"]
        assert "Traceback" not in daemon.log()


async def kill_now_and_then(daemon: RunningDaemon, rng: random.Random) -> None:
    """Kill a worker, whatever it does, several times a second."""
    while True:
        await trio.sleep(rng.uniform(0.05, 0.2))
        for pid in (await workers(daemon))[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_a_killed_template_comes_back_and_nobody_notices(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2) as daemon:
        template = int((await metrics(daemon))["imgd_engine_template_pid"])
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await daemon.get("/img?frame=f/big.fits&levels=0.3,0.9")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            worker = await catch_worker(daemon, signal.SIGCONT)
            os.kill(template, signal.SIGKILL)
            await daemon.settles(lambda: _state(worker) in "XZ")
        assert statuses == [200], "the request was not done again"
        figures = await metrics(daemon)
        assert figures["imgd_engine_template_starts_total"] == 2
        assert int(figures["imgd_engine_template_pid"]) not in (0, template)
        assert (await daemon.get("/readyz")).status == 200


async def test_a_killed_daemon_leaves_no_process_and_no_segment(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2) as daemon:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_in_vain, daemon)
            await catch_worker(daemon, signal.SIGCONT)
            children = daemon.children()
            assert len(children) >= 2
            daemon.process.kill()
            await daemon.process.wait()
            nursery.cancel_scope.cancel()
        await daemon.settles(lambda: all(_state(pid) in "XZ" for pid in children), 3)


async def _ask_in_vain(daemon: RunningDaemon) -> None:
    with contextlib.suppress(OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
        await daemon.get("/img?frame=f/big.fits&levels=0.1,0.9")
