"""A small HTTP/2 client, by ALPN or with prior knowledge: many requests in one connection, each can be taken back."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import trio

from tests.daemon.http1 import RECEIVE_BYTES, Response, Stream, leave, open_stream

END_HEADERS = 0x04


@dataclass
class _Stream:
    """What came so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None


class Http2:
    """One connection, for one task: each waiting method reads what comes, for whichever request it is."""

    def __init__(self, stream: Stream, authority: str) -> None:
        self.stream = stream
        self._scheme = "https" if isinstance(stream, trio.SSLStream) else "http"
        self._authority = authority
        self._peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}

    async def start(self) -> None:
        """Say the preface."""
        self._peer.initiate_connection()
        await self._flush()

    async def send(self, method: str, target: str, **headers: str) -> int:
        """Send a request; return its number."""
        number: int = self._peer.get_next_available_stream_id()
        pairs = [(":method", method), (":scheme", self._scheme), (":authority", self._authority), (":path", target)]
        pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
        self._streams[number] = _Stream()
        self._peer.send_headers(number, pairs, end_stream=True)
        await self._flush()
        return number

    async def send_half(self, method: str, target: str) -> int:
        """Send the head of a request without its end, which never comes; return its number."""
        number: int = self._peer.get_next_available_stream_id()
        pairs = [(":method", method), (":scheme", self._scheme), (":authority", self._authority), (":path", target)]
        self._streams[number] = _Stream()
        self._peer.send_headers(number, pairs)
        data = bytearray(self._peer.data_to_send())
        data[4] &= ~END_HEADERS  # The flags of the one frame that waits.
        await self.stream.send_all(data)
        return number

    async def answer(self, number: int) -> Response:
        """Wait for a whole answer.

        Raises  ConnectionError if the server took it back, or closed.
        """
        stream = self._streams[number]
        while not stream.ended:
            await self._pump()
            if stream.reset is not None:
                raise ConnectionError(f"stream {number} was reset with code {stream.reset}")
        return Response(stream.status, stream.headers, bytes(stream.body))

    async def head(self, target: str, **headers: str) -> Response:
        """Ask for the headers of `target`."""
        return await self.answer(await self.send("HEAD", target, **headers))

    async def until(self, number: int, mark: bytes) -> bytes:
        """Wait until this has come as part of the body; return what has come.

        Raises  ConnectionError if the body ends without it.
        """
        stream = self._streams[number]
        while mark not in stream.body:
            if stream.ended or stream.reset is not None:
                raise ConnectionError(f"stream {number} ended without {mark!r}")
            await self._pump()
        return bytes(stream.body)

    async def more(self, number: int) -> int:
        """Wait for some more of the body; return how many bytes have come in all.

        Raises  ConnectionError if it has ended.
        """
        stream = self._streams[number]
        known = len(stream.body)
        while len(stream.body) == known:
            if stream.ended or stream.reset is not None:
                raise ConnectionError(f"stream {number} ended after {known} bytes")
            await self._pump()
        return len(stream.body)

    async def begun(self, number: int) -> int:
        """Wait until some of the body has come, or all; return how many bytes."""
        stream = self._streams[number]
        while not (stream.body or stream.ended or stream.reset is not None):
            await self._pump()
        return len(stream.body)

    async def get(self, target: str, **headers: str) -> Response:
        """Ask for `target` and read the whole answer."""
        return await self.answer(await self.send("GET", target, **headers))

    async def reset(self, number: int) -> None:
        """Take a request back: RST_STREAM(CANCEL)."""
        self._peer.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        await self._flush()

    async def leave(self, reset: bool = False) -> None:
        """Close the connection now, with all that it waits for: with a FIN, or with a RST."""
        await leave(self.stream, reset)

    async def _flush(self) -> None:
        if data := self._peer.data_to_send():
            await self.stream.send_all(data)

    async def _pump(self) -> None:
        data = await self.stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in self._peer.receive_data(data):
            self._hear(event)
        await self._flush()

    def _hear(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        match event:
            case h2.events.ResponseReceived(headers=headers):
                for name, value in ((str(name), str(value)) for name, value in headers or ()):
                    known = stream.headers.get(name)
                    stream.headers[name] = value if known is None else f"{known}, {value}"
                stream.status = int(stream.headers.pop(":status"))
            case h2.events.DataReceived(data=data, flow_controlled_length=length, stream_id=number):
                stream.body += data or b""
                self._peer.acknowledge_received_data(length or 0, number or 0)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset(error_code=code):
                stream.reset = int(code or 0)


@asynccontextmanager
async def connect2(
    host: str, port: int, receive_buffer_bytes: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Http2]:
    """Open a connection that speaks HTTP/2 from its first byte.

    Raises  ConnectionError when the server does not agree on it.
    """
    stream = await open_stream(host, port, receive_buffer_bytes, context)
    try:
        if isinstance(stream, trio.SSLStream) and stream.selected_alpn_protocol() != "h2":
            raise ConnectionError(f"the server speaks {stream.selected_alpn_protocol()}, not h2")
        connection = Http2(stream, f"{host}:{port}")
        await connection.start()
        yield connection
    finally:
        await leave(stream, reset=False)
