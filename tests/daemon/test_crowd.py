"""A crowd with more appetite than memory: bounded by the kernel's figures, right to the byte, nothing left behind."""

import contextlib
import os
import random
import shutil
import signal
from pathlib import Path
from urllib.parse import urlencode

import h11
import pytest
import trio

from cgi_worker import alone
from cgi_worker.wire.failure import StepFailed
from cgi_worker.wire.grammar import ViewError
from cgi_worker.wire.view import view_from_pairs
from tests.conftest import LONG
from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.frames import make
from tests.frames.real import real_frames

FRAMES = 40
REQUESTS = 20_000 if LONG else 2_000
BUDGET_BYTES = 19 << 20  # A quarter of what all that is asked for would take: 40 frames of about 1.9 MB.
CROWD = 24  # Clients at the same time.
LEVELS = ("auto", "0.05,0.999", "0.2,0.99")


def frame_pairs(number: int, levels: str) -> list[tuple[str, str]]:
    """A view of one of the frames; sizes differ, so that segments of all sizes come and go."""
    return [("frame", f"f/{number}.fits"), ("size", f"{480 + 20 * (number % 7)},"), ("levels", levels)]


def alone_bytes(folder: Path, pairs: list[tuple[str, str]]) -> bytes:
    """The same picture, made in this process without any daemon."""
    fd = os.open(folder / pairs[0][1].removeprefix("f/"), os.O_RDONLY)
    try:
        return alone.render(fd, view_from_pairs(pairs), threads=1)[0]
    finally:
        os.close(fd)


class Crowd:
    """Many clients that ask for the same few frames, and of whom some leave at any moment."""

    def __init__(self, daemon: RunningDaemon, folder: Path, seed: int) -> None:
        self.daemon = daemon
        self.random = random.Random(seed)
        self.folder = folder
        self.expected: dict[str, bytes] = {}
        self.whole = self.left = self.busy = 0

    async def one(self) -> None:
        """Ask once; with 30 % probability leave before the answer is whole."""
        number = self.random.randrange(FRAMES)
        pairs = frame_pairs(number, self.random.choice(LEVELS))
        target = "/img?" + urlencode(pairs)
        leaves_after_s = self.random.expovariate(1 / 0.02) if self.random.random() < 0.3 else None
        async with self.daemon.connect() as connection:
            if leaves_after_s is not None:
                with trio.move_on_after(leaves_after_s):
                    await connection.get(target)
                await connection.leave(reset=self.random.random() < 0.5)
                self.left += 1
                return
            answer = await connection.get(target)
        if answer.status == 503:
            assert "retry-after" in answer.headers
            self.busy += 1
            return
        assert answer.status == 200, (target, answer)
        if target not in self.expected:
            self.expected[target] = alone_bytes(self.folder, pairs)
        assert answer.body == self.expected[target], f"{target}: not the picture that one alone gets"
        self.whole += 1


async def watch_memory(daemon: RunningDaemon, samples: list[int]) -> None:
    """Ask the kernel, again and again, how much the segments hold.

    The daemon stands still meanwhile: nothing is made or destroyed between the first segment counted and the last.
    """
    while True:
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            samples.append(daemon.segment_bytes())
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        await trio.sleep(0.02)


def write_frames(folder: Path) -> int:
    """Copy the real frames of some size that can be shown, add made ones up to FRAMES; return how many are real."""
    real = 0
    for path in real_frames():
        if 100_000 < path.stat().st_size < 8_000_000 and real < FRAMES:
            shutil.copyfile(path, folder / f"{real}.fits")
            with contextlib.suppress(StepFailed, ViewError):
                alone_bytes(folder, frame_pairs(real, "auto"))
                real += 1
    for number in range(real, FRAMES):
        sky = make.star_field(900 + 30 * (number % 5), 1200 + 40 * (number % 3), seed=number)
        make.write(folder / f"{number}.fits", make.image_hdu(sky))
    return real


