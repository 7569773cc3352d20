"""HTTP/2 by hypercorn and h2, and what they leave open: stalled streams, floods of frames, answers that break off."""

from collections.abc import Callable
from typing import Any, Final, cast

import h2.errors
import h2.events
import h2.exceptions
import trio
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BufferCompleteError, H2Protocol, StreamBuffer
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import EventWrapper
from hypercorn.typing import Event as IOEvent

from imgd.web.calm import Calm
from imgd.web.gone import CUT_OFF
from imgd.web.websockets import DEFLATE, PROGRESS_BYTES, Client, guard

_COSTS: Final[dict[type[h2.events.Event], float]] = {
    h2.events.StreamReset: 2.0,
    h2.events.PingReceived: 2.0,
    h2.events.RemoteSettingsChanged: 5.0,
    h2.events.PriorityUpdated: 0.5,
    h2.events.UnknownFrameReceived: 1.0,
    h2.events.WindowUpdated: 0.02,  # A client says two of them for each frame of an answer.
}
_EMPTY_COST: Final = 1.0


class Http2(H2Protocol):
    """HTTP/2, where an answer that broke off, or that nobody takes, resets its stream: nobody waits for its end.

    Priorities are not heeded (RFC 9113 has given them up): streams take turns.
    """

    def __init__(self, *parts: Any, client: Client) -> None:
        super().__init__(*parts)
        self._peer = client
        self._calm = Calm()
        self._websockets: set[int] = set()
        self._answered: set[int] = set()  # Streams that are ended by who answers, not by the client or by us.
        self.stream_buffers: _Buffers = _Buffers(client.send_limit_s, self._stalled)

    async def handle(self, event: Event) -> None:
        """Take what came; at the end nobody waits for anything to be sent any more."""
        await super().handle(event)
        if isinstance(event, Closed):
            self.stream_buffers.end_all()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        if (cost := sum(map(_cost_of, events))) and self._calm.is_lost(cost):
            self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
            return
        await super()._handle_events(self._refuse_late(events))
        for number in [each for each in self._websockets if (at := self.streams.get(each)) is None or at.closed]:
            self._websockets.discard(number)
            await self._close_stream(number)

    def _refuse_late(self, events: list[h2.events.Event]) -> list[h2.events.Event]:
        """Leave out requests that come while the server ends: their client is told that they can be made elsewhere.

        GOAWAY comes when the connection is idle: with an earlier one some clients give up what is being answered.
        """
        if not self.context.terminated.is_set():
            return events
        late = [event.stream_id for event in events if isinstance(event, h2.events.RequestReceived)]
        for stream_id in late:
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        return [event for event in events if getattr(event, "stream_id", None) not in late]

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        pass

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what a stream says."""
        if not isinstance(event, StreamClosed):
            await super().stream_send(event)
            return
        buffer = self.stream_buffers.get(event.stream_id)
        if event.stream_id in self.streams and buffer is not None and not buffer.complete:
            await self._reset(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._answered.add(event.stream_id)
        try:
            await super().stream_send(event)
        finally:
            self._answered.discard(event.stream_id)

    async def _send_data(self, stream_id: int) -> None:
        """Send on for a stream, or drop what is left of one that has ended: hypercorn finds its end when it may send,
        which for a stream that stood still is never."""
        if stream_id in self.streams:
            await super()._send_data(stream_id)
            return
        await self.stream_buffers[stream_id].close()
        del self.stream_buffers[stream_id]
        self.priority.remove_stream(stream_id)

    async def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        try:
            self.connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return  # The client was first.
        await self._flush()

    async def _close_stream(self, stream_id: int) -> None:
        """End a stream, whoever wants it; with the last of them the connection is idle.

        Hypercorn says so at the end of a whole answer only: after any other end the connection could stay for ever.
        """
        if stream_id in self.streams:
            stream = self.streams[stream_id]
            is_cut_off = stream_id not in self._answered  # Hypercorn tells it in the words of a whole answer's end.
            if is_cut_off and isinstance(stream, HTTPStream) and stream.app_put is not None:
                await stream.app_put(cast(Any, CUT_OFF))
            await super()._close_stream(stream_id)
            await self._window_updated(stream_id)  # Wakes the sending task, which drops what is left of it.
            if self.idle and not self.closed:
                await self.send(Updated(idle=True))

    def _stalled(self, stream_id: int) -> None:
        """End a stream whose client has taken too little for too long."""
        self._peer.streams_stalled += 1
        self.task_group.spawn(self._end_stalled, stream_id)

    async def _end_stalled(self, stream_id: int) -> None:
        await self._reset(stream_id, h2.errors.ErrorCodes.CANCEL)
        await self._close_stream(stream_id)

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if request.headers is not None:
            request.headers = [header for header in request.headers if header[0] != DEFLATE]
        if not _can_be_served(request):
            await self._reset(request.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
            return
        await super()._create_stream(request)
        stream = self.streams.get(request.stream_id)
        if isinstance(stream, WSStream):
            self._websockets.add(request.stream_id)
            guard(stream, self._peer, self.config.websocket_max_message_size)


def _cost_of(event: h2.events.Event) -> float:
    if isinstance(event, h2.events.DataReceived):
        return 0.0 if event.data or event.stream_ended else _EMPTY_COST
    return _COSTS.get(type(event), 0.0)


def _can_be_served(request: h2.events.RequestReceived) -> bool:
    """Tell whether it has a path, and is no tunnel to somewhere else (a CONNECT but for websockets, RFC 8441)."""
    pseudo = {name: value for name, value in request.headers or () if name.startswith(b":")}
    path = pseudo.get(b":path", b"")
    if not path.isascii() or not (path.startswith(b"/") or path == b"*"):
        return False
    return pseudo.get(b":method") != b"CONNECT" or pseudo.get(b":protocol") == b"websocket"


class _Buffers(dict[int, StreamBuffer]):
    """The buffers of a connection's streams: ours, wherever hypercorn puts one of its own; each is told of its end."""

    def __init__(self, limit_s: float, stalled: Callable[[int], None]) -> None:
        super().__init__()
        self.limit_s = limit_s
        self.taken_bytes = 0  # Of all of them.
        self._stalled = stalled

    def __setitem__(self, stream_id: int, buffer: StreamBuffer) -> None:
        super().__setitem__(stream_id, _BoundedBuffer(self, lambda: self._stalled(stream_id)))

    def __delitem__(self, stream_id: int) -> None:
        _end(self[stream_id])
        super().__delitem__(stream_id)

    def end_all(self) -> None:
        """Let nobody wait any more: the connection has ended."""
        for buffer in self.values():
            _end(buffer)


