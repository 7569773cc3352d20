"""Floods: heads without end, frames that bring nothing, requests that are taken back, answers that nobody takes."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import hpack
import pytest
import trio

from tests.daemon.rig import RunningDaemon, running_daemon
from tests.faults.hostile import (
    END_HEADERS,
    END_STREAM,
    LIMIT_S,
    PREFACE,
    SETTINGS,
    UPGRADE,
    connection,
    frame,
    header_block,
    hear,
    is_as_before,
    others_are_served,
    read_all,
    read_until,
    request,
    resting,
    send,
)
from tests.frames import make

CALM = 11  # ENHANCE_YOUR_CALM
FLOOD = 20_000
GROWTH_BYTES = 64 << 20
PICTURE = "/img?frame=f/big.fits&size=max&format=png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(60, 80)))
    make.write(tmp_path / "big.fits", make.image_hdu(make.star_field(1500, 2000)))
    return tmp_path


async def refused_by_431(daemon: RunningDaemon, head: bytes) -> None:
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, head)
        assert (await read_all(stream)).startswith(b"HTTP/1.1 431 ")
        nursery.cancel_scope.cancel()


async def one_huge_header(daemon: RunningDaemon) -> None:
    """A header of a megabyte."""
    await refused_by_431(daemon, b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000)


async def many_headers(daemon: RunningDaemon) -> None:
    """Headers without end."""
    await refused_by_431(daemon, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000)


async def a_huge_address(daemon: RunningDaemon) -> None:
    """An address of a megabyte."""
    await refused_by_431(daemon, b"GET /" + b"a" * 1_000_000)


async def a_huge_upgrade(daemon: RunningDaemon) -> None:
    """A websocket that is asked for at length."""
    await refused_by_431(daemon, UPGRADE + b"Sec-WebSocket-Protocol: " + b"a, " * 100_000)


async def trailers_without_end(daemon: RunningDaemon) -> None:
    """Headers behind the body."""
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        head = b"POST /runs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        nursery.start_soon(send, stream, head + b"A: b\r\n" * 100_000)
        await read_all(stream)
        nursery.cancel_scope.cancel()


async def pipelined(daemon: RunningDaemon) -> None:
    """Requests without end, whose answers nobody reads."""
    async with connection(daemon, receive_buffer_bytes=4096) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * FLOOD)
        await daemon.settles(lambda: stream.socket.getsockopt(6, 11, 1)[0] != 1, LIMIT_S)
        nursery.cancel_scope.cancel()


async def ends_it(daemon: RunningDaemon, frames: bytes, code: int | None) -> None:
    """Send frames of HTTP/2; the connection has to be ended with this code (None: whatever it is)."""
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, PREFACE + SETTINGS + frames)
        heard = await hear(stream)
        nursery.cancel_scope.cancel()
    assert code is None or heard.goaway() in (code, None)  # None: what we still sent made the kernel forget it.


async def continuations(daemon: RunningDaemon) -> None:
    """A head that never ends (the shape of CVE-2024-27316)."""
    block = header_block()
    await ends_it(daemon, frame(1, END_STREAM, 1, block) + frame(9, 0, 1, b"") * FLOOD, None)
    await ends_it(daemon, frame(1, END_STREAM, 1, block) + frame(9, 0, 1, b"\x40\x01a\x01b" * 3000) * 200, None)


async def bomb_of_headers(daemon: RunningDaemon) -> None:
    """A few bytes that unpack to 64 megabytes of headers."""
    encoder = hpack.Encoder()
    block = encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a", "a" * 4000)])
    await ends_it(daemon, frame(1, END_STREAM | END_HEADERS, 1, block + b"\xbe" * 16_000), None)


async def rapid_reset(daemon: RunningDaemon) -> None:
    """Requests that are taken back at once (the shape of CVE-2023-44487)."""
    pairs = [
        request(2 * n + 1, path=f"/img?frame=f/big.fits&low={n}") + frame(3, 0, 2 * n + 1, b"\0\0\0\x08")
        for n in range(FLOOD)
    ]
    await ends_it(daemon, b"".join(pairs), CALM)


async def settings_flood(daemon: RunningDaemon) -> None:
    """Settings again and again."""
    await ends_it(daemon, frame(4, 0, 0, b"\0\x04\0\0\xff\xff") * FLOOD, CALM)


async def ping_flood(daemon: RunningDaemon) -> None:
    """Pings, each of which wants an answer."""
    await ends_it(daemon, frame(6, 0, 0, b"12345678") * FLOOD, CALM)


async def priority_flood(daemon: RunningDaemon) -> None:
    """Priorities of streams that are never opened."""
    frames = (frame(2, 0, 2 * n + 1, b"\0\0\0\0\x10") for n in range(FLOOD))
    await ends_it(daemon, b"".join(frames), CALM)


async def empty_data(daemon: RunningDaemon) -> None:
    """A body of nothing, in many frames."""
    await ends_it(daemon, request(1, path="/runs", flags=0) + frame(0, 0, 1) * FLOOD, CALM)


async def unknown_frames(daemon: RunningDaemon) -> None:
    """Frames of a kind that nobody knows."""
    await ends_it(daemon, frame(0xBB, 0, 0) * FLOOD, CALM)


async def window_flood(daemon: RunningDaemon) -> None:
    """Room for answers, a byte at a time."""
    await ends_it(daemon, frame(8, 0, 0, b"\0\0\0\x01") * 10 * FLOOD, CALM)


async def zero_window(daemon: RunningDaemon) -> None:
    """A hundred answers that are asked for, and never taken."""
    async with connection(daemon) as stream:
        frames = [request(2 * n + 1, path=PICTURE if n % 2 else "/openapi.json") for n in range(100)]
        await send(stream, PREFACE + frame(4, 0, 0, b"\0\x04\0\0\0\0") + b"".join(frames))
        heard = await hear(stream)
    assert len(heard.resets()) == 100, "each of them is given up"
    assert not heard.answered(), "and none looks whole"


async def packed(daemon: RunningDaemon) -> None:
    """A body that says it is compressed is refused, and a websocket is never compressed."""
    async with connection(daemon) as stream:
        for coding in (b"gzip", b"deflate", b"br", b"gzip, gzip"):
            head = b"POST /runs HTTP/1.1\r\nHost: x\r\nContent-Encoding: " + coding
            await stream.send_all(head + b"\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08")
            assert b" 415 " in await read_until(stream, b"}")
        await stream.send_all(UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        answer = await read_until(stream, b"\r\n\r\n")
        assert b" 101 " in answer
        assert b"permessage-deflate" not in answer


async def a_thousand_answers(daemon: RunningDaemon) -> None:
    """Hypercorn ends a connection after a thousand requests, and of HTTP/2 what is under way with it."""
    async with daemon.connect2() as client:
        for _ in range(25):
            numbers = [await client.send("GET", "/healthz") for _ in range(50)]
            for number in numbers:
                assert (await client.answer(number)).status == 200


FLOODS: tuple[Callable[[RunningDaemon], Awaitable[None]], ...] = (
    one_huge_header, many_headers, a_huge_address, a_huge_upgrade, trailers_without_end, pipelined, continuations,
    bomb_of_headers, rapid_reset, settings_flood, ping_flood, priority_flood, empty_data, unknown_frames, window_flood,
    zero_window, packed, a_thousand_answers,
)  # fmt: skip


async def test_floods_end_their_connection_alone(folder: Path) -> None:
    async with running_daemon(
        f"f={folder}", workers_max=1, worker_idle_s=0.3, keep_alive_s=2, send_limit_s=2
    ) as daemon:
        picture = (await daemon.get("/img?frame=f/a.fits")).body
        before, before_bytes = await resting(daemon), daemon.pss_bytes()
        for flood in FLOODS:
            async with others_are_served(daemon):
                await flood(daemon)
            await is_as_before(daemon, before)
            assert (await daemon.get("/img?frame=f/a.fits")).body == picture, flood.__name__
        assert daemon.pss_bytes() - before_bytes < GROWTH_BYTES
        log = daemon.log()
        assert "Traceback" not in log
        assert len(log) < 100_000, "a flood of requests is no flood of lines"
