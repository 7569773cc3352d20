"""One client's connection: hypercorn's protocols, with what a bounded daemon needs of them besides."""

import contextlib
import os
import select
import socket
import struct
from typing import Any, Final, cast

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H2ProtocolAssumedError
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper
from hypercorn.typing import ConnectionState as SharedState
from hypercorn.utils import parse_socket_addr

from imgd.web.http1 import Http1
from imgd.web.http2 import Http2
from imgd.web.idle import IdleTimer
from imgd.web.tls import HTTP1, HTTP2, SecureStream
from imgd.web.together import Together, TogetherTasks
from imgd.web.websockets import PROGRESS_BYTES

REFUSED_LEAVES_S: Final = 5.0
_FAREWELL_S: Final = 0.1  # For TLS' own end (close_notify), which is only of use to who still reads.
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 4 << 20


class Connection(TCPServer):
    """Serve one connection; awaiting it serves until it ends.

    Beyond hypercorn's own: the end of the client's stream cancels all that it asked for, at once; a write that makes no
    progress for `send_limit_s` ends the connection (hypercorn's writes cannot be cancelled); `abort` ends it for sure.
    """

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, stream: trio.SocketStream | SecureStream
    ) -> None:
        super().__init__(app, config, context, cast(Any, {}), cast(Any, stream))
        self._is_secure = isinstance(stream, trio.SSLStream)
        self._transport: trio.SocketStream = self.stream.transport_stream if self._is_secure else cast(Any, stream)
        self._socket = self._transport.socket
        self.send_limit_s = 30.0
        self.stalled = False
        self.streams_stalled = 0
        self.sent_bytes = 0
        self.idle_timer = IdleTimer(config.keep_alive_timeout, context.terminated, self._initiate_server_close)
        self.idle_task = cast(Any, self.idle_timer)
        self._life = trio.CancelScope()
        self._together = Together(self._write, self.send_lock.locked)

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
                self.app, self.config, self.context, requests, SharedState(self.state), self._is_secure, client, server,
                self.protocol_send, self.stream.selected_alpn_protocol() if self._is_secure else HTTP1, connection=self,
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
        peek = select.poll()
        peek.register(self._socket.fileno(), select.POLLRDHUP)
        return bool(peek.poll(0))

    async def protocol_send(self, event: Event) -> None:
        """Carry out what the protocol wants of the connection."""
        if not isinstance(event, RawData):
            await self._together.flush()
            await super().protocol_send(event)
            return
        if not event.data:
            return  # Hypercorn hands on what its protocols have to send, also when that is nothing.
        self._together.hold(event.data)
        if not self._together.is_holding:
            await self._together.flush()

    async def _write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_lock.acquire_nowait()  # As nearly always: to wait for it takes a turn of all tasks.
        except trio.WouldBlock:
            await self.send_lock.acquire()
        try:
            await self._send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            # Busy: the lock leaves one other, the end of the stream that is just being written.
            await self._break_off()
        except trio.TooSlowError:
            self.stalled = True
            self.abort()
            await self._break_off()
        finally:
            self.send_lock.release()

    async def _break_off(self) -> None:
        """Cancel all that was asked for: nothing can be answered any more, nor what still waits to be read."""
        await self.protocol.handle(Closed())
        self._life.cancel()
        await trio.lowlevel.checkpoint()  # Ends here: nobody takes for sent what was to be written.

    async def _send(self, data: bytes) -> None:
        """Send all of it, whatever is cancelled meanwhile: half a frame written would garble all that follows.

        Raises  TooSlowError when a piece of it makes no progress.
        """
        self.sent_bytes += len(data)
        view = memoryview(data)
        if not self._is_secure:
            try:
                view = view[self._send_at_once(view) :]
            finally:
                await trio.lowlevel.cancel_shielded_checkpoint()
        for start in range(0, len(view), PROGRESS_BYTES):
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.send_limit_s) as limit:
                await self.stream.send_all(view[start : start + PROGRESS_BYTES])
            if limit.cancelled_caught:
                raise trio.TooSlowError

    def _send_at_once(self, data: memoryview) -> int:
        """Send what the kernel takes without waiting, which most answers are; tell how much that is.

        Raises  BrokenResourceError, ClosedResourceError.
        """
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError
        try:
            return os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def linger(self) -> None:
        """Let the client read our refusal while it still sends: closing at once would throw the refusal away."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            with trio.move_on_after(_LINGER_S):
                await self._transport.send_eof()
                left_bytes = _LINGER_BYTES
                while left_bytes > 0 and (more := await self._transport.receive_some(MAX_RECV)):
                    left_bytes -= len(more)

    async def _close(self) -> None:
        """End it in order: with TLS' own end, where no write is under way that would have to be waited for."""
        if not self._is_secure:
            await super()._close()
        elif self.send_lock.locked():
            await self._transport.aclose()
        else:
            with contextlib.suppress(trio.ClosedResourceError), trio.move_on_after(_FAREWELL_S):
                await self.stream.aclose()

    async def _initiate_server_close(self) -> None:
        await self.protocol.handle(Closed())
        await self._close()

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
        kind = Http2 if parts[-1] == HTTP2 else Http1
        self.protocol = kind(*self._parts(), client=connection)

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
            self.protocol = Http2(*self._parts(), client=self._connection)
            await self.protocol.initiate()
            await self.send(Updated(idle=True))  # Its preface was taken for a request, and it may never make one.
            if assumed.data:
                await self.protocol.handle(RawData(data=assumed.data))
