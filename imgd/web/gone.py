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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, receive, nursery.cancel_scope)
            await app(scope, _nothing_to_receive, send)
            nursery.cancel_scope.cancel()

    return guarded


async def _watch(receive: Receive, answering: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
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
