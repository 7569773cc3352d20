"""Clients that can do what no library lets them: leave in the middle, stop reading, break the grammar."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


async def connect(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


def request(target: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reset(stream: trio.SocketStream) -> None:
    """Leave with a RST."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@asynccontextmanager
async def websocket(port: int) -> AsyncIterator[WebSocketConnection]:
    """Open a websocket; its stream is closed for sure, however the other side ends it."""
    async with await connect(port) as stream, trio.open_nursery() as nursery:
        client = await wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", "/live")
        yield client
        with trio.move_on_after(1):
            await client.aclose()
        nursery.cancel_scope.cancel()


async def upgrade(port: int, path: str, *headers: str) -> bytes:
    """Ask for a websocket; return the head of what is answered."""
    async with await connect(port) as stream:
        await stream.send_all(request(path, *UPGRADE, *headers))
        return await read_until(stream, b"\r\n\r\n")


async def read_all(stream: trio.SocketStream) -> bytes:
    """Read to the end, be it an orderly one or not."""
    received = b""
    with trio.fail_after(5):
        try:
            while chunk := await stream.receive_some(65536):
                received += chunk
        except trio.BrokenResourceError:
            pass
    return received


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    received = b""
    with trio.fail_after(5):
        while mark not in received:
            chunk = await stream.receive_some(65536)
            assert chunk, f"ended before {mark!r}: {received!r}"
            received += chunk
    return received


class Http2:
    """A client of HTTP/2 by prior knowledge."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))

    async def start(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def get(self, target: str, *, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        head = [(":method", "GET"), (":path", target), (":scheme", "http"), (":authority", "localhost")]
        self.h2.send_headers(number, head, end_stream=end)
        await self.flush()
        return number

    async def until(self, kind: type[h2.events.Event]) -> list[h2.events.Event]:
        """Read events until one of this kind has come."""
        seen: list[h2.events.Event] = []
        with trio.fail_after(5):
            while not any(isinstance(event, kind) for event in seen):
                data = await self.stream.receive_some(65536)
                assert data, f"ended before {kind.__name__}: {seen}"
                for event in self.h2.receive_data(data):
                    seen.append(event)
                    if isinstance(event, h2.events.DataReceived):
                        assert event.flow_controlled_length is not None
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self.flush()
        return seen
