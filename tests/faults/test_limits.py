"""The system gives no more descriptors, no more processes, or no more threads: 503 for a while, and never an end."""

import contextlib
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.http1 import Http1, Response
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_answers import alone_answers
from tests.daemon.test_faults import workers
from tests.faults.aftermath import is_as_before, stock_of
from tests.frames import make

GOOD = "/img?frame=f/good.fits"
SPARE_MAX = 16  # More descriptors than one request takes, with its worker and its segments.
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with two frames, one of some size."""
    place = tmp_path / "root"
    place.mkdir()
    make.write(place / "good.fits", make.image_hdu(make.star_field(300, 400)))
    make.write(place / "big.fits", make.image_hdu(np.tile(make.star_field(300, 400), (8, 6))))
    return place


@contextlib.contextmanager
def spare_descriptors(pid: int, spare: int) -> Iterator[None]:
    """Let a process open so many more files."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in range(len(used) + max(used) + spare + 2) if number not in used)
    limit = [next(free) for _ in range(spare + 1)][-1]  # Below it so many numbers are free.
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def figure(connection: Http1, name: str) -> float:
    """Read one figure, over a connection that is there already."""
    text = (await connection.get("/metrics")).body.decode()
    return float(next(row.split()[1] for row in text.splitlines() if row.startswith(f"imgd_engine_{name} ")))


async def until_nobody_works(connection: Http1) -> None:
    """Wait until the idle workers have left."""
    with trio.fail_after(20):
        while await figure(connection, "workers"):
            await trio.sleep(0.02)


def is_busy(answer: Response) -> bool:
    """Tell whether it says in words that something is used up for the moment, and when to come back."""
    told = json.loads(answer.body)["detail"]
    assert "too many files are open" in told or "no further" in told, told
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0


async def test_without_descriptors_a_job_is_busy_and_nothing_ends(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, worker_idle_s=0.1) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        template = (await metrics(daemon))["imgd_engine_template_pid"]
        statuses: list[int] = []
        async with daemon.connect() as connection:
            for spare in range(SPARE_MAX):
                await until_nobody_works(connection)
                with spare_descriptors(daemon.pid, spare):
                    for target in (f"/img?frame=f/good.fits&size={200 + spare},", f"{GOOD}&quality={10 + spare}"):
                        answer = await connection.get(target)
                        statuses.append(answer.status)
                        assert answer.status == 200 or is_busy(answer), (spare, answer)
                        tile = await connection.get(f"/tile?frame=f/good.fits&level=0&x=0&y=0&quality={10 + spare}")
                        assert tile.status == 200 or is_busy(tile), (spare, tile)
                    assert (await connection.get("/healthz")).status == 200
                assert (await connection.get(f"{GOOD}&quality={50 + spare}")).status == 200, "it did not recover"
            assert 503 in statuses, "the limit was never met: this test proves nothing"
            for target in ("/img?frame=f/good.fits&size=199,", f"{GOOD}&quality=99"):
                await until_nobody_works(connection)  # A worker that is on its way out has some of them still.
                with spare_descriptors(daemon.pid, SPARE_MAX - 1):
                    assert (await connection.get(target)).status == 200, "so many descriptors are enough"
            with spare_descriptors(daemon.pid, 0):  # And the roots are looked at meanwhile.
                await trio.sleep(2.5)
            assert await figure(connection, "template_pid") == template, "the template was given up"
        assert "Traceback" not in daemon.log()
        await is_as_before(daemon, before, GOOD, body)


@contextlib.contextmanager
def process_group(pids: list[int]) -> Iterator[Path]:
    """Put processes into a control group of their own; give the file that bounds how many there may be in it."""
    places = [CGROUPS / "pids", CGROUPS]
    for place in places:
        group = place / f"imgd-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / "pids.max").exists():
                continue
            try:
                for pid in pids:
                    (group / "cgroup.procs").write_text(str(pid))
            except OSError:
                continue
            yield group / "pids.max"
            return
        finally:
            with contextlib.suppress(OSError):
                for pid in (group / "cgroup.procs").read_text().split():
                    (place / "cgroup.procs").write_text(pid)
                group.rmdir()
    pytest.skip("no control group that bounds processes can be made here")


async def test_without_processes_a_job_is_busy_and_one_thread_does_the_work_of_many(folder: Path) -> None:
    settings = {"workers_max": 2, "worker_threads": 4, "worker_idle_s": 2}
    async with running_daemon(f"f={folder}", **settings) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        with process_group(daemon.processes()) as bound:
            bound.write_text("1\n")  # Those that there are stay.
            answer = await daemon.get(f"{GOOD}&quality=11")
            assert is_busy(answer), answer
            assert (await daemon.get(GOOD)).body == body, "what is known needs no process"
            assert (await daemon.get("/readyz")).status == 200
            await trio.sleep(2.5)  # The roots are looked at meanwhile.
            bound.write_text("max\n")
            assert (await daemon.get(f"{GOOD}&quality=12")).status == 200
            await _keep_a_worker(daemon)
            bound.write_text("1\n")
            alone = await daemon.get("/img?frame=f/big.fits&size=max&quality=84")
            assert alone.status == 200 or is_busy(alone)
            bound.write_text("max\n")
            if alone.status == 200:
                assert alone.body == alone_answers(folder / "big.fits", "/img?size=max&quality=84")[0]
            await is_as_before(daemon, before, GOOD, body)
        assert "Traceback" not in daemon.log()
        assert (await metrics(daemon))["imgd_engine_crashed_total"] == 0


async def _keep_a_worker(daemon: RunningDaemon) -> None:
    """Have an idle worker, and a thread of the daemon's that is still kept."""
    assert (await daemon.get(f"{GOOD}&quality=13")).status == 200
    assert await workers(daemon)
