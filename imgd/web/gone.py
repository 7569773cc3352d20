"""ASGI wrappers around every request: the end of it when the client leaves, and the headers that each answer has."""

from collections.abc import MutableMapping
from typing import Any, Final

import trio

from imgd.errors import Busy
from imgd.web.problems import Headers, send_problem
from imgd.web.seam import App, Receive, Scope, Send

SECURITY_HEADERS: Final[Headers] = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


CUT_OFF: Final = {"type": "http.disconnect", "imgd.cut_off": True}
"""What the server says where an answer ends before all of it was taken, whoever ended it."""
RETRY_AFTER_S: Final = 2.0  # By then another daemon has the place of the one that is ending, or a front knows better.


class UntilGone:
    """Answer requests, each until its client is gone; its answering is cancelled at that moment.

    body_max  bytes of a request's body; of a larger one this many and one more are kept, the rest is thrown away.
    """

    def __init__(self, app: App, body_max: int) -> None:
        self.body_max = body_max
        self._app = app
        self._open: dict[_Answering, trio.CancelScope] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""
        answering = _Answering(receive, send, self.body_max)
        try:
            async with trio.open_nursery() as nursery:
                self._open[answering] = nursery.cancel_scope
                nursery.start_soon(answering.watch, nursery.cancel_scope)
                await self._app(scope, answering.receive, answering.send)
                nursery.cancel_scope.cancel()
        finally:
            del self._open[answering]
        if answering.is_late and not answering.begun:
            await send_problem(send, Busy("the daemon is ending; try again", RETRY_AFTER_S, "stopped"))

    def tell_to_retry(self) -> None:
        """Tell all clients whose answer has not begun to come again: nothing is made for them any more."""
        for answering, scope in self._open.items():
            if not answering.begun:
                answering.is_late = True
                scope.cancel()


class _Answering:
    """One request being answered, until its last byte is handed over.

    The server says `http.disconnect` at the end of a whole answer too, while it is still tidying up inside of `send`:
    cancelling it there would leave the connection neither closed nor ready for the next request. What says `CUT_OFF`
    is not tidying up.
    """

    def __init__(self, receive: Receive, send: Send, body_max: int) -> None:
        self._receive = receive
        self._send = send
        self._whole = False
        self.begun = False
        self.is_late = False
        self._body_max = body_max
        self._body = b""
        self._asked = trio.Event()  # All of the request is there.

    async def receive(self) -> MutableMapping[str, Any]:
        """Wait for the request's whole body."""
        await self._asked.wait()
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass a message on."""
        self.begun = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._whole = True
        await self._send(message)

    async def watch(self, answering: trio.CancelScope) -> None:
        """Cancel when the client leaves before its answer is whole."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if len(self._body) <= self._body_max and message.get("body"):
                self._body = (self._body + message["body"])[: self._body_max + 1]
            if not message.get("more_body", False):
                self._asked.set()
        if not self._whole or message == CUT_OFF:
            answering.cancel()


def merged(own: list[tuple[bytes, bytes]], headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add those headers that are not there already."""
    named = {name for name, _ in own}
    return own + [header for header in headers if header[0] not in named]


def with_headers(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    """Add headers to an answer, but for those that it has already."""

    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": merged(list(message.get("headers", ())), headers)}
        await send(message)

    return adding


def secured(send: Send) -> Send:
    """Add the security headers to an answer."""
    return with_headers(SECURITY_HEADERS, send)