def _end(buffer: StreamBuffer) -> None:
    assert isinstance(buffer, _BoundedBuffer)
    buffer.ended.set()


class _BoundedBuffer(StreamBuffer):
    """Makes the answering wait while the client takes nothing, and ends that when it lasts too long.

    A client has to take enough in all, and something of each stream: many of them on a slow link take turns.

    Hypercorn's lets a stalled stream pile up all of it, and keeps it for as long as the connection is there.
    """

    def __init__(self, of: _Buffers, stalled: Callable[[], None]) -> None:
        super().__init__(EventWrapper)
        self._of = of
        self._stalled = stalled
        self.ended = trio.Event()
        self._taken_bytes = 0
        self.is_cut_off = False

    @property
    def complete(self) -> bool:
        """Tell whether all has been sent; what was cut off never is, or its end would make it look whole."""
        return super().complete and not self.is_cut_off

    async def close(self) -> None:
        """Cut it off: throw away what is left of it."""
        self.is_cut_off = True
        await super().close()

    async def push(self, data: bytes) -> None:
        """Add to what is to be sent; wait while that is much.

        Raises  BufferCompleteError after the end.
        """
        if not self._complete:
            self.buffer.extend(data)
            await self._is_empty.clear()
            while len(self.buffer) >= BUFFER_HIGH_WATER and not self._complete:
                await self._paused.clear()
                await self._while_it_moves(self._paused)
        if self.is_cut_off:
            await self._let_go()
        if self._complete:
            raise BufferCompleteError()

    async def drain(self) -> None:
        """Wait until all is sent, and its end said: an ending connection would otherwise say GOAWAY in between."""
        while not self._is_empty.is_set():
            await self._while_it_moves(self._is_empty)
        if self._complete:
            await self.ended.wait()
        if self.is_cut_off:
            await self._let_go()

    async def _while_it_moves(self, event: IOEvent) -> None:
        """Wait for the event; for the limit, and longer as long as enough is taken within each. Else cut it off."""
        before, all_before = self._taken_bytes, self._of.taken_bytes
        with trio.move_on_after(self._of.limit_s):
            await event.wait()
            return
        if self._taken_bytes == before or self._of.taken_bytes - all_before < PROGRESS_BYTES:
            await self.close()
            self._stalled()

    async def _let_go(self) -> None:
        """Wait to be cancelled: whoever answers is told of the end about now, and must not take this for sent."""
        await trio.sleep(self._of.limit_s)

    async def pop(self, max_length: int) -> bytes:
        """Take what may be sent now."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        self._taken_bytes += len(data)
        self._of.taken_bytes += len(data)
        if len(self.buffer) < BUFFER_HIGH_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data