async def test_a_crowd_stays_within_the_budget_and_gets_what_one_alone_gets(tmp_path: Path) -> None:
    assert write_frames(tmp_path) >= 15
    settings = {
        "budget_bytes": BUDGET_BYTES,
        "workers_max": 2,
        "queue_max": 500,
        "memory_wait_s": 60,
        "worker_idle_s": 1,
    }
    async with running_daemon(f"f={tmp_path}", **settings) as daemon:
        await daemon.get("/img?" + urlencode(frame_pairs(0, "auto")))
        before = await settled_census(daemon)
        crowd = Crowd(daemon, tmp_path, seed=7)
        samples: list[int] = []
        async with trio.open_nursery() as watching:
            watching.start_soon(watch_memory, daemon, samples)
            await run_crowd(crowd)
            watching.cancel_scope.cancel()
        assert max(samples) <= BUDGET_BYTES, "the budget was exceeded"
        assert max(samples) > BUDGET_BYTES // 2, "the budget was never under pressure: this test proves nothing"
        assert len(samples) > 50
        assert crowd.whole > REQUESTS // 2
        assert crowd.left > REQUESTS // 5
        assert crowd.busy < REQUESTS // 20
        figures = await metrics(daemon)
        assert figures["imgd_engine_evicted_total"] > FRAMES
        after = await settled_census(daemon)
        assert after == before, "children or descriptors were left behind, besides the two of each segment kept"
        figures = await metrics(daemon)
        for name in ("leased_bytes", "reserved_bytes", "jobs", "workers"):
            assert figures[f"imgd_engine_{name}"] == 0, name
        assert daemon.segment_bytes() == figures["imgd_engine_kernel_bytes"]


async def settled_census(daemon: RunningDaemon) -> tuple[int, int]:
    """Wait until the idle workers have left; count processes, and descriptors beyond the two of each segment."""
    with trio.fail_after(20):
        while True:
            figures = await metrics(daemon)
            if len(daemon.processes()) == 2 and not figures["imgd_engine_workers"]:
                break
            await trio.sleep(0.05)
    return len(daemon.processes()), daemon.descriptors() - 2 * int(figures["imgd_engine_segments"])


async def run_crowd(crowd: Crowd) -> None:
    """Let CROWD clients at a time ask, REQUESTS times in all."""
    todo = iter(range(REQUESTS))

    async def client() -> None:
        for _ in todo:
            try:
                await crowd.one()
            except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
                raise AssertionError("an answer broke off that nobody had left") from error

    async with trio.open_nursery() as clients:
        for _ in range(CROWD):
            clients.start_soon(client)


async def test_fifty_who_ask_for_the_same_cause_one_read(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(2000, 3000)))
    answers: list[bytes] = []
    async with running_daemon(f"f={tmp_path}", workers_max=2) as daemon:

        async def ask() -> None:
            answer = await daemon.get("/img?frame=f/a.fits")
            assert answer.status == 200
            answers.append(answer.body)

        async with trio.open_nursery() as clients:
            for _ in range(50):
                clients.start_soon(ask)
        figures = await metrics(daemon)
    assert len(set(answers)) == 1
    # One parse and one picture were made; everybody else joined them, or found them.
    made = figures["imgd_engine_submitted_total"] - figures["imgd_engine_joined_total"]
    assert made - figures["imgd_engine_cached_total"] == 2


@pytest.mark.parametrize("reader", ["http1", "http2"])
async def test_a_reader_that_stalls_holds_its_bytes_and_nothing_else(tmp_path: Path, reader: str) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(1500, 2000)))
    make.write(tmp_path / "b.fits", make.image_hdu(make.star_field(1500, 2000, seed=2)))
    async with running_daemon(f"f={tmp_path}", workers_max=1, send_limit_s=1.5) as daemon:
        big = "/img?frame=f/a.fits&size=max&format=png"
        async with trio.open_nursery() as stalling:
            stalling.start_soon(stall, daemon, big, reader)
            await trio.sleep(0.3)
            for number in range(20):
                answer = await daemon.get(f"/img?frame=f/b.fits&levels=0.0{number + 1},0.99")
                assert answer.status == 200, "a stalled reader keeps others waiting"
            figures = await metrics(daemon)
            assert figures["imgd_engine_leased_bytes"] < 8 << 20
            with trio.fail_after(15):
                while (await metrics(daemon))["imgd_engine_jobs_reading"]:
                    await trio.sleep(0.1)
            stalling.cancel_scope.cancel()


async def stall(daemon: RunningDaemon, target: str, reader: str) -> None:
    """Ask for a big picture and read next to nothing of it."""
    if reader == "http1":
        async with daemon.connect(receive_buffer_bytes=4096) as connection:
            await connection.send("GET", target)
            await trio.sleep_forever()
    async with daemon.connect2() as connection2:
        await connection2.send("GET", target)
        await trio.sleep_forever()
