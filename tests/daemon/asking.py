"""Whoever answers at a host and a port, in the clear or by TLS, and all the ways to ask there."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import trio
import trio_websocket

from tests.daemon.http1 import Http1, Response, connect, open_stream
from tests.daemon.http2 import Http2, connect2
from tests.fronts.place import Certificate

WEBSOCKET_CLOSE_LIMIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Ask a server. `certificate`: what it shows; None: it speaks in the clear."""

    host: str
    port: int
    certificate: Certificate | None = None

    @property
    def base_url(self) -> str:
        """URL of its root, without the last slash."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}"

    def connect(self, receive_buffer_bytes: int = 0) -> AbstractAsyncContextManager[Http1]:
        """Open an HTTP/1.1 connection."""
        return connect(self.host, self.port, receive_buffer_bytes, self.context("http/1.1"))

    def connect2(self, receive_buffer_bytes: int = 0) -> AbstractAsyncContextManager[Http2]:
        """Open an HTTP/2 connection: agreed on by ALPN, or in the clear with prior knowledge."""
        return connect2(self.host, self.port, receive_buffer_bytes, self.context("h2"))

    def context(self, protocol: str) -> ssl.SSLContext | None:
        """Make what a client connects with, for this protocol alone."""
        return self.certificate.client_context(protocol) if self.certificate else None

    @asynccontextmanager
    async def websocket(
        self, path: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> AsyncIterator[trio_websocket.WebSocketConnection]:
        """Open a websocket; its socket is closed at the end, whatever became of the server.

        Raises  trio_websocket.ConnectionRejected if the server refuses it by a status.
        """
        stream = await open_stream(self.host, self.port, 0, self.context("http/1.1"))
        async with stream, trio.open_nursery() as nursery:
            host = f"{self.host}:{self.port}"
            connection = await trio_websocket.wrap_client_stream(
                nursery, stream, host, path, extra_headers=list(headers)
            )
            yield connection
            with trio.move_on_after(WEBSOCKET_CLOSE_LIMIT_S):
                await connection.aclose()
            nursery.cancel_scope.cancel()

    async def get(self, target: str, **headers: str) -> Response:
        """Ask once, in a connection of its own."""
        async with self.connect() as connection:
            return await connection.get(target, **headers)

    async def head(self, target: str, **headers: str) -> Response:
        """Ask once for headers, in a connection of its own."""
        async with self.connect() as connection:
            return await connection.head(target, **headers)
