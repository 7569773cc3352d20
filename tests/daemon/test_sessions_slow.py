"""Sessions of the real daemon that follow a camera, that read slowly, and that end with the daemon."""

import contextlib
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from trio_websocket import ConnectionClosed

from tests.daemon.figures import metrics
from tests.daemon.rig import RunningDaemon, running_daemon
from tests.daemon.test_sessions import broken, seated, until
from tests.frames import make
from tests.web import peer
from tests.web.sitting import Sitter

SIDE_PX = 256
ENDS = ("completed", "failed", "cancelled")


def expose(place: Path, number: int) -> str:
    """Have the camera write one more frame; return its name as clients see it."""
    pixels = np.full((SIDE_PX, SIDE_PX), number, np.uint16)
    pixels[: SIDE_PX // 2] += 100
    temporary = make.write(place / f".{number}.part", make.image_hdu(pixels))
    os.rename(temporary, place / f"{number:03}.fits")
    return f"night/cam/{number:03}.fits"


async def shows(client: Sitter, frame: str) -> dict[str, Any]:
    """Hear until a run of this frame is completed."""
    while True:
        for each in client.told:
            if each["op"] == "completed" and each["result"]["frame"] == frame:
                return each
        await client.hear()


async def hear_pending(client: Sitter, frame: str) -> None:
    """Hear until this frame waits."""
    while not any(each["op"] == "following" and each["pending"] == frame for each in client.told):
        await client.hear()


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A folder that a camera writes into."""
    place = tmp_path / "night" / "cam"
    place.mkdir(parents=True)
    (place / "below").mkdir()
    return place


async def test_a_followed_folder_shows_its_newest_frame_and_pauses_steps_and_plays(camera: Path) -> None:
    first = expose(camera, 1)
    async with running_daemon(f"night={camera.parent}", set_rest_s=0) as daemon, seated(daemon) as client:
        runner = await client.open("", follow="night/cam")
        await shows(client, first)
        await shows(client, expose(camera, 2))
        await client.ask("pause", runner=runner)
        make.write(camera / "below" / "x.fits", make.image_hdu(np.ones((4, 4), np.uint16)))
        for number in (3, 4):
            await hear_pending(client, expose(camera, number))
        fifth = expose(camera, 5)
        await hear_pending(client, fifth)
        assert not any(each["op"] == "accepted" and each["frame"] > "night/cam/002.fits" for each in client.told)
        state = (await client.ask("step", runner=runner))["state"]
        assert state["paused"]
        await shows(client, fifth)
        assert state["skipped"] == 2
        sixth = expose(camera, 6)
        await hear_pending(client, sixth)
        assert not (await client.ask("play", runner=runner))["state"]["paused"]
        await shows(client, sixth)
        await shows(client, expose(camera, 7))


async def test_what_is_followed_survives_a_resume(camera: Path) -> None:
    first = expose(camera, 1)
    async with running_daemon(f"night={camera.parent}") as daemon:
        async with broken(daemon) as (client, stream):
            hello = await client.ask("hello")
            runner = await client.open("", follow="night/cam")
            await shows(client, first)
            await client.ask("pause", runner=runner)
            peer.reset(stream)
        await until(daemon, live_sessions=0, live_sessions_parked=1)
        second = expose(camera, 2)
        async with seated(daemon) as again:
            state = (await again.ask("hello", resume=hello["resume"]))["runners"][0]
            assert (state["runner"], state["paused"], state["follow"]) == (runner, True, "night/cam")
            await hear_pending(again, second)
            await again.ask("play", runner=runner)
            await shows(again, second)


class SlowReader:
    """A websocket by hand that takes so many bytes a second."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(peer.request("/live", *peer.UPGRADE))
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self.received += self.socket.recv(1)
        self.received = b""
        self.socket.setblocking(False)

    def say(self, **message: Any) -> None:
        """Say something."""
        text = json.dumps(message).encode()
        size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack(">H", len(text))
        self.socket.sendall(b"\x81" + size + bytes(4) + text)

    def take(self, most: int) -> None:
        """Take what is there, and no more than this."""
        with contextlib.suppress(BlockingIOError):
            self.received += self.socket.recv(most)

    def messages(self) -> list[bytes]:
        """Take the messages apart that are whole."""
        found, at, data = [], 0, self.received
        while at + 4 <= len(data):
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = struct.unpack_from(">H", data, start)[0], start + 2
            elif size == 127:
                size, start = struct.unpack_from(">Q", data, start)[0], start + 8
            if start + size > len(data):
                break
            found.append(data[start : start + size])
            at = start + size
        return found

    def texts(self) -> list[dict[str, Any]]:
        """Tell the texts."""
        return [json.loads(each) for each in self.messages() if each[:1] == b"{"]

    async def reply(self, number: int) -> dict[str, Any]:
        """Take until a reply is there."""
        with trio.fail_after(60):
            while True:
                for each in self.texts():
                    if each.get("id") == number:
                        return each
                self.take(100_000)
                await trio.sleep(0.01)


async def test_a_slow_readers_tiles_are_dropped_and_its_replies_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    make.write(tmp_path / "a.fits", make.image_hdu(rng.integers(0, 60_000, (6000, 6000), np.uint16)))
    async with running_daemon(f"f={tmp_path}", session_bytes="256KiB", set_rest_s=0.02) as daemon:
        slow = SlowReader(daemon.port)
        slow.say(id=1, op="open", view="frame=f/a.fits", results=["picture"])
        runner = (await slow.reply(1))["runner"]
        async with seated(daemon) as other:
            mine = await other.open("frame=f/a.fits&size=100,")
            await other.run(mine)
            before = daemon.pss_bytes()
            alone = await latencies(daemon, other, slow, runner, pans=False)
            beside = await latencies(daemon, other, slow, runner, pans=True)
            figures = await metrics(daemon)
            assert figures["imgd_live_tiles_dropped_total"] > 0
            assert daemon.pss_bytes() - before < 64 << 20
            assert np.median(beside) < 10 * np.median(alone) + 0.05  # Not that it waits for the slow one.
        slow.say(id=999, op="ping")
        assert (await slow.reply(999))["op"] == "ping"
        replies = [each["id"] for each in slow.texts() if "id" in each]
        assert replies == [1, *range(10, 10 + sum(2 <= number - 8 <= 31 for number in replies)), 999]
        slow.socket.close()


async def latencies(daemon: RunningDaemon, other: Sitter, slow: SlowReader, runner: str, *, pans: bool) -> list[float]:
    """Measure what another session waits for its replies, while the slow one pans, or does not."""
    found = []
    for number in range(30):
        if pans:
            x = 256 * (number % 10)
            slow.say(id=10 + number, op="viewport", runner=runner, level=0, box=[x, 0, 1536, 1536], again=True)
        for _ in range(4):
            began = trio.current_time()
            await other.ask("ping")
            found.append(trio.current_time() - began)
            slow.take(25)  # In 25 ms: one kilobyte a second.
            await trio.sleep(0.025)
    return found


async def test_the_end_of_the_daemon_is_said_to_who_runs_something(tmp_path: Path) -> None:
    make.write(tmp_path / "a.fits", make.image_hdu(np.ones((3000, 3000), np.uint16)))
    async with running_daemon(f"f={tmp_path}", worker_threads=1) as daemon, seated(daemon) as client:
        await client.ask("run", runner=await client.open("frame=f/a.fits&size=max&format=png"))
        daemon.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            await client.until("never")
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1001
        assert await daemon.process.wait() == 0
