"""Workers that hang, spin, eat memory, have bugs, or are gone: their own request pays, if any; all else goes on."""

import os
import signal
import zlib
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.daemon import kernel
from tests.daemon.figures import metrics
from tests.daemon.rig import PROGRAM, RunningDaemon, running_daemon
from tests.daemon.test_faults import workers
from tests.faults.aftermath import LIMIT_S, is_as_before, is_served, stock_of
from tests.faults.program import ORDERS
from tests.frames import make

GOOD = "/img?frame=f/good.fits"
BOMB_BYTES = 96 << 20  # Of a worker's own, at most, for a file that claims gigabytes; a plain one takes half of it.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with two frames; its workers follow what the file beside it orders."""
    place = tmp_path / "root"
    place.mkdir()
    make.write(place / "good.fits", make.image_hdu(make.star_field(300, 400)))
    make.write(place / "bad.fits", make.image_hdu(make.star_field(300, 400, seed=2)))
    monkeypatch.setenv(PROGRAM, "tests.faults.program")
    monkeypatch.setenv(ORDERS, str(place / "orders"))
    return place


def order(folder: Path, text: str) -> None:
    """Order what the next worker is to do; "": nothing."""
    passing = folder / "passing"
    passing.write_text(text)
    passing.rename(folder / "orders")


