"""A template that is lost again and again, dies while it warms, or is gone with the daemon under many clients."""

import json
import os
import random
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio_websocket

from tests.daemon.figures import metrics
from tests.daemon.rig import PROGRAM, RunningDaemon, running_daemon
from tests.faults.aftermath import LIMIT_S, is_as_before, is_served, stock_of
from tests.faults.program import WARMING
from tests.frames import make
from tests.web.sitting import Sitter

GOOD = "/img?frame=f/good.fits"
TILE = "/tile?frame=f/good.fits&level=0&x=0&y=0"
CLIENTS = 50
BROKEN = (trio.BrokenResourceError, trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.TooSlowError)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with some frames."""
    place = tmp_path / "root"
    place.mkdir()
    for seed, name in enumerate(("good", "other", *map(str, range(5)))):
        make.write(place / f"{name}.fits", make.image_hdu(make.star_field(300, 400, seed=seed)))
    return place


async def readiness(daemon: RunningDaemon) -> tuple[int, str]:
    """Ask whether pictures can be made, and why not."""
    answer = await daemon.get("/readyz")
    return answer.status, json.loads(answer.body).get("detail", "")


async def told(daemon: RunningDaemon, *words: str) -> str:
    """Wait until `/readyz` says all of this."""
    said = ""
    with trio.move_on_after(LIMIT_S):
        while True:
            _, said = await readiness(daemon)
            if all(word in said for word in words):
                return said
            await trio.sleep(0.02)
    raise AssertionError(f"{words} not said, but {said!r}")


def cpu_s(pids: list[int]) -> float:
    """Add up the time that processes have computed, their children's that are gone included."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


