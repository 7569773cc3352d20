"""Together: what a connection writes in one go though it was said in several messages."""

import struct
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Any, Final, cast

import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Data
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper

from imgd.web.seam import Scope, Send

_TOGETHER: Final = "imgd.together"
_TEXT: Final = 0x81  # Whole messages.
_BINARY: Final = 0x82


class Together:
    """Writes in one go what would be several writes: messages of a websocket (alone each costs four times as much), and
    the head and the body of an answer."""

    def __init__(
        self, write: Callable[[bytes], Awaitable[None]], is_writing: Callable[[], bool] = lambda: False
    ) -> None:
        self._write = write
        self._is_writing = is_writing
        self._pieces: list[bytes] = []
        self.is_holding = False

    def hold(self, data: bytes) -> None:
        """Keep this until all is written."""
        self._pieces.append(data)

    async def send(self, messages: Iterable[str | bytes], send: Send) -> None:
        """Send messages of an open websocket, and write them.

        Source  RFC 6455, 5.2: a server's frames are not masked; the layers below would copy each message three times.
        """
        for message in messages:
            data = message.encode() if isinstance(message, str) else message
            self._pieces += (_frame_head(_TEXT if isinstance(message, str) else _BINARY, len(data)), data)
        await self.flush()

    def sending(self, send: Send) -> Send:
        """Have all that comes of one message of an answer written together; and with a body the head, if its length is
        known: then it is there, or soon will be.

        Not while an earlier answer is still being written: whoever takes none would have all its requests begun.
        """

        is_length_told = False

        async def sending(message: MutableMapping[str, Any] | None) -> None:
            nonlocal is_length_told
            kind = "" if message is None else message["type"]  # None: hypercorn says so at the end.
            if message is not None and kind == "http.response.start":
                is_length_told = any(name == b"content-length" for name, _ in message.get("headers", ()))
            # A body whose length was told has no end to be written with it: it is not kept back by the tidying up.
            self.is_holding = not (is_length_told and kind == "http.response.body")
            try:
                await send(cast(Any, message))
            finally:
                self.is_holding = False
                if self._is_writing() or not (is_length_told and kind == "http.response.start"):
                    await self.flush()

        return sending

    async def flush(self) -> None:
        """Write what is held back now."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            await self._write(pieces[0] if len(pieces) == 1 else b"".join(pieces))


class OneByOne(Together):
    """Leaves messages as they are, where nothing is known of the connection."""

    async def send(self, messages: Iterable[str | bytes], send: Send) -> None:
        """Send messages."""
        for message in messages:
            await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})


async def _written_already(data: bytes) -> None:
    assert not data


def _frame_head(code: int, size_bytes: int) -> bytes:
    if size_bytes < 126:
        return bytes((code, size_bytes))
    if size_bytes < 1 << 16:
        return struct.pack("!BBH", code, 126, size_bytes)
    return struct.pack("!BBQ", code, 127, size_bytes)


def together_of(scope: Scope) -> Together:
    """Find what writes messages of this websocket in one go."""
    found = scope.get("extensions", {}).get(_TOGETHER)
    return found if isinstance(found, Together) else OneByOne(_written_already)


def _into_stream(stream: WSStream) -> Callable[[bytes], Awaitable[None]]:
    """Write into one stream of an HTTP/2 connection, whose frames then hold many messages."""

    async def write(data: bytes) -> None:
        await stream.send(Data(stream_id=stream.stream_id, data=data))

    return write


class TogetherTasks(TaskGroup):
    """Tasks of a connection; applications find in their scope what ASGI has no word for."""

    def __init__(self, together: Together) -> None:
        super().__init__()
        self._together = together

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Any, send: Any) -> Any:
        """Begin to serve a request."""
        if scope["type"] == "websocket":
            is_stream = scope["http_version"] == "2"
            scope["extensions"][_TOGETHER] = Together(_into_stream(send.__self__)) if is_stream else self._together
        elif scope["http_version"] != "2":
            send = self._together.sending(send)
        return await super().spawn_app(cast(AppWrapper, partial(_serve, app)), config, scope, send)


async def _serve(app: AppWrapper, *parts: Any) -> None:
    """Serve a request. That all of it was cancelled is told anew: hypercorn's frame would hold the group that told it,
    and this in turn that frame and all that was being sent, until somebody looks for dead cycles."""
    try:
        return await app(*parts)
    except BaseExceptionGroup as error:
        if error.split(trio.Cancelled)[1] is not None:
            raise
    await trio.lowlevel.checkpoint()
