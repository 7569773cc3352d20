"""One client's connection: hypercorn's protocols, with what a bounded daemon needs of them besides."""

import socket
import struct
from http import HTTPStatus
from typing import Any, Final, cast

import h2.errors
import h2.events
import h2.exceptions
import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response, StreamClosed
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BufferCompleteError, H2Protocol, StreamBuffer
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WebsocketBuffer, WSStream
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import AppWrapper
from hypercorn.typing import ConnectionState as SharedState
from hypercorn.utils import parse_socket_addr
from wsproto.connection import ConnectionState
from wsproto.events import Message
from wsproto.frame_protocol import CloseReason

from imgd.web.idle import IdleTimer
from imgd.web.together import Together, TogetherTasks

PIECE_BYTES: Final = 65_536
REFUSED_LEAVES_S: Final = 5.0
_DEFLATE: Final = b"sec-websocket-extensions"
_PEEK_AGAIN_S: Final = 0.25
_TCP_ESTABLISHED: Final = 1  # The first byte of TCP_INFO; any other state: one side has ended it.


class Connection(TCPServer):
    """Serve one connection; awaiting it serves until it ends.

    Beyond hypercorn's own: the end of the client's stream cancels all that it asked for, at once; a write that makes no
    progress for `send_limit_s` ends the connection (hypercorn's writes cannot be cancelled); `abort` ends it for sure.
    """

    def __init__(self, app: AppWrapper, config: Config, context: WorkerContext, stream: trio.SocketStream) -> None:
        super().__init__(app, config, context, cast(Any, {}), cast(Any, stream))
        self._socket = stream.socket
        self.send_limit_s = 30.0
        self.stalled = False
        self.idle_timer = IdleTimer(config.keep_alive_timeout, context.terminated, self._initiate_server_close)
        self.idle_task = cast(Any, self.idle_timer)
        self._life = trio.CancelScope()
        self._together = Together(self._write)

    async def run(self) -> None:
        """Serve until either side ends it. Whatever the client began is cancelled by then."""
        try:
            with self._life:
                await self._serve()
        except OSError:
            pass  # It was gone before it began.
        finally:
            with trio.CancelScope(shield=True):
                await self._close()

    async def _serve(self) -> None:
        client = parse_socket_addr(self._socket.family, self._socket.getpeername())
        server = parse_socket_addr(self._socket.family, self._socket.getsockname())
        async with TogetherTasks(self._together) as requests:
            self._task_group = requests
            self.protocol = _Protocol(
                self.app, self.config, self.context, requests, SharedState(self.state), False, client, server,
                self.protocol_send, connection=self,
            )  # fmt: skip
            await self.protocol.initiate()
            await self.idle_task.restart(requests, self._idle_timeout)
            await self._read_data()
            await self.leave()

    async def leave(self) -> None:
        """End it, as the client did: what it asked for is cancelled."""
        await self._close()  # Before the cancelling: a write under way ends by this alone.
        self._life.cancel()

    def become_websocket(self) -> None:
        """Be no longer idle nor busy: what it is for decides when it ends."""
        self.idle_timer.end()

    def leave_soon(self) -> None:
        """Give the client a moment to take our refusal and leave; then end it."""
        self._task_group.spawn(self._leave_later)

    async def _leave_later(self) -> None:
        await trio.sleep(REFUSED_LEAVES_S)
        await self.leave()

    def has_left(self) -> bool:
        """Tell whether the client has ended its side, as far as the kernel shows it without reading."""
        if self._socket.fileno() < 0:
            return True
        if self._socket.family == socket.AF_UNIX:
            return False  # Nothing tells; the next write will.
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_ESTABLISHED

    async def protocol_send(self, event: Event) -> None:
        """Carry out what the protocol wants of the connection."""
        if not isinstance(event, RawData):
            await self._together.flush()
            await super().protocol_send(event)
            return
        if not event.data:
            return  # Hypercorn hands on what its protocols have to send, also when that is nothing.
        if self._together.is_holding:
            self._together.hold(event.data)
        else:
            await self._write(event.data)

    async def _write(self, data: bytes) -> None:
        async with self.send_lock:
            try:
                await self._send(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                # Busy: the lock leaves one other, the end of the stream that is just being written.
                await self.protocol.handle(Closed())
            except trio.TooSlowError:
                self.stalled = True
                self.abort()
                await self.protocol.handle(Closed())

    async def _send(self, data: bytes) -> None:
        """Send all of it, whatever is cancelled meanwhile: half a frame written would garble all that follows.

        Raises  TooSlowError when a piece of it makes no progress.
        """
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.send_limit_s) as limit:
                await self.stream.send_all(view[start : start + PIECE_BYTES])
            if limit.cancelled_caught:
                raise trio.TooSlowError

    def abort(self) -> None:
        """Break the connection here and now; what waits in the kernel to be sent is thrown away."""
        if self._socket.fileno() >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()