async def test_a_template_that_dies_while_it_warms_is_tried_ever_more_seldom_and_what_is_known_is_served(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = tmp_path / "warming"
    monkeypatch.setenv(PROGRAM, "tests.faults.program")
    monkeypatch.setenv(WARMING, str(orders))
    async with running_daemon(f"f={folder}", workers_max=2, worker_idle_s=0.3) as daemon:
        body, tile = (await daemon.get(GOOD)).body, (await daemon.get(TILE)).body
        before = await stock_of(daemon)
        orders.write_text("exit")
        os.kill(int((await metrics(daemon))["imgd_engine_template_pid"]), signal.SIGKILL)
        said = await told(daemon, "ended while warming, exit code 3", "4 times in a row", "started again in 5 s")
        assert str(folder) not in said
        await is_served(daemon, GOOD, body)
        await is_served(daemon, TILE, tile)
        asked_s = trio.current_time()
        for target in (f"{GOOD}&quality=11", "/img?frame=f/other.fits", f"{TILE}&quality=11"):
            answer = await daemon.get(target)
            assert (answer.status, b"4 times in a row" in answer.body) == (503, True), answer
            assert int(answer.headers["retry-after"]) > 0
        if (await told(daemon, "times in a row")).count("4 times"):
            assert trio.current_time() - asked_s < 5, "they were kept waiting for the next start"
            used_s = cpu_s([daemon.pid])
            await trio.sleep(2)
            assert cpu_s([daemon.pid]) - used_s < 1, "it computes while it waits"
        starts = (await metrics(daemon))["imgd_engine_template_starts_total"]
        assert starts <= 6
        orders.unlink()
        await daemon.until_ready()
        await is_as_before(daemon, before, GOOD, body)
        await is_served(daemon, "/img?frame=f/other.fits", (await daemon.get("/img?frame=f/other.fits")).body)
        assert "Traceback" not in daemon.log()


async def test_a_template_killed_as_often_as_it_comes_pauses_longer_each_time_and_recovers(folder: Path) -> None:
    async with running_daemon(f"f={folder}", workers_max=2, worker_idle_s=0.3) as daemon:
        body = (await daemon.get(GOOD)).body
        before = await stock_of(daemon)
        killed_s: list[float] = []
        with trio.fail_after(LIMIT_S):
            while len(killed_s) < 4:
                for pid in daemon.children():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed_s.append(time.monotonic())
                await trio.sleep(0.005)
                while len(killed_s) > 1 and killed_s[-1] - killed_s[-2] < 0.05:
                    killed_s.pop()  # The same one, met twice on its way.
        said = await told(daemon, "killed by SIGKILL")
        assert "it is started again in" in said or "times in a row" in said
        pauses_s = [late - early for early, late in pairwise(killed_s)]
        assert pauses_s[-1] > pauses_s[0], pauses_s
        await is_served(daemon, GOOD, body)
        await daemon.until_ready()
        await is_as_before(daemon, before, GOOD, body)


@dataclass
class Viewer:
    """What the page's link does: keep a session with one picture; when it breaks, come back, ever more slowly."""

    port: int
    frame: str
    random: random.Random
    pictures: list[bytes] = field(default_factory=list)
    resume: str = ""
    sessions: list[str] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)
    more: trio.Event = field(default_factory=trio.Event)

    async def live(self) -> None:
        """Come back until cancelled."""
        pause_s = 0.05
        while True:
            with suppress(OSError):
                host = f"127.0.0.1:{self.port}"
                async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream, trio.open_nursery() as nursery:
                    with suppress(*BROKEN):
                        link = await trio_websocket.wrap_client_stream(nursery, stream, host, "/live")
                        pause_s = 0.05
                        await self._look(Sitter(link))
                    nursery.cancel_scope.cancel()
            await trio.sleep(pause_s * self.random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, 1.0)

    async def _look(self, sitter: Sitter) -> None:
        hello = await sitter.ask("hello", **({"resume": self.resume} if self.resume else {}))
        self.resumed.append(hello["resumed"])
        self.resume = hello["resume"]
        self.sessions.append(hello["session"])
        runner = await sitter.open(f"frame=f/{self.frame}.fits&format=png")
        while True:
            shown = len(sitter.shown)
            ended = await sitter.run(runner)
            while ended["op"] == "completed" and len(sitter.shown) == shown:
                await sitter.hear()
            if ended["op"] == "completed":
                self.pictures.append(sitter.shown[-1].body)
                self.more.set()
            await trio.sleep(0.2)

    async def seen(self, count: int) -> None:
        """Wait until it has been shown so many pictures in all."""
        while len(self.pictures) < count:
            self.more = trio.Event()
            await self.more.wait()


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_a_daemon_killed_under_fifty_clients_comes_back_and_so_do_they(folder: Path) -> None:
    port = free_port()
    settings = {"workers_max": 2, "worker_idle_s": 0.3, "bind": f"127.0.0.1:{port}"}
    viewers = [Viewer(port, str(number % 5), random.Random(number)) for number in range(CLIENTS)]
    async with trio.open_nursery() as nursery:
        async with running_daemon(f"f={folder}", **settings) as daemon:
            expected = {str(n): (await daemon.get(f"/img?frame=f/{n}.fits&format=png")).body for n in range(5)}
            for viewer in viewers:
                nursery.start_soon(viewer.live)
            with trio.fail_after(2 * LIMIT_S):
                for viewer in viewers:
                    await viewer.seen(1)
            children = daemon.children()
            daemon.process.kill()
            await daemon.process.wait()
            assert children
            await daemon.settles(lambda: not daemon.processes() and not any(map(_lives, children)), LIMIT_S)
        counts, greeted = [len(viewer.pictures) for viewer in viewers], [len(viewer.resumed) for viewer in viewers]
        async with running_daemon(f"f={folder}", **settings) as daemon:
            with trio.fail_after(2 * LIMIT_S):
                for viewer, count in zip(viewers, counts, strict=True):
                    await viewer.seen(count + 1)
            for viewer, met in zip(viewers, greeted, strict=True):
                assert set(viewer.pictures) == {expected[viewer.frame]}, "a wrong picture"
                assert not viewer.resumed[met], "a session that nobody knows was resumed"
            with trio.fail_after(LIMIT_S):
                while (await metrics(daemon))["imgd_live_sessions"] != CLIENTS:
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await stock_of(daemon)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False
