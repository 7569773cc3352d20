"""Together: what a connection writes in one go though it was said in several messages."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper

from imgd.web.seam import Scope, Send

_TOGETHER: Final = "imgd.together"


class Together:
    """Writes in one go what would be several writes: messages of a websocket (alone each costs four times as much), and
    the head and the body of an answer."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write
        self._pieces: list[bytes] = []
        self.is_holding = False

    def hold(self, data: bytes) -> None:
        """Keep this until all is written."""
        self._pieces.append(data)

    async def send(self, messages: Iterable[str | bytes], send: Send) -> None:
        """Send messages, and write them."""
        self.is_holding = True  # Sending does not wait then.
        try:
            for message in messages:
                kind = "text" if isinstance(message, str) else "bytes"
                await send({"type": "websocket.send", kind: message})
        finally:
            self.is_holding = False
        await self.flush()

    def sending(self, send: Send) -> Send:
        """Have all that comes of one message of an answer written together."""

        async def sending(message: MutableMapping[str, Any]) -> None:
            self.is_holding = True
            try:
                await send(message)
            finally:
                self.is_holding = False
                await self.flush()

        return sending

    async def flush(self) -> None:
        """Write what is held back now."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            await self._write(pieces[0] if len(pieces) == 1 else b"".join(pieces))


async def _written_already(data: bytes) -> None:
    assert not data


def together_of(scope: Scope) -> Together:
    """Find what writes messages of this websocket in one go; on HTTP/2 each goes on its own."""
    found = scope.get("extensions", {}).get(_TOGETHER)
    return found if isinstance(found, Together) else Together(_written_already)


class TogetherTasks(TaskGroup):
    """Tasks of a connection; applications find in their scope what ASGI has no word for."""

    def __init__(self, together: Together) -> None:
        super().__init__()
        self._together = together

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Any, send: Any) -> Any:
        """Begin to serve a request."""
        if scope["http_version"] != "2":
            if scope["type"] == "websocket":
                scope["extensions"][_TOGETHER] = self._together
            else:
                send = self._together.sending(send)
        return await super().spawn_app(app, config, scope, send)
