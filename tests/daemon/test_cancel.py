"""Whoever leaves takes their work along: at any point, in any way, unless somebody else waits for it."""

import json
import signal
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import trio

from tests.daemon.figures import metrics, until_free
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_faults import BIG, catch_worker
from tests.frames import make

FREE_LIMIT_S = 2.0  # A bound against hanging, not a measure of speed: that is what the bench is for.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two big frames."""
    place = tmp_path_factory.mktemp("frames")
    sky = np.tile(make.star_field(BIG[0] // 10, BIG[1] // 10), (10, 10))
    for name in ("a", "b"):
        make.write(place / f"{name}.fits", make.image_hdu(sky))
    return place


async def held(daemon: RunningDaemon, jobs: int = 1) -> None:
    """Wait until a job is under way."""
    with trio.fail_after(10):
        while (await metrics(daemon))["imgd_engine_jobs"] < jobs:
            await trio.sleep(0.001)


@pytest.mark.parametrize("way", ["fin", "rst", "rst_stream", "h2_close"])
@pytest.mark.parametrize("moment", ["parse", "reduce", "waiting", "streaming"])
async def test_leaving_frees_everything(folder: Path, way: str, moment: str) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_threads=1) as daemon:
        await daemon.get("/img?frame=f/b.fits&size=10,")  # The kernels' first run, and a worker in waiting.
        if moment != "parse":
            await daemon.get("/frame/f/a.fits")
        await until_free(daemon, FREE_LIMIT_S)
        stopped_before = (await metrics(daemon))["imgd_engine_stopped_total"]
        target = "/img?frame=f/a.fits&levels=0.1,0.9" + ("&size=max&format=png" if moment == "streaming" else "")
        async with trio.open_nursery() as nursery:
            if moment == "waiting":  # The only place at work is taken by somebody else.
                nursery.start_soon(daemon.get, "/img?frame=f/b.fits&levels=0.2,0.9&size=max&format=png")
                await held(daemon)
            await ask_and_leave(daemon, target, way, moment)
            nursery.cancel_scope.cancel()
        await until_free(daemon, FREE_LIMIT_S)
        if moment in ("reduce", "streaming"):
            assert (await metrics(daemon))["imgd_engine_stopped_total"] > stopped_before, "the worker was not stopped"
        assert (await daemon.get("/img?frame=f/a.fits&size=50,")).status == 200


async def ask_and_leave(daemon: RunningDaemon, target: str, way: str, moment: str) -> None:
    """Ask, wait for the moment, and leave in this way."""
    jobs = 2 if moment == "waiting" else 1
    if way in ("fin", "rst"):
        async with daemon.connect(receive_buffer_bytes=65_536) as connection:
            await connection.send("GET", target)
            if moment == "streaming":
                assert (await connection.response()).status == 200
                async with aclosing(connection.body()) as body:
                    await anext(aiter(body))
            else:
                await held(daemon, jobs)
            await connection.leave(reset=way == "rst")
        return
    async with daemon.connect2() as connection2:
        number = await connection2.send("GET", target)
        if moment == "streaming":
            await connection2.begun(number)
        else:
            await held(daemon, jobs)
        if way == "rst_stream":
            await connection2.reset(number)
            await until_free_but_others(daemon, jobs - 1)


async def until_free_but_others(daemon: RunningDaemon, jobs: int) -> None:
    """Wait until only this many jobs are left, while the connection itself is still open."""
    with trio.fail_after(FREE_LIMIT_S):
        while (await metrics(daemon))["imgd_engine_jobs"] > jobs:
            await trio.sleep(0.01)


async def test_work_that_somebody_else_waits_for_goes_on(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_threads=1) as daemon:
        target = "/img?frame=f/a.fits&levels=0.1,0.9"
        bodies: list[bytes] = []

        async def wait_for_it() -> None:
            answer = await daemon.get(target)
            assert answer.status == 200
            bodies.append(answer.body)

        async with trio.open_nursery() as nursery, daemon.connect() as first:
            await first.send("GET", target)
            await held(daemon)
            nursery.start_soon(wait_for_it)
            await held(daemon, 2)
            await first.leave(reset=True)
        assert (await metrics(daemon))["imgd_engine_stopped_total"] == 0, "the work was done twice"
        assert bodies[0] == (await daemon.get(target)).body


async def test_a_session_takes_its_uids_along(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1) as daemon:
        async with daemon.websocket("/live") as live:
            await live.send_message(json.dumps({"id": 1, "op": "src", "view": {"frame": "f/a.fits", "size": "100,"}}))
            uid = json.loads(await live.get_message())["uid"]
            assert (await daemon.get(f"/img?u={uid}")).status == 200
        with trio.fail_after(5):
            while (await daemon.get(f"/img?u={uid}")).status != 404:
                await trio.sleep(0.01)


async def test_a_session_that_closes_withdraws_its_picture_on_another_connection(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=1, worker_threads=1) as daemon:
        await daemon.get("/frame/f/a.fits")
        async with daemon.connect() as loading:
            async with daemon.websocket("/live") as live:
                asked = {"frame": "f/a.fits", "size": "max", "format": "png"}
                await live.send_message(json.dumps({"id": 1, "op": "src", "view": asked}))
                uid = json.loads(await live.get_message())["uid"]
                await loading.send("GET", f"/img?u={uid}")
                await catch_worker(daemon, signal.SIGCONT)
            await until_free(daemon, FREE_LIMIT_S)
            assert (await metrics(daemon))["imgd_engine_stopped_total"] == 1
            answer = await loading.response()
            assert answer.status == 503


async def test_the_daemons_own_end_stops_all_work_in_time(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, shutdown_s=0.5) as daemon:
        async with daemon.connect() as one, daemon.connect() as two, daemon.websocket("/live"):
            await one.send("GET", "/img?frame=f/a.fits&size=max&format=png")
            await two.send("GET", "/img?frame=f/b.fits&levels=0.1,0.9&size=max&format=png")
            await catch_worker(daemon, signal.SIGCONT)
            daemon.process.send_signal(signal.SIGTERM)
            with trio.fail_after(5):
                assert await daemon.process.wait() == 0
        await daemon.settles(lambda: not daemon.processes(), 1)
