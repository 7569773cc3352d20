"""A small HTTP/1.1 client on Trio sockets that can leave at any moment, politely or not."""

import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import h11
import trio

RECEIVE_BYTES = 65_536


@dataclass(frozen=True)
class Response:
    """One answer; header names in lower case, a repeated one joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Http1:
    """One connection. Requests go one after another; `body` is to be read before the next one."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)

    async def get(self, target: str, **headers: str) -> Response:
        """Ask for `target` and read the whole answer. Header names: `if_none_match` means If-None-Match."""
        return await self.ask("GET", target, **headers)

    async def head(self, target: str, **headers: str) -> Response:
        """Ask for the headers of `target`."""
        return await self.ask("HEAD", target, **headers)

    async def ask(self, method: str, target: str, **headers: str) -> Response:
        """Make one request and read the whole answer."""
        await self.send(method, target, **headers)
        head = await self.response()
        body = b"".join([chunk async for chunk in self.body()])
        return Response(head.status, head.headers, body)

    async def send(self, method: str, target: str, **headers: str) -> None:
        """Send a request without waiting for its answer."""
        if self._peer.our_state is h11.DONE:
            self._peer.start_next_cycle()
        pairs = [("host", "imgd.test"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        request = h11.Request(method=method, target=target, headers=pairs)
        data = (self._peer.send(request) or b"") + (self._peer.send(h11.EndOfMessage()) or b"")
        await self.stream.send_all(data)

    async def response(self) -> Response:
        """Wait for the head of the answer; its body is still to be read."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                headers: dict[str, str] = {}
                for raw_name, raw_value in event.headers:
                    name, value = raw_name.decode().lower(), raw_value.decode("latin-1")
                    headers[name] = f"{headers[name]}, {value}" if name in headers else value
                return Response(event.status_code, headers)
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionError(f"no answer came: {type(event).__name__}")

    async def body(self) -> AsyncIterator[bytes]:
        """Read the body in the pieces in which it arrives.

        Raises  h11.RemoteProtocolError when the connection ends before the body does.
        """
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise ConnectionError(f"the body was cut off: {type(event).__name__}")

    async def leave(self, reset: bool = False) -> None:
        """Close the connection now: with a FIN, or with a RST."""
        if reset:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with trio.CancelScope(shield=True):
            await self.stream.aclose()

    async def _next(self) -> Any:
        while (event := self._peer.next_event()) is h11.NEED_DATA:
            self._peer.receive_data(await self.stream.receive_some(RECEIVE_BYTES))
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()


@asynccontextmanager
async def connect(host: str, port: int, receive_buffer_bytes: int = 0) -> AsyncIterator[Http1]:
    """Open a connection.

    receive_buffer_bytes  0: the kernel's default; small: a reader that the sender soon has to wait for.
    """
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    try:
        await sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    async with Http1(trio.SocketStream(sock)) as connection:
        yield connection
