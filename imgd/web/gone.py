"""ASGI wrappers around every request: the end of it when the client leaves, and the headers that each answer has."""

from collections.abc import MutableMapping
from typing import Any, Final

import trio

from imgd.web.seam import App, Receive, Scope, Send

SECURITY_HEADERS: Final = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def until_gone(app: App) -> App:
    """Cancel the answering the moment the client is gone; request bodies are read and thrown away."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        answering = _Answering(receive, send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answering.watch, nursery.cancel_scope)
            await app(scope, _nothing_to_receive, answering.send)
            nursery.cancel_scope.cancel()

    return guarded


class _Answering:
    """One request being answered, until its last byte is handed over.

    The server says `http.disconnect` at the end of a whole answer too, while it is still tidying up inside of `send`:
    cancelling it there would leave the connection neither closed nor ready for the next request.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._whole = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._whole = True
        await self._send(message)

    async def watch(self, answering: trio.CancelScope) -> None:
        """Cancel when the client leaves before its answer is whole."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._whole:
            answering.cancel()


async def _nothing_to_receive() -> MutableMapping[str, Any]:
    """Stand in for the request's body: none of our answers depends on one."""
    return {"type": "http.request", "body": b"", "more_body": False}


def secured(send: Send) -> Send:
    """Add the security headers to an answer."""

    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
        await send(message)

    return adding
