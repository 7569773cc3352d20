"""HTTP/1.1 by hypercorn and h11, and what they leave open: who has left, and requests that can be read in two ways."""

import re
from dataclasses import replace
from typing import Any, Final

import h11
import trio
from hypercorn.events import Closed, Event
from hypercorn.protocol.events import Data, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H2ProtocolAssumedError, H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import EventWrapper

from imgd.web.websockets import DEFLATE, Client, guard, last_words

_PEEK_AGAIN_S: Final = 0.25
_SWITCHING: Final = 101
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*)?")


class NotRead(Exception):
    """A request is refused by its form alone, with this status."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class _WatchedPause(EventWrapper):
    """Sees the client leave while hypercorn does not read: when a second request came before the first was answered."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    async def wait(self) -> None:
        """Wait for the answer's end; leave with the client."""
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._watch)
            await super().wait()
            waiting.cancel_scope.cancel()

    async def _watch(self) -> None:
        while not self._client.has_left():  # noqa: ASYNC110  # The kernel has no event for it while data waits.
            await trio.sleep(_PEEK_AGAIN_S)
        await self._client.leave()


class Http1(H11Protocol):
    """HTTP/1.1 and its websockets.

    No change to HTTP/2 by `Upgrade: h2c`, which is obsolete (RFC 9113) and would lead past a proxy's rules.
    """

    def __init__(self, *parts: Any, client: Client) -> None:
        super().__init__(*parts)
        self._peer = client
        self.can_read = _WatchedPause(client)

    async def handle(self, event: Event) -> None:
        """Hand an event on; end a connection whose websocket was refused, which hypercorn would keep open."""
        await super().handle(event)
        if type(self.stream) is WSStream and self.stream.closed:
            await self.send(Closed())

    async def _check_protocol(self, request: h11.Request) -> None:
        if request.method == b"PRI" and request.target == b"*" and request.http_version == b"2.0":
            raise H2ProtocolAssumedError(b"PRI * HTTP/2.0\r\n\r\n" + self.connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        try:
            read = one_reading(request)
        except NotRead as refusal:
            await self._send_error_response(refusal.status)
            await self.send(Closed())
            return
        await super()._create_stream(read)
        if type(self.stream) is WSStream:
            guard(self.stream, self._peer, self.config.websocket_max_message_size)

    async def _send_error_response(self, status_code: int) -> None:
        await super()._send_error_response(status_code)
        await self._peer.linger()

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what a stream says; from its 101 on the connection is a websocket."""
        if isinstance(event, Response) and event.status_code == _SWITCHING:
            self._peer.become_websocket()
        elif isinstance(event, Response) and self.context.terminated.is_set():
            said = [*event.headers, (b"connection", b"close")]  # The client need not find out by itself.
            event = replace(event, headers=said)
        elif isinstance(event, StreamClosed) and (data := last_words(self.stream)):
            await super().stream_send(Data(stream_id=STREAM_ID, data=data))
        await super().stream_send(event)


def one_reading(request: h11.Request) -> h11.Request:
    """Make a request one that nobody can read in two ways.

    An address with a host in it is served as what it says (RFC 9112, 3.2.2: the Host header does not count then).

    Raises  NotRead where a proxy before us may have seen another end of it than we do, or another host.
    """
    if not request.http_version.startswith(b"1."):
        raise NotRead(505)
    names = [name for name, _ in request.headers]  # In lower case.
    has_length, has_coding = b"content-length" in names, b"transfer-encoding" in names
    if (
        (has_coding and (has_length or request.http_version < b"1.1"))
        or (b"upgrade" in names and (has_coding or has_length))
        or names.count(b"host") > 1
    ):
        raise NotRead
    target, drop, host = request.target, DEFLATE if DEFLATE in names else b"", []
    if not target.startswith(b"/") and target != b"*":
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise NotRead
        path: bytes = found[2] or b"/"
        target, drop, host = path if path.startswith(b"/") else b"/" + path, b"host", [(b"host", found[1])]
    if not drop:
        return request
    headers = host + [(name, value) for name, value in request.headers if name not in (drop, DEFLATE)]
    return h11.Request(method=request.method, target=target, headers=headers, http_version=request.http_version)