async def state(pid: int) -> str:
    """Tell the state of a process by the kernel's letter; X for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"


async def stopped_worker(daemon: RunningDaemon) -> int:
    """Wait for a worker that has stopped itself."""
    with trio.fail_after(LIMIT_S):
        while True:
            for pid in await workers(daemon):
                if await state(pid) == "T":
                    return pid
            await trio.sleep(0.01)


async def test_a_spinning_kernel_costs_its_own_request_only(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, step_limit_s=2, worker_idle_s=0.3) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        order(folder, "tone before spin")
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await daemon.get("/img?frame=f/bad.fits")).status)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await daemon.settles(lambda: any(kernel.family(pid) and _spins(pid) for pid in daemon.children()))
            order(folder, "")
            await is_served(daemon, GOOD, body)
        assert statuses == [504]
        await is_as_before(daemon, before, GOOD, body)
        assert (await daemon.get("/img?frame=f/bad.fits")).status == 200


def _spins(pid: int) -> bool:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return fields[0] == "R" and int(fields[11]) > 50  # Half a second of computing: nothing else here takes that.


async def test_all_workers_and_the_template_stopped_under_load_cost_their_requests_and_no_more(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, step_limit_s=3, worker_idle_s=0.3) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        template = int((await metrics(daemon))["imgd_engine_template_pid"])
        order(folder, "reduce before stop")
        statuses: list[int] = []

        async def ask(number: int) -> None:
            statuses.append((await daemon.get(f"/img?frame=f/bad.fits&region=0,0,{200 + number},200")).status)

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(ask, number)
            await daemon.settles(lambda: sum(_stands(pid) for pid in daemon.children()) == 2)
            os.kill(template, signal.SIGSTOP)
            order(folder, "")
            await is_served(daemon, GOOD, body)  # It is known: nobody has to make it.
        assert set(statuses) <= {200, 503, 504}
        assert statuses.count(200) >= 8, "what waited for a worker was not served by the next template"
        assert await state(template) in "XZ"
        await is_as_before(daemon, before, GOOD, body)


def _stands(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"
    except OSError:
        return False


async def test_a_bug_of_a_worker_is_told_as_such_and_not_as_a_broken_frame(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=0.3) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        order(folder, "reduce after bug")
        answer = await daemon.get("/img?frame=f/bad.fits")
        assert (answer.status, b"a bug of imgd itself" in answer.body) == (500, True)
        assert b"broken" not in answer.body
        assert b"IndexError" not in answer.body and "IndexError: a bug, on purpose" in daemon.log()
        order(folder, "")
        assert (await daemon.get("/img?frame=f/bad.fits")).status == 200
        await is_as_before(daemon, before, GOOD, body)


async def test_a_worker_killed_while_idle_costs_nobody_anything(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=30) as daemon:
        async with daemon.connect() as connection:
            for number in range(20):
                answer = await connection.get(f"/img?frame=f/good.fits&quality={number + 1}")
                assert answer.status == 200, (number, answer.body, daemon.log())
                (worker,) = await workers(daemon)
                os.kill(worker, signal.SIGKILL)  # And at once the next one, before its end is known.
        for number in range(10):
            (worker,) = await workers(daemon) or [0]
            async with daemon.connect() as connection:
                await connection.send("GET", f"/img?frame=f/good.fits&quality={number + 40}")
                if worker:
                    os.kill(worker, signal.SIGKILL)
                assert (await connection.response()).status in (200, 503)  # 503: it had begun.


async def test_a_gzip_bomb_takes_no_more_memory_than_a_frame(folder: Path) -> None:
    bombs = {
        "long": (200, 100),  # Behind a small picture: a hundred megabytes of zeros.
        "wide": (400_000_000, 1),  # One row that does not fit anywhere.
        "deep": (100, 100, 10_000),
    }
    for name, axes in bombs.items():
        _write_bomb(folder / f"{name}.fits.gz", axes, mib=100)
    async with running_daemon(f"f={folder}", workers_max=1, worker_idle_s=0.3) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        expected = {"long": 200, "wide": 422, "deep": 200}
        async with running_watch(daemon) as largest:
            for name, status in expected.items():
                for target in (f"/img?frame=f/{name}.fits.gz", f"/frame/f/{name}.fits.gz"):
                    answer = await daemon.get(target)
                    wanted = 200 if target.startswith("/frame") else status
                    assert answer.status == wanted, (target, answer.status, answer.body[:200])
        assert largest[0] < BOMB_BYTES, f"a worker took {largest[0] >> 20} MiB of its own"
        assert b"a row has 800000000 bytes" in (await daemon.get("/frame/f/wide.fits.gz")).body
        await is_as_before(daemon, before, GOOD, body)


def _write_bomb(path: Path, axes: tuple[int, ...], mib: int) -> None:
    """Write a gzip file of a header and many megabytes of zeros, a thousandth of their size."""
    squeeze = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    head = make.header([make.card("SIMPLE", True), *make.structure(16, axes)])
    with path.open("wb") as file:
        file.write(squeeze.compress(head))
        for _ in range(mib):
            file.write(squeeze.compress(zeros))
        file.write(squeeze.flush())


class running_watch:
    """Watch the private memory of workers: the largest so far is the list's only number.

    The template is none of them: what it has mapped is its own whenever it has no worker to share it with.
    """

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.largest = [0]
        self._nursery = trio.open_nursery()

    async def __aenter__(self) -> list[int]:
        nursery = await self._nursery.__aenter__()
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._watch)
        return self.largest

    async def __aexit__(self, *error: object) -> None:
        self._scope.cancel()
        await self._nursery.__aexit__(*error)  # type: ignore[arg-type]

    async def _watch(self) -> None:
        while True:
            for pid in await workers(self.daemon):
                self.largest[0] = max(self.largest[0], _private_bytes(pid))
            await trio.sleep(0.005)


def _private_bytes(pid: int) -> int:
    """Tell how much of a process's memory is its own and was not there when it was forked."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Private_Dirty"))


async def test_a_frame_that_asks_for_too_much_memory_is_refused_by_the_limit(folder: Path) -> None:
    """A tile-compressed frame of two tiles of gigabytes: its decoder is held to the worker's memory."""
    path = make.write_compressed(folder / "tiles.fits", np.zeros((64, 64), np.int16), "GZIP", tile_dims=(64, 64))
    octets = path.read_bytes()
    for name in (b"ZNAXIS1 ", b"ZNAXIS2 ", b"ZTILE1  ", b"ZTILE2  "):
        at = octets.index(name)
        octets = octets[:at] + name + b"= " + b"%20d" % 30_000 + octets[at + 30 :]
    path.write_bytes(octets)
    settings = {"workers_max": 1, "worker_idle_s": 0.3, "worker_memory_bytes": 1 << 30, "budget_bytes": "4GiB"}
    async with running_daemon(f"f={folder}", **settings) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        answer = await daemon.get("/img?frame=f/tiles.fits")
        assert answer.status in (413, 422), answer.body
        await is_as_before(daemon, before, GOOD, body)