class _Protocol(ProtocolWrapper):
    """Our protocols in place of hypercorn's."""

    def __init__(self, *parts: Any, connection: Connection) -> None:
        super().__init__(*parts)
        self._connection = connection
        self.protocol = _Http1(*self._parts(), connection=connection)

    def _parts(self) -> tuple[Any, ...]:
        return (
            self.app, self.config, self.context, self.task_group, self.state, self.ssl, self.client, self.server,
            self.send,
        )  # fmt: skip

    async def handle(self, event: Event) -> None:
        """Hand an event on; change to HTTP/2 when the client does."""
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as assumed:
            self.protocol = _Http2(*self._parts(), connection=self._connection)
            await self.protocol.initiate()
            if assumed.data:
                await self.protocol.handle(RawData(data=assumed.data))
        except H2CProtocolRequiredError as required:
            self.protocol = _Http2(*self._parts(), connection=self._connection)
            await self.protocol.initiate(required.headers, required.settings)
            if required.data:
                await self.protocol.handle(RawData(data=required.data))


class _WatchedPause(EventWrapper):
    """Sees the client leave while hypercorn does not read: when a second request came before the first was answered."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    async def wait(self) -> None:
        """Wait for the answer's end; leave with the client."""
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._watch)
            await super().wait()
            waiting.cancel_scope.cancel()

    async def _watch(self) -> None:
        while not self._connection.has_left():  # noqa: ASYNC110  # The kernel has no event for it while data waits.
            await trio.sleep(_PEEK_AGAIN_S)
        await self._connection.leave()


class _Http1(H11Protocol):
    """HTTP/1.1, and websockets without compression (its tables would take 300 kB for each idle one)."""

    def __init__(self, *parts: Any, connection: Connection) -> None:
        super().__init__(*parts)
        self._connection = connection
        self.can_read = _WatchedPause(connection)

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [(name, value) for name, value in request.headers if name != _DEFLATE]
        if len(headers) < len(request.headers):
            request = h11.Request(
                method=request.method, target=request.target, headers=headers, http_version=request.http_version
            )
        await super()._create_stream(request)
        if isinstance(self.stream, WSStream):
            _tell_closings(self.stream)
            self.stream.buffer = _BoundedMessage(self.config.websocket_max_message_size, self._connection)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what a stream says; from its 101 on the connection is a websocket."""
        if isinstance(event, Response) and event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._connection.become_websocket()
        await super().stream_send(event)


def _tell_closings(stream: WSStream) -> None:
    """Tell the application of a websocket that was closed in order: hypercorn calls every end that is not ours 1006."""
    put = stream.app_put

    async def telling(message: Any) -> None:
        if message["type"] == "websocket.disconnect" and stream.state == ASGIWebsocketState.CONNECTED:
            is_orderly = stream.connection.state is not ConnectionState.OPEN
            message = {**message, "code": CloseReason.NORMAL_CLOSURE.value if is_orderly else message["code"]}
        assert put is not None, "a stream that has begun has an application"
        await put(message)

    if put is not None:
        stream.app_put = telling


class _Http2(H2Protocol):
    """HTTP/2, where an answer that broke off resets its stream, so that nobody waits for its end."""

    def __init__(self, *parts: Any, connection: Connection) -> None:
        super().__init__(*parts)
        self._connection = connection
        self.stream_buffers = _Buffers()

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, StreamClosed):
            buffer = self.stream_buffers.get(event.stream_id)
            if event.stream_id in self.streams and buffer is not None and not buffer.complete:
                await self._reset(event.stream_id)
        await super().stream_send(event)

    async def _reset(self, stream_id: int) -> None:
        try:
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        except h2.exceptions.ProtocolError:
            return  # The client was first.
        await self._flush()
        await self._window_updated(stream_id)  # Wakes the sending task, which then drops the stream's buffer.

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if request.headers is not None:
            request.headers = [header for header in request.headers if header[0] != _DEFLATE]
        await super()._create_stream(request)
        stream = self.streams.get(request.stream_id)
        if isinstance(stream, WSStream):
            _tell_closings(stream)
            stream.buffer = _BoundedMessage(self.config.websocket_max_message_size, self._connection)


class _Buffers(dict[int, StreamBuffer]):
    """The buffers of a connection's streams: ours, wherever hypercorn puts one of its own."""

    def __setitem__(self, stream_id: int, buffer: StreamBuffer) -> None:
        super().__setitem__(stream_id, _BoundedBuffer(EventWrapper))


class _BoundedBuffer(StreamBuffer):
    """Makes the answering wait while the client takes nothing; hypercorn's lets a stalled stream pile up all of it."""

    async def push(self, data: bytes) -> None:
        """Add to what is to be sent; wait while that is much."""
        if self._complete:
            raise BufferCompleteError()
        self.buffer.extend(data)
        await self._is_empty.clear()
        while len(self.buffer) >= BUFFER_HIGH_WATER and not self._complete:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take what may be sent now."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_HIGH_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _BoundedMessage(WebsocketBuffer):
    """A message that is too large is refused (close code 1009), and what comes of it after that is thrown away.

    Hypercorn alone would go on collecting it, and would miss the client's answer when that comes in one piece with it.
    """

    def __init__(self, max_length: int, connection: Connection) -> None:
        super().__init__(max_length)
        self._connection = connection
        self._refused = False

    def extend(self, event: Message[Any]) -> None:
        """Add a part of a message.

        Raises  FrameTooLargeError the first time that it is too much; the client then has some time to leave by itself.
        """
        if self._refused:
            return
        try:
            super().extend(event)
        except FrameTooLargeError:
            self._refused = True
            self.value = None
            self._connection.leave_soon()
            raise
