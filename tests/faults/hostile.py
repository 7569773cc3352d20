"""Clients that mean no good: bytes as they come, frames made by hand, and somebody who is served meanwhile."""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hpack
import hyperframe.frame
import trio

from tests.daemon.rig import RunningDaemon

LIMIT_S = 60.0  # Against hanging, on a machine under load.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM, END_HEADERS = 0x1, 0x4
UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@asynccontextmanager
async def connection(daemon: RunningDaemon, receive_buffer_bytes: int = 0) -> AsyncIterator[trio.SocketStream]:
    """Open a connection in the clear."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    await sock.connect((daemon.host, daemon.port))
    async with trio.SocketStream(sock) as stream:
        yield stream


def reset(stream: trio.SocketStream) -> None:
    """Have the coming close be a RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def send(stream: trio.abc.SendStream, data: bytes) -> bool:
    """Send as much as is taken; tell whether it was all. False: the connection was ended meanwhile, or stands still."""
    with trio.move_on_after(LIMIT_S):
        try:
            await stream.send_all(data)
        except trio.BrokenResourceError:
            return False
        return True
    return False


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Read to the end of the connection, however it comes; it has to come."""
    data = bytearray()
    with trio.fail_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
        while more := await stream.receive_some(65_536):
            data += more
    return bytes(data)


async def read_until(stream: trio.abc.ReceiveStream, mark: bytes) -> bytes:
    """Read until this has come, or the end."""
    data = bytearray()
    with trio.fail_after(LIMIT_S):
        while mark not in data and (more := await stream.receive_some(65_536)):
            data += more
    return bytes(data)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """Make a frame of HTTP/2, right or wrong.

    Source  RFC 9113, 4.1.
    """
    size = len(payload) if length is None else length
    return struct.pack("!I", size)[1:] + bytes((kind, flags)) + struct.pack("!I", stream_id) + payload


SETTINGS = frame(4, 0, 0)


def header_block(*more: tuple[str, str], path: str = "/healthz", drop: str = "") -> bytes:
    """Encode the headers of a request; `drop` leaves one of the first four out."""
    pairs = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x"), *more]
    block: bytes = hpack.Encoder().encode([pair for pair in pairs if pair[0] != drop])
    return block


def request(stream_id: int, *more: tuple[str, str], path: str = "/healthz", flags: int = END_STREAM) -> bytes:
    """Make a request's one frame."""
    return frame(1, flags | END_HEADERS, stream_id, header_block(*more, path=path))


@dataclass
class Heard:
    """Frames of a server, as they came."""

    frames: list[hyperframe.frame.Frame] = field(default_factory=list)
    ended: bool = False

    def goaway(self) -> int | None:
        """Tell the code with which the connection was ended, None if it was not."""
        codes = [each.error_code for each in self.frames if isinstance(each, hyperframe.frame.GoAwayFrame)]
        return codes[-1] if codes else None

    def resets(self) -> dict[int, int]:
        """Tell which streams were reset, with which code."""
        found = (each for each in self.frames if isinstance(each, hyperframe.frame.RstStreamFrame))
        return {each.stream_id: each.error_code for each in found}

    def answered(self) -> set[int]:
        """Tell which streams were answered to the end."""
        return {each.stream_id for each in self.frames if "END_STREAM" in each.flags}


async def hear(stream: trio.abc.ReceiveStream, until: int | None = None) -> Heard:
    """Read frames to the end of the connection, or until stream `until` is answered or reset."""
    heard, data = Heard(), bytearray()
    with trio.fail_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError):
        while until is None or until not in heard.answered() | heard.resets().keys():
            more = await stream.receive_some(65_536)
            data += more
            if not more:
                heard.ended = True
                break
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3]):
                size = int.from_bytes(data[:3])
                one, _ = hyperframe.frame.Frame.parse_frame_header(memoryview(bytes(data[:9])))
                one.parse_body(memoryview(bytes(data[9 : 9 + size])))
                heard.frames.append(one)
                del data[: 9 + size]
    return heard


@dataclass
class Others:
    """How long another client waited for each of its answers."""

    waited_s: list[float] = field(default_factory=list)

    def p99_s(self) -> float:
        """Tell the wait that one in a hundred exceeds."""
        return sorted(self.waited_s)[int(len(self.waited_s) * 0.99)]


@asynccontextmanager
async def others_are_served(daemon: RunningDaemon, target: str = "/healthz") -> AsyncIterator[Others]:
    """Ask again and again while the `with` lasts; each answer has to come, and to be a good one."""
    others = Others()

    async def ask() -> None:
        while True:
            began_s = trio.current_time()
            with trio.fail_after(LIMIT_S):
                assert (await daemon.get(target)).status == 200
            others.waited_s.append(trio.current_time() - began_s)
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield others
        while not others.waited_s:  # It was over so soon.
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def figures(daemon: RunningDaemon, *names: str) -> list[float]:
    """Read metrics by their names."""
    text = (await daemon.get("/metrics")).body.decode()
    found = dict(
        line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#") and "{" not in line
    )
    return [float(found[name]) for name in names]


async def is_at_rest(daemon: RunningDaemon) -> None:
    """Wait until nobody is connected but who asks for it."""
    with trio.fail_after(LIMIT_S):
        while await figures(daemon, "imgd_http_connections") != [1.0]:  # Nobody tells us.
            await trio.sleep(0.05)


@dataclass(frozen=True)
class Holdings:
    """What a daemon holds but for its memory files, which stay warm: processes, and descriptors of all of them."""

    processes: int
    descriptors: int


def holdings(daemon: RunningDaemon) -> Holdings:
    """Count what a daemon holds now."""
    pids = daemon.processes()
    links = [link for pid in pids for link in _links(pid) if not link.startswith("/memfd:")]
    return Holdings(len(pids), len(links))


def _links(pid: int) -> list[str]:
    links = []
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # Closed since it was listed.
                links.append(str(each.readlink()))
    return links


async def resting(daemon: RunningDaemon) -> Holdings:
    """Wait until nobody is connected and no worker waits (setting worker_idle_s); tell what is held then."""
    await is_at_rest(daemon)
    await daemon.settles(lambda: len(daemon.processes()) == 2, LIMIT_S)
    before, held = None, holdings(daemon)
    with trio.fail_after(LIMIT_S):
        while held != before:  # What belonged to a worker that has just left is closed a little later.
            await trio.sleep(0.3)
            before, held = held, holdings(daemon)
    return held


async def is_as_before(daemon: RunningDaemon, before: Holdings) -> None:
    """Wait until nobody is connected, and processes and descriptors are what they were."""
    await is_at_rest(daemon)
    await daemon.settles(lambda: holdings(daemon) == before, LIMIT_S)
