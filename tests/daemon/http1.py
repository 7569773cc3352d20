"""A small HTTP/1.1 client on Trio sockets, with TLS or without, that can leave at any moment, politely or not."""

import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import h11
import trio

RECEIVE_BYTES = 65_536

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True)
class Response:
    """One answer; header names in lower case, a repeated one joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Http1:
    """One connection. Requests go one after another; `body` is to be read before the next one."""

    def __init__(self, stream: Stream, host: str) -> None:
        self.stream = stream
        self._host = host
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
        named = {"host": self._host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        pairs = list(named.items())
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
        """Close the connection now: with a FIN, or with a RST, and then without TLS' own farewell."""
        await leave(self.stream, reset)

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


async def leave(stream: Stream, reset: bool) -> None:
    """Close a connection now: with a FIN, or with a RST, and then without TLS' own farewell."""
    with trio.CancelScope(shield=True):
        if reset:
            below = cast(trio.SocketStream, stream.transport_stream) if isinstance(stream, trio.SSLStream) else stream
            below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await below.aclose()
        with contextlib.suppress(trio.ClosedResourceError):  # TLS has nobody left to say farewell to.
            await stream.aclose()


async def open_stream(host: str, port: int, receive_buffer_bytes: int, context: ssl.SSLContext | None) -> Stream:
    """Connect, and shake hands if there is a context for it; the caller closes it.

    receive_buffer_bytes  0: the kernel's default; small: a reader that the sender soon has to wait for.
    """
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    try:
        await sock.connect((host, port))
        stream = trio.SocketStream(sock)
        if context is None:
            return stream
        ciphered = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        await ciphered.do_handshake()
    except BaseException:
        sock.close()
        raise
    return ciphered


@asynccontextmanager
async def connect(
    host: str, port: int, receive_buffer_bytes: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Http1]:
    """Open a connection, by TLS if there is a context for it."""
    stream = await open_stream(host, port, receive_buffer_bytes, context)
    async with Http1(stream, f"{host}:{port}") as connection:
        yield connection
