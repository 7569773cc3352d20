"""Websockets of either HTTP: what hypercorn's leave open about endings, sizes and floods."""

from collections.abc import Iterator
from typing import Any, Final, Protocol, cast

from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WebsocketBuffer, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping, Pong
from wsproto.events import Event as WebsocketEvent
from wsproto.frame_protocol import CloseReason

from imgd.web.calm import Calm

REFUSED_BYTES: Final = 1 << 20  # What is still taken of a message that was refused.
PROGRESS_BYTES: Final = 65_536  # What a client must take within `send_limit_s`; small enough for a slow telephone.
DEFLATE: Final = b"sec-websocket-extensions"  # Not passed on: its tables would take 300 kB for each idle websocket.


class Client(Protocol):
    """What the protocols ask of the connection that they serve."""

    send_limit_s: float
    streams_stalled: int

    def has_left(self) -> bool:
        """Tell whether the client has ended its side."""

    async def leave(self) -> None:
        """End it, as the client did."""

    def leave_soon(self) -> None:
        """Give the client a moment to leave by itself."""

    def become_websocket(self) -> None:
        """Be no longer idle nor busy."""

    async def linger(self) -> None:
        """Let the client read our refusal while it still sends."""

    def abort(self) -> None:
        """Break the connection here and now."""


def guard(stream: WSStream, client: Client, message_max: int) -> None:
    """Bound a websocket that has just been asked for."""
    _tell_closings(stream)
    stream.buffer = BoundedMessage(message_max, client)
    accept = stream.handshake.accept
    calm = Calm()

    def accepting(*parts: Any) -> Any:
        status, headers, connection = accept(*parts)
        events = connection.events

        def seen() -> Iterator[WebsocketEvent]:
            for event in events():
                if _is_idle_talk(event) and calm.is_lost(1):
                    yield CloseConnection(code=CloseReason.POLICY_VIOLATION, reason="too many frames that say nothing")
                    return
                yield event

        cast(Any, connection).events = lambda: _noting_failure(stream, seen())
        return status, headers, connection

    cast(Any, stream.handshake).accept = accepting


def _is_idle_talk(event: WebsocketEvent) -> bool:
    return isinstance(event, Ping | Pong) or (isinstance(event, Message) and not event.message_finished)


def _noting_failure(stream: WSStream, events: Iterator[WebsocketEvent]) -> Iterator[WebsocketEvent]:
    for event in events:
        if isinstance(event, CloseConnection) and stream.connection.state is ConnectionState.OPEN:
            cast(Any, stream).failure = event  # Not said by the client: it broke the grammar.
        yield event


def last_words(stream: Any) -> bytes:
    """Make the frame that tells a client how it broke the grammar; b"" if it did not."""
    failure = getattr(stream, "failure", None)
    if failure is None or stream.connection.state is not ConnectionState.OPEN:
        return b""
    data: bytes = stream.connection.send(CloseConnection(code=failure.code, reason=(failure.reason or "")[:100]))
    return data


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


class BoundedMessage(WebsocketBuffer):
    """A message that is too large is refused (close code 1009), and what comes of it after that is thrown away.

    Hypercorn alone would go on collecting it, and would miss the client's answer when that comes in one piece with it.
    """

    def __init__(self, max_length: int, client: Client) -> None:
        super().__init__(max_length)
        self._client = client
        self._refused = False
        self._refused_bytes = 0

    def extend(self, event: Message[Any]) -> None:
        """Add a part of a message.

        Raises  FrameTooLargeError the first time that it is too much; the client then has some time to leave by itself.
        """
        if self._refused:
            self._refused_bytes += len(event.data)
            if self._refused_bytes > REFUSED_BYTES:
                self._client.abort()
            return
        try:
            super().extend(event)
        except FrameTooLargeError:
            self._refused = True
            self.value = None
            self._client.leave_soon()
            raise
