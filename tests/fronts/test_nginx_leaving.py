"""Who leaves takes their work along through nginx too, also where nginx would keep the answer."""

import json
import os
import shutil
import signal
from pathlib import Path

import h11
import numpy as np
import pytest
import trio

from tests.daemon.figures import metrics
from tests.daemon.test_faults import BIG, catch_worker, workers
from tests.frames import make
from tests.fronts.nginx import Fronted, daemon_behind_nginx

LIMIT_S = 20.0
WAYS = ("fin", "rst", "rst_stream", "h2_close")


async def test_who_leaves_ends_the_making_of_a_tile_that_was_not_asked_for_before(tmp_path: Path) -> None:
    first = make.image_hdu(np.tile(make.star_field(BIG[0] // 10, BIG[1] // 10), (10, 10)))
    make.write(tmp_path / "fin.fits", first)
    for way in (*WAYS[1:], "again"):
        shutil.copy(tmp_path / "fin.fits", tmp_path / f"{way}.fits")
    async with daemon_behind_nginx(tmp_path, f"f={tmp_path}", workers_max=1, worker_threads=1) as fronted:
        for way in WAYS:
            address = await cold_tile(fronted, way)
            stopped_before = (await metrics(fronted.daemon))["imgd_engine_stopped_total"]
            await ask_and_leave(fronted, address, way)
            await fronted.until_free()  # Its worker is held still: only its end lets go of the memory.
            assert (await metrics(fronted.daemon))["imgd_engine_stopped_total"] > stopped_before, way
            assert (await fronted.front.get(address)).status == 200
        await what_is_asked_for_again_is_finished(fronted)
        await what_breaks_off_is_not_kept(fronted)


async def cold_tile(fronted: Fronted, name: str) -> str:
    """Tell the address of a tile whose pyramid nobody has made yet."""
    document = json.loads((await fronted.front.get(f"/tiles/f/{name}.fits/tiles.json")).body)
    await fronted.until_free()
    address: str = document["template"].replace("{z}", "0").replace("{x}", "0").replace("{y}", "0")
    return address


async def ask_and_leave(fronted: Fronted, address: str, way: str) -> int:
    """Ask, hold the worker still that has begun, and leave; tell which worker it was."""
    if way in ("rst_stream", "h2_close"):
        async with fronted.front.connect2() as connection:
            number = await connection.send("GET", address)
            worker = await catch_worker(fronted.daemon, signal.SIGSTOP)
            if way == "rst_stream":
                await connection.reset(number)
                await left(fronted, address)
        return worker
    async with fronted.front.connect() as connection:
        await connection.send("GET", address)
        worker = await catch_worker(fronted.daemon, signal.SIGSTOP)
        await connection.leave(reset=way == "rst")
    return worker


async def left(fronted: Fronted, address: str) -> None:
    """Wait until nginx has noticed that the client has taken its request back, while the connection is there still."""
    path = address.partition("?")[0]
    with trio.fail_after(LIMIT_S):
        while not any((line["path"], line["status"]) == (path, 499) for line in fronted.accesses()):
            await trio.sleep(0.01)


async def what_is_asked_for_again_is_finished(fronted: Fronted) -> None:
    """Show what remains: nginx reads on what it is going to keep, for which it has to be asked a second time."""
    address = await cold_tile(fronted, "again")
    await ask_and_leave(fronted, address, "fin")
    await fronted.until_free()
    stopped_before = (await metrics(fronted.daemon))["imgd_engine_stopped_total"]
    worker = await ask_and_leave(fronted, address, "fin")
    for _ in range(3):
        await fronted.front.get("/healthz")
    assert (await metrics(fronted.daemon))["imgd_engine_jobs"] == 1
    os.kill(worker, signal.SIGCONT)
    await fronted.until_free()
    assert (await metrics(fronted.daemon))["imgd_engine_stopped_total"] == stopped_before
    assert (await fronted.front.get(address)).status == 200


async def what_breaks_off_is_not_kept(fronted: Fronted) -> None:
    """Have the worker killed when a part of a picture has been sent, also when that would have been kept."""
    document = json.loads((await fronted.front.get("/tiles/f/fin.fits/tiles.json")).body)
    address = f"/iiif/3/f%2Ffin.fits;v={document['version']}/full/max/90/default.png"
    for _ in range(3):
        async with fronted.front.connect() as connection:
            await connection.send("GET", address)
            head = await connection.response()
            assert (head.status, head.headers["x-imgd-cache"]) == (200, "MISS")
            for worker in await workers(fronted.daemon):
                os.kill(worker, signal.SIGKILL)
            with pytest.raises((h11.RemoteProtocolError, ConnectionError, trio.BrokenResourceError)):
                _ = [chunk async for chunk in connection.body()]
        await fronted.until_free()
