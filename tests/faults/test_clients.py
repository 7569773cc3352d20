"""Clients that are slow, many, or in a hurry to leave: they cost themselves their connection, and others nothing."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.daemon.rig import RunningDaemon, running_daemon
from tests.faults.hostile import (
    LIMIT_S,
    UPGRADE,
    connection,
    figures,
    is_as_before,
    is_at_rest,
    others_are_served,
    read_all,
    reset,
    resting,
    send,
)
from tests.frames import make
from tests.fronts.place import make_certificate
from tests.fronts.test_direct import client_hello

GROWTH_BYTES = 32 << 20  # Of the daemon by a thousand connections: a leak of 32 kB each would show.
P99_S = 5.0  # Of others meanwhile: against waiting for the slow ones, on a machine under load.
ESTABLISHED = 1  # The first byte of TCP_INFO.
PICTURE = b"GET /img?frame=f/big.fits&size=max&format=png HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make.write(tmp_path / "a.fits", make.image_hdu(make.star_field(60, 80)))
    make.write(tmp_path / "big.fits", make.image_hdu(make.star_field(1500, 2000)))
    return tmp_path


async def drip(stream: trio.SocketStream, data: bytes) -> None:
    """Send a byte at a time, until it is no longer taken."""
    for byte in data:
        try:
            await stream.send_all(bytes((byte,)))
        except trio.BrokenResourceError:
            return
        await trio.sleep(0.1)


async def slow_head(daemon: RunningDaemon) -> None:
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(drip, stream, b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 10_000)
        await read_all(stream)
        nursery.cancel_scope.cancel()


async def slow_body(daemon: RunningDaemon) -> None:
    async with connection(daemon) as stream, trio.open_nursery() as nursery:
        await stream.send_all(b"POST /runs HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
        nursery.start_soon(drip, stream, b"{" * 10_000)
        assert b" 400 " in await read_all(stream)
        nursery.cancel_scope.cancel()


async def slow_reader(daemon: RunningDaemon) -> None:
    async with connection(daemon, receive_buffer_bytes=4096) as stream:
        await send(stream, PICTURE * 10)
        with trio.fail_after(LIMIT_S):
            while stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:
                await stream.receive_some(1)
                await trio.sleep(0.1)


async def test_200_slow_clients_are_dropped_and_keep_nobody_waiting(folder: Path) -> None:
    async with running_daemon(
        f"f={folder}", keep_alive_s=3, send_limit_s=3, workers_max=1, worker_idle_s=0.3
    ) as daemon:
        assert (await daemon.get(PICTURE.split()[1].decode())).status == 200
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        before = await resting(daemon)
        with trio.fail_after(LIMIT_S):
            async with others_are_served(daemon, "/img?frame=f/a.fits") as others, trio.open_nursery() as slow:
                for kind, count in ((slow_head, 80), (slow_body, 60), (slow_reader, 60)):
                    for _ in range(count):
                        slow.start_soon(kind, daemon)
        assert others.p99_s() < P99_S
        await is_as_before(daemon, before)
        [stalled] = await figures(daemon, "imgd_http_connections_stalled_total")
        assert stalled == 60
        assert daemon.pss_bytes() < 1 << 30


async def at_once(daemon: RunningDaemon, path: Path) -> None:
    async with connection(daemon):
        pass


async def at_once_reset(daemon: RunningDaemon, path: Path) -> None:
    async with connection(daemon) as stream:
        reset(stream)


async def mid_handshake(daemon: RunningDaemon, path: Path) -> None:
    async with connection(daemon) as stream:
        await stream.send_all(client_hello()[:200])
        reset(stream)


async def after_the_hello(daemon: RunningDaemon, path: Path) -> None:
    async with connection(daemon) as stream:
        await stream.send_all(client_hello())
        await stream.receive_some(1)


async def after_the_handshake(daemon: RunningDaemon, path: Path) -> None:
    async with daemon.connect() as client:
        await client.leave(reset=True)


async def while_it_is_answered(daemon: RunningDaemon, path: Path) -> None:
    async with daemon.connect2() as client:
        await client.send("GET", "/img?frame=f/big.fits&size=max")


async def half_a_head(daemon: RunningDaemon, path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHos")


async def half_open(daemon: RunningDaemon, path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(PICTURE * 3)  # The later ones wait unread.
        await stream.send_eof()
        await read_all(stream)


async def a_websocket(daemon: RunningDaemon, path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(UPGRADE + b"\r\n")
        assert b" 101 " in await stream.receive_some()


async def half_a_frame(daemon: RunningDaemon, path: Path) -> None:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(UPGRADE + b"\r\n")
        await stream.receive_some()
        await stream.send_all(b"\x81\xfe\x00")


Way = Callable[[RunningDaemon, Path], Awaitable[None]]
WAYS: tuple[Way, ...] = (
    at_once, at_once_reset, mid_handshake, after_the_hello, after_the_handshake, while_it_is_answered, half_a_head,
    half_open, a_websocket, half_a_frame,
)  # fmt: skip


async def test_1000_connections_that_open_and_close_leave_nothing(folder: Path) -> None:
    path = folder / "plain.sock"
    bind = f"127.0.0.1:0,unix:{path}"
    async with running_daemon(
        f"f={folder}", certificate=make_certificate(folder), bind=bind, workers_max=1, worker_idle_s=0.3
    ) as daemon:
        places = trio.CapacityLimiter(50)

        async def one(way: Way) -> None:
            async with places:
                await way(daemon, path)

        async def all_ways(count: int) -> None:
            with trio.fail_after(LIMIT_S):
                async with trio.open_nursery() as nursery:
                    for number in range(count):
                        nursery.start_soon(one, WAYS[number % len(WAYS)])
            await is_at_rest(daemon)

        await all_ways(100)  # What is made once is made now.
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        before, before_bytes = await resting(daemon), daemon.pss_bytes()
        async with others_are_served(daemon):
            await all_ways(1000)
        assert (await daemon.get("/img?frame=f/a.fits")).status == 200
        await is_as_before(daemon, before)
        assert daemon.pss_bytes() - before_bytes < GROWTH_BYTES, daemon.pss_bytes() - before_bytes
        assert "Traceback" not in daemon.log()
